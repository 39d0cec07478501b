"""Naming the clusters of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.clustering import ClusterSummaryResponse, RunStatus
from api.deps import (
    ContainerDep,
    OperationResponse,
    Read,
    found,
    settled,
    show_if_ended,
    wait_for_position,
)
from api.paging import Limit, Page, PaginatedResponse, page_of
from commands.summaries import RequestSummary
from projections import clustering as clustering_read
from projections import summaries as read

router = APIRouter(prefix="/api/summaries", tags=["summaries"])
reads = [Depends(wait_for_position)]


class SummaryRequest(BaseModel):
    """`model` may stand as `provider/model` alone; without one the local writer is taken."""

    model_config = ConfigDict(strict=True)

    provider: str = Field("local", max_length=100)
    model: str = Field("c-tf-idf", max_length=400)
    concurrency: int | None = Field(None, ge=1, le=1_000)
    rpm: int | None = Field(None, ge=1)
    run_id: str = Field(max_length=200)
    alias: str | None = Field(None, max_length=200)
    max_queries: int | None = Field(None, ge=1, le=10_000)
    summary_run_id: str | None = Field(None, max_length=128)


class SummaryRunSummary(BaseModel):
    status: RunStatus
    created_at: datetime
    completed_at: datetime | None = None
    summary_run_id: str
    run_id: str
    alias: str | None = None
    model: str
    generated_at: datetime
    summarised: int
    parameters: dict[str, Any] = {}
    error: str | None = None


@router.post("", status_code=202)
def summarise(body: SummaryRequest, response: Response, container: ContainerDep) -> OperationResponse:
    """Name every cluster of a run by its most central queries."""
    wanted = {"concurrency", "rpm", "max_queries"}
    command = RequestSummary(
        run_id=body.run_id,
        model=body.model if "/" in body.model else f"{body.provider}/{body.model}",
        alias=body.alias,
        parameters=body.model_dump(include=wanted, exclude_none=True),
        at=datetime.now(UTC),
        summary_run_id=body.summary_run_id,
    )
    answer = settled(response, container.waiting_bus.handle(command))
    response.headers["Location"] = f"/api/summaries/{answer['summary_run_id']}"
    return OperationResponse(status=answer["status"], data=answer)


@router.get("", dependencies=reads)
def list_summaries(
    connection: Read,
    page: Page = 1,
    limit: Limit = 50,
    run_id: Annotated[str | None, Query(max_length=200)] = None,
    alias: Annotated[str | None, Query(max_length=200)] = None,
    status: RunStatus | None = None,
) -> PaginatedResponse[SummaryRunSummary]:
    """Summary runs, newest first."""
    rows, total = read.list_summary_runs(
        connection, limit, (page - 1) * limit, run_id=run_id, alias=alias, status=status
    )
    items = [_response(row) for row in rows]
    return PaginatedResponse[SummaryRunSummary].model_validate(page_of(items, total, page, limit))


@router.get("/{summary_run_id}", dependencies=reads)
def get_summary(summary_run_id: str, connection: Read, container: ContainerDep) -> SummaryRunSummary:
    """A summary run."""
    row = found(read.find_summary_run(connection, summary_run_id), f"summary run {summary_run_id!r}")
    show_if_ended(container, row["status"])
    return SummaryRunSummary.model_validate(_response(row))


@router.get("/{summary_run_id}/clusters/{cluster_id}", dependencies=reads)
def get_cluster_summary(summary_run_id: str, cluster_id: int, connection: Read) -> ClusterSummaryResponse:
    """What a summary run said of one cluster, whatever was edited since."""
    run = found(read.find_summary_run(connection, summary_run_id), f"summary run {summary_run_id!r}")
    row = found(
        read.find_summary(connection, summary_run_id, cluster_id),
        f"summary of cluster {cluster_id} in {summary_run_id}",
    )
    texts = clustering_read.representatives(connection, [summary_run_id], [cluster_id], 100)
    same = {
        "run_id": run["run_id"],
        "alias": run["alias"],
        "representative_queries": texts.get(cluster_id, []),
    }
    return ClusterSummaryResponse.model_validate({**row, **same})


def _response(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "generated_at": row["completed_at"] or row["created_at"]}
