"""Loading conversations, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Body, Depends, File, Form, Path, Query, Request, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from adapters.bootstrap import Container, keep_upload
from api.deps import (
    DATASET,
    Commands,
    CommandsDep,
    ContainerDep,
    Dataset,
    OperationResponse,
    Read,
    found,
    reads,
    show_if_ended,
)
from api.limits import limit_uploads
from api.paging import PageDep, PaginatedResponse
from api.requests import request_hash
from commands.datasets import ClearDataset, EraseConversation, RequestEmbedding, RequestLoad
from commands.datasets import confirm_token as token_of
from domain.base import context
from domain.datasets import Dataset as DatasetAggregate
from domain.datasets import check_name
from domain.errors import DomainError, Invalid
from domain.values import flaw
from projections import datasets as datasets_read
from projections import jobs as jobs_read

router = APIRouter(prefix="/api/datasets", tags=["datasets"])

JobStatusName = Literal["pending", "running", "completed", "failed"]


class EmbeddingConfig(BaseModel):
    model_config = ConfigDict(strict=True)

    embedding_provider: str | None = Field(None, max_length=100)
    embedding_model: str | None = Field(None, max_length=400)
    embed_batch_size: int | None = Field(None, ge=1, le=10_000)
    use_chroma: bool | None = Field(None, description="false: do not embed after the load")


class DatasetLoadRequest(EmbeddingConfig):
    """A data set of the Hugging Face hub, or a file or folder below LMSYS_IMPORT_DIR (`path`)."""

    limit: int | None = Field(None, ge=1)
    skip_existing: bool | None = None
    use_streaming: bool | None = None
    dataset: str = DATASET
    hf_dataset: str = Field(default="lmsys/lmsys-chat-1m", max_length=200)
    path: str | None = Field(default=None, max_length=1_000)
    text_column: str | None = Field(default=None, max_length=200)
    format: str | None = Field(default=None, max_length=20)


class DatasetJobStatus(BaseModel):
    """`errors`: the first bad rows; `rejected` counts all. `rate`: rows a second so far."""

    status: JobStatusName
    created_at: datetime
    completed_at: datetime | None = None
    job_id: str
    job_type: Literal["load", "upload", "backfill"]
    dataset: str
    processed: int | None = None
    total: int | None = None
    imported: int = 0
    skipped: int = 0
    rejected: int = 0
    rate: float | None = None
    errors: list[str] | None = None
    error: str | None = None


class DatasetStatusResponse(BaseModel):
    active_jobs: list[DatasetJobStatus]
    last_completed_job: DatasetJobStatus | None = None
    total_records: int | None = None
    last_updated_at: datetime | None = None


class DatasetSummary(BaseModel):
    name: str
    queries: int
    created_at: datetime
    updated_at: datetime


@router.post("/load", status_code=202)
def load(body: DatasetLoadRequest, container: ContainerDep, commands: CommandsDep) -> DatasetJobStatus:
    """Load a data set of the Hugging Face hub, or a file or folder below the import folder."""
    if body.path is None:
        source = {"kind": "huggingface", "name": body.hf_dataset}
    else:
        container.sources.importable(body.path)
        source = {"kind": "import", "path": body.path, "name": body.path.rsplit("/", 1)[-1]}
    return _request(container, commands, "load", source, body, _new_id("load"))


@router.post("/upload", status_code=202, dependencies=[Depends(limit_uploads)])
def upload(
    request: Request,
    container: ContainerDep,
    commands: CommandsDep,
    file: Annotated[UploadFile, File(description="JSONL, JSON, CSV, TSV or Parquet, gzip or plain.")],
    dataset: Annotated[str, Form(max_length=64)] = DATASET,
    format: Annotated[str | None, Form(max_length=20)] = None,
    description: Annotated[str | None, Form(max_length=4_000)] = None,
    text_column: Annotated[str | None, Form(max_length=200)] = None,
    limit: Annotated[int | None, Form(ge=1)] = None,
    skip_existing: Annotated[bool | None, Form()] = None,
    use_chroma: Annotated[bool | None, Form()] = None,
    embedding_provider: Annotated[str | None, Form(max_length=100)] = None,
    embedding_model: Annotated[str | None, Form(max_length=400)] = None,
    embed_batch_size: Annotated[int | None, Form(ge=1, le=10_000)] = None,
) -> DatasetJobStatus:
    """Load a file. It is kept on disk until it is loaded, never in memory."""
    body = DatasetLoadRequest(
        dataset=dataset,
        format=format,
        text_column=text_column,
        limit=limit,
        skip_existing=skip_existing,
        use_chroma=use_chroma,
        embedding_provider=embedding_provider,
        embedding_model=embedding_model,
        embed_batch_size=embed_batch_size,
    )
    check_name(dataset)
    job_id = _new_id("upload")
    kept = container.settings.upload_dir / job_id
    sha256 = keep_upload(file.file, kept)
    name = PurePath((file.filename or "upload").replace("\\", "/")).name[:200] or "upload"
    source = {"kind": "upload", "file": job_id, "sha256": sha256, "name": name, "description": description}
    same = request_hash(request.scope, f"{sha256} {body.model_dump_json()} {name} {description}".encode())
    context.set(replace(context.get(), request_hash=same))
    try:
        job = _request(container, commands, "upload", source, body, job_id)
    except DomainError:
        kept.unlink(missing_ok=True)
        raise
    if job.job_id != job_id:  # the request was answered before, and so was its file kept
        kept.unlink(missing_ok=True)
    return job


@router.post("/backfill-chroma", status_code=202)
def backfill(
    container: ContainerDep,
    commands: CommandsDep,
    dataset: Dataset = DATASET,
    provider: Annotated[str | None, Query(max_length=100)] = None,
    model: Annotated[str | None, Query(max_length=400)] = None,
) -> DatasetJobStatus:
    """Embed the queries of a data set that have no vector yet."""
    chosen = container.embedders.named(provider, model)
    container.embedders.check(*chosen)
    command = RequestEmbedding(
        dataset=dataset, job_id=_new_id("backfill"), provider=chosen[0], model=chosen[1]
    )
    return _job(container, commands.handle(command).answer["job_id"])


@router.get("", dependencies=reads)
def list_datasets(connection: Read, page: PageDep) -> PaginatedResponse[DatasetSummary]:
    """The data sets that there are."""
    rows, total = datasets_read.list_datasets(connection, page.limit, page.offset)
    return page.of(DatasetSummary, rows, total)


@router.get("/status", dependencies=reads)
def status(
    connection: Read,
    container: ContainerDep,
    job_id: Annotated[str | None, Query(max_length=100)] = None,
    dataset: Annotated[str | None, Query(max_length=64)] = None,
) -> DatasetStatusResponse:
    """Jobs under way, the last one that ended, and how many queries there are."""
    if job_id is not None:
        job = status_of(found(jobs_read.find(connection, job_id), f"job {job_id!r}"))
        ended = show_if_ended(container, job.status)
        active, last = ([], job) if ended else ([job], None)
    else:
        active = [status_of(row) for row in jobs_read.active(connection, dataset)]
        row = jobs_read.last_ended(connection, dataset)
        last = status_of(row) if row else None
    records, updated = datasets_read.totals(connection, dataset)
    return DatasetStatusResponse(
        active_jobs=active, last_completed_job=last, total_records=records, last_updated_at=updated
    )


@router.delete("")
def clear(
    container: ContainerDep,
    commands: CommandsDep,
    dataset: Dataset = DATASET,
    confirm_token: Annotated[str | None, Query(max_length=100)] = None,
) -> OperationResponse:
    """Take a data set and its runs out of the read models. The log keeps everything.

    A first call without `confirm_token` changes nothing and hands out the token for the present state.
    """
    if confirm_token is None:
        return OperationResponse.model_validate(container.bus.once(lambda: _confirmation(container, dataset)))
    command = ClearDataset(dataset=dataset, confirm_token=confirm_token)
    return commands.operation(command, status="cleared")


class EraseRequest(BaseModel):
    """Why, for the event that stays."""

    model_config = ConfigDict(strict=True)

    reason: str = Field(min_length=1, max_length=2_000)


class ErasureResponse(BaseModel):
    """`query_ids`: those it had. `runs`: the clustering runs that had them.

    `also_held_by`: how many other conversations, of all data sets, had the same text and keep it.
    `complete`: it is gone from everything that is shown, too; where not, /api/health says what lags behind.
    """

    dataset: str
    conversation_id: str
    query_ids: list[int]
    runs: list[str]
    also_held_by: int
    complete: bool


@router.delete("/{dataset}/conversations/{conversation_id:path}")
def erase(
    container: ContainerDep,
    commands: CommandsDep,
    dataset: Annotated[str, Path(max_length=64)],
    conversation_id: Annotated[str, Path(max_length=512)],
    body: Annotated[EraseRequest | None, Body()] = None,
    reason: Annotated[
        str | None, Query(min_length=1, max_length=2_000, description="In place of a body.")
    ] = None,
) -> ErasureResponse:
    """Erase a conversation for good, its text and its vectors. A second time changes nothing."""
    if wrong := flaw("conversation_id", conversation_id):
        raise Invalid(wrong)
    command = EraseConversation(dataset=dataset, conversation_id=conversation_id)
    answer = commands.handle(command, body.reason if body else reason).answer
    return ErasureResponse(**answer, complete=_is_gone(container, answer["query_ids"]))


def _is_gone(container: Container, query_ids: list[int]) -> bool:
    """Whether every read model has passed the erasure, and none had to set it aside."""
    passed = container.wait_until(container.store.head())
    with container.database.engine.connect() as connection:
        return passed and not datasets_read.any_of(connection, query_ids)


def _confirmation(container: Container, dataset: str) -> dict[str, Any]:
    present = container.store.load(DatasetAggregate, dataset)
    return {
        "status": "confirmation_required",
        "message": "repeat the request with this confirm_token to clear the data set",
        "data": {"dataset": dataset, "queries": present.queries, "confirm_token": token_of(present)},
    }


def _request(
    container: Container,
    commands: Commands,
    kind: str,
    source: dict[str, Any],
    body: DatasetLoadRequest,
    job_id: str,
) -> DatasetJobStatus:
    options = body.model_dump(include={"limit", "skip_existing", "use_streaming", "text_column", "format"})
    command = RequestLoad(
        dataset=check_name(body.dataset),
        job_id=job_id,
        kind=kind,
        source=source,
        options={**options, "embedding": embedding_of(container, body)},
    )
    return _job(container, commands.handle(command).answer["job_id"])


def embedding_of(container: Container, body: EmbeddingConfig) -> dict[str, Any] | None:
    """`{provider, model, options}` of a request, checked; None where it wants no vectors."""
    if body.use_chroma is False:
        return None
    provider, model = container.embedders.named(body.embedding_provider, body.embedding_model)
    container.embedders.check(provider, model)
    options = {"embed_batch_size": body.embed_batch_size} if body.embed_batch_size else {}
    return {"provider": provider, "model": model, "options": options}


def _new_id(kind: str) -> str:
    return f"{kind}-{uuid4().hex[:16]}"


def _job(container: Container, job_id: str) -> DatasetJobStatus:
    with container.database.engine.connect() as connection:
        return status_of(found(jobs_read.find(connection, job_id), f"job {job_id!r}"))


def status_of(row: Mapping[str, Any]) -> DatasetJobStatus:
    """A job as the read model and its progress row have it."""
    errors = [f"row {one['row']}: {one['reason']}" for one in row["errors"]]
    return DatasetJobStatus.model_validate({**row, "errors": errors})
