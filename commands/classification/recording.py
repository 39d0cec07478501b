"""What the work on a classification run records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from commands.ports import EventStore, Outcome
from domain.classification import ClassificationRun, Results, encode_population
from domain.values import QueryIds, digest


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordPopulation:
    """`query_ids` in ascending order; `position`: what the read models had passed that were asked."""

    classification_run_id: str
    query_ids: QueryIds
    position: int


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordResults:
    classification_run_id: str
    results: Results


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordBatch:
    classification_run_id: str
    batch_id: str
    query_ids: QueryIds


@dataclass(frozen=True, kw_only=True)
class EndBatch:
    classification_run_id: str
    batch_id: str
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class EndClassification:
    """`left`: queries that nobody has asked about yet; `missing`: those whose text is gone."""

    classification_run_id: str
    left: int
    missing: int = 0


@dataclass(frozen=True, kw_only=True)
class EndIngest:
    classification_run_id: str
    ingest_id: str
    recorded: int = 0
    passed_over: int = 0
    error: str | None = None


def record_population(cmd: RecordPopulation, store: EventStore) -> Outcome:
    """The ids lie beside the log; the event has their digest."""
    run = store.load(ClassificationRun, cmd.classification_run_id)
    body = encode_population(np.asarray(cmd.query_ids, np.int64))
    run.select_population(len(cmd.query_ids), digest(body).hex(), cmd.position)
    return Outcome((run,), contents={digest(body): body})


def record_results(cmd: RecordResults, store: EventStore) -> Outcome:
    run = store.load(ClassificationRun, cmd.classification_run_id)
    recorded = run.record(cmd.results)
    return Outcome((run,) if recorded else (), {"recorded": recorded})


def record_batch(cmd: RecordBatch, store: EventStore) -> Outcome:
    run = store.load(ClassificationRun, cmd.classification_run_id)
    run.submit_batch(cmd.batch_id, cmd.query_ids)
    return Outcome((run,))


def end_batch(cmd: EndBatch, store: EventStore) -> Outcome:
    run = store.load(ClassificationRun, cmd.classification_run_id)
    run.end_batch(cmd.batch_id, cmd.error)
    return Outcome((run,))


def end_classification(cmd: EndClassification, store: EventStore) -> Outcome:
    run = store.load(ClassificationRun, cmd.classification_run_id)
    run.end(cmd.left, cmd.missing)
    return Outcome((run,))


def end_ingest(cmd: EndIngest, store: EventStore) -> Outcome:
    run = store.load(ClassificationRun, cmd.classification_run_id)
    run.end_ingest(cmd.ingest_id, cmd.recorded, cmd.passed_over, cmd.error)
    return Outcome((run,))
