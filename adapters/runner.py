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
from sqlalchemy.exc import TimeoutError as NoConnection

from adapters.database import GONE, Database, told
from adapters.read_store import (
    RESET,
    SqlReadStore,
    Stored,
    events_after,
    events_at,
    lock,
    position_of,
    read_store,
)
from domain.errors import Unavailable
from projections.base import Projection, bookkeeping, topics_of

log = structlog.get_logger()

TRIES = 3
"""Of a batch, and then of the one event that fails."""

POLL_S = 1.0
"""How long a runner sleeps at most: a notification that was lost is made up for by then."""

GATHER_S = 0.2
"""How long a runner lets events gather once it is woken. A command's own process does not wait for that, and
has the processor to itself meanwhile."""

BACK_OFF_S = 0.05
"""Pause after the first failure; each further one doubles it."""

GONE_S = 0.5
"""Pause before it is seen whether the database is there again."""

SHOWN = 100
"""How many parked events of a read model are shown."""

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
        self._topics = topics_of(projection)
        self._wake = threading.Event()
        self._stopping = False
        self._error = ""
        self._failures = 0
        self._first = 0
        """The position of the first event of the batch that was tried last."""

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                while not self._stopping and self.step():
                    continue
                if self._wake.wait(POLL_S):
                    time.sleep(GATHER_S)
            except Exception as error:
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        """An event is never blamed for a database that has gone away."""
        failures = self._failures
        log.warning("ProjectionFailed", projection=self.projection.name, error=told(error), failures=failures)
        if _is_gone(error):
            time.sleep(GONE_S)
            return
        self._error = told(error)
        self._failures += 1
        time.sleep(min(BACK_OFF_S * 2**failures, 1.0))

    def catch_up(self, most: int) -> int | None:
        """Project what is left, if that is no more than `most` events and nobody else is at it.

        Returns the position that is reached, None where it is left to the thread of another process.
        """
        with read_store(self._database, self.projection.tables, self.projection.name) as store:
            if not lock(store.connection, self.projection.tables, wait=False):
                return None
            position = position_of(store.connection, self.projection.tables)
            batch = events_after(store.connection, position, most + 1, self._topics)
            if len(batch) > most:
                return None
            if batch:
                project(store, self.projection, batch, self._mapper)
        return batch[-1].position if batch else position

    def step(self, limit: int | None = None) -> int:
        """Project the next batch, or set aside the event that has failed too often; returns how many."""
        with read_store(self._database, self.projection.tables, self.projection.name) as store:
            if not lock(store.connection, self.projection.tables, wait=False):
                return 0
            batch = self._next_batch(store, limit or self.projection.batch)
            if batch and self._failures >= 2 * TRIES:
                park_events(store, self.projection, batch, self._error)
            elif batch:
                project(store, self.projection, batch, self._mapper)
        self._failures = TRIES if batch and TRIES <= self._failures < 2 * TRIES else 0
        return len(batch)

    def _next_batch(self, store: SqlReadStore, limit: int) -> list[Stored]:
        """A single event where a batch has failed; its failures are counted anew for each."""
        position = position_of(store.connection, self.projection.tables)
        most = 1 if self._failures >= TRIES else limit
        batch = events_after(store.connection, position, most, self._topics)
        first = batch[0].position if batch else 0
        if first != self._first:  # another process may have gone on meanwhile
            self._first, self._failures = first, min(self._failures, TRIES)
        return batch


def project(
    store: SqlReadStore, projection: Projection, batch: Sequence[Stored], mapper: Mapper[str]
) -> None:
    """Fold a batch into the tables of `store` and move the position on, also over what concerns none."""
    topics = topics_of(projection)
    if wanted := [one for one in batch if one.type in topics]:
        aside = _streams_aside(store, projection)
        if late := [one for one in wanted if one.stream in aside]:
            _set_aside(store, projection, late, "an earlier event of its stream is parked")
        if events := [one.decoded(mapper) for one in wanted if one.stream not in aside]:
            projection.project(events, store)
    move(store, projection, batch[-1].position)


