"""Proposals: what is suggested by whom, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from domain.clustering import ClusteringRun
from domain.proposals import Proposal
from projections.base import BATCH, ReadStore, Recorded, read_model

tables = read_model("proposals")

proposals = Table(
    "proposals",
    tables,
    Column("proposal_id", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("run_version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("title", Text),
    Column("reason", Text, nullable=False),
    Column("source", Text),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", DateTime(timezone=True), nullable=False),
    Column("edits", JSONB, nullable=False),
    Column("edit_count", Integer, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("decision_reason", Text),
    Column("forced", Boolean, nullable=False),
    Column("made", JSONB(none_as_null=True)),
    Column("left_out", JSONB(none_as_null=True)),
    Column("accepted_version", Integer),
    Column("edit_id", BigInteger),
    Column("impact", JSONB(none_as_null=True)),
)
"""`edit_id`: the edit that an undo takes back, once it was accepted; `impact`: as it was when decided."""
Index("proposals_of_run", proposals.c.run_id, proposals.c.position)

OF_A_LIST = [column for column in proposals.c if column.name not in ("edits", "made", "left_out", "impact")]


class ProposalsProjection:
    name = "proposals"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset(
        {
            Proposal.Created,
            Proposal.Accepted,
            Proposal.Rejected,
            ClusteringRun.ProposalAccepted,
            ClusteringRun.Retired,
        }
    )

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            self._project(one, store)

    def _project(self, one: Recorded, store: ReadStore) -> None:
        event = one.event
        match event:
            case Proposal.Created():
                store.execute(insert(proposals).values(_new(one)))
            case Proposal.Accepted():
                accepted = {
                    "status": "accepted",
                    "forced": event.forced,
                    "made": event.edits,
                    "left_out": event.left_out,
                    "accepted_version": event.run_version,
                }
                self._change(store, one.name, {**accepted, **_decided(one)})
            case Proposal.Rejected():
                self._change(store, one.name, {"status": "rejected", **_decided(one)})
            case ClusteringRun.ProposalAccepted():
                self._change(store, event.proposal_id, {"edit_id": one.position})
            case ClusteringRun.Retired():
                store.execute(delete(proposals).where(proposals.c.run_id == one.name))

    def _change(self, store: ReadStore, proposal_id: str, values: Mapping[str, Any]) -> None:
        store.execute(update(proposals).where(proposals.c.proposal_id == proposal_id).values(**values))


def _new(one: Recorded) -> dict[str, Any]:
    event = one.event
    same = ("proposal_id", "run_id", "run_version", "title", "reason", "source", "edits")
    return {
        **{name: getattr(event, name) for name in same},
        "position": one.position,
        "status": "pending",
        "proposed_by": one.meta.get("actor", "system"),
        "proposed_at": one.recorded_at,
        "edit_count": len(event.edits),
        "forced": False,
    }


def _decided(one: Recorded) -> dict[str, Any]:
    return {
        "decided_by": one.meta.get("actor", "system"),
        "decided_at": one.recorded_at,
        "decision_reason": one.event.reason,
        "impact": one.event.impact,
    }


# --- queries -------------------------------------------------------------------------------------


def list_proposals(
    connection: Connection,
    run_id: str,
    limit: int,
    offset: int,
    *,
    status: str | None = None,
    after: int | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of proposals without their edits, newest first, and how many there are.

    `after`: a position to go on below.
    """
    where = [proposals.c.run_id == run_id]
    if status is not None:
        where.append(proposals.c.status == status)
    total = connection.execute(select(func.count()).select_from(proposals).where(*where)).scalar_one()
    if after is not None:
        where.append(proposals.c.position < after)
    newest = proposals.c.position.desc()
    page = select(*OF_A_LIST).where(*where).order_by(newest).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def find_proposal(connection: Connection, proposal_id: str) -> dict[str, Any] | None:
    statement = select(proposals).where(proposals.c.proposal_id == proposal_id)
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None
