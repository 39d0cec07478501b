"""Evaluation runs: a version of a template, asked by a model about every case of a test set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from adapters.bootstrap import MEDIA_TYPES, Container, plot
from api.deps import Commands, CommandsDep, ContainerDep, OperationResponse, Read, found, reads, show_if_ended
from api.paging import PageDep, PaginatedResponse
from api.queries import Word
from commands.evaluation import CancelEvaluation, RequestEvaluation, ResumeEvaluation
from commands.evaluation.reading import texts_by_case
from domain.errors import Conflict
from projections import evaluation as read
from projections.evaluation.runs import Only

router = APIRouter()

LOCAL = "local/nearest"
RunId = Annotated[str, Path(max_length=200)]
Status = Literal["pending", "running", "cancelling", "completed", "failed", "cancelled"]
WithLeaked = Annotated[
    bool, Query(description="Count also the cases whose text is an example of the template.")
]


class Execution(BaseModel):
    """`tokens`: so many in all at most, in and out. `seed`: of the intervals."""

    model_config = ConfigDict(strict=True)

    concurrency: int | None = Field(None, ge=1, le=1_000)
    rpm: int | None = Field(None, ge=1)
    tokens: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0, lt=2**31)

    def given(self) -> dict[str, Any]:
        return self.model_dump(include=set(Execution.model_fields), exclude_none=True)


class EvaluationRequest(Execution):
    """`template_number` and `test_set_version` are the newest unless they are given."""

    template_id: str = Field(max_length=200)
    template_number: int | None = Field(None, ge=1, lt=2**31)
    test_set: str = Field(max_length=64)
    test_set_version: int | None = Field(None, ge=1, lt=2**31)
    model: str = Field(LOCAL, max_length=400, description="provider/model")


class EvaluationRequested(BaseModel):
    evaluation_run_id: str
    template_id: str
    template_number: int
    test_set: str
    test_set_version: int
    status: Status


class Average(BaseModel):
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: list[float] | None


class ClassFigures(Average):
    """None where it is not defined: recall of a label without cases, precision of one never answered."""

    label: str
    support: int
    predicted: int
    correct: int


class Confusion(BaseModel):
    """`cells`: `[expected, answered, cases]` as indexes into `labels`; one behind the last is an error."""

    labels: list[str]
    cells: list[list[int]]


class Block(BaseModel):
    """Figures over some cases. Averages are over the labels that have cases; intervals hold 95 %."""

    cases: int
    correct: int
    errors: int
    accuracy: float | None
    accuracy_interval: list[float] | None
    macro: Average
    weighted: Average
    classes: list[ClassFigures]
    confusion: Confusion


class Counts(BaseModel):
    """`leaked`: their text is an example of the template. `gone`: they were erased before they were asked."""

    cases: int
    answered: int
    errors: int
    leaked: int
    gone: int


class Figures(BaseModel):
    """`headline` leaves out what leaked; `with_leaked` has all, None where nothing leaked.

    `not_allowed`: labels that cases have and the template has not. `seconds` of a call: mean, p50, p95.
    """

    headline: Block
    with_leaked: Block | None
    counts: Counts
    not_allowed: list[str]
    seconds: dict[str, float | None]
    usage: dict[str, Any]


class EvaluationRunSummary(EvaluationRequested):
    """`accuracy` and `macro_f1` of what does not leak. `suggestion_id`: it tried the draft of that."""

    template_hash: str
    suggestion_id: str | None = None
    model: str
    prompt: str
    cases: int
    answered: int
    errors: int
    accuracy: float | None = None
    macro_f1: float | None = None
    cost_usd: float | None = None
    parameters: dict[str, Any]
    error: str | None = None
    created_at: datetime
    created_by: str
    ended_at: datetime | None = None


class EvaluationRunDetail(EvaluationRunSummary):
    """`processed` and `total` are for who waits. `figures` of one that failed are over what was answered."""

    hash: str = Field(description="Of the cases.")
    labels: list[str]
    figures: Figures | None = None
    processed: int
    total: int


class ResultResponse(BaseModel):
    """`text` is None where the case is gone. `error`: why there is no label."""

    test_id: int
    text: str | None = None
    query_id: int | None = None
    expected: str
    predicted: str | None = None
    right: bool
    confidence: float | None = None
    seconds: float | None = None
    leaked: bool
    gone: bool
    error: str | None = None
    reasoning: str | None = None


@router.post("/runs", status_code=202)
def create_run(body: EvaluationRequest, commands: CommandsDep) -> EvaluationRequested:
    """Ask about every case of a test set. The work goes on after the answer."""
    command = RequestEvaluation(
        template_id=body.template_id,
        number=body.template_number,
        test_set=body.test_set,
        test_set_version=body.test_set_version,
        model=body.model,
        at=datetime.now(UTC),
        parameters=body.given(),
    )
    return requested(commands, command)


def requested(commands: Commands, command: object) -> EvaluationRequested:
    answer = commands.handle(command).answer
    commands.locate("evaluation", "runs", answer["evaluation_run_id"])
    return EvaluationRequested.model_validate(answer)


@router.get("/runs", dependencies=reads)
def list_runs(
    connection: Read,
    page: PageDep,
    template_id: Annotated[Word | None, Query()] = None,
    test_set: Annotated[Word | None, Query()] = None,
    suggestion_id: Annotated[Word | None, Query()] = None,
    status: Status | None = None,
) -> PaginatedResponse[EvaluationRunSummary]:
    """Runs, newest first."""
    rows, total = read.list_runs(
        connection,
        page.limit,
        page.offset,
        template_id=template_id,
        test_set=test_set,
        suggestion_id=suggestion_id,
        status=status,
    )
    return page.of(EvaluationRunSummary, rows, total)


@router.get("/runs/{evaluation_run_id}", dependencies=reads)
def get_run(evaluation_run_id: RunId, connection: Read, container: ContainerDep) -> EvaluationRunDetail:
    """A run with its figures; while it is under way: how far it is."""
    row = ended_run(connection, container, evaluation_run_id)
    more = {"hash": row["manifest"], "processed": row["answered"], "total": row["cases"]}
    return EvaluationRunDetail.model_validate({**row, **more})


def ended_run(connection: Any, container: Container, evaluation_run_id: str) -> dict[str, Any]:  # noqa: ANN401
    """The run, or 404. Whoever sees that it has ended sees all that it did."""
    row = run_row(connection, evaluation_run_id)
    show_if_ended(container, row["status"])
    return row


def run_row(connection: Any, evaluation_run_id: str) -> dict[str, Any]:  # noqa: ANN401
    return found(read.find_run(connection, evaluation_run_id), f"evaluation run {evaluation_run_id!r}")


@router.get("/runs/{evaluation_run_id}/results", dependencies=reads)
def list_results(
    evaluation_run_id: RunId,
    connection: Read,
    container: ContainerDep,
    page: PageDep,
    only: Only | None = None,
    expected: Annotated[Word | None, Query()] = None,
    predicted: Annotated[Word | None, Query()] = None,
) -> PaginatedResponse[ResultResponse]:
    """Answers in the order of the cases: all, those that failed, of one cell of the matrix."""
    items, total = result_page(
        connection,
        container,
        run_row(connection, evaluation_run_id),
        (page.limit, page.offset),
        only=only,
        expected=expected,
        predicted=predicted,
    )
    return page.of(ResultResponse, items, total)


def result_page(
    connection: Any,  # noqa: ANN401
    container: Container,
    run: dict[str, Any],
    at: tuple[int, int],
    **which: Any,  # noqa: ANN401
) -> tuple[list[dict[str, Any]], int]:
    """`at`: limit and offset. Rows with the texts that there still are."""
    rows, total = read.list_results(connection, run, *at, **which)
    return with_texts(connection, container, run, rows), total


def with_texts(
    connection: Any,  # noqa: ANN401
    container: Container,
    run: dict[str, Any],
    rows: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    version = read.find_version(connection, run["test_set"], run["test_set_version"])
    texts = texts_by_case(rows, version["dataset"] if version else None, container.contents)
    return [_with_text(row, texts.get(row["case_number"])) for row in rows]


def _with_text(row: dict[str, Any], text: str | None) -> dict[str, Any]:
    right = row.get("predicted") is not None and row.get("predicted") == row["expected"]
    return {**row, "test_id": row["case_number"], "text": text, "right": right, "gone": text is None}


@router.post("/runs/{evaluation_run_id}/cancel", status_code=202)
def cancel_run(evaluation_run_id: RunId, commands: CommandsDep) -> OperationResponse:
    """Ask a run to stop. It ends within seconds, with what was answered."""
    command = CancelEvaluation(evaluation_run_id=evaluation_run_id)
    return commands.operation(command)


@router.post("/runs/{evaluation_run_id}/resume", status_code=202)
def resume_run(evaluation_run_id: RunId, body: Execution, commands: CommandsDep) -> EvaluationRequested:
    """Go on with a run that failed or was cancelled: with the cases that have no answer or an error."""
    command = ResumeEvaluation(evaluation_run_id=evaluation_run_id, parameters=body.given())
    return requested(commands, command)


@router.get(
    "/runs/{evaluation_run_id}/plot",
    dependencies=reads,
    response_class=Response,
    responses={200: {"content": {media: {} for media in MEDIA_TYPES.values()}}},
)
def plot_run(
    evaluation_run_id: RunId,
    connection: Read,
    kind: Literal["confusion", "classes"] = "confusion",
    format: Literal["svg", "png"] = "svg",
    with_leaked: WithLeaked = False,
) -> Response:
    """A picture: the confusion matrix, or F1, precision and recall of each label."""
    row = run_row(connection, evaluation_run_id)
    connection.close()
    block = block_of(row, with_leaked=with_leaked)
    test_set = f"{row['test_set']} v{row['test_set_version']}"
    draft = ", draft" if row["suggestion_id"] else ""
    title = f"{row['template_id']} v{row['template_number']}{draft}, {row['model']} on {test_set}"
    return Response(plot(block, kind, format, title), media_type=MEDIA_TYPES[format])


def block_of(row: dict[str, Any], *, with_leaked: bool) -> dict[str, Any]:
    """Raises Conflict for a run that has no figures yet."""
    figures = row["figures"]
    if figures is None:
        raise Conflict(f"evaluation run {row['evaluation_run_id']} is {row['status']}: it has no figures yet")
    found_block: dict[str, Any] = (figures["with_leaked"] if with_leaked else None) or figures["headline"]
    return found_block
