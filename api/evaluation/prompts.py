"""The same in the words of a prompt optimiser: a prompt is a template, a ticket the text of a case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from adapters.bootstrap import Container
from api.deps import ContainerDep, OperationResponse, Read, found, settled, wait_for_position
from api.evaluation.runs import LOCAL, Execution, ended_run, result_page
from api.evaluation.suggestions import LOCAL as LOCAL_SUGGESTER
from api.paging import Limit, Page
from api.queries import Word
from commands.evaluation import RequestEvaluation
from commands.evaluation.reporting import MOST_FAILED, nested
from commands.ports import FailedCase, Report
from commands.templates import DeleteTemplate, PutTemplate, ReviseTemplate
from domain.base import Conflict, Invalid, NotFound, Unavailable
from domain.templates import Template, TemplateContent, read_content
from projections import evaluation as read
from projections import templates as templates_read

router = APIRouter()
reads = [Depends(wait_for_position)]

TICKET, TEXT = "{ticket}", "{text}"
MOST_RESULTS = 1_000
"""Results of a run in one answer; all of them, in pages: /api/evaluation/runs/{id}/results."""

MOST_RUNS = 10_000


# --- prompts


class PromptFields(BaseModel):
    """`template`: the words to ask with, {ticket} where the text stands; empty for the standard words."""

    model_config = ConfigDict(strict=True)

    name: str | None = None
    template: str | None = None
    categories: list[str] | None = None

    def fields(self) -> dict[str, Any]:
        """Of a template, those that were given."""
        given: dict[str, Any] = {} if self.name is None else {"name": self.name}
        if self.template is not None:
            given["prompt"] = self.template.replace(TICKET, TEXT) or None
        return given


class PromptCreate(PromptFields):
    """Without `categories` those of the newest test set are taken."""

    id: str = Field(min_length=1, max_length=128)
    name: str
    template: str


class PromptResponse(BaseModel):
    id: str
    name: str
    template: str
    categories: list[str]
    created_at: datetime
    updated_at: datetime
    version: int


@router.get("/prompts", dependencies=reads)
def list_prompts(connection: Read, page: Page = 1, limit: Limit = 100) -> list[PromptResponse]:
    """Prompts by their id."""
    rows, _ = templates_read.list_templates(connection, limit, (page - 1) * limit)
    return [_prompt(_there(connection, row["template_id"])) for row in rows]


@router.post("/prompts", status_code=201)
def create_prompt(body: PromptCreate, response: Response, container: ContainerDep) -> PromptResponse:
    """Create a prompt. 409 where there is one of this id."""
    before = container.store.find(Template, body.id)
    if before is not None and not before.deleted:
        raise Conflict(f"there is a prompt {body.id!r} already: PUT changes it")
    with container.database.engine.connect() as connection:
        labels = _newest_categories(connection) if body.categories is None else body.categories
    with _in_these_words():
        content = read_content({**body.fields(), "labels": labels})
    settled(response, container.waiting_bus.handle(PutTemplate(content=content, template_id=body.id)))
    response.headers["Location"] = f"/api/prompts/{body.id}"
    return _read(container, body.id)


def _newest_categories(connection: Connection) -> list[str]:
    test_set = read.newest_test_set(connection)
    if test_set is None:
        raise Invalid("categories is missing, and there is no test set to take them from")
    return sorted(test_set["labels"])


@router.get("/prompts/{prompt_id}", dependencies=reads)
def get_prompt(prompt_id: str, connection: Read) -> PromptResponse:
    """A prompt as it is now."""
    return _prompt(_there(connection, prompt_id))


@router.put("/prompts/{prompt_id}")
def edit_prompt(
    prompt_id: str, body: PromptFields, response: Response, container: ContainerDep
) -> PromptResponse:
    """Change what is given; the rest stays, with examples and descriptions. Past versions stay readable."""
    now = container.store.load(Template, prompt_id).current.template_hash
    fields = body.fields()
    if body.categories is not None:
        fields["labels"] = _described(container.store.load(Template, prompt_id).content, body.categories)
    command = ReviseTemplate(template_id=prompt_id, fields=fields, template_hash=now)
    with _in_these_words():
        settled(response, container.waiting_bus.handle(command))
    return _read(container, prompt_id)


NAMES = {"prompt": "template", "labels": "categories"}


@contextmanager
def _in_these_words() -> Iterator[None]:
    """What is wrong with a template, by the names that its fields and its placeholder have here."""
    try:
        yield
    except Invalid as error:
        details = [{name: _renamed(said) for name, said in one.items()} for one in error.details]
        raise Invalid(_renamed(error.message), details) from error


def _renamed(said: str) -> str:
    return re.sub("^(/?)(prompt|labels)", lambda at: at[1] + NAMES[at[2]], said).replace(TEXT, TICKET)


def _described(content: TemplateContent, categories: Iterable[str]) -> list[dict[str, str]]:
    known = {one.name: one.description for one in content.labels}
    return [{"name": name, "description": known.get(name, "")} for name in categories]


@router.delete("/prompts/{prompt_id}")
def delete_prompt(prompt_id: str, response: Response, container: ContainerDep) -> OperationResponse:
    """Take a prompt out of what is offered. Its versions and runs stay."""
    answer = settled(response, container.waiting_bus.handle(DeleteTemplate(template_id=prompt_id)))
    return OperationResponse(status="deleted", data=answer)


def _read(container: Container, prompt_id: str) -> PromptResponse:
    with container.database.engine.connect() as connection:
        return _prompt(_there(connection, prompt_id))


def _there(connection: Connection, prompt_id: str) -> dict[str, Any]:
    row: dict[str, Any] = found(templates_read.find_template(connection, prompt_id), f"prompt {prompt_id!r}")
    if row["deleted"]:
        raise NotFound(f"prompt {prompt_id!r} was deleted")
    return row


def _prompt(row: Mapping[str, Any]) -> PromptResponse:
    content: TemplateContent | None = row["content"]
    if content is None:
        raise Unavailable(f"prompt {row['template_id']!r} is being changed; try again")
    return PromptResponse(
        id=row["template_id"],
        name=content.name,
        template=(content.prompt or "").replace(TEXT, TICKET),
        categories=list(content.label_names),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["number"],
    )


# --- runs


class PromptRunRequest(Execution):
    """`test_set`: the newest unless it is named."""

    prompt_id: str = Field(max_length=200)
    test_set: str | None = Field(None, max_length=64)
    model: str = Field(LOCAL, max_length=400, description="provider/model")


class PromptRunStarted(BaseModel):
    id: str
    status: Literal["pending", "running", "completed", "failed"]


class PromptMetrics(BaseModel):
    """Of the cases that are no examples of the prompt; `with_leaked` counts all, where some are."""

    overall_accuracy: float | None
    correct: int
    total: int
    category_stats: dict[str, dict[str, Any]]
    with_leaked: dict[str, Any] | None = None


class PromptRunResponse(PromptRunStarted):
    prompt_id: str
    metrics: PromptMetrics | None
    created_at: datetime
    completed_at: datetime | None = None
    error: str | None = None


class FailedCaseResponse(BaseModel):
    test_id: int
    ticket: str | None
    expected: str
    predicted: str | None


class PromptResult(FailedCaseResponse):
    correct: bool


class PromptRunDetail(PromptRunResponse):
    """The first 1,000 results. A run that failed has what came before in `partial_results`."""

    confusion_matrix: dict[str, dict[str, int]] | None = None
    results: list[PromptResult]
    failed_cases: list[FailedCaseResponse]
    partial_results: list[PromptResult] | None = None
    failed_at: datetime | None = None


@router.post("/runs", status_code=202)
def execute_prompt(
    response: Response,
    container: ContainerDep,
    body: Annotated[PromptRunRequest | None, Body()] = None,
    prompt_id: Annotated[Word | None, Query(description="In place of a body.")] = None,
) -> PromptRunStarted:
    """Run a prompt on a test set. Ask for the run until it has ended."""
    if body is None:
        body = PromptRunRequest.model_validate({"prompt_id": _named(prompt_id)})
    command = RequestEvaluation(
        template_id=body.prompt_id,
        test_set=body.test_set or _newest_name(container),
        model=body.model,
        at=datetime.now(UTC),
        parameters=body.given(),
    )
    answer = settled(response, container.waiting_bus.handle(command))
    response.headers["Location"] = f"/api/runs/{answer['evaluation_run_id']}"
    return PromptRunStarted(id=answer["evaluation_run_id"], status=answer["status"])


def _named(prompt_id: str | None) -> str:
    if prompt_id is None:
        raise Invalid("prompt_id is missing: give it in the body")
    return prompt_id


def _newest_name(container: Container) -> str:
    with container.database.engine.connect() as connection:
        return str(found(read.newest_test_set(connection), "test set: create one first")["test_set"])


@router.get("/runs", dependencies=reads)
def list_prompt_runs(
    connection: Read,
    prompt_id: Annotated[Word | None, Query()] = None,
    page: Page = 1,
    limit: Limit = 100,
) -> list[PromptRunResponse]:
    """Runs, newest first."""
    rows, _ = read.list_runs(connection, limit, (page - 1) * limit, template_id=prompt_id, figures=True)
    return [PromptRunResponse.model_validate(_run(row)) for row in rows]


@router.get("/runs/{id}", dependencies=reads)
def get_prompt_run(id: str, connection: Read, container: ContainerDep) -> PromptRunDetail:
    """A run: metrics, what was taken for what, results, and what failed."""
    row = ended_run(connection, container, id)
    results, _ = result_page(connection, container, row, (MOST_RESULTS, 0))
    failed, _ = result_page(connection, container, row, (MOST_RESULTS, 0), only="failed")
    shown = _run(row)
    ended = shown["status"] == "failed"
    return PromptRunDetail.model_validate(
        {
            **shown,
            "confusion_matrix": nested(row["figures"]["headline"]["confusion"]) if row["figures"] else None,
            "results": [] if ended else [_result(one) for one in results],
            "partial_results": [_result(one) for one in results] if ended else None,
            "failed_cases": [_result(one) for one in failed],
            "failed_at": row["ended_at"] if ended else None,
        }
    )


STATUS = {"cancelling": "running", "cancelled": "failed"}


def _run(row: Mapping[str, Any]) -> dict[str, Any]:
    status = STATUS.get(row["status"], row["status"])
    error = row["error"] or ("it was cancelled" if row["status"] == "cancelled" else None)
    return {
        "id": row["evaluation_run_id"],
        "prompt_id": row["template_id"],
        "status": status,
        "metrics": _metrics(row["figures"]) if row["figures"] else None,
        "created_at": row["created_at"],
        "completed_at": row["ended_at"] if status == "completed" else None,
        "error": error,
    }


def _metrics(figures: Mapping[str, Any]) -> dict[str, Any]:
    headline, every = figures["headline"], figures["with_leaked"]
    return {**_overall(headline), "with_leaked": _overall(every) if every else None}


def _overall(block: Mapping[str, Any]) -> dict[str, Any]:
    stats = {
        one["label"]: {
            "correct": one["correct"],
            "total": one["support"],
            "accuracy": one["recall"],
            "precision": one["precision"],
            "f1": one["f1"],
        }
        for one in block["classes"]
    }
    same = {"correct": block["correct"], "total": block["cases"], "category_stats": stats}
    return {"overall_accuracy": block["accuracy"], **same}


def _result(row: Mapping[str, Any]) -> dict[str, Any]:
    same = {name: row[name] for name in ("test_id", "expected", "predicted")}
    return {**same, "ticket": row["text"], "correct": row["right"]}


# --- the test set, and figures of all prompts


class TestSetInfo(BaseModel):
    id: str
    version: int
    hash: str
    total: int
    categories: dict[str, int]
    created_at: datetime
    updated_at: datetime


@router.get("/test-set", dependencies=reads)
def get_default_test_set(connection: Read, id: Annotated[Word | None, Query()] = None) -> TestSetInfo:
    """The test set of this id, or the one that was changed last."""
    row = read.find_test_set(connection, id) if id is not None else read.newest_test_set(connection)
    row = found(row, f"test set {id!r}" if id is not None else "test set")
    return TestSetInfo(
        id=row["test_set"],
        version=row["number"],
        hash=row["hash"],
        total=row["cases"],
        categories=row["labels"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


class PromptSummary(BaseModel):
    """Over completed runs. Runs on different test sets cannot be compared: `latest` says which it was on."""

    prompt_id: str
    runs: int
    latest: dict[str, Any]
    best: dict[str, Any]
    mean_accuracy: float | None


class MetricsSummary(BaseModel):
    prompts: list[PromptSummary]
    total_runs: int


@router.get("/metrics/summary", dependencies=reads)
def summarise_metrics(
    connection: Read, test_set: Annotated[Word | None, Query(description="Runs on this one alone.")] = None
) -> MetricsSummary:
    """What each prompt has come to, over its newest runs."""
    of_prompt: dict[str, list[dict[str, Any]]] = {}
    for row in read.accuracies(connection, MOST_RUNS):
        if test_set in (None, row["test_set"]):
            of_prompt.setdefault(row["template_id"], []).append(row)
    prompts = [_summary(prompt_id, rows) for prompt_id, rows in of_prompt.items()]
    return MetricsSummary(prompts=prompts, total_runs=sum(one.runs for one in prompts))


def _summary(prompt_id: str, rows: list[dict[str, Any]]) -> PromptSummary:
    known = [row["accuracy"] for row in rows if row["accuracy"] is not None]
    return PromptSummary(
        prompt_id=prompt_id,
        runs=len(rows),
        latest=rows[0],
        best=max(rows, key=lambda row: row["accuracy"] or 0.0),
        mean_accuracy=sum(known) / len(known) if known else None,
    )


# --- suggestions


class FailedCaseRequest(BaseModel):
    ticket: str = Field(max_length=20_000)
    expected: str = Field(max_length=200)
    predicted: str | None = Field(None, max_length=200)


class SuggestRequest(BaseModel):
    """A report, as a run gives it. What `category_stats` does not count is counted in `confusion_matrix`."""

    prompt_id: str = Field(max_length=200)
    prompt_template: str = Field(max_length=50_000)
    metrics: dict[str, Any]
    category_stats: dict[str, dict[str, Any] | float] = Field(min_length=1, max_length=1_000)
    confusion_matrix: dict[str, dict[str, int]]
    failed_cases: list[FailedCaseRequest] = Field(max_length=MOST_FAILED)
    model: str = Field(LOCAL_SUGGESTER, max_length=400, description="provider/model")


class SuggestResponse(BaseModel):
    """`draft_template`: the whole prompt as it should be, None where its words should stay.

    `descriptions`: what categories should be said to be about.
    """

    analysis: str
    suggestions: list[str]
    priority_categories: list[str]
    draft_template: str | None = None
    descriptions: dict[str, str] = {}


@router.post("/suggest")
def suggest_improvements(body: SuggestRequest, container: ContainerDep) -> SuggestResponse:
    """What would have done better than this report says. Nothing is kept of it.

    Of a run: POST /api/evaluation/runs/{id}/suggest, whose draft can be tried and adopted.
    """
    advice = container.suggesters.get(body.model).suggest(_report(body))
    draft = advice.draft_prompt
    return SuggestResponse(
        analysis=advice.analysis,
        suggestions=advice.suggestions,
        priority_categories=advice.priority_categories,
        draft_template=draft.replace(TEXT, TICKET) if draft else None,
        descriptions=dict(advice.descriptions),
    )


def _report(body: SuggestRequest) -> Report:
    prompt = body.prompt_template.replace(TICKET, TEXT) or None
    labels = sorted({*body.category_stats, *body.confusion_matrix})
    correct, total = (_whole(body.metrics, name) for name in ("correct", "total"))
    return Report(
        template=read_content({"name": body.prompt_id, "labels": labels, "prompt": prompt}),
        accuracy=correct / total if total else None,
        correct=correct,
        total=total,
        categories={name: _category(name, body) for name in body.category_stats},
        confusion=body.confusion_matrix,
        failed=[
            FailedCase(number, one.ticket, one.expected, one.predicted)
            for number, one in enumerate(body.failed_cases, 1)
        ],
    )


def _category(name: str, body: SuggestRequest) -> dict[str, int]:
    stats, row = body.category_stats[name], body.confusion_matrix.get(name)
    counted = {} if row is None else {"correct": row.get(name, 0), "total": sum(row.values())}
    given = {**counted, **(stats if isinstance(stats, dict) else {})}
    correct, total = (_whole(given, field, f"category_stats.{name}") for field in ("correct", "total"))
    return {"correct": correct, "support": total}


def _whole(values: Mapping[str, Any], name: str, where: str = "metrics") -> int:
    value = values.get(name)
    if type(value) is not int or value < 0:
        raise Invalid(f"{where}.{name} must be a whole number")
    return value
