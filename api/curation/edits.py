"""Edits. Each takes the run as `run_id`, and `dry_run=true` to see what it would do."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Commands, CommandsDep, OperationResponse
from commands.curation import (
    AnnotateCluster,
    DeleteCluster,
    FlagCluster,
    MergeClusters,
    MoveQueries,
    MoveQuery,
    RenameCluster,
    SplitCluster,
)
from commands.curation.edits import MAX_QUERIES, Edit
from domain.clustering.cluster import COHERENCE, MAX_FLAGS
from domain.errors import Invalid

router = APIRouter()

RunId = Annotated[str, Query(max_length=200, description="The clustering run.")]
DryRun = Annotated[bool, Query(description="Say what it would do, and change nothing.")]
ClusterId = Annotated[int, Field(ge=-1, lt=2**31)]
QueryIds = Annotated[list[int], Field(max_length=MAX_QUERIES)]


class Reasoned(BaseModel):
    """`reason` is kept with the event."""

    model_config = ConfigDict(strict=True)

    reason: str | None = Field(None, max_length=2_000)


class EditResponse(BaseModel):
    """`edit_id`: what undoes it; None where nothing changed. `version`: that of the run, as in its ETag."""

    edit_id: int | None = None
    version: int
    dry_run: bool = False


class MoveQueryRequest(Reasoned):
    to_cluster_id: ClusterId


class MoveQueryResponse(EditResponse):
    """`from_cluster_id` is -2 for a query that was an orphan."""

    from_cluster_id: int
    to_cluster_id: int


class MoveQueriesRequest(Reasoned):
    query_ids: QueryIds
    to_cluster_id: ClusterId


class MoveQueryError(BaseModel):
    query_id: int
    error: str


class MoveQueriesResponse(EditResponse):
    """`moved`: how many are in the target now, also those that had been there before."""

    moved: int
    failed: int
    errors: list[MoveQueryError]


class RenameClusterRequest(Reasoned):
    title: str | None = None
    description: str | None = None


class RenameClusterResponse(EditResponse):
    old_title: str | None = None
    new_title: str | None = None
    old_description: str | None = None
    new_description: str | None = None


class MergeClustersRequest(Reasoned):
    source_cluster_ids: list[ClusterId] = Field(max_length=10_000)
    target_cluster_id: ClusterId
    new_title: str | None = None
    new_description: str | None = None


class MergeClustersResponse(EditResponse):
    """`new_title`: what the target is called now. `suggested_title`: computed from those of the parts."""

    source_cluster_ids: list[int]
    target_cluster_id: int
    queries_moved: int
    new_title: str | None = None
    suggested_title: str | None = None


class SplitClusterRequest(Reasoned):
    query_ids: QueryIds
    new_title: str
    new_description: str


class SplitClusterResponse(EditResponse):
    original_cluster_id: int
    new_cluster_id: int
    queries_moved: int


class DeleteClusterRequest(Reasoned):
    orphan: bool
    move_to_cluster_id: ClusterId | None = None


class DeleteClusterResponse(EditResponse):
    query_count: int
    status: Literal["orphaned", "moved"]
    moved_to: int | None = None


class ClusterMetadataRequest(Reasoned):
    """Only what is given changes; null takes one away."""

    coherence_score: int | None = Field(None, ge=COHERENCE.start, lt=COHERENCE.stop)
    quality: Literal["high", "medium", "low"] | None = None
    notes: str | None = None


class ClusterFlagsRequest(Reasoned):
    """`flags` are added, `remove` are taken away."""

    flags: list[str] = Field(max_length=MAX_FLAGS)
    remove: list[str] = Field([], max_length=MAX_FLAGS)


@router.post("/queries/{query_id}/move")
def move_query(
    query_id: int,
    run_id: RunId,
    body: MoveQueryRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> MoveQueryResponse:
    """Put a query into another cluster."""
    command = MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=body.to_cluster_id, dry_run=dry_run)
    return edited(commands, body, command, MoveQueryResponse)


@router.post("/queries/move")
def move_queries(
    run_id: RunId,
    body: MoveQueriesRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> MoveQueriesResponse:
    """Put many queries into a cluster, as one edit. All that can be moved are moved; the rest is listed."""
    command = MoveQueries(
        run_id=run_id, query_ids=body.query_ids, to_cluster_id=body.to_cluster_id, dry_run=dry_run
    )
    return edited(commands, body, command, MoveQueriesResponse)


@router.post("/clusters/{cluster_id}/rename")
def rename_cluster(
    cluster_id: int,
    run_id: RunId,
    body: RenameClusterRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> RenameClusterResponse:
    """Give a cluster another title, another description, or both. No later summary run replaces it."""
    command = RenameCluster(
        run_id=run_id,
        cluster_id=cluster_id,
        title=body.title,
        description=body.description,
        dry_run=dry_run,
    )
    return edited(commands, body, command, RenameClusterResponse)


@router.post("/clusters/{cluster_id}/merge")
def merge_clusters(
    cluster_id: int,
    run_id: RunId,
    body: MergeClustersRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> MergeClustersResponse:
    """Put the members of the source clusters into the target, which is that of the path."""
    if body.target_cluster_id != cluster_id:
        raise Invalid(
            f"target_cluster_id is {body.target_cluster_id}, but the path names cluster {cluster_id}"
        )
    command = MergeClusters(
        run_id=run_id,
        source_cluster_ids=body.source_cluster_ids,
        target_cluster_id=cluster_id,
        title=body.new_title,
        description=body.new_description,
        dry_run=dry_run,
    )
    return edited(commands, body, command, MergeClustersResponse)


@router.post("/clusters/{cluster_id}/split")
def split_cluster(
    cluster_id: int,
    run_id: RunId,
    body: SplitClusterRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> SplitClusterResponse:
    """Put some queries of a cluster into a new one, whose id was never used before."""
    command = SplitCluster(
        run_id=run_id,
        cluster_id=cluster_id,
        query_ids=body.query_ids,
        title=body.new_title,
        description=body.new_description or None,
        dry_run=dry_run,
    )
    return edited(commands, body, command, SplitClusterResponse)


@router.post("/clusters/{cluster_id}/delete")
def delete_cluster(
    cluster_id: int,
    run_id: RunId,
    body: DeleteClusterRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> DeleteClusterResponse:
    """Remove a cluster: its queries become orphans, or go to another cluster."""
    command = DeleteCluster(
        run_id=run_id,
        cluster_id=cluster_id,
        orphan=body.orphan,
        move_to_cluster_id=body.move_to_cluster_id,
        dry_run=dry_run,
    )
    return edited(commands, body, command, DeleteClusterResponse)


@router.post("/clusters/{cluster_id}/metadata")
def annotate_cluster(
    cluster_id: int,
    run_id: RunId,
    body: ClusterMetadataRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> OperationResponse:
    """Set the coherence (1 to 5), the quality or the notes of a cluster."""
    given = body.model_dump(exclude_unset=True, exclude={"reason"})
    command = AnnotateCluster(run_id=run_id, cluster_id=cluster_id, metadata=given, dry_run=dry_run)
    return _noted(commands, body, command)


@router.post("/clusters/{cluster_id}/flags")
def flag_cluster(
    cluster_id: int,
    run_id: RunId,
    body: ClusterFlagsRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> OperationResponse:
    """Add flags to a cluster, and take flags away."""
    command = FlagCluster(
        run_id=run_id, cluster_id=cluster_id, add=body.flags, remove=body.remove, dry_run=dry_run
    )
    return _noted(commands, body, command)


R = TypeVar("R", bound=EditResponse)


def edited(commands: Commands, body: Reasoned, command: object, answer: type[R]) -> R:
    """Give the command, with the reason of the request as that of its event."""
    return answer.model_validate(_given(commands, body, command))


def _given(commands: Commands, body: Reasoned, command: object) -> dict[str, Any]:
    receipt = commands.handle(command, body.reason)
    return {"edit_id": receipt.position, **receipt.answer}


def _noted(commands: Commands, body: Reasoned, command: Edit) -> OperationResponse:
    answer = _given(commands, body, command)
    status = "ok" if answer["changed"] else "unchanged"
    return OperationResponse(status=status, data={k: v for k, v in answer.items() if k != "changed"})
