"""One real Postgres for the whole run, and a fresh copy of a migrated database for each test that asks."""

from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch
from uuid import uuid4

import psycopg
import pytest
import structlog
from hypothesis import settings as hypothesis
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from adapters.bootstrap import Container, open_container
from adapters.postgres import start_embedded
from adapters.settings import Settings, read_settings
from domain.base import Context, context

pytest_plugins = ["tests.protocols.fixtures"]
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
hypothesis.register_profile("short", deadline=None, max_examples=50)
hypothesis.register_profile("long", deadline=None, max_examples=300)
hypothesis.load_profile("short")

MEMORY, ROOM = Path("/dev/shm"), 4 << 30


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "200 kills, 100,000 edits and so on (docs/reliability.md); six times the examples of properties"
    parser.addoption("--long", action="store_true", help=help)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        hypothesis.load_profile("long")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that at the end no worker waits for the other."""
    items.sort(key=lambda item: item.path.parent.name not in ("journeys", "reliability"))


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


def url_of(server: str, name: str) -> str:
    """The same server, another database."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server that has a database `prepared`: migrated, with empty read models.

    It need not outlive a crash: it waits for no disk, and is in memory where there is enough, as a thousand
    databases come and go. What is killed has a home with a server of its own.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with TemporaryDirectory(dir=MEMORY if roomy else tmp_path_factory.mktemp("server")) as home:
        with patch.dict("adapters.postgres._REQUIRED", fsync="off"):
            embedded = start_embedded(Path(home))
        try:
            _execute(embedded.url, "CREATE DATABASE prepared")
            prepared = url_of(embedded.url, "prepared")
            open_container(read_settings(database_url=SecretStr(prepared))).close()
            yield embedded.url
        finally:
            embedded.stop()


@contextmanager
def fresh_database(server: str, template: str = "prepared") -> Iterator[str]:
    """URL of a copy of a database that nobody is connected to, dropped at the end."""
    name = f"t{uuid4().hex}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield url_of(server, name)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(server: str) -> Iterator[str]:
    """A database of the test's own."""
    with fresh_database(server) as url:
        yield url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return read_settings(
        home=tmp_path / "home", database_url=SecretStr(database_url), import_dir=tmp_path, wait_timeout=10.0
    )


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    """No vectors, nothing running: projections move when the test steps them."""
    with open_container(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Like `container`, but one for all tests of a module: each has data sets and runs of its own."""
    with fresh_database(server) as url:
        home = tmp_path_factory.mktemp("home")
        with open_container(read_settings(home=home, database_url=SecretStr(url))) as opened:
            yield opened


@pytest.fixture
def dataset() -> str:
    """The name of a data set that no other test has."""
    return f"d{uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def _nobody() -> Iterator[None]:
    """Each test begins with the context of nobody in particular."""
    token = context.set(Context())
    yield
    context.reset(token)


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]
