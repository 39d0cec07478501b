"""The history of edits: who changed what, when and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    and_,
    any_,
    false,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.clustering import Changes, ClusteringRun
from domain.clustering.history import History
from projections.base import BATCH, ReadStore, Recorded, read_model

tables = read_model("curation")

edits = Table(
    "edits",
    tables,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("cluster_id", Integer),
    Column("cluster_ids", ARRAY(Integer), nullable=False),
    Column("edit_type", Text, nullable=False),
    Column("editor", Text, nullable=False),
    Column("reason", Text),
    Column("timestamp", DateTime(timezone=True), nullable=False),
    Column("details", JSONB, nullable=False),
    Column("caused_by", Text),
    Column("undone_by", BigInteger),
)
"""`position` is the id of the edit, `version` its place in the stream of its run.

`cluster_ids`: every cluster that the edit touched; a move touches those that queries came from, too.
`undone_by`: the edit that took it back, for as long as that holds.
"""
Index("edits_of_run", edits.c.run_id, edits.c.version, unique=True)

carry_overs = Table(
    "carry_overs",
    tables,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", Text, nullable=False, index=True),
    Column("from_run_id", Text, nullable=False),
    Column("from_version", Integer, nullable=False),
    Column("threshold", REAL, nullable=False),
    Column("links", JSONB, nullable=False),
    Column("undecided", JSONB, nullable=False),
    Column("edits", Integer, nullable=False),
    Column("timestamp", DateTime(timezone=True), nullable=False),
)
"""What became of the clusters of another run in this one, and which of its edits need a decision."""

SHOWN_IDS = 20
"""Query ids of a move that the history shows; `GET /api/curation/edits/{edit_id}` has all."""


class CurationProjection:
    name = "curation"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = ClusteringRun.EDITS

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        store.copy(edits, (_row(one) for one in events))
        for one in events:
            match one.event:
                case ClusteringRun.EditsUndone():
                    self._mark(store, one, one.position)
                case ClusteringRun.EditsRedone():
                    self._mark(store, one, None)
                case ClusteringRun.CarriedOver():
                    store.execute(insert(carry_overs).values(_carry_over(one)))

    def _mark(self, store: ReadStore, one: Recorded, undone_by: int | None) -> None:
        theirs = and_(edits.c.run_id == one.name, edits.c.version.in_(one.event.edits))
        store.execute(update(edits).where(theirs).values(undone_by=undone_by))


def _row(one: Recorded) -> tuple[Any, ...]:
    event = one.event
    changes = event.changes()
    return (
        one.position,
        one.name,
        event.originator_version,
        getattr(event, "cluster_id", getattr(event, "target_cluster_id", None)),
        sorted(changes.touched),
        event.KIND,
        one.meta.get("actor", "system"),
        one.meta.get("reason"),
        one.recorded_at,
        orjson.dumps(_details(event, changes)).decode(),
        one.meta.get("causation_id"),
        None,
    )


def _carry_over(one: Recorded) -> dict[str, Any]:
    event = one.event
    same = ("from_run_id", "from_version", "threshold", "undecided")
    return {
        "position": one.position,
        "run_id": one.name,
        **{name: getattr(event, name) for name in same},
        "links": event.lineage,
        "edits": len(event.edits),
        "timestamp": one.recorded_at,
    }


_BULKY = {
    "originator_id",
    "originator_version",
    "timestamp",
    "query_ids",
    "was",
    "moves",
    "from_edits",
    "already",
    "lineage",
    "heirs",
    "undecided",
}


def _details(event: Any, changes: Changes) -> dict[str, Any]:  # noqa: ANN401
    """What was and what is, with so many ids as a person reads."""
    fields = {name: value for name, value in vars(event).items() if name not in _BULKY}
    moves = [
        {"from": was, "to": now, "count": len(ids), "query_ids": ids[:SHOWN_IDS].tolist()}
        for was, now, ids in changes.grouped_moves()
    ]
    return {**fields, "queries_moved": len(changes.query_ids), "moves": moves[:SHOWN_IDS]}


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
    up_to: int | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of edits, newest first, and how many there are; `after`: a position to go on below.

    `up_to`: a position behind which nothing is looked at; `mark_as_of` then says what was undone.
    """
    where = [edits.c.run_id == run_id]
    if cluster_id is not None:
        where.append(any_(edits.c.cluster_ids) == cluster_id)
    if since is not None:
        where.append(edits.c.timestamp >= since)
    if up_to is not None:
        where.append(edits.c.position <= up_to)
    total = connection.execute(select(func.count()).select_from(edits).where(*where)).scalar_one()
    if after is not None:
        where.append(edits.c.position < after)
    page = select(edits).where(*where).order_by(edits.c.position.desc()).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def mark_as_of(connection: Connection, rows: Sequence[dict[str, Any]], history: History) -> None:
    """Let edits of one run say what had undone them when its history was this one."""
    undone = {row["version"]: history.undone.get(row["version"]) for row in rows}
    versions = {one.until for one in undone.values() if one}
    theirs = (edits.c.run_id == rows[0]["run_id"] if rows else false(), edits.c.version.in_(versions))
    found = select(edits.c.version, edits.c.position).where(*theirs)
    positions = {version: position for version, position in connection.execute(found)} if versions else {}
    for row in rows:
        by = undone[row["version"]]
        row["undone_by"] = positions[by.until] if by else None


def reshaping_edits(connection: Connection, run_id: str) -> list[dict[str, Any]]:
    """Merges and splits of a run: version, position, edit_type, details; oldest first."""
    columns = (edits.c.version, edits.c.position, edits.c.edit_type, edits.c.details)
    kinds = [ClusteringRun.ClustersMerged.KIND, ClusteringRun.ClusterSplit.KIND]
    found = select(*columns).where(edits.c.run_id == run_id, edits.c.edit_type.in_(kinds))
    return [dict(row) for row in connection.execute(found.order_by(edits.c.version)).mappings()]


def lineage_of(connection: Connection, run_id: str) -> list[dict[str, Any]]:
    """What was carried over into a run, newest first."""
    found = select(carry_overs).where(carry_overs.c.run_id == run_id).order_by(carry_overs.c.position.desc())
    return [dict(row) for row in connection.execute(found).mappings()]
