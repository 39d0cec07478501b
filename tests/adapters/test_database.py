"""Connections that go away and come again, and the one that listens."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.exc import DBAPIError

from adapters.database import Database, Listener
from domain.errors import Unavailable

HANG_UP = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url, pool_size=1, lock_timeout_ms=50)
    yield opened
    opened.close()


def notify(url: str, channel: str, payload: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_notify(%s, %s)", [channel, payload])


def hang_up(url: str, name: str) -> None:
    """What a server does with its clients when it goes down."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"{HANG_UP} AND datname = current_database()", [name])


def numbers(database: Database) -> list[int]:
    with database.connection() as connection:
        return [row[0] for row in connection.execute("SELECT n FROM numbers ORDER BY n")]


def test_what_is_done_in_a_connection_is_done_as_a_whole(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("CREATE TABLE numbers (n int)")
        connection.execute("INSERT INTO numbers VALUES (1)")
    with pytest.raises(psycopg.errors.DivisionByZero), database.connection() as connection:
        connection.execute("WITH two AS (INSERT INTO numbers VALUES (2) RETURNING n) SELECT n / 0 FROM two")
    assert numbers(database) == [1]


def test_a_connection_for_reading_is_one_with_transactions_again_afterwards(database: Database) -> None:
    with database.reading() as connection:
        assert connection.autocommit
    with database.connection() as again:
        assert again is connection
        assert not again.autocommit


def test_a_connection_that_is_lost_is_unavailable_and_the_next_one_works(database: Database) -> None:
    with (
        pytest.raises(Unavailable, match="the database does not answer"),
        database.connection() as connection,
    ):
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    with database.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_reading_connection_that_is_lost_is_unavailable_as_well(database: Database) -> None:
    with pytest.raises(Unavailable, match="the database does not answer"), database.reading() as connection:
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    with database.reading() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_that_went_away_unused_is_replaced(database: Database) -> None:
    with database.connection() as first:
        pass
    hang_up(database.url, "lmsys")
    database._answered.clear()  # as after a second
    with database.connection() as second:
        assert second.execute("SELECT 1").fetchone() == (1,)
    assert second is not first


def test_a_lock_that_is_not_to_be_had_in_time_is_said_to_be_one(database: Database) -> None:
    with psycopg.connect(database.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(1)")
        with (
            pytest.raises(Unavailable, match="somebody else holds a lock"),
            database.connection() as connection,
        ):
            connection.execute("SELECT pg_advisory_xact_lock(1)")


def test_no_server_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"postgresql://lmsys@/lmsys?host={tmp_path}")
    database.pool.timeout = 0.1
    with pytest.raises(Unavailable, match="the database does not answer"), database.connection():
        pytest.fail("there is nothing to connect to")
    database.close()


def test_after_it_was_closed_there_are_no_connections(database: Database) -> None:
    with database.connection():
        pass
    database.close()
    with pytest.raises(Unavailable), database.connection():
        pytest.fail("the pool was closed")


def test_an_error_of_the_engine_does_not_tell_what_a_person_wrote(database: Database) -> None:
    statement = sqlalchemy.text("SELECT CAST(:words AS text) || nothing_of_that_name")
    with database.engine.connect() as connection, pytest.raises(DBAPIError) as error:
        connection.execute(statement, {"words": "my name is"})
    assert "my name is" not in str(error.value)


# --- listening


class Heard:
    """What a listener was told, as it comes."""

    def __init__(self, database: Database, fails: int = 0) -> None:
        self._told: queue.Queue[tuple[str, str]] = queue.Queue()
        self._fails = fails
        self.listener = Listener(database.url, ("first", "second"), self._hear)

    def _hear(self, channel: str, payload: str) -> None:
        self._told.put((channel, payload))
        if self._fails:
            self._fails -= 1
            raise RuntimeError("whoever was called has failed")

    def next(self, count: int) -> list[tuple[str, str]]:
        return [self._told.get(timeout=10) for _ in range(count)]

    def nothing_more(self) -> bool:
        return self._told.empty()


@pytest.fixture
def heard(database: Database) -> Iterator[Heard]:
    made = Heard(database)
    made.listener.start()
    yield made
    made.listener.stop()


CONNECTED = [("first", ""), ("second", "")]


def test_a_listener_is_told_that_it_listens_and_then_what_is_said(database: Database, heard: Heard) -> None:
    assert heard.next(2) == CONNECTED
    notify(database.url, "second", "hello")
    notify(database.url, "elsewhere", "not for us")
    notify(database.url, "first", "again")
    assert heard.next(2) == [("second", "hello"), ("first", "again")]
    assert heard.nothing_more()


def test_a_listener_whose_connection_is_lost_says_that_it_may_have_missed_something(
    database: Database, heard: Heard
) -> None:
    assert heard.next(2) == CONNECTED
    hang_up(database.url, "lmsys-listener")
    assert heard.next(2) == CONNECTED
    notify(database.url, "first", "hello")
    assert heard.next(1) == [("first", "hello")]


def test_a_listener_outlives_a_failure_of_the_one_it_tells(database: Database) -> None:
    heard = Heard(database, fails=1)
    heard.listener.start()
    assert heard.next(3) == [("first", ""), *CONNECTED]
    heard.listener.stop()


def test_a_listener_ends_when_it_is_told_to(heard: Heard) -> None:
    assert heard.next(2) == CONNECTED
    heard.listener.stop()
    assert heard.listener not in threading.enumerate()
