"""Read models made anew from the log beside the live ones, to be swapped in or to be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from eventsourcing.persistence import Mapper
from sqlalchemy import Connection, Table, text

from adapters.contents import no_erasure
from adapters.database import Database
from adapters.read_store import (
    alone,
    create_indexes,
    create_tables,
    events_after,
    lock,
    position_of,
    read_store,
)
from adapters.runner import CHANNEL, project
from projections.base import BOOKKEEPING, Projection, topics_of

log = structlog.get_logger()

CLOSE = 100
"""So near to the head that the rest can be done while the live read model stands still."""

SHOWN = 20
"""How many differing rows of a table are shown."""

Told = Callable[[str, int], None]
"""Told the name of the read model and the position that its rebuild has reached."""


def rebuild(database: Database, projection: Projection, mapper: Mapper[str], told: Told) -> int:
    """Fill a new schema to the head beside the live one and swap; returns the position. The old one is kept.

    Reads and writes go on meanwhile. Readers see the old rows up to the swap and the new ones after it.
    Raises Conflict when another process is at it.
    """
    with alone(database, projection.name):
        return _rebuild(database, projection, mapper, told)


def _rebuild(database: Database, projection: Projection, mapper: Mapper[str], told: Told) -> int:
    name, new, old = projection.name, f"{projection.name}__next", f"{projection.name}__old"
    _drop(database, new)
    create_tables(database, projection.tables, new, indexes=False)
    _fill(database, projection, new, mapper, told)
    create_indexes(database, projection.tables, new)
    while _fill(database, projection, new, mapper, told) > CLOSE:
        continue
    with read_store(database, projection.tables, new) as store:
        lock(store.connection, projection.tables, wait=True)
        no_erasure(store.driver.cursor())
        position = _catch_up(store, projection, mapper, None)
        holds_erased = store.connection.execute(text(_HOLDS_ERASED.format(name=name))).scalar_one()
        store.connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        store.connection.execute(text(f'DROP SCHEMA IF EXISTS "{old}" CASCADE'))
        store.connection.execute(text(f'ALTER SCHEMA "{name}" RENAME TO "{old}"'))
        store.connection.execute(text(f'ALTER SCHEMA "{new}" RENAME TO "{name}"'))
        what = {"channel": CHANNEL, "what": f"{name} {position}"}
        store.connection.execute(text("SELECT pg_notify(:channel, :what)"), what)
    if holds_erased:
        _drop(database, old)
    log.info("ReadModelSwapped", projection=name, position=position)
    return position


_HOLDS_ERASED = (
    "SELECT EXISTS (SELECT FROM log.events WHERE type = 'dataset.conversation_erased' AND"
    ' (position > (SELECT position FROM "{name}".checkpoint)'
    ' OR position IN (SELECT position FROM "{name}".parked)))'
)
"""Whether a read model has yet to forget somebody: once it is the old one, it never would."""


@dataclass(frozen=True)
class Difference:
    """Rows that only the live or only the rebuilt read model has. `shown` has at most 20 of them."""

    projection: str
    table: str
    rows: int
    shown: list[dict[str, Any]]


def verify(
    database: Database, projection: Projection, mapper: Mapper[str], told: Told
) -> tuple[int, list[Difference]]:
    """Rebuild into a scratch schema and compare row by row: the position compared at, and what differs."""
    with alone(database, projection.name):
        return _verify(database, projection, mapper, told)


def _verify(
    database: Database, projection: Projection, mapper: Mapper[str], told: Told
) -> tuple[int, list[Difference]]:
    scratch = f"{projection.name}__verify"
    _drop(database, scratch)
    try:
        create_tables(database, projection.tables, scratch, indexes=False)
        with database.engine.connect() as connection:
            reached = position_of(connection, projection.tables)
        _fill(database, projection, scratch, mapper, told, up_to=reached)
        with _stopped(database, projection) as live:
            position = position_of(live, projection.tables)
            with read_store(database, projection.tables, scratch) as store:
                _catch_up(store, projection, mapper, position)
            compared = [one for one in projection.tables.sorted_tables if one.name not in BOOKKEEPING]
            found = [_compare(live, projection, table, scratch) for table in compared]
        return position, [one for one in found if one.rows]
    finally:
        _drop(database, scratch)


@contextmanager
def _stopped(database: Database, projection: Projection) -> Any:  # noqa: ANN401
    """A view of the live read model as it is at one position, while nothing is projected into it."""
    with database.engine.begin() as connection:
        lock(connection, projection.tables, wait=True)
        yield connection


def _fill(
    database: Database,
    projection: Projection,
    schema: str,
    mapper: Mapper[str],
    told: Told,
    up_to: int | None = None,
) -> int:
    """Batches, each in its transaction, until there are no more; returns how many events there were."""
    done = 0
    while True:
        with read_store(database, projection.tables, schema) as store:
            after = position_of(store.connection, projection.tables)
            batch = events_after(store.connection, after, projection.batch, topics_of(projection), up_to)
            if not batch:
                return done
            project(store, projection, batch, mapper)
        done += len(batch)
        told(projection.name, batch[-1].position)


def _catch_up(store: Any, projection: Projection, mapper: Mapper[str], up_to: int | None) -> int:  # noqa: ANN401
    """The rest, in one transaction; returns the position that is reached."""
    position = position_of(store.connection, projection.tables)
    topics = topics_of(projection)
    while batch := events_after(store.connection, position, projection.batch, topics, up_to):
        project(store, projection, batch, mapper)
        position = batch[-1].position
    return position


def _compare(connection: Connection, projection: Projection, table: Table, scratch: str) -> Difference:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    live = f'SELECT {columns} FROM "{projection.name}"."{table.name}"'
    rebuilt = f'SELECT {columns} FROM "{scratch}"."{table.name}"'
    differing = (
        f"SELECT 'live' AS only_in, * FROM ({live} EXCEPT ALL {rebuilt}) AS a"
        f" UNION ALL SELECT 'rebuilt', * FROM ({rebuilt} EXCEPT ALL {live}) AS b"
    )
    rows = connection.execute(text(f"SELECT count(*) FROM ({differing}) AS d")).scalar_one()
    shown: Sequence[Any] = []
    if rows:
        shown = connection.execute(text(f"{differing} LIMIT {SHOWN}")).mappings().all()
    return Difference(projection.name, table.name, rows, [dict(row) for row in shown])


def _drop(database: Database, schema: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'))
