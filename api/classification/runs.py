"""Classification runs: launched, resumed, cancelled, followed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from api.deps import Commands, CommandsDep, ContainerDep, OperationResponse, Read, found, reads, show_if_ended
from api.paging import PageDep, PaginatedResponse
from api.queries import BIGGEST, Moment, Word, Words
from commands.classification import (
    CancelClassification,
    RequestClassification,
    RequestIngest,
    ResumeClassification,
)
from domain.errors import Invalid
from projections import classification as read

router = APIRouter()

Status = Literal["pending", "running", "cancelling", "cancelled", "completed", "failed"]
SHOWN_ERRORS = 10
QUERY_ID = Annotated[int, Field(ge=0, le=BIGGEST)]
CLUSTER_ID = Annotated[int, Field(ge=-2, lt=2**31)]


class RunFilters(BaseModel):
    """Which queries. All that is given must hold; then `sample` and `limit` are taken of these."""

    model_config = ConfigDict(extra="forbid")

    run_id: Word | None = Field(None, description="Members of this clustering run.")
    cluster_ids: list[CLUSTER_ID] | None = Field(
        None, max_length=10_000, description="Of these clusters of the run; -1 is the noise, -2 the orphans."
    )
    query_ids: list[QUERY_ID] | None = Field(None, max_length=100_000)
    sql_filter: str | None = Field(
        None, max_length=4_000, description="Conditions such as `language = 'German' AND label IS NULL`."
    )
    dataset: str | None = Field(None, max_length=64, description="Without one and without a run: `default`.")
    model: Word | None = None
    language: Word | None = None
    label: Word | None = Field(None, description="`label` in the metadata.")
    domain: Word | None = Field(None, description="`domain` in the metadata.")
    conversation_id: Word | None = None
    since: Moment | None = Field(None, description="From this time on.")
    until: Moment | None = Field(None, description="Before this time.")
    text: Words | None = Field(None, description="Words that all occur.")
    sample: int | None = Field(None, ge=1, le=BIGGEST, description="So many of them, by chance.")
    seed: int | None = Field(None, ge=0, lt=2**31, description="Of that chance.")
    limit: int | None = Field(None, ge=1, le=BIGGEST, description="The first so many.")


class RunExecution(BaseModel):
    """`tokens`: what the run may use in all, in and out."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["sync", "batch"] | None = None
    concurrency: int | None = Field(None, ge=1, le=1_000)
    rpm: int | None = Field(None, ge=1, le=1_000_000)
    tokens: int | None = Field(None, ge=1, le=BIGGEST)


class RunCreateRequest(BaseModel):
    """`model` may stand as `provider/model` alone; without one the local classifier is taken.

    `template_hash`: of another version than the newest.
    """

    model_config = ConfigDict(extra="forbid")

    provider: str | None = Field(None, max_length=100)
    model: str | None = Field(None, max_length=400)
    concurrency: int | None = Field(None, ge=1, le=1_000)
    rpm: int | None = Field(None, ge=1, le=1_000_000)
    template_id: Word
    template_hash: str | None = Field(None, max_length=64)
    alias: Word | None = None
    parameters: dict[str, Any] | None = None
    filters: RunFilters
    execution: RunExecution | None = None


class RunResumeRequest(BaseModel):
    execution: RunExecution | None = None


class BatchIngestRequest(BaseModel):
    """`output_path`: of a provider's output file, below LMSYS_IMPORT_DIR."""

    output_path: str = Field(min_length=1, max_length=4_000, pattern=r"^[^\x00]*$")


class ClassificationRunSummary(BaseModel):
    """`processed_queries`: those with a label or an error. `error_count`: those with an error alone."""

    status: Status
    created_at: datetime
    completed_at: datetime | None = None
    template_id: str
    template_hash: str
    template_number: int
    alias: str | None = None
    provider: str
    model: str
    classification_run_id: str
    dataset: str
    total_queries: int | None = None
    processed_queries: int | None = None
    error_count: int | None = None
    mode: Literal["sync", "batch"]
    attempt: int


class ClassificationRunDetail(ClassificationRunSummary):
    """`missing`: queries whose text was erased. `prompt`: name, version and hash of what was asked with."""

    parameters: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    latest_errors: list[str] | None = None
    filters: dict[str, Any]
    execution: dict[str, Any]
    labels: list[str]
    prompt: str | None = None
    missing: int
    open_batches: int
    version: int


class ClassificationRunStatusResponse(BaseModel):
    run_id: str
    status: Status
    processed: int | None = None
    total: int | None = None
    errors: int = 0


# --- requests ------------------------------------------------------------------------------------


@router.post("/runs", status_code=202)
def create_run(
    body: RunCreateRequest, container: ContainerDep, commands: CommandsDep, connection: Read
) -> ClassificationRunSummary:
    """Give the queries that the filters mean the labels of a template, by a model."""
    execution = body.execution.model_dump(exclude_none=True) if body.execution else {}
    limits = body.model_dump(include={"concurrency", "rpm"}, exclude_none=True)
    command = RequestClassification(
        template_id=body.template_id,
        template_hash=body.template_hash,
        model=container.classifiers.named(body.provider, body.model),
        alias=body.alias,
        filters=body.filters.model_dump(mode="json", exclude_none=True),
        execution={"mode": "sync", **limits, **execution},
        parameters=body.parameters or {},
        at=datetime.now(UTC),
    )
    answer = commands.handle(command).answer
    return _shown(answer["classification_run_id"], commands, connection)


