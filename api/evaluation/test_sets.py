"""Test sets: labelled cases out of a file or out of a data set, in versions that are frozen by a hash."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, File, Form, Path, Query, Request, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from adapters.bootstrap import keep_upload, read_cases
from api.deps import DATASET, Commands, CommandsDep, ContainerDep, Read, found, reads
from api.limits import limit_uploads
from api.paging import PageDep, PaginatedResponse
from api.queries import Filters, Word, meant
from api.requests import request_hash
from api.time_travel import NowDep
from commands.evaluation import FreezeTestSet
from commands.evaluation.reading import texts_by_case
from domain.base import context
from domain.errors import Invalid
from domain.evaluation import Case, gather, sampled
from domain.evaluation.cases import MAX_CASES
from domain.evaluation.test_sets import check_name
from projections import evaluation as read

router = APIRouter()

Name = Annotated[str, Path(max_length=64)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
SEED = 42


class TestSetRequest(BaseModel):
    """Labelled queries: `truth` is the field of their metadata that says what is right.

    `per_label`: so many of each label at most, drawn by `seed`.
    """

    model_config = ConfigDict(strict=True)

    test_set: str = Field(max_length=64)
    description: str | None = Field(None, max_length=2_000)
    filters: Filters = Field(default_factory=lambda: Filters.model_validate({}))
    truth: Literal["label", "domain"] = "label"
    per_label: int | None = Field(None, ge=1, le=MAX_CASES)
    seed: int = Field(SEED, ge=0, lt=2**31)


class RowError(BaseModel):
    row: int
    reason: str


class TestSetFrozen(BaseModel):
    """`hash`: of the cases; the same cases are the same version. `errors`: the first of the rows left out."""

    test_set: str
    number: int
    hash: str
    cases: int
    labels: dict[str, int]
    rejected: int = 0
    errors: list[RowError] = []


class TestSetVersion(TestSetFrozen):
    """`gone`: cases whose conversation was erased, or whose data set was cleared: none is asked about."""

    dataset: str | None = None
    source: dict[str, Any]
    gone: int | None = None
    created_at: datetime
    created_by: str


class TestSetSummary(TestSetFrozen):
    """A test set with its newest version."""

    description: str | None = None
    versions: int
    dataset: str | None = None
    source: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class CaseResponse(BaseModel):
    """`text` is None where the case is gone."""

    test_id: int
    label: str
    text: str | None = None
    query_id: int | None = None
    gone: bool


@router.post("/test-sets", status_code=201)
def create_test_set(body: TestSetRequest, commands: CommandsDep, seen: NowDep) -> TestSetFrozen:
    """Freeze labelled queries as the next version of a test set, or its first."""
    check_name(body.test_set)
    filters = body.filters
    if filters.run_id is None and filters.dataset is None:
        filters = filters.model_copy(update={"dataset": DATASET})
    where, _ = meant(seen, filters)
    rows = read.labelled_queries(seen.connection, where, body.truth, body.per_label, body.seed, MAX_CASES + 1)
    cases, rejected = gather(Case(label, query_id=query_id) for query_id, label in rows)
    if not cases:
        raise Invalid(f"filters: none of these queries has a {body.truth} in its metadata")
    source = {"kind": "queries", **body.model_dump(mode="json", exclude={"test_set", "description"})}
    command = FreezeTestSet(
        test_set=body.test_set,
        cases=cases,
        source=source,
        dataset=where.dataset,
        description=body.description,
        rejected=rejected,
    )
    return _frozen(commands, command)


@router.post("/test-sets/upload", status_code=201, dependencies=[Depends(limit_uploads)])
def upload_test_set(
    request: Request,
    container: ContainerDep,
    commands: CommandsDep,
    file: Annotated[UploadFile, File(description="JSONL, JSON, CSV, TSV or Parquet, gzip or plain.")],
    test_set: Annotated[str, Form(max_length=64)],
    description: Annotated[str | None, Form(max_length=2_000)] = None,
    format: Annotated[str | None, Form(max_length=20)] = None,
    text_column: Annotated[str | None, Form(max_length=200)] = None,
    label_column: Annotated[str | None, Form(max_length=200)] = None,
    per_label: Annotated[int | None, Form(ge=1, le=MAX_CASES)] = None,
    seed: Annotated[int, Form(ge=0, lt=2**31)] = SEED,
) -> TestSetFrozen:
    """Freeze the cases of a file. Rows that are no cases are named in the answer and left out."""
    check_name(test_set)
    name = PurePath((file.filename or "upload").replace("\\", "/")).name[:200] or "upload"
    kept = container.settings.upload_dir / f"cases-{uuid4().hex[:16]}"
    sha256 = keep_upload(file.file, kept)
    try:
        cases, rejected = read_cases(
            kept, name=name, file_format=format, text_column=text_column, label_column=label_column
        )
    finally:
        kept.unlink(missing_ok=True)
    options = {"label_column": label_column, "text_column": text_column, "per_label": per_label, "seed": seed}
    same = request_hash(request.scope, f"{sha256} {test_set} {name} {description} {options}".encode())
    context.set(replace(context.get(), request_hash=same))
    command = FreezeTestSet(
        test_set=test_set,
        cases=sampled(cases, per_label, seed),
        source={"kind": "file", "name": name, "sha256": sha256, **options},
        description=description,
        rejected=rejected,
    )
    return _frozen(commands, command)


def _frozen(commands: Commands, command: FreezeTestSet) -> TestSetFrozen:
    answer = commands.handle(command).answer
    commands.locate("evaluation", "test-sets", answer["test_set"])
    return TestSetFrozen.model_validate(answer)


@router.get("/test-sets", dependencies=reads)
def list_test_sets(connection: Read, page: PageDep) -> PaginatedResponse[TestSetSummary]:
    """Test sets with their newest version, the last changed first."""
    rows, total = read.list_test_sets(connection, page.limit, page.offset)
    return page.of(TestSetSummary, rows, total)


@router.get("/test-sets/{test_set}", dependencies=reads)
def get_test_set(test_set: Name, connection: Read) -> TestSetSummary:
    """A test set with its newest version."""
    return TestSetSummary.model_validate(_found(read.find_test_set(connection, test_set), test_set))


@router.get("/test-sets/{test_set}/versions", dependencies=reads)
def list_versions(test_set: Name, connection: Read) -> list[TestSetVersion]:
    """All versions, the newest first."""
    rows = read.list_versions(connection, test_set)
    _found(rows or None, test_set)
    return [TestSetVersion.model_validate(row) for row in rows]


@router.get("/test-sets/{test_set}/versions/{number}", dependencies=reads)
def get_version(test_set: Name, number: Number, connection: Read) -> TestSetVersion:
    """A version, and how many of its cases are gone."""
    return TestSetVersion.model_validate(version_row(connection, test_set, number))


@router.get("/test-sets/{test_set}/versions/{number}/cases", dependencies=reads)
def list_cases(
    test_set: Name,
    number: Number,
    connection: Read,
    container: ContainerDep,
    page: PageDep,
    label: Annotated[Word | None, Query()] = None,
) -> PaginatedResponse[CaseResponse]:
    """Cases in their order, with their texts as far as they are still there."""
    version = version_row(connection, test_set, number)
    rows, total = read.list_cases(connection, test_set, number, page.limit, page.offset, label)
    texts = texts_by_case(rows, version["dataset"], container.contents)
    items = [case_of(row, texts) for row in rows]
    return page.of(CaseResponse, items, total)


def case_of(row: dict[str, Any], texts: dict[int, str]) -> dict[str, Any]:
    text = texts.get(row["case_number"])
    same = {"test_id": row["case_number"], "query_id": row["query_id"]}
    return {**same, "label": row["label"], "text": text, "gone": text is None}


def version_row(connection: Any, test_set: str, number: int) -> dict[str, Any]:  # noqa: ANN401
    return found(
        read.find_version(connection, test_set, number), f"version {number} of test set {test_set!r}"
    )


def _found(row: Any, test_set: str) -> Any:  # noqa: ANN401
    return found(row, f"test set {test_set!r}")
