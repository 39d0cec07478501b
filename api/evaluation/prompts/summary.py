"""The test set that prompts are judged by, and what each has come to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.deps import Read, found, reads
from api.queries import Word
from projections import evaluation as read

router = APIRouter()

MOST_RUNS = 10_000


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
