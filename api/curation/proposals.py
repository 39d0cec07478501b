"""Proposals: edits that are suggested, looked at, and accepted or rejected by a person."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from api.curation.edits import DryRun, Reasoned
from api.curation.history import EditRef
from api.curation.quality import thresholds
from api.deps import CommandsDep, ContainerDep, Read, found, reads
from api.paging import DeepPageDep, PaginatedResponse
from api.time_travel import run_row
from commands.curation import (
    AcceptProposal,
    ProposeEdits,
    ProposeRemedies,
    RejectProposal,
    present_impact,
)
from domain.clustering.script import Spec
from domain.proposals import MAX_EDITS, MAX_REASON
from domain.quality import HEURISTICS, Heuristic, Thresholds, bad_clusters
from projections import proposals as read
from projections.quality import facts_of

router = APIRouter()

Status = Literal["pending", "accepted", "rejected"]
Force = Annotated[bool, Query(description="Although others have since edited the same.")]


def _edit_schema() -> dict[str, Any]:
    """Out of the classes that read the edits, so that the contract says what they take."""
    _, kinds = msgspec.json.schema_components([Spec])
    return {"oneOf": list(kinds.values())}


EditSpec = Annotated[dict[str, Any], WithJsonSchema(_edit_schema())]


class ProposalRequest(BaseModel):
    """`source`: who or what proposes, where that is more than the actor. `"new:2"`: what edit 2 makes."""

    model_config = ConfigDict(strict=True)

    edits: list[EditSpec] = Field(min_length=1, max_length=MAX_EDITS)
    title: str | None = None
    reason: str = Field(max_length=MAX_REASON)
    source: str | None = None


class RemediesRequest(Reasoned):
    """Without a title or a reason, these say what the heuristics found."""

    title: str | None = None
    source: str | None = None


class AcceptRequest(Reasoned):
    """`only`: the indexes of the edits to accept; the others are left out for good."""

    only: list[int] | None = Field(None, max_length=MAX_EDITS)


class RejectRequest(BaseModel):
    model_config = ConfigDict(strict=True)

    reason: str = Field(max_length=MAX_REASON)


class Figures(BaseModel):
    """Of the clusters other than noise; `gini`: 0 where all are of one size, towards 1 where one has all."""

    clusters: int
    queries: int
    noise: int
    orphans: int
    smallest: int | None
    median: float | None
    largest: int | None
    gini: float | None


class ClusterImpact(BaseModel):
    """`what`: made, removed, renamed (title or description), resized, noted. `noted`: new values by field."""

    cluster_id: int
    what: list[str]
    was_title: str | None
    title: str | None
    was_size: int | None
    size: int | None
    noted: dict[str, Any]


class EditImpact(BaseModel):
    """`touched_by`: the newest later edits that touched the same, `touched_since` of them in all."""

    index: int
    edit_type: str
    can_be_made: bool
    refusal: str | None
    queries_moved: int
    clusters_changed: list[int]
    touched_since: int
    touched_by: list[EditRef]


class Impact(BaseModel):
    """What all edits together come to. `counts` has all clusters, `clusters` the first 200."""

    queries_moved: int
    before: Figures
    after: Figures
    counts: dict[str, int]
    clusters: list[ClusterImpact]
    edits: list[EditImpact]


class EditConflict(BaseModel):
    index: int
    edit_type: str
    can_be_made: bool
    reason: str
    edits: list[EditRef]


class ProposalMade(BaseModel):
    """`version`: that of the run for which the impact holds, as in the ETag. No id for a dry run."""

    proposal_id: str | None
    run_id: str
    status: Status
    version: int
    dry_run: bool = False
    impact: Impact


class ProposalDecision(BaseModel):
    """`edit_id`: what an undo takes back; None where nothing changed. `version`: that of the run."""

    proposal_id: str
    run_id: str
    status: Status
    version: int
    edit_id: int | None = None
    edits_made: int = 0
    conflicts: list[EditConflict] = []
    dry_run: bool = False
    impact: Impact


class ProposalSummary(BaseModel):
    """`run_version`: the state that the proposer saw. `edit_id`: what undoes an accepted one."""

    proposal_id: str
    run_id: str
    run_version: int
    status: Status
    title: str | None
    reason: str
    source: str | None
    proposed_by: str
    proposed_at: datetime
    edit_count: int
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    forced: bool
    edit_id: int | None


class MadeEdit(BaseModel):
    """`version`: of the edit in the run; None where it changed nothing any more."""

    index: int
    version: int | None


class ProposalDetail(ProposalSummary):
    """`impact`: at present while it is pending, for the run at `version`; later as it was when decided."""

    edits: list[dict[str, Any]]
    made: list[MadeEdit] | None
    left_out: list[int] | None
    version: int | None
    impact: Impact


@router.post("/runs/{run_id}/proposals", status_code=201)
def propose(
    run_id: str, body: ProposalRequest, commands: CommandsDep, dry_run: DryRun = False
) -> ProposalMade:
    """Suggest edits. They are tried one after the other, and none is made before somebody accepts them."""
    command = ProposeEdits(
        run_id=run_id,
        edits=body.edits,
        title=body.title,
        reason=body.reason,
        source=body.source,
        at=datetime.now(UTC),
        dry_run=dry_run,
    )
    return ProposalMade.model_validate(commands.handle(command, body.reason).answer)


@router.post("/runs/{run_id}/select-bad-clusters/proposals", status_code=201, dependencies=reads)
def propose_remedies(
    run_id: str,
    connection: Read,
    commands: CommandsDep,
    limits: Annotated[Thresholds, Depends(thresholds)],
    heuristics: Annotated[list[Heuristic] | None, Query(description="All of them if none is named.")] = None,
    body: RemediesRequest | None = None,
    dry_run: DryRun = False,
) -> ProposalMade:
    """Propose to merge clusters that overlap or are too small, and to flag other bad ones for review."""
    run = run_row(connection, run_id)
    wanted = set(heuristics or HEURISTICS)
    facts = facts_of(connection, run_id, run["run_no"], confidence="low_confidence" in wanted)
    given = body or RemediesRequest(reason=None)
    command = ProposeRemedies(
        run_id=run_id,
        bad=bad_clusters(facts, run["num_queries"], wanted, limits),
        facts=facts,
        title=given.title,
        reason=given.reason,
        source=given.source,
        at=datetime.now(UTC),
        dry_run=dry_run,
    )
    return ProposalMade.model_validate(commands.handle(command, given.reason).answer)


@router.get("/runs/{run_id}/proposals", dependencies=reads)
def list_proposals(
    run_id: str,
    connection: Read,
    page: DeepPageDep,
    status: Status | None = None,
) -> PaginatedResponse[ProposalSummary]:
    """The proposals for a run, newest first."""
    run_row(connection, run_id)
    rows, total = read.list_proposals(
        connection, run_id, page.limit, page.offset, status=status, after=page.after
    )
    return page.of(ProposalSummary, rows, total, page.cursor_behind(rows, "position"))


@router.get("/proposals/{proposal_id}", dependencies=reads)
def get_proposal(
    proposal_id: str, connection: Read, response: Response, container: ContainerDep
) -> ProposalDetail:
    """A proposal with its edits, and what they would come to now. The ETag is that of the run."""
    row = {"version": None, **found(read.find_proposal(connection, proposal_id), f"proposal {proposal_id!r}")}
    if row["status"] == "pending":
        row |= present_impact(container.store, proposal_id)
        if row["version"] is not None:
            response.headers["ETag"] = f'"{row["version"]}"'
    return ProposalDetail.model_validate(row)


@router.post("/proposals/{proposal_id}/accept")
def accept_proposal(
    proposal_id: str,
    commands: CommandsDep,
    body: AcceptRequest | None = None,
    force: Force = False,
    dry_run: DryRun = False,
) -> ProposalDecision:
    """Make its edits, all at once, on the present state; 409 with a list per edit where others came between.

    One undo of `edit_id` takes all of them back.
    """
    wanted = body or AcceptRequest(reason=None, only=None)
    command = AcceptProposal(
        proposal_id=proposal_id, only=wanted.only, reason=wanted.reason, force=force, dry_run=dry_run
    )
    receipt = commands.handle(command, wanted.reason)
    edit_id = receipt.position if receipt.answer["edits_made"] else None
    return ProposalDecision.model_validate({**receipt.answer, "edit_id": edit_id})


@router.post("/proposals/{proposal_id}/reject")
def reject_proposal(proposal_id: str, body: RejectRequest, commands: CommandsDep) -> ProposalDecision:
    """Decide against it. It stays to be read, with the reason."""
    command = RejectProposal(proposal_id=proposal_id, reason=body.reason)
    return ProposalDecision.model_validate(commands.handle(command, body.reason).answer)
