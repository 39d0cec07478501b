"""Evaluation runs: the request, the work, and how it is stopped and gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from commands.bus import Bus
from commands.evaluation.ending import EndEvaluation
from commands.evaluation.reading import content_of, manifest_of, texts_of
from commands.ports import (
    NO_USAGE,
    Classifiers,
    Contents,
    EventStore,
    Item,
    Labelled,
    Limits,
    Outcome,
    Progress,
    Usage,
)
from commands.runs import Cancellation, chunks, free_id
from domain.evaluation import Answers, EvaluationRun, Manifest, TestSet, plain
from domain.evaluation.runs import ERROR
from domain.summaries import without_quotations
from domain.templates import Template, TemplateContent

READ_AT_ONCE = 500
RECORDED_AT_ONCE = 2_000
LONGEST_WORDS = 500
"""Characters of what was said of a case."""

SEED = 42


@dataclass(frozen=True, kw_only=True)
class RequestEvaluation:
    """`number`, `test_set_version` None: the present ones. `parameters`: concurrency, rpm, tokens, seed."""

    template_id: str
    test_set: str
    model: str
    at: datetime
    number: int | None = None
    test_set_version: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RecordAnswers:
    evaluation_run_id: str
    answers: Answers


@dataclass(frozen=True, kw_only=True)
class CancelEvaluation:
    evaluation_run_id: str


@dataclass(frozen=True, kw_only=True)
class ResumeEvaluation:
    evaluation_run_id: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


def request_evaluation(cmd: RequestEvaluation, store: EventStore, classifiers: Classifiers) -> Outcome:
    template = store.load(Template, cmd.template_id)
    template.check_there()
    number = cmd.number or template.number
    content = template.at(number)
    version = store.load(TestSet, cmd.test_set).at(cmd.test_set_version)
    classifier = classifiers.get(cmd.model)
    run = EvaluationRun(
        evaluation_run_id=evaluation_id(store, cmd.at),
        template_id=cmd.template_id,
        template_number=number,
        template_hash=content.template_hash,
        labels=list(content.label_names),
        suggestion_id=None,
        model=classifier.model,
        prompt=classifier.prompt,
        test_set=cmd.test_set,
        test_set_version=version.number,
        manifest=version.manifest,
        cases=version.cases,
        parameters={"seed": SEED, **cmd.parameters},
    )
    return Outcome((run,), requested(run))


def requested(run: EvaluationRun) -> dict[str, Any]:
    return {
        "evaluation_run_id": run.evaluation_run_id,
        "template_id": run.template_id,
        "template_number": run.template_number,
        "test_set": run.test_set,
        "test_set_version": run.test_set_version,
        "status": run.status,
    }


def evaluation_id(store: EventStore, at: datetime) -> str:
    return free_id(store, EvaluationRun, f"evaluation-{at:%Y%m%d-%H%M%S}")


def record_answers(cmd: RecordAnswers, store: EventStore) -> Outcome:
    run = store.load(EvaluationRun, cmd.evaluation_run_id)
    run.record(cmd.answers)
    return Outcome((run,))


def cancel_evaluation(cmd: CancelEvaluation, store: EventStore) -> Outcome:
    run = store.load(EvaluationRun, cmd.evaluation_run_id)
    run.cancel()
    return Outcome((run,), {"evaluation_run_id": cmd.evaluation_run_id, "status": "cancelling"})


def resume_evaluation(cmd: ResumeEvaluation, store: EventStore) -> Outcome:
    run = store.load(EvaluationRun, cmd.evaluation_run_id)
    run.resume(dict(cmd.parameters))
    return Outcome((run,), requested(run))


# --- the job


def run_evaluation(
    evaluation_run_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    classifiers: Classifiers,
    progress: Progress,
) -> None:
    """Ask about every case that has no answer, and record what comes. A second try goes on from there."""
    run = store.load(EvaluationRun, evaluation_run_id)
    if run.ended:
        return
    manifest, content = manifest_of(run.manifest, contents), content_of(run, store, contents)
    wanted = run.open_cases.tolist()
    book = _Book(bus, run, content)
    items = _items(wanted, manifest, contents, book)
    stop = Cancellation(lambda: store.load(EvaluationRun, evaluation_run_id).cancelling)
    done = len(manifest) - len(wanted)
    answers = classifiers.get(run.model).classify(content, items, _limits(run), stop)
    for some in chunks(answers, RECORDED_AT_ONCE, _characters):
        book.record(some)
        done += len(some)
        progress(done, len(manifest))
    book.record([])
    bus.handle(EndEvaluation(evaluation_run_id=evaluation_run_id))


def _limits(run: EvaluationRun) -> Limits:
    given = {name: run.parameters.get(name) for name in ("concurrency", "rpm", "tokens")}
    return Limits(**{name: value for name, value in given.items() if value is not None})


def _items(wanted: list[int], manifest: Manifest, contents: Contents, book: _Book) -> Iterator[Item]:
    for at in range(0, len(wanted), READ_AT_ONCE):
        some = wanted[at : at + READ_AT_ONCE]
        texts = texts_of(manifest, some, contents)
        book.texts.update(texts)
        book.gone += [number for number in some if number not in texts]
        for number, text in texts.items():
            yield Item(number, text, int(manifest.query_ids[number - 1]) or None)


def _characters(one: Labelled) -> int:
    return min(LONGEST_WORDS, len(one.error or one.reasoning or ""))


class _Book:
    """Answers on their way into the log. `texts` are those that are under way.

    `gone` is only ever added to, perhaps by another thread that reads items.
    """

    def __init__(self, bus: Bus, run: EvaluationRun, content: TemplateContent) -> None:
        self.texts: dict[int, str] = {}
        self.gone: list[int] = []
        self._bus = bus
        self._run_id = run.evaluation_run_id
        self._index = {label: at for at, label in enumerate(run.labels)}
        self._examples = {plain(one.text) for one in content.examples}
        self._told_gone = 0

    def record(self, answers: Sequence[Labelled]) -> None:
        """These, and which cases were found to be gone."""
        gone = self.gone[self._told_gone :]
        self._told_gone += len(gone)
        if not (answers or gone):
            return
        answers = [self._checked(one) for one in answers]
        texts = {int(one.key): self.texts.pop(int(one.key)) for one in answers}
        recorded = Answers(
            numbers=np.array(list(texts), np.int32),
            predicted=np.array([self._label(one) for one in answers], np.int32),
            confidence=np.array([_number(one.confidence) for one in answers], np.float32),
            seconds=np.array([_number(one.usage.seconds or None) for one in answers], np.float32),
            leaked=[number for number, text in texts.items() if plain(text) in self._examples],
            gone=gone,
            words=[said for one in answers if (said := _said(one, texts[int(one.key)]))],
            usage=vars(_sum(one.usage for one in answers)),
        )
        self._bus.handle(RecordAnswers(evaluation_run_id=self._run_id, answers=recorded))

    def _checked(self, one: Labelled) -> Labelled:
        """Without a label it says why."""
        if one.label in self._index or (one.label is None and one.error):
            return one
        named = "no label" if one.label is None else f"{one.label[:80]!r}, which is no label of the template"
        return replace(one, label=None, error=f"the answer was {named}")

    def _label(self, one: Labelled) -> int:
        return ERROR if one.label is None else self._index[one.label]


def _said(one: Labelled, text: str) -> dict[str, Any] | None:
    """What there is to read of an answer, without what it quotes."""
    kind, words = ("error", one.error) if one.label is None else ("reasoning", one.reasoning)
    said = without_quotations(words or "", [text])[:LONGEST_WORDS]
    return {"number": int(one.key), kind: said} if said else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _sum(usages: Iterator[Usage]) -> Usage:
    return sum(usages, NO_USAGE)
