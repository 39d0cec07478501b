"""Connections to Postgres: a pool for the log, an engine for the read models, one place that listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

from domain.errors import Unavailable

log = structlog.get_logger()

GONE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""What is raised when the database went away, or a lock was not to be had in time."""

FRESH_S = 1.0

RECONNECT_S = 5.0
"""How long the pool tries to connect by itself, at intervals that double. From then on each caller makes it
try at once, so that after a long outage nobody waits for the end of a long interval."""


class Database:
    """One Postgres. Connections are made when first needed and checked when handed out."""

    def __init__(self, url: str, *, pool_size: int = 8, lock_timeout_ms: int = 2000) -> None:
        self.url = url
        self._answered: WeakKeyDictionary[psycopg.Connection[Any], float] = WeakKeyDictionary()
        # a disk that seeks as it reads, as all are now: else an edit in bulk reads the table of all queries
        options = f"-c lock_timeout={lock_timeout_ms} -c timezone=UTC -c random_page_cost=1.1"
        self.pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=5,
            open=False,
            check=self._check,
            reconnect_timeout=RECONNECT_S,
            kwargs={"options": options, "application_name": "lmsys"},
        )
        self.engine: Engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"options": options, "application_name": "lmsys"},
        )
        self.projecting: Engine = create_engine(
            self.engine.url,
            pool_size=2 * pool_size,  # a worker projects all read models at once
            max_overflow=0,  # what overflows is connected anew each time
            hide_parameters=True,
            connect_args={
                "options": f"{options} -c synchronous_commit=off -c statement_timeout=0"
                " -c idle_in_transaction_session_timeout=0",
                "application_name": "lmsys-read",
            },
        )
        """For read models. Rows and position come from the log, so that a crash of the server may take the
        last; a batch that fails is tried again, so that no connection is asked first whether it lives."""

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection in a transaction that commits at the end.

        Raises Unavailable when there is none, when it is lost (nobody knows then whether a commit has come
        to pass) and when a lock was not to be had in time.
        """
        try:
            self.pool.open()
            with self.pool.connection() as connection:
                yield connection
        except psycopg.errors.LockNotAvailable as error:
            raise Unavailable("the database is busy: somebody else holds a lock; try again") from error
        except GONE as error:
            raise Unavailable("the database does not answer") from error

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection for single statements that change nothing: no round trips for a transaction."""
        with self.connection() as connection:
            connection.autocommit = True
            try:
                yield connection
            finally:
                if not connection.closed:
                    connection.autocommit = False

    def _check(self, connection: psycopg.Connection[Any]) -> None:
        """Ask a connection whether it lives, unless it has answered within the last second."""
        now = time.monotonic()
        if now - self._answered.get(connection, 0.0) > FRESH_S:
            ConnectionPool.check_connection(connection)
            self._answered[connection] = now

    def close(self) -> None:
        self.pool.close()
        self.engine.dispose()
        self.projecting.dispose()


def told(error: BaseException) -> str:
    """An error in words that may be kept: without the details, in which Postgres repeats values of a row."""
    cause = getattr(error, "orig", None) or error
    primary = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return f"{type(cause).__name__}: {primary or cause}"[:500]


class Listener(threading.Thread):
    """Calls back for each notification of some channels, and once after every (re)connection.

    A connection that is lost is made again: listeners look at the state and never count notifications.
    """

    def __init__(self, url: str, channels: tuple[str, ...], notify: Callable[[str, str], None]) -> None:
        super().__init__(name="listener", daemon=True)
        self._url = url
        self._channels = channels
        self._notify = notify
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception as error:  # also what those who are called meet: a read model, say, out of reach
                log.warning("ListenerReconnecting", error=repr(error))
                self._stopping.wait(0.5)

    def _listen(self) -> None:
        with psycopg.connect(self._url, autocommit=True, application_name="lmsys-listener") as connection:
            for channel in self._channels:
                connection.execute(f"LISTEN {channel}")
            for channel in self._channels:
                self._notify(channel, "")
            while not self._stopping.is_set():
                for notice in connection.notifies(timeout=0.5):
                    self._notify(notice.channel, notice.payload)
                    if self._stopping.is_set():
                        return

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=2)
