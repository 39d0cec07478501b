"""Evaluation runs: the request, the work, and how it is stopped and gone on with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
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
from domain.base import Aggregate
from domain.evaluation import Answers, EvaluationRun, Manifest, TestSet, plain
from domain.evaluation.runs import ERROR
from domain.summaries import without_quotations
from domain.templates import Template, TemplateContent

READ_AT_ONCE = 500
RECORDED_AT_ONCE = 2_000
RECORDED_EVERY_S = 2.0
"""So much of what was answered is lost at most when a worker dies."""

LONGEST_WORDS = 500
MOST_WORDS = 200_000
"""Characters of what was said of a case, and of all of an event."""

LOOKED_EVERY_S = 1.0
"""Whether somebody has asked the run to stop."""

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
        evaluation_run_id=free_id(store, EvaluationRun, "evaluation", cmd.at),
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


def free_id(store: EventStore, kind: type[Aggregate], word: str, at: datetime) -> str:
    """`evaluation-20251004-170442`, then the same with `-2`, `-3`, ... for those of the same second."""
    name = f"{word}-{at:%Y%m%d-%H%M%S}"
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(one for one in names if store.find(kind, one) is None)


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
    book = _Book(bus, run, content, len(manifest) - len(wanted), progress)
    items = _items(wanted, manifest, contents, book)
    stop = _stopped(lambda: store.load(EvaluationRun, evaluation_run_id).cancelling)
    try:
        for labelled in classifiers.get(run.model).classify(content, items, _limits(run), stop):
            book.add(labelled)
    finally:
        book.record()
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


def _stopped(asked: Callable[[], bool]) -> Callable[[], bool]:
    """The same, asked once a second at most; who has said yes is not asked again."""
    looked, stopped = 0.0, False

    def stop() -> bool:
        nonlocal looked, stopped
        if not stopped and time.monotonic() - looked >= LOOKED_EVERY_S:
            looked, stopped = time.monotonic(), asked()
        return stopped

    return stop


class _Book:
    """Answers on their way into the log, recorded some at a time. `texts` are those that are under way.

    `gone` is only ever added to, perhaps by another thread that reads items.
    """

    def __init__(
        self, bus: Bus, run: EvaluationRun, content: TemplateContent, done: int, progress: Progress
    ) -> None:
        self.texts: dict[int, str] = {}
        self.gone: list[int] = []
        self._bus = bus
        self._run_id = run.evaluation_run_id
        self._index = {label: at for at, label in enumerate(run.labels)}
        self._examples = {plain(one.text) for one in content.examples}
        self._progress, self._done, self._total = progress, done, len(run.predicted)
        self._answers: list[Labelled] = []
        self._leaked: list[int] = []
        self._words: list[dict[str, Any]] = []
        self._told_gone = 0
        self._recorded = time.monotonic()

    def add(self, labelled: Labelled) -> None:
        number = int(labelled.key)
        text = self.texts.pop(number)
        self._answers.append(labelled)
        if plain(text) in self._examples:
            self._leaked.append(number)
        failed = labelled.label is None
        if words := labelled.error if failed else labelled.reasoning:
            said = without_quotations(words, [text])[:LONGEST_WORDS]
            self._words.append({"number": number, "error" if failed else "reasoning": said})
        self._done += 1
        self._progress(self._done, self._total)
        late = time.monotonic() - self._recorded > RECORDED_EVERY_S
        wordy = len(self._words) * LONGEST_WORDS >= MOST_WORDS
        if late or wordy or len(self._answers) >= RECORDED_AT_ONCE:
            self.record()

    def record(self) -> None:
        """Into the log with what there is."""
        gone = self.gone[self._told_gone :]
        if not (self._answers or gone):
            return
        answers = Answers(
            numbers=np.array([one.key for one in self._answers], np.int32),
            predicted=np.array([self._label(one) for one in self._answers], np.int32),
            confidence=np.array([_number(one.confidence) for one in self._answers], np.float32),
            seconds=np.array([_number(one.usage.seconds or None) for one in self._answers], np.float32),
            leaked=self._leaked,
            gone=gone,
            words=self._words,
            usage=vars(_sum(one.usage for one in self._answers)),
        )
        self._bus.handle(RecordAnswers(evaluation_run_id=self._run_id, answers=answers))
        self._told_gone += len(gone)
        self._answers, self._leaked, self._words = [], [], []
        self._recorded = time.monotonic()

    def _label(self, one: Labelled) -> int:
        return ERROR if one.label is None else self._index.get(one.label, ERROR)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _sum(usages: Iterator[Usage]) -> Usage:
    return sum(usages, NO_USAGE)
