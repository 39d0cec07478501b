"""Runs of a prompt: started, listed, and each with its report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, Field

from adapters.bootstrap import Container
from api.deps import CommandsDep, ContainerDep, Read, found, reads
from api.evaluation.prompts.words import in_these_words
from api.evaluation.runs import LOCAL, Execution, ended_run, result_page
from api.paging import Limit, Page
from api.queries import Word
from commands.evaluation import RequestEvaluation
from commands.evaluation.reporting import nested
from domain.errors import Invalid
from projections import evaluation as read

router = APIRouter()

MOST_RESULTS = 1_000
"""Results of a run in one answer; all of them, in pages: /api/evaluation/runs/{id}/results."""


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
    container: ContainerDep,
    commands: CommandsDep,
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
    with in_these_words({"template_id": "prompt_id"}):
        answer = commands.handle(command).answer
    commands.headers["Location"] = f"/api/runs/{answer['evaluation_run_id']}"
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
