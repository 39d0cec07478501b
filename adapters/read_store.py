"""The read models' side of Postgres: rows in a batch's transaction, and schemas that can be swapped."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import structlog
from eventsourcing.persistence import Mapper, StoredEvent
from sqlalchemy import Connection, Executable, MetaData, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

from adapters.contents import fetch_contents
from adapters.database import Database
from domain.errors import Conflict
from projections.base import Recorded, bookkeeping

log = structlog.get_logger()


class SqlReadStore:
    """The port `ReadStore` on a connection whose transaction the runner commits."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self.connection = connection
        self.schema = schema
        self.driver: Any = connection.connection.driver_connection

    def execute(self, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> Any:  # noqa: ANN401
        return self.connection.execute(statement, rows) if rows else self.connection.execute(statement)

    def copy(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        with (
            self.driver.cursor() as cursor,
            cursor.copy(f'COPY "{self.schema}"."{table.name}" ({columns}) FROM STDIN') as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def contents(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        return fetch_contents(self.driver, digests)


@contextmanager
def read_store(database: Database, tables: MetaData, schema: str) -> Iterator[SqlReadStore]:
    """A transaction on the tables of a read model, found in `schema` instead of in their own."""
    options = {"schema_translate_map": {tables.schema: schema}}
    with database.projecting.connect().execution_options(**options) as connection, connection.begin():
        yield SqlReadStore(connection, schema)


def lock(connection: Connection, tables: MetaData, *, wait: bool) -> bool:
    """Be the one that writes this read model, until the transaction ends; False when somebody else is."""
    key = {"key": f"projection:{tables.schema}"}
    if wait:
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), key)
        return True
    return bool(connection.execute(_TRY_LOCK, key).scalar_one())


_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))")


@contextmanager
def alone(database: Database, name: str) -> Iterator[None]:
    """Be the one that makes or compares this read model, among all processes. Raises Conflict at once."""
    with database.projecting.connect() as connection:
        _claim(connection, name)
        yield


def _claim(connection: Connection, name: str) -> None:
    if not connection.execute(_TRY_LOCK, {"key": f"rebuild:{name}"}).scalar_one():
        raise Conflict(f"read model {name!r} is being rebuilt or compared already; wait for that to end")


def create_tables(database: Database, tables: MetaData, schema: str, *, indexes: bool) -> None:
    """Empty tables at position 0, in a schema that does not exist yet."""
    with read_store(database, tables, schema) as store:
        store.execute(CreateSchema(schema))
        for table in tables.sorted_tables:
            store.execute(CreateTable(table))
        store.execute(bookkeeping(tables, "checkpoint").insert().values(position=0))
        store.execute(text(f"COMMENT ON SCHEMA \"{schema}\" IS '{_shape(tables)}'"))
    if indexes:
        create_indexes(database, tables, schema)


@cache
def _shape(tables: MetaData) -> str:
    """What tells this version of the tables from every other."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    parts = [str(CreateTable(table).compile(dialect=dialect)) for table in tables.sorted_tables]
    parts += sorted(
        str(CreateIndex(index).compile(dialect=dialect))
        for table in tables.sorted_tables
        for index in table.indexes
    )
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def create_indexes(database: Database, tables: MetaData, schema: str) -> None:
    """The indexes that are not part of a primary key: made after a rebuild has filled the tables."""
    with read_store(database, tables, schema) as store:
        store.connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
        for table in tables.sorted_tables:
            for index in sorted(table.indexes, key=lambda one: str(one.name)):
                store.execute(CreateIndex(index))
        for table in tables.sorted_tables:
            store.connection.execute(text(f'ANALYZE "{schema}"."{table.name}"'))


def ensure_tables(database: Database, read_models: Sequence[MetaData]) -> None:
    """Make what does not exist yet, in one process at a time.

    Tables of another version of this program are made anew, empty; whoever projects fills them from the log.
    """
    for tables in read_models:
        name = str(tables.schema)
        with database.engine.begin() as guard:
            lock(guard, tables, wait=True)
            found = guard.execute(_SHAPE_FOUND, {"name": name}).first()
            if found is not None and found[0] != _shape(tables):
                log.info("ReadModelOfAnotherVersion", projection=name)
                with database.engine.begin() as connection:
                    connection.execute(text(f'DROP SCHEMA "{name}" CASCADE'))
                found = None
            if found is None:
                create_tables(database, tables, name, indexes=True)


_SHAPE_FOUND = text("SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = :name")

RESET = "reset"
"""What is told on both channels when the log begins anew."""


def erase_everything(database: Database, read_models: Sequence[MetaData]) -> None:
    """Empty the log, what lies beside it, the queue and the read models, in one transaction.

    The names of spaces stay, whose numbers other processes remember. Raises Conflict during a rebuild.
    """
    with database.engine.begin() as connection:
        for tables in read_models:
            _claim(connection, str(tables.schema))
            lock(connection, tables, wait=True)
        schemas = ["log", "ops", "queue", *(str(tables.schema) for tables in read_models)]
        found = connection.execute(
            text("SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(:names)"),
            {"names": schemas},
        )
        emptied = [f'"{schema}"."{table}"' for schema, table in found if (schema, table) != ("log", "spaces")]
        connection.execute(text(f"TRUNCATE {', '.join(emptied)} CASCADE"))
        connection.execute(text("INSERT INTO log.counters VALUES ('query_id', 0)"))
        for tables in read_models:
            connection.execute(bookkeeping(tables, "checkpoint").insert().values(position=0))
        for channel in ("log_events", "read_models"):
            connection.execute(text("SELECT pg_notify(:channel, :what)"), {"channel": channel, "what": RESET})


def position_of(connection: Connection, tables: MetaData) -> int:
    checkpoint = bookkeeping(tables, "checkpoint")
    return int(connection.execute(checkpoint.select()).scalar_one())


MAX_BATCH_BYTES = 32_000_000


@dataclass(frozen=True)
class Stored:
    """An event as it stands in the log, not decoded yet."""

    position: int
    stream: str
    version: int
    type: str
    data: str
    meta: Mapping[str, Any]
    recorded_at: datetime

    def decoded(self, mapper: Mapper[str]) -> Recorded:
        stored = StoredEvent(self.stream, self.version, self.type, self.data.encode())
        return Recorded(self.position, mapper.to_domain_event(stored), self.meta, self.recorded_at)


def events_at(connection: Connection, positions: Sequence[int]) -> list[Stored]:
    """The events at these positions, in the order of the log."""
    rows = connection.execute(
        text(
            "SELECT position, stream, version, type, data::text, meta, recorded_at FROM log.events"
            " WHERE position = ANY(:positions) ORDER BY position"
        ),
        {"positions": list(positions)},
    )
    return [Stored(*row) for row in rows]


def events_after(
    connection: Connection, position: int, limit: int, topics: Collection[str], up_to: int | None = None
) -> list[Stored]:
    """The next events of the log: at most `limit`, and no more than about 32 MB.

    Those of other topics count, too, but their data, which can be long, is not read.
    """
    rows = connection.execute(
        text(
            "SELECT position, stream, version, type,"
            " CASE WHEN type = ANY(:topics) THEN data::text ELSE '' END, meta, recorded_at FROM log.events"
            " WHERE position > :after AND position <= :up_to ORDER BY position LIMIT :limit"
        ),
        {"after": position, "up_to": 2**62 if up_to is None else up_to, "limit": limit, "topics": [*topics]},
    )
    found: list[Stored] = []
    size = 0
    for row in rows:
        found.append(Stored(*row))
        size += len(row[4])
        if size > MAX_BATCH_BYTES:
            break
    return found
