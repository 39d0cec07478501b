"""Hierarchies of the clusters of a run: making them, reading the tree, changing it by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.curation.edits import DryRun, EditResponse, Reasoned, edited
from api.curation.history import EditHistoryRecord
from api.deps import CommandsDep, ContainerDep, Read, found, reads, show_if_ended
from api.paging import PageDep, PaginatedResponse
from api.time_travel import Seen, SeenDep
from commands.hierarchy import (
    AddCategory,
    CancelHierarchy,
    MoveNodes,
    RemoveCategory,
    RenameCategory,
    RequestHierarchy,
    ResumeHierarchy,
)
from domain.clustering.cluster import MAX_TITLE
from domain.errors import NotFound
from domain.hierarchy import Hierarchy, Tree
from domain.hierarchy.tree import MAX_LEVEL
from projections import hierarchy as read

router = APIRouter(prefix="/api/hierarchy", tags=["hierarchy"])

HierarchyStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
NodeId = Annotated[int, Field(ge=0, lt=2**31)]
MOST_NODES = 10_000
"""Nodes that a request may name."""

ALL = 1_000_000


class HierarchyRequest(BaseModel):
    """`model` may stand as `provider/model` alone; without one the local taxonomist is taken.

    `target_levels` counts the clusters as one. `merge_ratio`: how many parents there are to be for each node.
    `summary_run_id`: by whose titles, else by those that are shown.
    """

    provider: str = Field("local", max_length=100)
    model: str = Field("agglomerative", max_length=400)
    concurrency: int | None = Field(None, ge=1, le=1_000)
    rpm: int | None = Field(None, ge=1)
    run_id: str = Field(max_length=200)
    neighborhood_size: int | None = Field(None, ge=2, le=1_000)
    target_levels: int = Field(3, ge=2, le=MAX_LEVEL)
    merge_ratio: float = Field(0.2, gt=0, lt=1)
    summary_run_id: str | None = Field(None, max_length=200)


class HierarchyStatusResponse(BaseModel):
    """`unanswered`: questions that a model had no usable answer to. `usage`: what its answers took."""

    hierarchy_run_id: str
    status: HierarchyStatus
    processed: int | None = None
    total: int | None = None
    unanswered: int = 0
    usage: dict[str, Any] = {}
    error: str | None = None


class HierarchyRunInfo(BaseModel):
    """`summary_run_id`: whose titles it was made by. `prompts`: those that were used."""

    hierarchy_run_id: str
    run_id: str
    created_at: datetime
    completed_at: datetime | None = None
    status: HierarchyStatus
    model: str
    summary_run_id: str | None = None
    parameters: dict[str, Any] = {}
    prompts: list[str] = []
    usage: dict[str, Any] = {}
    levels: int | None = None
    unanswered: int = 0
    error: str | None = None
    version: int


class HierarchyNode(BaseModel):
    """A cluster of the run (`level` 0, its own id) or a category; what has no parent is at the top."""

    hierarchy_run_id: str
    run_id: str
    cluster_id: int
    parent_cluster_id: int | None = None
    level: int
    children_ids: list[int]
    title: str | None = None
    description: str | None = None
    num_queries: int = Field(description="Of all clusters below it, as people have them now.")
    num_clusters: int = Field(description="Clusters below it; 1 for a cluster.")
    title_edited: bool = False
    description_edited: bool = False


class HierarchyTreeResponse(BaseModel):
    """Each node before what is below it, the largest first. `version`: for If-Match, as in the ETag."""

    nodes: list[HierarchyNode]
    hierarchy_run_id: str
    run_id: str
    status: HierarchyStatus
    version: int


class TreeEditRecord(EditHistoryRecord):
    """`version` is that of the hierarchy. `details`: what was and is of the first nodes."""

    hierarchy_run_id: str


@router.post("", status_code=202)
def arrange(body: HierarchyRequest, commands: CommandsDep) -> HierarchyStatusResponse:
    """Arrange the clusters of a run under categories, level upon level."""
    same = body.model_dump(exclude={"provider", "model"})
    model = body.model if "/" in body.model else f"{body.provider}/{body.model}"
    command = RequestHierarchy(model=model, at=datetime.now(UTC), **same)
    answer = commands.handle(command).answer
    commands.locate("hierarchy", answer["hierarchy_run_id"], "status")
    return HierarchyStatusResponse.model_validate(answer)


@router.get("", dependencies=reads)
def list_hierarchies(
    connection: Read,
    page: PageDep,
    run_id: Annotated[str | None, Query(max_length=200)] = None,
    status: HierarchyStatus | None = None,
) -> PaginatedResponse[HierarchyRunInfo]:
    """Hierarchies, newest first."""
    rows, total = read.list_hierarchies(connection, page.limit, page.offset, run_id=run_id, status=status)
    return page.of(HierarchyRunInfo, rows, total)


@router.get("/{hierarchy_run_id}", dependencies=reads)
def get_tree(hierarchy_run_id: str, seen: SeenDep, response: Response) -> HierarchyTreeResponse:
    """The tree: categories, and the clusters of the run as people have them. With `as_of`: as it was then."""
    row, tree = _tree(seen, hierarchy_run_id)
    run = seen.run(row["run_id"])
    asked = row["parameters"].get("summary_run_id")
    clusters, _ = run.clusters(ALL, 0, sort="cluster_id", summary_run_id=asked)
    same = {name: row[name] for name in ("hierarchy_run_id", "run_id")}
    nodes = [{**same, **node} for node in read.shown_tree(tree, clusters)]
    response.headers["ETag"] = f'"{row["version"]}"'
    return HierarchyTreeResponse.model_validate({**row, "nodes": nodes})


def _tree(seen: Seen, hierarchy_run_id: str) -> tuple[dict[str, Any], Tree]:
    """Only a complete tree is shown: one that is being made is empty."""
    if seen.position is None:
        row = found(read.find_hierarchy(seen.connection, hierarchy_run_id), f"hierarchy {hierarchy_run_id!r}")
        complete = row["status"] == "completed"
        return row, read.find_tree(seen.connection, hierarchy_run_id) if complete else Tree()
    store = seen.container.store
    version = store.version_at(Hierarchy, hierarchy_run_id, seen.position)
    if not version:
        raise NotFound(f"there was no hierarchy {hierarchy_run_id!r} at position {seen.position}")
    past = store.at_version(Hierarchy, hierarchy_run_id, version)
    names = ("hierarchy_run_id", "run_id", "status", "parameters", "version")
    tree = past.tree if past.status == "completed" else Tree()
    return {name: getattr(past, name) for name in names}, tree


@router.get("/{hierarchy_run_id}/info", dependencies=reads)
def get_hierarchy(hierarchy_run_id: str, connection: Read) -> HierarchyRunInfo:
    """How a hierarchy was made: by which model, prompts and titles, and what that took."""
    row = found(read.find_hierarchy(connection, hierarchy_run_id), f"hierarchy {hierarchy_run_id!r}")
    return HierarchyRunInfo.model_validate(row)


@router.get("/{hierarchy_run_id}/status", dependencies=reads)
def get_status(hierarchy_run_id: str, connection: Read, container: ContainerDep) -> HierarchyStatusResponse:
    """How far it is. `processed`: answers that were recorded so far."""
    row = found(read.find_hierarchy(connection, hierarchy_run_id), f"hierarchy {hierarchy_run_id!r}")
    show_if_ended(container, row["status"])
    return HierarchyStatusResponse.model_validate(row)


@router.post("/{hierarchy_run_id}/resume", status_code=202)
def resume_hierarchy(hierarchy_run_id: str, commands: CommandsDep) -> HierarchyStatusResponse:
    """Go on where one that failed or was cancelled stopped; what had no answer is asked again."""
    command = ResumeHierarchy(hierarchy_run_id=hierarchy_run_id)
    answer = commands.handle(command).answer
    commands.locate("hierarchy", hierarchy_run_id, "status")
    return HierarchyStatusResponse.model_validate(answer)


@router.post("/{hierarchy_run_id}/cancel")
def cancel_hierarchy(hierarchy_run_id: str, commands: CommandsDep) -> HierarchyStatusResponse:
    """Ask for no more of it. What was answered stays, and can be gone on with."""
    command = CancelHierarchy(hierarchy_run_id=hierarchy_run_id)
    return HierarchyStatusResponse.model_validate(commands.handle(command).answer)


@router.get("/{hierarchy_run_id}/history", dependencies=reads)
def get_history(hierarchy_run_id: str, connection: Read, page: PageDep) -> PaginatedResponse[TreeEditRecord]:
    """Every edit of a hierarchy, newest first. They are undone as all edits are."""
    row = found(read.find_hierarchy(connection, hierarchy_run_id), f"hierarchy {hierarchy_run_id!r}")
    rows, total = read.list_edits(connection, hierarchy_run_id, page.limit, page.offset)
    items = [
        {
            **one,
            "edit_id": one["position"],
            "run_id": row["run_id"],
            "cluster_id": one["details"].get("cluster_id"),
        }
        for one in rows
    ]
    return page.of(TreeEditRecord, items, total)


# --- edits ---------------------------------------------------------------------------------------


class MoveNodesRequest(Reasoned):
    """`parent_cluster_id` null: to the top."""

    cluster_ids: list[NodeId] = Field(max_length=MOST_NODES)
    parent_cluster_id: NodeId | None


class MoveNodesResponse(EditResponse):
    moved: int
    parent_cluster_id: int | None = None


class RenameCategoryRequest(Reasoned):
    title: str | None = None
    description: str | None = None


class RenameCategoryResponse(EditResponse):
    old_title: str | None = None
    new_title: str | None = None
    old_description: str | None = None
    new_description: str | None = None


class AddCategoryRequest(Reasoned):
    """`children_ids`: what is to be under it. `level`: else just above these."""

    title: str = Field(max_length=MAX_TITLE)
    description: str | None = None
    children_ids: list[NodeId] = Field([], max_length=MOST_NODES)
    parent_cluster_id: NodeId | None = None
    level: int | None = Field(None, ge=1, le=MAX_LEVEL)


class AddCategoryResponse(EditResponse):
    cluster_id: int
    level: int
    parent_cluster_id: int | None = None
    moved: int


class RemoveCategoryRequest(Reasoned):
    """`move_to_cluster_id`: where what is under it goes; else it takes the place of the category."""

    move_to_cluster_id: NodeId | None = None


class RemoveCategoryResponse(EditResponse):
    cluster_id: int
    moved: int
    moved_to: int | None = None


@router.post("/{hierarchy_run_id}/move")
def move_nodes(
    hierarchy_run_id: str,
    body: MoveNodesRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> MoveNodesResponse:
    """Put clusters and categories under a category of a higher level, or at the top, as one edit."""
    command = MoveNodes(
        hierarchy_run_id=hierarchy_run_id,
        cluster_ids=body.cluster_ids,
        parent_cluster_id=body.parent_cluster_id,
        dry_run=dry_run,
    )
    return edited(commands, body, command, MoveNodesResponse)


@router.post("/{hierarchy_run_id}/categories")
def add_category(
    hierarchy_run_id: str,
    body: AddCategoryRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> AddCategoryResponse:
    """Make a category of one's own. It stays, also with nothing under it."""
    given = body.model_dump(exclude={"reason"})
    command = AddCategory(hierarchy_run_id=hierarchy_run_id, dry_run=dry_run, **given)
    return edited(commands, body, command, AddCategoryResponse)


