"""Connections to Postgres: a pool for the log, an engine for the read models, one place that listens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

from domain.base import Unavailable

log = structlog.get_logger()

GONE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""What is raised when the database went away, or a lock was not to be had in time."""


class Database:
    """One Postgres. Connections are made when first needed and checked when handed out."""

    def __init__(self, url: str, *, pool_size: int = 8, lock_timeout_ms: int = 2000) -> None:
        self.url = url
        options = f"-c lock_timeout={lock_timeout_ms} -c timezone=UTC"
        self.pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=5,
            open=False,
            check=ConnectionPool.check_connection,
            kwargs={"options": options, "application_name": "lmsys"},
        )
        self.engine: Engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            connect_args={"options": options, "application_name": "lmsys"},
        )

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection in a transaction that commits at the end. Raises Unavailable when there is none."""
        self.pool.open()
        try:
            with self.pool.connection() as connection:
                yield connection
        except PoolTimeout as error:
            raise Unavailable("the database does not answer") from error

    def close(self) -> None:
        self.pool.close()
        self.engine.dispose()


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
            except psycopg.Error as error:
                log.warning("ListenerReconnecting", error=str(error))
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
