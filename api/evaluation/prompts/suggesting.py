"""What would have done better, asked of a report that somebody else has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.deps import ContainerDep
from api.evaluation.prompts.words import as_prompt, as_template, in_these_words
from api.evaluation.suggestions import LOCAL
from commands.evaluation.reporting import MOST_FAILED
from commands.ports import FailedCase, Report
from domain.errors import Invalid
from domain.templates import read_content

router = APIRouter()


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
    model: str = Field(LOCAL, max_length=400, description="provider/model")


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
        draft_template=as_template(draft) if draft else None,
        descriptions=dict(advice.descriptions),
    )


OF_A_REPORT = {"prompt": "prompt_template", "labels": "category_stats", "name": "prompt_id"}


def _report(body: SuggestRequest) -> Report:
    labels = sorted({*body.category_stats, *body.confusion_matrix})
    fields = {"name": body.prompt_id, "labels": labels, "prompt": as_prompt(body.prompt_template)}
    with in_these_words(OF_A_REPORT):
        template = read_content(fields)
    correct, total = (_whole(body.metrics, name) for name in ("correct", "total"))
    return Report(
        template=template,
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
