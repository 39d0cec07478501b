"""What a read model is: tables, and a fold of events into their rows. The runner is an adapter's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Executable,
    MetaData,
    Table,
    Text,
    func,
    select,
)


@dataclass(frozen=True)
class Recorded:
    """An event with what the log knows about it."""

    position: int
    event: Any
    meta: Mapping[str, Any]
    recorded_at: datetime

    @property
    def name(self) -> str:
        """The name of the aggregate: what follows the slash of its stream."""
        return str(self.event.originator_id).partition("/")[2]


class ReadStore(Protocol):
    """The tables of one read model, in the transaction of a batch, whatever schema they live in."""

    @property
    def driver(self) -> Any:  # noqa: ANN401
        """The driver's connection, for a library that writes in the same transaction."""

    def execute(self, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> Any:  # noqa: ANN401
        """With `rows`: once for each of them."""

    def copy(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """Rows into a table by COPY, a value for each column in order."""

    def contents(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """Content beside the log."""


class Projection(Protocol):
    """A read model. Its name is the schema of its tables and what `lmsys projections rebuild` takes."""

    name: str
    tables: MetaData
    handles: frozenset[type]
    batch: int
    """Events of a transaction, at most."""

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        """Fold a batch into the rows. Depends on the events and contents alone: no clock, no chance."""


def topics_of(projection: Projection) -> frozenset[str]:
    """The types of events that it handles, as the log calls them."""
    return frozenset(kind.TOPIC for kind in projection.handles)  # type: ignore[attr-defined]


def read_model(name: str) -> MetaData:
    """The tables of a read model, beginning with its position and what it had to set aside."""
    tables = MetaData(schema=name)
    Table("checkpoint", tables, Column("position", BigInteger, nullable=False))
    Table(
        "parked",
        tables,
        Column("position", BigInteger, primary_key=True),
        Column("stream", Text, nullable=False, index=True),
        Column("error", Text, nullable=False),
        Column("parked_at", DateTime(timezone=True), nullable=False),
    )
    return tables


BATCH = 1_000
"""Events of a transaction where each is cheap: beyond it nothing is gained (measured)."""

BOOKKEEPING = ("checkpoint", "parked")


def bookkeeping(tables: MetaData, name: str) -> Table:
    """One of the tables that every read model has: `checkpoint` or `parked`."""
    return tables.tables[f"{tables.schema}.{name}"]


def reached(connection: Connection, *read_models: MetaData) -> int:
    """The event that all of these have passed."""
    at = [select(bookkeeping(one, "checkpoint").c.position).scalar_subquery() for one in read_models]
    return int(connection.execute(select(func.least(*at))).scalar_one())
