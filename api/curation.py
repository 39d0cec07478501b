"""Edits to the clusters of a run, and their history."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.clustering import run_row
from api.deps import ContainerDep, Read, settled, wait_for_position
from api.paging import Cursor, Limit, Page, PaginatedResponse, decode_cursor, encode_cursor, page_of
from api.queries import Moment, curation_router
from commands.curation import MoveQuery, RenameCluster
from domain.base import context
from projections import curation as read

router = APIRouter(prefix="/api/curation", tags=["curation"])
router.include_router(curation_router)
reads = [Depends(wait_for_position)]

RunId = Annotated[str, Query(max_length=200, description="The clustering run.")]


class CurationRequest(BaseModel):
    """`reason` is kept with the event."""

    model_config = ConfigDict(strict=True)

    reason: str | None = Field(None, max_length=2_000)


class MoveQueryRequest(CurationRequest):
    to_cluster_id: int = Field(ge=-1, lt=2**31)


class MoveQueryResponse(BaseModel):
    from_cluster_id: int
    to_cluster_id: int


class RenameClusterRequest(CurationRequest):
    title: str | None = None
    description: str | None = None


class RenameClusterResponse(BaseModel):
    old_title: str | None = None
    new_title: str | None = None
    old_description: str | None = None
    new_description: str | None = None


class EditHistoryRecord(BaseModel):
    """`details`: what was and what is. `position`: where the edit stands in the log."""

    timestamp: datetime
    cluster_id: int | None = None
    edit_type: str
    editor: str
    reason: str | None = None
    position: int
    run_id: str
    details: dict[str, Any]


@router.post("/queries/{query_id}/move")
def move_query(
    query_id: int, run_id: RunId, body: MoveQueryRequest, response: Response, container: ContainerDep
) -> MoveQueryResponse:
    """Put a query into another cluster."""
    _because(body)
    command = MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=body.to_cluster_id)
    return MoveQueryResponse.model_validate(settled(response, container.waiting_bus.handle(command)))


@router.post("/clusters/{cluster_id}/rename")
def rename_cluster(
    cluster_id: int, run_id: RunId, body: RenameClusterRequest, response: Response, container: ContainerDep
) -> RenameClusterResponse:
    """Give a cluster another title, another description, or both. No later summary run replaces it."""
    _because(body)
    command = RenameCluster(
        run_id=run_id, cluster_id=cluster_id, title=body.title, description=body.description
    )
    return RenameClusterResponse.model_validate(settled(response, container.waiting_bus.handle(command)))


@router.get("/clusters/{cluster_id}/history", dependencies=reads)
def cluster_history(
    cluster_id: int, run_id: RunId, connection: Read, page: Page = 1, limit: Limit = 50, cursor: Cursor = None
) -> PaginatedResponse[EditHistoryRecord]:
    """Every edit that touched a cluster, newest first."""
    return _edits(connection, run_id, page, limit, cursor, cluster_id=cluster_id)


@router.get("/runs/{run_id}/audit", dependencies=reads)
def audit_run(
    run_id: str,
    connection: Read,
    page: Page = 1,
    limit: Limit = 50,
    cursor: Cursor = None,
    since: Annotated[Moment | None, Query(description="RFC 3339")] = None,
) -> PaginatedResponse[EditHistoryRecord]:
    """Every edit of a run, newest first."""
    return _edits(connection, run_id, page, limit, cursor, since=since)


def _edits(
    connection: Read,
    run_id: str,
    page: int,
    limit: int,
    cursor: str | None,
    *,
    cluster_id: int | None = None,
    since: datetime | None = None,
) -> PaginatedResponse[EditHistoryRecord]:
    run_row(connection, run_id)
    after = decode_cursor(cursor, int)[0] if cursor else None
    offset = 0 if cursor else (page - 1) * limit
    rows, total = read.list_edits(
        connection, run_id, limit, offset, cluster_id=cluster_id, since=since, after=after
    )
    following = encode_cursor(rows[-1]["position"]) if len(rows) == limit else None
    return PaginatedResponse[EditHistoryRecord].model_validate(page_of(rows, total, page, limit, following))


def _because(body: CurationRequest) -> None:
    """The reason of the request becomes that of its event."""
    context.set(replace(context.get(), reason=body.reason))
