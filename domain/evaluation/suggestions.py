"""A suggestion: a draft of a template's next version, tried on the same cases before anybody adopts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from domain.base import Aggregate, event
from domain.errors import Conflict, Invalid
from domain.runs import Run
from domain.templates import Example, Label, TemplateContent


@dataclass(frozen=True)
class Draft:
    """What differs from the version that it is made of. Cases become examples by their numbers: their texts
    stay where they are, and an example whose case was erased is none.

    `descriptions`: label → its new description. `examples`: numbers of cases of `manifest`. `prompt`: the
    new words to ask with, None where they stay.
    """

    descriptions: Mapping[str, str]
    examples: tuple[int, ...] = ()
    manifest: str = ""
    prompt: str | None = None

    def fields(self) -> dict[str, Any]:
        """As an event has it."""
        return {**vars(self), "descriptions": dict(self.descriptions), "examples": list(self.examples)}

    def apply(self, base: TemplateContent, cases: Mapping[int, Example]) -> TemplateContent:
        """The content of the draft; `cases`: those of its examples that are still there."""
        labels = tuple(
            Label(one.name, self.descriptions.get(one.name, one.description)) for one in base.labels
        )
        known = {one.text for one in base.examples}
        new = [cases[n] for n in self.examples if n in cases and cases[n].text not in known]
        return replace(
            base, labels=labels, examples=(*base.examples, *new), prompt=self.prompt or base.prompt
        )


class Suggestion(Run):
    NOUN = "suggestion"
    TOPIC = "suggestion"
    PREFIX = "suggestion"

    class Created(Aggregate.Created):
        """Asked for: what would have done better where this run failed. `manifest`: the cases of the run."""

        TOPIC = "suggestion.created"
        suggestion_id: str
        evaluation_run_id: str
        template_id: str
        template_number: int
        manifest: str
        model: str
        parameters: dict[str, Any]

    class Made(Aggregate.Event):
        """`draft` as in `Draft`; `confused`: `{expected, predicted, count, terms}`, most frequent first."""

        TOPIC = "suggestion.made"
        analysis: str
        suggestions: list[str]
        priority_categories: list[str]
        confused: list[dict[str, Any]]
        draft: dict[str, Any]
        prompt: str
        usage: dict[str, Any]

    class Failed(Run.Failed):
        TOPIC = "suggestion.failed"

    class Evaluated(Aggregate.Event):
        """A run of the draft on the cases of the run that it was made for has been completed."""

        TOPIC = "suggestion.evaluated"
        evaluation_run_id: str
        template_hash: str

    class Adopted(Aggregate.Event):
        """It is version `number` of the template. `forced`: although it was not evaluated, or the template
        had moved on."""

        TOPIC = "suggestion.adopted"
        number: int
        template_hash: str
        forced: bool
        reason: str | None

    class Discarded(Aggregate.Event):
        TOPIC = "suggestion.discarded"
        reason: str

    @staticmethod
    def create_id(suggestion_id: str) -> str:
        return Suggestion.stream(suggestion_id)

    def __init__(
        self,
        suggestion_id: str,
        evaluation_run_id: str,
        template_id: str,
        template_number: int,
        manifest: str,
        model: str,
        parameters: dict[str, Any],
    ) -> None:
        self.suggestion_id = suggestion_id
        self.evaluation_run_id = evaluation_run_id
        self.template_id = template_id
        self.template_number = template_number
        self.manifest = manifest
        self.model = model
        self.parameters = parameters
        self.status = "pending"
        self.draft: Draft | None = None
        self.evaluated: dict[str, str] = {}

    def make(
        self,
        *,
        analysis: str,
        suggestions: list[str],
        priority_categories: list[str],
        confused: list[dict[str, Any]],
        draft: Draft,
        prompt: str,
        usage: dict[str, Any],
    ) -> None:
        if self.status == "pending":
            self._made(
                analysis=analysis,
                suggestions=suggestions,
                priority_categories=priority_categories,
                confused=confused,
                draft=draft.fields(),
                prompt=prompt,
                usage=usage,
            )

    @event(Made)
    def _made(
        self,
        analysis: str,
        suggestions: list[str],
        priority_categories: list[str],
        confused: list[dict[str, Any]],
        draft: dict[str, Any],
        prompt: str,
        usage: dict[str, Any],
    ) -> None:
        self.status = "draft"
        self.draft = Draft(**{**draft, "examples": tuple(draft["examples"])})

    def open_draft(self) -> Draft:
        """The draft, while it can still be tried and adopted. Raises Conflict."""
        if self.draft is None or self.status != "draft":
            raise Conflict(f"{self.noun} is {self.status}: it has no draft to decide on")
        return self.draft

    def note_evaluation(self, evaluation_run_id: str, template_hash: str) -> None:
        if self.status == "draft" and evaluation_run_id not in self.evaluated:
            self._evaluated(evaluation_run_id=evaluation_run_id, template_hash=template_hash)

    @event(Evaluated)
    def _evaluated(self, evaluation_run_id: str, template_hash: str) -> None:
        self.evaluated[evaluation_run_id] = template_hash

    def obstacle(self, template_hash: str, present: int) -> str | None:
        """Why this draft should not be adopted yet; None where nothing stands in the way."""
        if present != self.template_number:
            return (
                f"template {self.template_id} has version {present} since; the draft was made of version"
                f" {self.template_number}: evaluate that one and ask for another suggestion"
            )
        if template_hash not in self.evaluated.values():
            return f"{self.noun} has not been evaluated on the cases it was made for; evaluate it first"
        return None

    def adopt(
        self, number: int, template_hash: str, obstacle: str | None, *, force: bool, reason: str | None
    ) -> None:
        """Raises Conflict where something stands in the way, unless it is forced, with a reason."""
        self.open_draft()
        if obstacle and not force:
            raise Conflict(f"{obstacle}, or adopt it with force and a reason")
        if obstacle and not (reason or "").strip():
            raise Invalid("reason is missing: say why the draft is adopted although it was not evaluated")
        self._adopted(number=number, template_hash=template_hash, forced=bool(obstacle), reason=reason)

    @event(Adopted)
    def _adopted(self, number: int, template_hash: str, forced: bool, reason: str | None) -> None:
        self.status = "adopted"

    def discard(self, reason: str) -> None:
        self.open_draft()
        if not reason.strip():
            raise Invalid("reason must not be empty")
        self._discarded(reason=reason)

    @event(Discarded)
    def _discarded(self, reason: str) -> None:
        self.status = "discarded"
