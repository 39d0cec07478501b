"""Suggestions: a draft made of what failed, tried on the same cases, adopted by a person or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from commands.bus import Bus
from commands.evaluation.reading import draft_of, manifest_of
from commands.evaluation.reporting import pool_of, report_of
from commands.evaluation.running import SEED, evaluation_id, requested
from commands.ports import (
    Advice,
    Classifiers,
    Contents,
    EventStore,
    Outcome,
    Report,
    Suggesters,
)
from commands.runs import free_id
from domain.errors import Conflict
from domain.evaluation import Draft, EvaluationRun, Suggestion, TestSet
from domain.summaries import without_quotations
from domain.templates import Template

EXAMPLES_PER_LABEL = 3


@dataclass(frozen=True, kw_only=True)
class RequestSuggestion:
    """`examples_per_label`: cases that may become examples; 0 for none. They are drawn from the cases of the
    run, where they no longer count as they leak, or from the test set `pool`."""

    evaluation_run_id: str
    model: str
    at: datetime
    examples_per_label: int = EXAMPLES_PER_LABEL
    pool: str | None = None
    pool_version: int | None = None


@dataclass(frozen=True, kw_only=True)
class RecordSuggestion:
    """`manifest`: of the cases that examples are numbers of."""

    suggestion_id: str
    advice: Advice
    manifest: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class EvaluateSuggestion:
    """By the model of the run that it was made for, and on the same cases."""

    suggestion_id: str
    at: datetime
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AdoptSuggestion:
    """`force`: although it was not evaluated, or the template has moved on; then with a reason."""

    suggestion_id: str
    force: bool = False
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class DiscardSuggestion:
    suggestion_id: str
    reason: str


def request_suggestion(cmd: RequestSuggestion, store: EventStore, suggesters: Suggesters) -> Outcome:
    run = store.load(EvaluationRun, cmd.evaluation_run_id)
    if not run.ended:
        raise Conflict(f"evaluation run {cmd.evaluation_run_id} is {run.status}: wait until it has ended")
    if run.suggestion_id is not None:
        raise Conflict(
            f"evaluation run {cmd.evaluation_run_id} tried the draft of {run.suggestion_id}: adopt that first"
        )
    pool = None
    if cmd.pool is not None:
        version = store.load(TestSet, cmd.pool).at(cmd.pool_version)
        pool = {"test_set": cmd.pool, "number": version.number, "manifest": version.manifest}
    suggestion = Suggestion(
        suggestion_id=free_id(store, Suggestion, f"suggestion-{cmd.at:%Y%m%d-%H%M%S}"),
        evaluation_run_id=cmd.evaluation_run_id,
        template_id=run.template_id,
        template_number=run.template_number,
        manifest=run.manifest,
        model=suggesters.get(cmd.model).model,
        parameters={"examples_per_label": cmd.examples_per_label, "pool": pool},
    )
    return Outcome((suggestion,), _answer(suggestion))


def _answer(suggestion: Suggestion, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    same = ("suggestion_id", "evaluation_run_id", "template_id", "status")
    return {**{name: getattr(suggestion, name) for name in same}, **more}


def record_suggestion(cmd: RecordSuggestion, store: EventStore) -> Outcome:
    suggestion = store.load(Suggestion, cmd.suggestion_id)
    advice = cmd.advice
    suggestion.make(
        analysis=advice.analysis,
        suggestions=advice.suggestions,
        priority_categories=advice.priority_categories,
        confused=advice.confused,
        draft=Draft(advice.descriptions, tuple(advice.examples), cmd.manifest, advice.draft_prompt),
        prompt=cmd.prompt,
        usage=vars(advice.usage),
    )
    return Outcome((suggestion,))


def evaluate_suggestion(
    cmd: EvaluateSuggestion, store: EventStore, contents: Contents, classifiers: Classifiers
) -> Outcome:
    suggestion = store.load(Suggestion, cmd.suggestion_id)
    suggestion.open_draft()
    _, content = draft_of(suggestion, store, contents)
    before = store.load(EvaluationRun, suggestion.evaluation_run_id)
    classifier = classifiers.get(before.model)
    run = EvaluationRun(
        evaluation_run_id=evaluation_id(store, cmd.at),
        template_id=suggestion.template_id,
        template_number=suggestion.template_number,
        template_hash=content.template_hash,
        labels=list(content.label_names),
        suggestion_id=cmd.suggestion_id,
        model=classifier.model,
        prompt=classifier.prompt,
        test_set=before.test_set,
        test_set_version=before.test_set_version,
        manifest=before.manifest,
        cases=len(before.predicted),
        parameters={"seed": before.parameters.get("seed", SEED), **cmd.parameters},
    )
    return Outcome((run,), requested(run))


def adopt_suggestion(cmd: AdoptSuggestion, store: EventStore, contents: Contents) -> Outcome:
    """The draft becomes the next version of its template, in one step with the decision."""
    suggestion = store.load(Suggestion, cmd.suggestion_id)
    suggestion.open_draft()
    template, content = draft_of(suggestion, store, contents)
    template.check_there()
    obstacle = suggestion.obstacle(content.template_hash, template.number)
    template.revise(content, template.current.label)
    suggestion.adopt(template.number, content.template_hash, obstacle, force=cmd.force, reason=cmd.reason)
    answer = _answer(suggestion, template_number=template.number, template_hash=content.template_hash)
    return Outcome(
        (template, suggestion), answer, contents={bytes.fromhex(content.template_hash): content.body}
    )


def discard_suggestion(cmd: DiscardSuggestion, store: EventStore) -> Outcome:
    suggestion = store.load(Suggestion, cmd.suggestion_id)
    suggestion.discard(cmd.reason)
    return Outcome((suggestion,), _answer(suggestion))


# --- the job


def run_suggestion(
    suggestion_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    suggesters: Suggesters,
) -> None:
    """Report what failed, ask for advice, record it without what it quotes. A second try begins anew."""
    suggestion = store.load(Suggestion, suggestion_id)
    if suggestion.status != "pending":
        return
    run = store.load(EvaluationRun, suggestion.evaluation_run_id)
    content = store.load(Template, run.template_id).at(run.template_number)
    pool = suggestion.parameters["pool"]
    address = pool["manifest"] if pool else run.manifest
    report = report_of(run, content, manifest_of(run.manifest, contents), contents)
    report = replace(
        report,
        examples_per_label=suggestion.parameters["examples_per_label"],
        pool=pool_of(address, contents, content) if pool else report.pool,
    )
    suggester = suggesters.get(suggestion.model)
    advice = unquoted(suggester.suggest(report), report)
    bus.handle(
        RecordSuggestion(
            suggestion_id=suggestion_id, advice=advice, manifest=address, prompt=suggester.prompt
        )
    )


def unquoted(advice: Advice, report: Report) -> Advice:
    """Whatever the model wrote, the log is told no person's words."""
    texts, known = [one.text for one in report.failed], report.template.prompt or ""

    def cut(words: str) -> str:
        return without_quotations(words, texts)

    return replace(
        advice,
        analysis=_by_line(advice.analysis, "", texts),
        suggestions=[cut(one) for one in advice.suggestions],
        descriptions={label: cut(words) for label, words in advice.descriptions.items()},
        draft_prompt=advice.draft_prompt and _by_line(advice.draft_prompt, known, texts),
    )


def _by_line(words: str, known: str, texts: Sequence[str]) -> str:
    """Lines stay lines; those that were there before stay as they are."""
    there = set(known.splitlines())
    return "\n".join(
        line if line in there else without_quotations(line, texts) for line in words.splitlines()
    )
