"""One filled installation for all tests of a module that only read."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from tests.browsing import Installation, browsed


@pytest.fixture(scope="module")
def made(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with browsed(server, tmp_path_factory.mktemp("browsed")) as installation:
        yield installation


@pytest.fixture(scope="module")
def connection(made: Installation) -> Iterator[Connection]:
    with made.container.database.engine.connect() as opened:
        yield opened