@router.post("/{hierarchy_run_id}/categories/{cluster_id}/rename")
def rename_category(
    hierarchy_run_id: str,
    cluster_id: int,
    body: RenameCategoryRequest,
    commands: CommandsDep,
    dry_run: DryRun = False,
) -> RenameCategoryResponse:
    """Give a category another title, another description, or both. Clusters are renamed in their run."""
    command = RenameCategory(
        hierarchy_run_id=hierarchy_run_id,
        cluster_id=cluster_id,
        title=body.title,
        description=body.description,
        dry_run=dry_run,
    )
    return edited(commands, body, command, RenameCategoryResponse)


@router.post("/{hierarchy_run_id}/categories/{cluster_id}/remove")
def remove_category(
    hierarchy_run_id: str,
    cluster_id: int,
    commands: CommandsDep,
    body: RemoveCategoryRequest | None = None,
    dry_run: DryRun = False,
) -> RemoveCategoryResponse:
    """Remove a category; nothing that is under it is lost."""
    given = body or RemoveCategoryRequest(reason=None)
    command = RemoveCategory(
        hierarchy_run_id=hierarchy_run_id,
        cluster_id=cluster_id,
        move_to=given.move_to_cluster_id,
        dry_run=dry_run,
    )
    return edited(commands, given, command, RemoveCategoryResponse)
