"""The job behind a classification run: which queries, then their labels. A second try goes on from there."""

from __future__ import annotations

import numpy as np

from commands.bus import Bus
from commands.classification.answers import Recorder, Texts
from commands.classification.batches import cancel_batches, work_on_batches
from commands.classification.population import population_of
from commands.classification.recording import EndClassification, RecordPopulation
from commands.ports import (
    Again,
    BatchClassifiers,
    Classifier,
    Classifiers,
    Contents,
    EventStore,
    Limits,
    Progress,
    Selection,
)
from commands.runs import Cancellation, Fail
from domain.classification import ClassificationRun, sampled
from domain.errors import Refused
from domain.templates import Template


def run_classification(
    classification_run_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    selection: Selection,
    classifiers: Classifiers,
    batch_classifiers: BatchClassifiers,
    progress: Progress,
    again: Again,
) -> None:
    """Ask about everything that has neither a label nor, in this attempt, an error."""
    run = store.load(ClassificationRun, classification_run_id)
    if run.status == "pending":
        run = _selected(run, bus, store, selection)
    if run.status not in ("running", "cancelling"):
        return
    if run.in_batches:
        work_on_batches(run, bus, store, contents, batch_classifiers.get(run.model), progress, again)
    else:
        _classify(run, bus, store, contents, classifiers.get(run.model), progress)


def _selected(run: ClassificationRun, bus: Bus, store: EventStore, selection: Selection) -> ClassificationRun:
    """With the queries that the filters mean at this moment."""
    requested = store.positions(ClassificationRun, run.name, [1])[1]
    position, found = selection.select(run.filters, requested)
    ids = np.concatenate([np.empty(0, np.int64), *found])
    filters = run.filters
    ids = sampled(ids, filters.get("sample"), filters.get("limit"), filters.get("seed") or 0)
    bus.handle(RecordPopulation(classification_run_id=run.name, query_ids=ids, position=position))
    return store.load(ClassificationRun, run.name)


def _classify(
    run: ClassificationRun,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    classifier: Classifier,
    progress: Progress,
) -> None:
    population = population_of(run, contents)
    left = run.left(population)
    template = store.load(Template, run.template_id).at(run.template_number)
    texts = Texts(run.dataset, contents)
    cancelled = Cancellation(lambda: store.load(ClassificationRun, run.name).status != "running")
    recorder = Recorder(run, bus, texts, classifier.prompt)
    before = run.count - len(left)
    answers = classifier.classify(template, texts.items(left), _limits(run), cancelled)
    recorder.record(answers, lambda done: progress(before + done, run.count))
    if not cancelled():
        recorder.record_errors(texts.unanswered(), "the classifier gave no answer")
    now = store.load(ClassificationRun, run.name)
    _end(now, len(now.left(population)), texts.missing, bus)


def _end(run: ClassificationRun, left: int, missing: int, bus: Bus) -> None:
    """What was neither read nor cancelled is what the classifier did not come to: it is not called done."""
    unread = max(0, left - missing)
    if unread and run.status == "running":
        error = f"the classifier stopped before {unread:,} queries; resume the run to go on"
        bus.handle(Fail(kind=ClassificationRun, name=run.name, error=error))
        return
    bus.handle(EndClassification(classification_run_id=run.name, left=unread, missing=missing))


def _limits(run: ClassificationRun) -> Limits:
    """Of the tokens, those that the run has not used yet. Raises Refused where there are none."""
    wanted = run.execution
    tokens = wanted.get("tokens")
    if tokens is not None and run.tokens >= tokens:
        raise Refused(f"the {tokens:,} tokens of execution.tokens are used up; resume with more to go on")
    return Limits(
        concurrency=wanted.get("concurrency") or Limits.concurrency,
        rpm=wanted.get("rpm"),
        tokens=None if tokens is None else tokens - run.tokens,
    )


def run_cancelled(
    classification_run_id: str, *, bus: Bus, store: EventStore, batch_classifiers: BatchClassifiers
) -> None:
    """A while after a cancel: tell the provider of batches, or end what no job has ended by itself."""
    run = store.load(ClassificationRun, classification_run_id)
    if run.status != "cancelling":
        return
    if run.batches:
        cancel_batches(run, batch_classifiers.get(run.model))
        return
    left = run.count - len(run.answered) - len(run.failed)
    bus.handle(EndClassification(classification_run_id=run.name, left=left))
