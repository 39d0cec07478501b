"""Classification at a provider's leisure: batches handed in, looked at now and then, and taken in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from commands.bus import Bus
from commands.classification.answers import READ_AT_ONCE, Recorder, Texts
from commands.classification.population import population_of
from commands.classification.recording import EndBatch, EndClassification, EndIngest, RecordBatch
from commands.ports import (
    Again,
    BatchClassifier,
    BatchClassifiers,
    Contents,
    EventStore,
    Labelled,
    Progress,
    Sources,
)
from commands.runs import chunks
from domain.classification import Batch, ClassificationRun
from domain.errors import Invalid
from domain.templates import Template, TemplateContent
from domain.values import QueryIds

LOOK_AGAIN_S = 30
"""Between looks at batches. Nobody waits meanwhile: each look is a job of its own."""


def work_on_batches(
    run: ClassificationRun,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    classifier: BatchClassifier,
    progress: Progress,
    again: Again,
) -> None:
    """Hand in what is in no batch yet, take in what has ended, and come again for the rest.

    A worker that dies between a provider's yes and the event hands these queries in twice; nothing else is.
    """
    population = population_of(run, contents)
    template = store.load(Template, run.template_id).at(run.template_number)
    texts = Texts(run.dataset, contents)
    if run.status == "running":
        _submit(run, run.left(population), template, texts, classifier, bus, store)
    run = store.load(ClassificationRun, run.name)
    for batch in run.batches.values():
        _look_at(batch, Recorder(run, bus, texts), template, classifier, store)
    run = store.load(ClassificationRun, run.name)
    progress(len(run.answered) + len(run.failed), run.count)
    if run.batches:
        again(LOOK_AGAIN_S)
        return
    left = len(run.left(population))
    missing = texts.missing if run.status == "running" else 0
    bus.handle(
        EndClassification(classification_run_id=run.name, left=max(0, left - missing), missing=missing)
    )


def _submit(
    run: ClassificationRun,
    left: QueryIds,
    template: TemplateContent,
    texts: Texts,
    classifier: BatchClassifier,
    bus: Bus,
    store: EventStore,
) -> None:
    items = texts.items(left, hold=False)
    first = next(items, None)
    if first is None:
        return
    for batch_id, keys in classifier.submit(template, chain([first], items)):
        ids = np.array([int(key) for key in keys], np.int64)
        bus.handle(RecordBatch(classification_run_id=run.name, batch_id=batch_id, query_ids=ids))
        if store.load(ClassificationRun, run.name).status != "running":
            return


def _look_at(
    batch: Batch,
    recorder: Recorder,
    template: TemplateContent,
    classifier: BatchClassifier,
    store: EventStore,
) -> None:
    """Take in a batch that has ended, or whose answers came another way."""
    run, error = recorder.run, None
    if len(_open(run, batch)):
        state = classifier.poll(batch.batch_id)
        if not state.ended:
            return
        error = state.error
        _take_in(recorder, classifier.results(template, batch.batch_id), batch.query_ids)
        why = error or "no answer stands in its results"
        silent = _open(store.load(ClassificationRun, run.name), batch)
        recorder.record_errors(silent.tolist(), f"batch {batch.batch_id}: {why}")
    recorder.bus.handle(EndBatch(classification_run_id=run.name, batch_id=batch.batch_id, error=error))


def _open(run: ClassificationRun, batch: Batch) -> QueryIds:
    settled = run.answered.has(batch.query_ids) | run.failed.has(batch.query_ids)
    return batch.query_ids[~settled]


def _take_in(recorder: Recorder, answers: Iterator[Labelled], wanted: QueryIds) -> None:
    """Record the answers to these queries. Others are passed over; where the source breaks off, what came
    before is recorded all the same.
    """
    recorder.record(_with_texts(recorder, answers, wanted))


def _with_texts(recorder: Recorder, answers: Iterator[Labelled], wanted: QueryIds) -> Iterator[Labelled]:
    for some in chunks(answers, READ_AT_ONCE):
        known = [one for one in some if _is_of(one.key, wanted)]
        recorder.passed_over += len(some) - len(known)
        recorder.texts.hold([int(one.key) for one in known])
        yield from known


def _is_of(key: int | str, wanted: QueryIds) -> bool:
    """`wanted` in ascending order."""
    if isinstance(key, str) and not key.isdecimal():
        return False
    at = int(wanted.searchsorted(int(key)))
    return at < len(wanted) and int(wanted[at]) == int(key)


def cancel_batches(run: ClassificationRun, classifier: BatchClassifier) -> None:
    for batch_id in run.batches:
        classifier.cancel(batch_id)


def run_ingest(
    classification_run_id: str,
    ingest_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    sources: Sources,
    batch_classifiers: BatchClassifiers,
) -> None:
    """Results out of a provider's output file. A line that cannot be read ends it; what came before stays."""
    run = store.load(ClassificationRun, classification_run_id)
    if ingest_id not in run.ingests:
        return
    template = store.load(Template, run.template_id).at(run.template_number)
    recorder = Recorder(run, bus, Texts(run.dataset, contents))
    answers = batch_classifiers.get(run.model).read(template, sources.lines(run.ingests[ingest_id]))
    error = None
    try:
        _take_in(recorder, answers, population_of(run, contents))
    except Invalid as refused:
        error = refused.message
    bus.handle(
        EndIngest(
            classification_run_id=run.name,
            ingest_id=ingest_id,
            recorded=recorder.recorded,
            passed_over=recorder.passed_over,
            error=error,
        )
    )
