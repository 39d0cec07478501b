"""The log itself, read by position: what happened, when, by whom and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    cast,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

events = Table(
    "events",
    MetaData(schema="log"),
    Column("position", BigInteger, primary_key=True),
    Column("stream", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("meta", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
)
"""The write side's table; here it is only read."""

ABOUT = ("actor", "reason", "correlation_id", "causation_id", "idempotency_key", "command")

LONGEST_TEXT = 2_000
"""Characters of one text in an event beyond which it is packed numbers, and shown by its length."""

PAGE_CHARACTERS = 32_000_000
"""A page ends when its events have had so much data, however many were asked for."""

AT_ONCE = 100


@dataclass(frozen=True)
class EventFilter:
    """All that is given must hold. `stream`: one stream, or, ending in `/`, all of a kind.

    `since` and `until` are about when an event was recorded; `since` is part of the time, `until` is not.
    """

    stream: str | None = None
    type: str | None = None
    actor: str | None = None
    correlation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class EventPage:
    """`last`: the position to go on behind, None at the end."""

    items: list[dict[str, Any]]
    last: int | None
    head: int


def list_events(
    connection: Connection,
    where: EventFilter,
    limit: int,
    *,
    after: int | None = None,
    newest_first: bool = False,
    full: bool = False,
) -> EventPage:
    """Events behind `after`, in the order of the log or, `newest_first`, against it.

    A page ends early where its events are very long.
    """
    head = head_of(connection)
    order = events.c.position.desc() if newest_first else events.c.position
    statement = _filtered(_selected(), where).order_by(order).limit(limit + 1)
    if after is not None:
        beyond = events.c.position < after if newest_first else events.c.position > after
        statement = statement.where(beyond)
    items: list[dict[str, Any]] = []
    characters = 0
    with connection.execute(statement, execution_options={"yield_per": AT_ONCE}) as rows:
        for row in rows:
            if len(items) == limit or characters > PAGE_CHARACTERS:
                return EventPage(items, items[-1]["position"], head)
            items.append(event_of(row, full))
            characters += len(row.data)
    return EventPage(items, None, head)


def find_event(connection: Connection, position: int) -> dict[str, Any] | None:
    """One event in full."""
    row = connection.execute(_selected().where(events.c.position == position)).first()
    return event_of(row, True) if row else None


def head_of(connection: Connection) -> int:
    """The position of the last event; 0 for none."""
    statement = select(events.c.position).order_by(events.c.position.desc()).limit(1)
    return int(connection.execute(statement).scalar() or 0)


def _selected() -> Select[Any]:
    return select(
        events.c.position,
        events.c.stream,
        events.c.version,
        events.c.type,
        cast(events.c.data, Text).label("data"),
        events.c.meta,
        events.c.recorded_at,
    )


def _filtered(statement: Select[Any], where: EventFilter) -> Select[Any]:
    return statement.where(*_conditions(where))


def _conditions(where: EventFilter) -> Iterator[ColumnElement[bool]]:
    if where.stream is not None:
        whole = events.c.stream.startswith(where.stream, autoescape=True)
        yield whole if where.stream.endswith("/") else events.c.stream == where.stream
    if where.type is not None:
        yield events.c.type == where.type
    for name in ("actor", "correlation_id"):
        value = getattr(where, name)
        if value is not None:
            yield events.c.meta.op("->>", return_type=Text())(literal_column(f"'{name}'")) == value
    if where.since is not None:
        yield events.c.recorded_at >= where.since
    if where.until is not None:
        yield events.c.recorded_at < where.until


def event_of(row: Row[Any], full: bool) -> dict[str, Any]:
    """An event with what was noted beside it. `time`: when it was decided; `data` without that."""
    data = orjson.loads(row.data)
    return {
        "position": row.position,
        "stream": row.stream,
        "version": row.version,
        "type": row.type,
        "time": data.pop("timestamp"),
        "recorded_at": row.recorded_at,
        **{name: row.meta.get(name) for name in ABOUT},
        "data": data if full else shortened(data),
    }


def shortened(value: Any) -> Any:  # noqa: ANN401  (any JSON)
    """The same with `{"packed": length}` in place of each very long text."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else {"packed": len(value)}
    if isinstance(value, dict):
        return {name: shortened(one) for name, one in value.items()}
    if isinstance(value, Sequence):
        return [shortened(one) for one in value]
    return value
