"""Keeps read models up to date: batches of events, rows and position in one transaction, woken by LISTEN."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from eventsourcing.persistence import Mapper
from sqlalchemy import MetaData, func, select
from sqlalchemy.exc import DBAPIError

from adapters.database import GONE, Database
from adapters.read_store import (
    SqlReadStore,
    Stored,
    events_after,
    lock,
    position_of,
    read_store,
)
from domain.base import Unavailable
from projections.base import Projection, bookkeeping

log = structlog.get_logger()

TRIES = 3
POLL_S = 1.0
"""How long a runner sleeps at most: a notification that was lost is made up for by then."""

GATHER_S = 0.05
"""How long a runner lets events gather once it is woken. A command's own process does not wait for that."""

CHANNEL = "read_models"


class ProjectionRunner(threading.Thread):
    """One read model. Any number of processes may run it: whoever has the lock works, the others wait.

    A batch that fails is tried again, then event by event; the event that cannot be projected is parked
    together with all later ones of its stream, and the rest goes on.
    """

    def __init__(self, database: Database, projection: Projection, mapper: Mapper[str]) -> None:
        super().__init__(name=f"projection-{projection.name}", daemon=True)
        self.projection = projection
        self._database = database
        self._mapper = mapper
        self._wake = threading.Event()
        self._stopping = False
        self._error = ""

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        failures = 0
        while not self._stopping:
            self._wake.clear()
            try:
                while not self._stopping and self.step(1 if failures >= TRIES else None, failures > TRIES):
                    failures = TRIES if failures == TRIES else 0
                failures = 0
                if self._wake.wait(POLL_S):
                    time.sleep(GATHER_S)
            except Exception as error:
                failures = self._failed(error, failures)

    def _failed(self, error: Exception, failures: int) -> int:
        """How many failures count now: an event is never blamed for a database that has gone away."""
        self._error = repr(error)
        log.warning("ProjectionFailed", projection=self.projection.name, error=self._error, failures=failures)
        time.sleep(min(0.05 * 2**failures, 1.0))
        return failures if _is_gone(error) else failures + 1

    def catch_up(self, most: int) -> int | None:
        """Project what is left, if that is no more than `most` events and nobody else is at it.

        Returns the position that is reached, None where it is left to the thread of another process.
        """
        with read_store(self._database, self.projection.tables, self.projection.name) as store:
            if not lock(store.connection, self.projection.tables, wait=False):
                return None
            position = position_of(store.connection, self.projection.tables)
            batch = events_after(store.connection, position, most + 1)
            if len(batch) > most:
                return None
            if batch:
                project(store, self.projection, batch, self._mapper)
        return batch[-1].position if batch else position

    def step(self, limit: int | None = None, park: bool = False) -> int:
        """Project the next batch; returns how many events it had. With `park`, set it aside instead."""
        with read_store(self._database, self.projection.tables, self.projection.name) as store:
            if not lock(store.connection, self.projection.tables, wait=False):
                return 0
            position = position_of(store.connection, self.projection.tables)
            batch = events_after(store.connection, position, limit or self.projection.batch)
            if not batch:
                return 0
            if park:
                park_events(store, self.projection, batch, self._error)
            else:
                project(store, self.projection, batch, self._mapper)
        return len(batch)


def project(
    store: SqlReadStore, projection: Projection, batch: Sequence[Stored], mapper: Mapper[str]
) -> None:
    """Fold a batch into the tables of `store` and move the position on, also over what concerns none."""
    aside = _streams_aside(store, projection)
    topics = {kind.TOPIC for kind in projection.handles}  # type: ignore[attr-defined]
    wanted = [one for one in batch if one.type in topics]
    if late := [one for one in wanted if one.stream in aside]:
        _set_aside(store, projection, late, "an earlier event of its stream is parked")
    if events := [one.decoded(mapper) for one in wanted if one.stream not in aside]:
        projection.project(events, store)
    _move(store, projection, batch[-1].position)


def _streams_aside(store: SqlReadStore, projection: Projection) -> set[str]:
    parked = bookkeeping(projection.tables, "parked")
    return set(store.execute(select(parked.c.stream).distinct()).scalars())


def park_events(store: SqlReadStore, projection: Projection, batch: Sequence[Stored], error: str) -> None:
    _set_aside(store, projection, batch, error)
    _move(store, projection, batch[-1].position)
    log.error("EventParked", projection=projection.name, positions=[one.position for one in batch])


def _set_aside(store: SqlReadStore, projection: Projection, batch: Sequence[Stored], error: str) -> None:
    parked = bookkeeping(projection.tables, "parked")
    now = datetime.now(UTC)
    rows = [{"position": o.position, "stream": o.stream, "error": error, "parked_at": now} for o in batch]
    store.execute(parked.insert(), rows)


def _move(store: SqlReadStore, projection: Projection, position: int) -> None:
    """The position goes on. Where it is the live read model's, whoever waits is told of it at the commit."""
    moved = bookkeeping(projection.tables, "checkpoint").update().values(position=position)
    if store.schema == projection.name:
        moved = moved.returning(func.pg_notify(CHANNEL, f"{projection.name} {position}"))
    store.execute(moved)


def _is_gone(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error.orig, GONE)
    return isinstance(error, (*GONE, Unavailable))


class Positions:
    """How far each read model is, as told by notifications: to wait for without asking again and again."""

    def __init__(self, read: Callable[[], dict[str, int]]) -> None:
        self._read = read
        self._known: dict[str, int] = {}
        self._moved = threading.Condition()

    def heard(self, payload: str) -> None:
        """A notification `name position`; an empty one says that some may have been missed."""
        known = self._read() if not payload else {payload.split()[0]: int(payload.split()[1])}
        with self._moved:
            for name, position in known.items():
                self._known[name] = max(position, self._known.get(name, 0))
            self._moved.notify_all()

    def wait(self, names: Sequence[str], position: int, timeout_s: float) -> bool:
        """Until all of these have passed the position; False when they have not in time."""
        deadline = time.monotonic() + timeout_s
        with self._moved:
            while not all(self._known.get(name, 0) >= position for name in names):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._moved.wait(min(left, 0.5))
        return True


def positions(database: Database, read_models: Sequence[MetaData]) -> dict[str, int]:
    """The position of each read model."""
    with database.engine.connect() as connection:
        return {str(tables.schema): position_of(connection, tables) for tables in read_models}


def parked_events(database: Database, read_models: Sequence[MetaData]) -> list[dict[str, Any]]:
    """What read models had to set aside: name, position, stream, error."""
    found: list[dict[str, Any]] = []
    with database.engine.connect() as connection:
        for tables in read_models:
            parked = bookkeeping(tables, "parked")
            rows = connection.execute(select(parked).order_by(parked.c.position).limit(100)).mappings()
            found += [{"projection": tables.schema, **row} for row in rows]
    return found
