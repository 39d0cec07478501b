"""API keys by their hash."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Connection, DateTime, Table, Text, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.access import ApiKey
from projections.base import BATCH, ReadStore, Recorded, read_model

tables = read_model("access")

keys = Table(
    "keys",
    tables,
    Column("name", Text, primary_key=True),
    Column("key_hash", Text, nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)


class AccessProjection:
    name = "access"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset({ApiKey.Created, ApiKey.Revoked})

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            if isinstance(one.event, ApiKey.Created):
                values = {"name": one.name, "key_hash": one.event.key_hash, "created_at": one.recorded_at}
                store.execute(insert(keys).values(values))
            else:
                revoked = update(keys).where(keys.c.name == one.name)
                store.execute(revoked.values(revoked_at=one.recorded_at))


def holder_of(connection: Connection, key_hash: str) -> str | None:
    """The name of the key with this hash, unless it is revoked."""
    statement = select(keys.c.name).where(keys.c.key_hash == key_hash, keys.c.revoked_at.is_(None))
    return connection.execute(statement).scalar_one_or_none()
