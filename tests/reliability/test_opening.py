"""Processes that start at once on a database that has nothing yet."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from adapters.bootstrap import open_container
from adapters.read_models import FOLLOWED
from adapters.runner import positions
from adapters.settings import read_settings
from tests.conftest import url_of
from tests.reliability.conftest import Amount
from tests.reliability.processes import process


@pytest.fixture
def empty(server: str, amount: Amount) -> list[str]:
    """URLs of databases without a table."""
    names = [f"e{uuid4().hex}" for _ in range(amount(2, 1))]
    with psycopg.connect(server, autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY")
    return [url_of(server, name) for name in names]


def test_all_who_open_a_fresh_database_at_once_succeed(empty: list[str], amount: Amount) -> None:
    count = amount(8, 3)
    with ExitStack() as stack:
        started = [stack.enter_context(process("tests.reliability.opening")) for _ in range(count)]
        assert [one.hear() for one in started] == ["ready"] * count
        for url in empty:
            for one in started:
                one.say(url)
            assert [one.hear() for one in started] == ["opened"] * count
        assert [one.end() for one in started] == [(0, "", "")] * count
    for url in empty:
        with open_container(read_settings(database_url=SecretStr(url))) as container:
            assert set(positions(container.database, FOLLOWED).values()) == {0}