def _streams_aside(store: SqlReadStore, projection: Projection) -> set[str]:
    parked = bookkeeping(projection.tables, "parked")
    return set(store.execute(select(parked.c.stream).distinct()).scalars())


def park_events(store: SqlReadStore, projection: Projection, batch: Sequence[Stored], error: str) -> None:
    _set_aside(store, projection, batch, error)
    move(store, projection, batch[-1].position)
    log.error("EventParked", projection=projection.name, positions=[one.position for one in batch])


def _set_aside(store: SqlReadStore, projection: Projection, batch: Sequence[Stored], error: str) -> None:
    parked = bookkeeping(projection.tables, "parked")
    now = datetime.now(UTC)
    rows = [{"position": o.position, "stream": o.stream, "error": error, "parked_at": now} for o in batch]
    store.execute(parked.insert(), rows)


def replay_parked(database: Database, projection: Projection, mapper: Mapper[str]) -> int:
    """Project what was set aside, stream by stream, for what is never made anew; returns how many events.

    A stream in which an event still cannot be projected stays aside as a whole.
    """
    with read_store(database, projection.tables, projection.name) as store:
        streams = sorted(_streams_aside(store, projection))
    return sum(_replay_stream(database, projection, mapper, stream) for stream in streams)


def _replay_stream(database: Database, projection: Projection, mapper: Mapper[str], stream: str) -> int:
    parked = bookkeeping(projection.tables, "parked")
    try:
        with read_store(database, projection.tables, projection.name) as store:
            lock(store.connection, projection.tables, wait=True)
            gone = parked.delete().where(parked.c.stream == stream).returning(parked.c.position)
            events = events_at(store.connection, store.execute(gone).scalars().all())
            projection.project([one.decoded(mapper) for one in events], store)
    except Exception as error:
        if _is_gone(error):
            raise
        log.error("EventStaysParked", projection=projection.name, stream=stream, error=repr(error))
        return 0
    return len(events)


def move(store: SqlReadStore, projection: Projection, position: int) -> None:
    """The position goes on. Where it is the live read model's, whoever waits is told of it at the commit."""
    moved = bookkeeping(projection.tables, "checkpoint").update().values(position=position)
    if store.schema == projection.name:
        moved = moved.returning(func.pg_notify(CHANNEL, f"{projection.name} {position}"))
    store.execute(moved)


def _is_gone(error: BaseException) -> bool:
    """Also where a library has wrapped it, as the queue does when the disk of the database is full."""
    if isinstance(error, DBAPIError) and (error.connection_invalidated or isinstance(error.orig, GONE)):
        return True
    if isinstance(error, (*GONE, NoConnection, Unavailable)):
        return True
    return error.__cause__ is not None and _is_gone(error.__cause__)


class Positions:
    """How far each read model is, as told by notifications: to wait for without asking again and again."""

    def __init__(self, read: Callable[[], dict[str, int]]) -> None:
        self._read = read
        self._known: dict[str, int] = {}
        self._moved = threading.Condition()

    def heard(self, payload: str) -> None:
        """A notification `name position`; an empty one says that some may have been missed."""
        if payload == RESET:
            with self._moved:
                self._known.clear()
            return
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


def parked_counts(database: Database, read_models: Sequence[MetaData]) -> dict[str, int]:
    """How many events each read model had to set aside."""
    with database.engine.connect() as connection:
        return {
            str(tables.schema): connection.execute(
                select(func.count()).select_from(bookkeeping(tables, "parked"))
            ).scalar_one()
            for tables in read_models
        }


def parked_events(database: Database, read_models: Sequence[MetaData]) -> list[dict[str, Any]]:
    """The first that each read model had to set aside: projection, position, stream, error."""
    found: list[dict[str, Any]] = []
    with database.engine.connect() as connection:
        for tables in read_models:
            parked = bookkeeping(tables, "parked")
            rows = connection.execute(select(parked).order_by(parked.c.position).limit(SHOWN)).mappings()
            found += [{"projection": tables.schema, **row} for row in rows]
    return found
