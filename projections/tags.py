"""Tags by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Select,
    Table,
    Text,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from domain.tags import Tag
from projections.audit import events
from projections.base import BATCH, ReadStore, Recorded, read_model

tables = read_model("tags")

tags = Table(
    "tags",
    tables,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False, index=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("reason", Text),
)


class TagsProjection:
    name = "tags"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset({Tag.Created, Tag.Placed, Tag.Removed})

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            if isinstance(one.event, Tag.Removed):
                store.execute(delete(tags).where(tags.c.name == one.name))
                continue
            values = {
                "name": one.name,
                "position": one.event.position,
                "created_at": one.recorded_at,
                "created_by": one.meta.get("actor", "system"),
                "reason": one.meta.get("reason"),
            }
            store.execute(insert(tags).values(values))


def _timed() -> Select[Any]:
    """With `time`: when the event was recorded that the tag stands at."""
    timed = tags.outerjoin(events, events.c.position == tags.c.position)
    return select(tags, events.c.recorded_at.label("time")).select_from(timed)


def list_tags(connection: Connection, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """A page of tags, the latest moment first, and how many there are."""
    page = _timed().order_by(tags.c.position.desc(), tags.c.name).limit(limit).offset(offset)
    total = connection.execute(select(func.count()).select_from(tags)).scalar_one()
    return [dict(row) for row in connection.execute(page).mappings()], total


def find_tag(connection: Connection, name: str) -> dict[str, Any] | None:
    row = connection.execute(_timed().where(tags.c.name == name)).mappings().first()
    return dict(row) if row else None
