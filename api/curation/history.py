"""The history of edits; undo and redo."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.curation.edits import DryRun, EditResponse, Reasoned, RunId, edited
from api.deps import CommandsDep, ContainerDep, reads
from api.paging import DeepPageDep, PaginatedResponse, Paging
from api.queries import Moment
from api.time_travel import Seen, SeenDep
from commands.curation import ReverseEdit, edit_in_full
from projections import curation as read

router = APIRouter()

Cascade = Annotated[bool, Query(description="Together with the edits that stand in the way.")]
NO_REASON = Reasoned(reason=None)
OfRun = Annotated[str | None, Query(max_length=200, description="The run that the edit must belong to.")]


class EditHistoryRecord(BaseModel):
    """`details`: what was and what is, with the first ids of what moved. `undone_by`: what took it back."""

    timestamp: datetime
    cluster_id: int | None = None
    edit_type: str
    editor: str
    reason: str | None = None
    edit_id: int
    position: int
    run_id: str
    version: int
    details: dict[str, Any]
    caused_by: str | None = None
    undone_by: int | None = None


class EditRef(BaseModel):
    edit_id: int
    version: int
    edit_type: str


class Effect(BaseModel):
    """What changes come to."""

    queries_moved: int
    clusters_changed: list[int]
    clusters_restored: list[int]
    clusters_removed: list[int]
    nodes_moved: int = Field(0, description="Of a hierarchy; then the clusters above are its nodes.")


class MovedQueries(BaseModel):
    """-2 stands for no cluster."""

    from_cluster_id: int = Field(validation_alias="from")
    to_cluster_id: int = Field(validation_alias="to")
    query_ids: list[int]


class ClusterChange(BaseModel):
    """The fields that changed; null where there was or is no such cluster."""

    cluster_id: int
    was: dict[str, Any] | None
    now: dict[str, Any] | None


class EditDetail(Effect):
    """`blockers`: edits that stand in the way of an undo (or a redo). `of`: the edits that it concerns."""

    edit_id: int
    run_id: str
    hierarchy_run_id: str | None = None
    version: int
    edit_type: str
    state: Literal["in force", "undone", "partly undone"]
    moves: list[MovedQueries]
    clusters: list[ClusterChange]
    of: list[EditRef]
    blockers: list[EditRef]


class ReversalResponse(EditResponse, Effect):
    """`edits`: what was taken back (or put back), in that order; `blockers`: those that cascaded."""

    run_id: str
    hierarchy_run_id: str | None = None
    edits: list[EditRef]
    blockers: list[EditRef]


@router.get("/edits/{edit_id}", dependencies=reads)
def get_edit(edit_id: int, container: ContainerDep) -> EditDetail:
    """What an edit changed, whether it is in force, and what blocks an undo of it."""
    return EditDetail.model_validate(edit_in_full(container.store, edit_id))


@router.post("/edits/{edit_id}/undo")
def undo_edit(
    edit_id: int,
    commands: CommandsDep,
    body: Reasoned | None = None,
    run_id: OfRun = None,
    cascade: Cascade = False,
    dry_run: DryRun = False,
) -> ReversalResponse:
    """Take an edit back. 409 with the list of later edits that touched the same, unless `cascade`."""
    command = ReverseEdit(edit_id=edit_id, run_id=run_id, cascade=cascade, dry_run=dry_run)
    return edited(commands, body or NO_REASON, command, ReversalResponse)


@router.post("/edits/{edit_id}/redo")
def redo_edit(
    edit_id: int,
    commands: CommandsDep,
    body: Reasoned | None = None,
    run_id: OfRun = None,
    cascade: Cascade = False,
    dry_run: DryRun = False,
) -> ReversalResponse:
    """Do an undone edit again. 409 with the list of edits that touched the same since."""
    command = ReverseEdit(edit_id=edit_id, run_id=run_id, redo=True, cascade=cascade, dry_run=dry_run)
    return edited(commands, body or NO_REASON, command, ReversalResponse)


@router.post("/runs/{run_id}/undo")
def undo_last(
    run_id: str,
    commands: CommandsDep,
    body: Reasoned | None = None,
    dry_run: DryRun = False,
) -> ReversalResponse:
    """Take back the newest edit of a run that is in force: again and again leads back to the beginning."""
    command = ReverseEdit(run_id=run_id, dry_run=dry_run)
    return edited(commands, body or NO_REASON, command, ReversalResponse)


@router.post("/runs/{run_id}/redo")
def redo_last(
    run_id: str,
    commands: CommandsDep,
    body: Reasoned | None = None,
    dry_run: DryRun = False,
) -> ReversalResponse:
    """Do again what was undone last."""
    command = ReverseEdit(run_id=run_id, redo=True, dry_run=dry_run)
    return edited(commands, body or NO_REASON, command, ReversalResponse)


@router.get("/clusters/{cluster_id}/history", dependencies=reads)
def cluster_history(
    cluster_id: int, run_id: RunId, seen: SeenDep, page: DeepPageDep
) -> PaginatedResponse[EditHistoryRecord]:
    """Every edit that touched a cluster, newest first."""
    return _edits(seen, run_id, page, cluster_id=cluster_id)


@router.get("/runs/{run_id}/audit", dependencies=reads)
def audit_run(
    run_id: str,
    seen: SeenDep,
    page: DeepPageDep,
    since: Annotated[Moment | None, Query(description="RFC 3339")] = None,
) -> PaginatedResponse[EditHistoryRecord]:
    """Every edit of a run, newest first."""
    return _edits(seen, run_id, page, since=since)


def _edits(
    seen: Seen,
    run_id: str,
    page: Paging,
    *,
    cluster_id: int | None = None,
    since: datetime | None = None,
) -> PaginatedResponse[EditHistoryRecord]:
    past = seen.run(run_id).past
    rows, total = read.list_edits(
        seen.connection,
        run_id,
        page.limit,
        page.offset,
        cluster_id=cluster_id,
        since=since,
        after=page.after,
        up_to=seen.position,
    )
    if past is not None:
        read.mark_as_of(seen.connection, rows, past.run.history)
    items = [{**row, "edit_id": row["position"]} for row in rows]
    return page.of(EditHistoryRecord, items, total, page.cursor_behind(rows, "position"))
