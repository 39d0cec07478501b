"""Suggestions: what would have done better, as a draft that is tried before it is adopted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api.deps import CommandsDep, ContainerDep, OperationResponse, Read, found, reads
from api.evaluation.runs import EvaluationRequested, Execution, RunId, requested
from api.paging import PageDep, PaginatedResponse
from api.queries import Word
from commands.evaluation import AdoptSuggestion, DiscardSuggestion, EvaluateSuggestion, RequestSuggestion
from commands.evaluation.reading import draft_of
from commands.evaluation.suggesting import EXAMPLES_PER_LABEL
from domain.errors import Invalid
from domain.evaluation import Suggestion
from projections import evaluation as read

router = APIRouter()

LOCAL = "local/confusion"
SuggestionId = Annotated[str, Path(max_length=200)]
Status = Literal["pending", "draft", "failed", "adopted", "discarded"]


class SuggestionRequest(BaseModel):
    """`examples_per_label`: cases that become examples, of each label that failed. They come from the cases
    of the run, and then count no more as they leak, or from the test set `pool`."""

    model_config = ConfigDict(strict=True)

    model: str = Field(LOCAL, max_length=400, description="provider/model; the local one computes.")
    examples_per_label: int = Field(EXAMPLES_PER_LABEL, ge=0, le=20)
    pool: str | None = Field(None, max_length=64)
    pool_version: int | None = Field(None, ge=1, lt=2**31)


class SuggestionRequested(BaseModel):
    suggestion_id: str
    evaluation_run_id: str
    template_id: str
    status: Status


class Confused(BaseModel):
    """`terms`: words that cases share which were taken for `predicted`."""

    expected: str
    predicted: str
    count: int
    terms: list[str]


class SuggestionSummary(SuggestionRequested):
    """`template_number`: the version that the draft is made of. `evaluated`: runs that tried the draft."""

    template_number: int
    model: str
    prompt: str | None = None
    parameters: dict[str, Any]
    analysis: str | None = None
    suggestions: list[str]
    priority_categories: list[str]
    confused: list[Confused]
    usage: dict[str, Any] | None = None
    error: str | None = None
    evaluated: list[str]
    adopted_number: int | None = None
    forced: bool
    created_at: datetime
    created_by: str
    decided_at: datetime | None = None
    decided_by: str | None = None
    decision_reason: str | None = None


class DraftResponse(BaseModel):
    """What would change: descriptions of labels, examples that come in, the words of the prompt."""

    template_hash: str
    descriptions: dict[str, str]
    examples: list[dict[str, Any]]
    prompt: str | None = None


class SuggestionDetail(SuggestionSummary):
    """`draft` is None while there is none. Examples whose conversation was erased are in it no more."""

    draft: DraftResponse | None = None


class AdoptRequest(BaseModel):
    """`force`: although the draft was not evaluated, or the template has moved on; then with a reason."""

    model_config = ConfigDict(strict=True)

    force: bool = False
    reason: str | None = Field(None, max_length=2_000)


class DiscardRequest(BaseModel):
    model_config = ConfigDict(strict=True)

    reason: str = Field(min_length=1, max_length=2_000)


@router.post("/runs/{evaluation_run_id}/suggest", status_code=202)
def suggest(evaluation_run_id: RunId, body: SuggestionRequest, commands: CommandsDep) -> SuggestionRequested:
    """Ask what would have done better. The draft changes nothing before somebody adopts it."""
    if body.pool_version is not None and body.pool is None:
        raise Invalid("pool_version: name the test set as well (pool)")
    command = RequestSuggestion(
        evaluation_run_id=evaluation_run_id, at=datetime.now(UTC), **body.model_dump()
    )
    answer = commands.handle(command).answer
    commands.locate("evaluation", "suggestions", answer["suggestion_id"])
    return SuggestionRequested.model_validate(answer)


@router.get("/suggestions", dependencies=reads)
def list_suggestions(
    connection: Read,
    page: PageDep,
    evaluation_run_id: Annotated[Word | None, Query()] = None,
    template_id: Annotated[Word | None, Query()] = None,
    status: Status | None = None,
) -> PaginatedResponse[SuggestionSummary]:
    """Suggestions, newest first."""
    rows, total = read.list_suggestions(
        connection,
        page.limit,
        page.offset,
        evaluation_run_id=evaluation_run_id,
        template_id=template_id,
        status=status,
    )
    return page.of(SuggestionSummary, rows, total)


@router.get("/suggestions/{suggestion_id}", dependencies=reads)
def get_suggestion(
    suggestion_id: SuggestionId, connection: Read, container: ContainerDep
) -> SuggestionDetail:
    """A suggestion with its draft as it is now."""
    row = found(read.find_suggestion(connection, suggestion_id), f"suggestion {suggestion_id!r}")
    draft = _draft(container, suggestion_id) if row["draft"] else None
    return SuggestionDetail.model_validate({**row, "draft": draft})


def _draft(container: ContainerDep, suggestion_id: str) -> dict[str, Any]:
    suggestion = container.store.load(Suggestion, suggestion_id)
    template, content = draft_of(suggestion, container.store, container.contents)
    before = template.at(suggestion.template_number)
    descriptions = {one.name: one.description for one in content.labels if one not in before.labels}
    return {
        "template_hash": content.template_hash,
        "descriptions": descriptions,
        "examples": [vars(one) for one in content.examples if one not in before.examples],
        "prompt": content.prompt if content.prompt != before.prompt else None,
    }


@router.post("/suggestions/{suggestion_id}/evaluate", status_code=202)
def evaluate_suggestion(
    suggestion_id: SuggestionId, body: Execution, commands: CommandsDep
) -> EvaluationRequested:
    """Try the draft: the same model on the same cases as the run that it was made for."""
    command = EvaluateSuggestion(suggestion_id=suggestion_id, at=datetime.now(UTC), parameters=body.given())
    return requested(commands, command)


@router.post("/suggestions/{suggestion_id}/adopt")
def adopt_suggestion(
    suggestion_id: SuggestionId, body: AdoptRequest, commands: CommandsDep
) -> OperationResponse:
    """Make the draft the next version of its template. 409 for one that was not evaluated, unless forced."""
    command = AdoptSuggestion(suggestion_id=suggestion_id, force=body.force, reason=body.reason)
    return commands.operation(command, body.reason, status="adopted")


@router.post("/suggestions/{suggestion_id}/discard")
def discard_suggestion(
    suggestion_id: SuggestionId, body: DiscardRequest, commands: CommandsDep
) -> OperationResponse:
    """Decide against a suggestion. It stays to be read."""
    command = DiscardSuggestion(suggestion_id=suggestion_id, reason=body.reason)
    return commands.operation(command, body.reason, status="discarded")
