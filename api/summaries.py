"""Naming the clusters of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.clustering import ClusterSummaryResponse
from api.deps import CommandsDep, ContainerDep, OperationResponse, Read, found, reads, show_if_ended
from api.paging import PageDep, PaginatedResponse
from commands.summaries import CancelSummary, RequestSummary, ResumeSummary, ShowSummary
from domain.errors import NotFound
from projections import clustering as clustering_read
from projections import summaries as read

router = APIRouter(prefix="/api/summaries", tags=["summaries"])

SummaryStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
SHOWN_FAILURES = 100


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
    cluster_id: int | None = Field(None, ge=-1, lt=2**31, description="Name this cluster alone.")
    seed: int | None = Field(None, ge=0, lt=2**31, description="Of the random sample that a model sees.")
    show: bool | None = Field(None, description="False: keep its titles, but go on showing those of now.")
    replace_edited: bool | None = Field(
        None, description="True: show its titles also where people have written one. Can be undone."
    )


class ShowRequest(BaseModel):
    """`replace_edited`: also where people have written a title or description, as one edit."""

    model_config = ConfigDict(strict=True)

    replace_edited: bool = False
    reason: Annotated[str | None, Field(max_length=2_000)] = None


class UsageResponse(BaseModel):
    """What a run took of its model. `cost_usd` is null where a price is unknown."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    seconds: float = 0.0
    cached: int = 0


class NotNamedResponse(BaseModel):
    cluster_id: int
    error: str


class SummaryRunSummary(BaseModel):
    """`summarised`: clusters that have a name, `incoherent`: of these without a topic, `failed`: without."""

    status: SummaryStatus
    created_at: datetime
    completed_at: datetime | None = None
    summary_run_id: str
    run_id: str
    alias: str | None = None
    model: str
    generated_at: datetime
    summarised: int
    incoherent: int
    failed: int
    usage: UsageResponse
    parameters: dict[str, Any] = {}
    error: str | None = None


class SummaryRunDetail(SummaryRunSummary):
    failures: list[NotNamedResponse] = Field([], description="The first 100.")


@router.post("", status_code=202)
def summarise(body: SummaryRequest, commands: CommandsDep) -> OperationResponse:
    """Name the clusters of a run, or one of them."""
    wanted = {"concurrency", "rpm", "max_queries", "cluster_id", "seed", "show", "replace_edited"}
    command = RequestSummary(
        run_id=body.run_id,
        model=body.model if "/" in body.model else f"{body.provider}/{body.model}",
        alias=body.alias,
        parameters=body.model_dump(include=wanted, exclude_none=True),
        at=datetime.now(UTC),
        summary_run_id=body.summary_run_id,
    )
    answer = commands.handle(command).answer
    commands.locate("summaries", answer["summary_run_id"])
    return OperationResponse(status=answer["status"], data=answer)


@router.get("", dependencies=reads)
def list_summaries(
    connection: Read,
    page: PageDep,
    run_id: Annotated[str | None, Query(max_length=200)] = None,
    alias: Annotated[str | None, Query(max_length=200)] = None,
    status: SummaryStatus | None = None,
) -> PaginatedResponse[SummaryRunSummary]:
    """Summary runs, newest first."""
    rows, total = read.list_summary_runs(
        connection, page.limit, page.offset, run_id=run_id, alias=alias, status=status
    )
    items = [_response(row) for row in rows]
    return page.of(SummaryRunSummary, items, total)


@router.get("/{summary_run_id}", dependencies=reads)
def get_summary(summary_run_id: str, connection: Read, container: ContainerDep) -> SummaryRunDetail:
    """A summary run, what it took, and which clusters it could not name."""
    row = found(read.find_summary_run(connection, summary_run_id), f"summary run {summary_run_id!r}")
    show_if_ended(container, row["status"])
    failures = read.failures_of(connection, summary_run_id, SHOWN_FAILURES)
    return SummaryRunDetail.model_validate({**_response(row), "failures": failures})


@router.post("/{summary_run_id}/resume", status_code=202)
def resume_summary(summary_run_id: str, commands: CommandsDep) -> OperationResponse:
    """Go on with the clusters that have no name; those that failed are tried again."""
    command = ResumeSummary(summary_run_id=summary_run_id)
    commands.locate("summaries", summary_run_id)
    return commands.operation(command)


@router.post("/{summary_run_id}/cancel")
def cancel_summary(summary_run_id: str, commands: CommandsDep) -> OperationResponse:
    """Ask for no more names. What is there stays, and can be gone on with."""
    command = CancelSummary(summary_run_id=summary_run_id)
    return commands.operation(command)


@router.post("/{summary_run_id}/show")
def show_summary(
    summary_run_id: str, commands: CommandsDep, body: ShowRequest | None = None
) -> OperationResponse:
    """Show the titles of this summary run from now on, until another is shown or completed."""
    asked = body or ShowRequest()
    command = ShowSummary(summary_run_id=summary_run_id, replace_edited=asked.replace_edited)
    return commands.operation(command, asked.reason)


@router.get("/{summary_run_id}/clusters/{cluster_id}", dependencies=reads)
def get_cluster_summary(summary_run_id: str, cluster_id: int, connection: Read) -> ClusterSummaryResponse:
    """What a summary run said of one cluster, whatever was edited since."""
    run = found(read.find_summary_run(connection, summary_run_id), f"summary run {summary_run_id!r}")
    row = read.find_summary(connection, summary_run_id, cluster_id)
    if row is None:
        why = read.find_failure(connection, summary_run_id, cluster_id)
        failed = f"; it failed: {why}" if why else ""
        raise NotFound(f"there is no summary of cluster {cluster_id} in {summary_run_id}{failed}")
    texts = clustering_read.representatives(connection, [summary_run_id], [cluster_id], 100)
    same = {
        "run_id": run["run_id"],
        "alias": run["alias"],
        "representative_queries": texts.get(cluster_id, []),
    }
    return ClusterSummaryResponse.model_validate({**row, **same})


def _response(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "generated_at": row["completed_at"] or row["created_at"]}