@router.post("/runs/{run_id}/resume", status_code=202)
def resume_run(
    run_id: str,
    commands: CommandsDep,
    connection: Read,
    body: RunResumeRequest | None = None,
) -> ClassificationRunSummary:
    """Go on with one that failed, was cancelled or has errors: what has a label is not asked again."""
    run_row(connection, run_id)
    execution = body.execution.model_dump(exclude_none=True) if body and body.execution else {}
    command = ResumeClassification(classification_run_id=run_id, execution=execution)
    commands.handle(command)
    return _shown(run_id, commands, connection)


def _shown(run_id: str, commands: Commands, connection: Connection) -> ClassificationRunSummary:
    commands.locate("classification", "runs", run_id, "status")
    return ClassificationRunSummary.model_validate(_summary(run_row(connection, run_id)))


@router.post("/runs/{run_id}/cancel", status_code=202)
def cancel_run(run_id: str, commands: CommandsDep) -> OperationResponse:
    """Ask for no more. What is under way is still recorded; what is recorded stays."""
    command = CancelClassification(classification_run_id=run_id)
    return commands.operation(command)


@router.post("/runs/{run_id}/ingest", status_code=202)
def ingest(run_id: str, body: BatchIngestRequest, commands: CommandsDep) -> OperationResponse:
    """Take results out of a provider's output file. Those that are there already are passed over."""
    command = RequestIngest(classification_run_id=run_id, path=body.output_path)
    return commands.operation(command)


# --- reads ---------------------------------------------------------------------------------------


@router.get("/runs", dependencies=reads)
def list_runs(
    connection: Read,
    page: PageDep,
    template_id: Annotated[Word | None, Query()] = None,
    status: Status | None = None,
    model: Annotated[Word | None, Query(description="As `provider/model`.")] = None,
    alias: Annotated[Word | None, Query()] = None,
    dataset: Annotated[Word | None, Query()] = None,
    run_id: Annotated[Word | None, Query(description="Over clusters of this clustering run.")] = None,
) -> PaginatedResponse[ClassificationRunSummary]:
    """Classification runs, newest first."""
    rows, total = read.list_runs(
        connection,
        page.limit,
        page.offset,
        run_id=run_id,
        template_id=template_id,
        status=status,
        model=model,
        alias=alias,
        dataset=dataset,
    )
    items = [_summary(row) for row in rows]
    return page.of(ClassificationRunSummary, items, total)


@router.get("/runs/{run_id}", dependencies=reads)
def get_run(run_id: str, connection: Read, response: Response) -> ClassificationRunDetail:
    """A run: what was asked, how far it is, what it took, and its latest errors."""
    run = run_row(connection, run_id)
    response.headers["ETag"] = f'"{run["version"]}"'
    failed = read.latest_errors(connection, run["run_no"], SHOWN_ERRORS) if run["failed"] else []
    errors = [run["error"]] if run["error"] else []
    errors += [f"query {one['query_id']}: {one['error']}" for one in failed]
    return ClassificationRunDetail.model_validate(
        {
            **run,
            **_summary(run),
            "metrics": metrics(run),
            "latest_errors": errors or None,
            "open_batches": run["batches"],
        }
    )


@router.get("/runs/{run_id}/status", dependencies=reads)
def get_status(run_id: str, connection: Read, container: ContainerDep) -> ClassificationRunStatusResponse:
    """How far a run is."""
    run = run_row(connection, run_id)
    show_if_ended(container, run["status"])
    return ClassificationRunStatusResponse(
        run_id=run_id,
        status=run["status"],
        processed=run["processed"],
        total=run["total"],
        errors=run["failed"],
    )


def run_row(connection: Connection, run_id: str) -> dict[str, Any]:
    """A run, or 404."""
    if "\0" in run_id:
        raise Invalid("run_id holds a NUL character")
    return found(read.find_run(connection, run_id), f"classification run {run_id!r}")


def _summary(run: dict[str, Any]) -> dict[str, Any]:
    provider, _, model = run["model"].partition("/")
    return {
        **run,
        "provider": provider,
        "model": model,
        "mode": run["execution"].get("mode", "sync"),
        "total_queries": run["total"],
        "processed_queries": run["processed"],
        "error_count": run["failed"],
    }


def metrics(run: dict[str, Any]) -> dict[str, Any]:
    """What the run took: calls, tokens, dollars (None: a price is unknown), and how quick it was."""
    used = {name: run[name] for name in ("calls", "input_tokens", "output_tokens", "cost_usd", "cached")}
    latency = round(run["call_seconds"] / run["calls"], 4) if run["calls"] else None
    began, ended = run["started_at"], run["completed_at"]
    seconds = round((ended - began).total_seconds(), 3) if began and ended else None
    return {**used, "seconds_per_call": latency, "seconds": seconds, "labelled": run["answered"]}
