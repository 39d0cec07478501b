"""The history of edits: who changed what, when and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    any_,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.clustering import ClusteringRun
from projections.base import BATCH, ReadStore, Recorded, read_model

tables = read_model("curation")

edits = Table(
    "edits",
    tables,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", Text, nullable=False),
    Column("cluster_id", Integer),
    Column("cluster_ids", ARRAY(Integer), nullable=False),
    Column("edit_type", Text, nullable=False),
    Column("editor", Text, nullable=False),
    Column("reason", Text),
    Column("timestamp", DateTime(timezone=True), nullable=False),
    Column("details", JSONB, nullable=False),
)
"""`cluster_ids`: every cluster that the edit touched; a move touches those that queries came from, too."""
Index("edits_of_run", edits.c.run_id, edits.c.position)


class CurationProjection:
    name = "curation"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset({ClusteringRun.ClusterRenamed, ClusteringRun.QueriesMoved})

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        store.copy(edits, _rows(events))


def _rows(events: Sequence[Recorded]) -> Iterator[tuple[Any, ...]]:
    for one in events:
        edit_type, touched, details = describe(one.event)
        yield (
            one.position,
            one.name,
            one.event.cluster_id,
            touched,
            edit_type,
            one.meta.get("actor", "system"),
            one.meta.get("reason"),
            one.recorded_at,
            orjson.dumps(details).decode(),
        )


def describe(event: Any) -> tuple[str, list[int], dict[str, Any]]:  # noqa: ANN401
    """The kind of an edit, the clusters that it touched, and what was and what is."""
    match event:
        case ClusteringRun.ClusterRenamed():
            names = ("was_title", "title", "was_description", "description")
            return "rename", [event.cluster_id], {name: getattr(event, name) for name in names}
        case _:
            details = {"query_ids": event.query_ids, "was": event.was, "cluster_id": event.cluster_id}
            return "move", sorted({event.cluster_id, *event.was}), details


# --- queries -------------------------------------------------------------------------------------


def list_edits(
    connection: Connection,
    run_id: str,
    limit: int,
    offset: int,
    *,
    cluster_id: int | None = None,
    since: datetime | None = None,
    after: int | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of edits, newest first, and how many there are; `after`: a position to go on below."""
    where = [edits.c.run_id == run_id]
    if cluster_id is not None:
        where.append(any_(edits.c.cluster_ids) == cluster_id)
    if since is not None:
        where.append(edits.c.timestamp >= since)
    total = connection.execute(select(func.count()).select_from(edits).where(*where)).scalar_one()
    if after is not None:
        where.append(edits.c.position < after)
    page = select(edits).where(*where).order_by(edits.c.position.desc()).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total
