"""A classification run: queries given labels of a template by one model, in chunks that are kept for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.base import Aggregate, event
from domain.errors import Conflict, Invalid
from domain.ids import IdSet
from domain.runs import Run
from domain.values import Labels, QueryIds, mended, pack, unpack

CONFIDENCE_UNIT = 10_000
NO_CONFIDENCE = 65_535
"""In place of ten-thousandths, where a classifier has none."""

Confidences = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Results:
    """Answers to some queries. `labels`: places in the labels of the run; `confidence`: nan for none.

    `reasoning` is empty, or has an entry for each query. `errors`: why others were not answered, by query.
    `usage`: what these answers took, as `commands.ports.Usage` has it; `prompt`: what they were asked with.
    """

    query_ids: QueryIds
    labels: Labels
    confidence: Confidences
    reasoning: Sequence[str | None] = ()
    errors: Mapping[int, str] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""


@dataclass(frozen=True, eq=False)
class Batch:
    """Queries that a provider works through on its own time, in ascending order."""

    batch_id: str
    query_ids: QueryIds


class ClassificationRun(Run):
    NOUN = "run"
    TOPIC = "classification"
    PREFIX = "classification"

    class Created(Aggregate.Created):
        """The intent: which queries, by which version of which template, by which model, and how.

        `labels`: those of that version, in order; results have their places.
        """

        TOPIC = "classification.created"
        classification_run_id: str
        dataset: str
        template_id: str
        template_number: int
        template_hash: str
        labels: list[str]
        model: str
        alias: str | None
        filters: dict[str, Any]
        execution: dict[str, Any]
        parameters: dict[str, Any]

    class PopulationSelected(Aggregate.Event):
        """Which queries the filters meant. `population`: SHA-256 (hex) of the content that has their ids.

        `position`: the read models that were asked had passed this event.
        """

        TOPIC = "classification.population_selected"
        count: int
        population: str
        position: int

    class ResultsRecorded(Aggregate.Event):
        """A chunk: packed arrays of query ids, places of labels and confidence in 1/10,000 (65535: none).

        `reasoning`: an entry for each, or none at all; no quotation of the text stands in it. `errors`:
        `{query_id, error}` of queries that got no label. `attempt`: 1, and one more with every resume.
        """

        TOPIC = "classification.results_recorded"
        attempt: int
        count: int
        query_ids: str
        labels: str
        confidence: str
        reasoning: list[str | None]
        errors: list[dict[str, Any]]
        usage: dict[str, Any]
        prompt: str

    class BatchSubmitted(Aggregate.Event):
        """A provider has taken in a batch; `query_ids` packed."""

        TOPIC = "classification.batch_submitted"
        batch_id: str
        count: int
        query_ids: str

    class BatchEnded(Aggregate.Event):
        """Its results are recorded. `error`: why the batch as a whole came to nothing."""

        TOPIC = "classification.batch_ended"
        batch_id: str
        error: str | None

    class IngestRequested(Aggregate.Event):
        """Results are to be read from a file below the import folder."""

        TOPIC = "classification.ingest_requested"
        ingest_id: str
        path: str

    class IngestEnded(Aggregate.Event):
        """`recorded` results were new; `passed_over` were there already or of no query of this run."""

        TOPIC = "classification.ingest_ended"
        ingest_id: str
        recorded: int
        passed_over: int
        error: str | None

    class CancelRequested(Aggregate.Event):
        """No more is to be asked; what is under way is still recorded."""

        TOPIC = "classification.cancel_requested"

    class Cancelled(Aggregate.Event):
        TOPIC = "classification.cancelled"
        answered: int
        failed: int

    class Failed(Run.Failed):
        """Something that every query would have met. What was recorded stays."""

        TOPIC = "classification.failed"

    class Completed(Aggregate.Event):
        """`missing`: queries whose text was gone before their turn came."""

        TOPIC = "classification.completed"
        answered: int
        failed: int
        missing: int

    class Resumed(Aggregate.Event):
        """What has no label yet is asked again, errors among it."""

        TOPIC = "classification.resumed"
        execution: dict[str, Any]

    @staticmethod
    def create_id(classification_run_id: str) -> str:
        return ClassificationRun.stream(classification_run_id)

    def __init__(
        self,
        classification_run_id: str,
        dataset: str,
        template_id: str,
        template_number: int,
        template_hash: str,
        labels: list[str],
        model: str,
        alias: str | None,
        filters: dict[str, Any],
        execution: dict[str, Any],
        parameters: dict[str, Any],
    ) -> None:
        self.classification_run_id = classification_run_id
        self.dataset = dataset
        self.template_id = template_id
        self.template_number = template_number
        self.template_hash = template_hash
        self.labels = labels
        self.model = model
        self.alias = alias
        self.filters = filters
        self.execution = execution
        self.parameters = parameters
        self.status = "pending"
        self.attempt = 1
        self.count = 0
        self.population: str | None = None
        self.answered = IdSet()
        self.failed = IdSet()
        self.tokens = 0
        self.batches: dict[str, Batch] = {}
        self.ingests: dict[str, str] = {}

    @property
    def in_batches(self) -> bool:
        return self.execution.get("mode") == "batch"

    # --- which queries

    def select_population(self, count: int, population: str, position: int) -> None:
        """Which queries it is about, once and for all. None at all: it has failed."""
        if self.status != "pending" or self.population is not None:
            return
        if not count:
            self.fail("no query fits the filters")
            return
        self._population_selected(count=count, population=population, position=position)

    @event(PopulationSelected)
    def _population_selected(self, count: int, population: str, position: int) -> None:
        self.count = count
        self.population = population
        self.status = "running"

    def left(self, population: QueryIds) -> QueryIds:
        """Those of the population that are still to be asked about, in this attempt."""
        settled = self.answered.has(population) | self.failed.has(population)
        for batch in self.batches.values():
            settled |= np.isin(population, batch.query_ids)
        return population[~settled]

    # --- results

    def record(self, results: Results) -> int:
        """Keep a chunk; returns how many answers and errors of it are new.

        What has its answer already is passed over, so that a job can be repeated; and so are errors of
        queries that have failed in this attempt. Results are taken whatever has become of the run since they
        were asked for: they are facts, and paid for.
        """
        if self.population is None:
            raise Conflict(f"{self.noun} has no queries yet")
        self._check_labels(results.labels)
        ids, rows = np.unique(results.query_ids, return_index=True)
        rows = rows[~self.answered.has(ids)]
        ids = results.query_ids[rows].astype(np.int64)
        errors = self._new_errors(results.errors, ids)
        if not len(ids) and not errors:
            return 0
        confidence = results.confidence[rows]
        scaled = np.where(np.isnan(confidence), NO_CONFIDENCE, np.rint(confidence * CONFIDENCE_UNIT))
        words = [results.reasoning[row] for row in rows] if results.reasoning else []
        self._results_recorded(
            attempt=self.attempt,
            count=len(ids),
            query_ids=pack(ids),
            labels=pack(results.labels[rows].astype(np.int32)),
            confidence=pack(scaled.astype(np.uint16)),
            reasoning=[None if one is None else mended(one) for one in words] if any(words) else [],
            errors=errors,
            usage=dict(results.usage),
            prompt=results.prompt,
        )
        return len(ids) + len(errors)

    def _check_labels(self, labels: Labels) -> None:
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(self.labels)):
            raise Invalid(f"{self.noun} has labels 0 to {len(self.labels) - 1}")

    def _new_errors(self, errors: Mapping[int, str], answered: QueryIds) -> list[dict[str, Any]]:
        ids = np.setdiff1d(np.array(sorted(errors), np.int64), answered)
        new = ids[~(self.answered.has(ids) | self.failed.has(ids))]
        return [{"query_id": one, "error": mended(errors[one])} for one in new.tolist()]

    @event(ResultsRecorded)
    def _results_recorded(
        self,
        attempt: int,
        count: int,
        query_ids: str,
        labels: str,
        confidence: str,
        reasoning: list[str | None],
        errors: list[dict[str, Any]],
        usage: dict[str, Any],
        prompt: str,
    ) -> None:
        ids = unpack(query_ids).astype(np.int64)
        self.answered = self.answered.plus(ids)
        self.failed = self.failed.minus(ids).plus(np.array([one["query_id"] for one in errors], np.int64))
        self.tokens += usage.get("input_tokens", 0) + usage.get("output_tokens", 0)

    # --- in batches

    def submit_batch(self, batch_id: str, query_ids: QueryIds) -> None:
        if batch_id not in self.batches:
            self._batch_submitted(batch_id=batch_id, count=len(query_ids), query_ids=pack(np.sort(query_ids)))

    @event(BatchSubmitted)
    def _batch_submitted(self, batch_id: str, count: int, query_ids: str) -> None:
        self.batches[batch_id] = Batch(batch_id, unpack(query_ids).astype(np.int64))

    def end_batch(self, batch_id: str, error: str | None) -> None:
        if batch_id in self.batches:
            self._batch_ended(batch_id=batch_id, error=None if error is None else mended(error))

    @event(BatchEnded)
    def _batch_ended(self, batch_id: str, error: str | None) -> None:
        del self.batches[batch_id]

    def request_ingest(self, ingest_id: str, path: str) -> None:
        if self.population is None:
            raise Conflict(f"{self.noun} has no queries yet that results could be of")
        self._ingest_requested(ingest_id=ingest_id, path=path)

    @event(IngestRequested)
    def _ingest_requested(self, ingest_id: str, path: str) -> None:
        self.ingests[ingest_id] = path

    def end_ingest(self, ingest_id: str, recorded: int, passed_over: int, error: str | None) -> None:
        if ingest_id in self.ingests:
            why = None if error is None else mended(error)
            self._ingest_ended(ingest_id=ingest_id, recorded=recorded, passed_over=passed_over, error=why)

    @event(IngestEnded)
    def _ingest_ended(self, ingest_id: str, recorded: int, passed_over: int, error: str | None) -> None:
        del self.ingests[ingest_id]

    # --- how it ends

    def cancel(self) -> None:
        """Ask for no more. One that is being cancelled already stays so."""
        if self.status == "cancelling":
            return
        if self.has_ended:
            raise Conflict(f"{self.noun} has ended already: it is {self.status}")
        self._cancel_requested()
        if self.population is None:
            self._cancelled(answered=0, failed=0)

    @event(CancelRequested)
    def _cancel_requested(self) -> None:
        self.status = "cancelling"

    def end(self, left: int, missing: int) -> None:
        """Nobody asks any more. With nothing left it is complete, also where it was to be cancelled; failed,
        where no query at all got a label.
        """
        counts = {"answered": len(self.answered), "failed": len(self.failed)}
        if self.status == "cancelling" and left:
            self._cancelled(**counts)
        elif not left and counts["failed"] and not counts["answered"]:
            self.fail(f"none of {counts['failed']:,} queries got a label: their errors say why")
        elif self.status in ("running", "cancelling") and not left:
            self._completed(**counts, missing=missing)

    @event(Cancelled)
    def _cancelled(self, answered: int, failed: int) -> None:
        self.status = "cancelled"

    @event(Completed)
    def _completed(self, answered: int, failed: int, missing: int) -> None:
        self.status = "completed"

    def resume(self, execution: Mapping[str, Any]) -> None:
        """Go on with what has no label. `execution`: what is to be different from now on."""
        if not self.has_ended:
            raise Conflict(f"{self.noun} is {self.status}: what is under way needs no resuming")
        if self.status == "completed" and not len(self.failed):
            raise Conflict(f"{self.noun} is completed, and without errors: there is nothing left to do")
        chosen = {**self.execution, **execution}
        if chosen.get("mode") != self.execution.get("mode"):
            raise Invalid("execution.mode: a run stays in the mode that it was created in")
        self._resumed(execution=chosen)

    @event(Resumed)
    def _resumed(self, execution: dict[str, Any]) -> None:
        self.execution = execution
        self.attempt += 1
        self.failed = IdSet()
        self.status = "pending" if self.population is None else "running"


def encode_population(query_ids: QueryIds) -> bytes:
    """Ascending ids as bytes that compress well: what each is more than the one before."""
    return np.diff(query_ids, prepend=np.int64(0)).astype("<i8").tobytes()


def decode_population(body: bytes) -> QueryIds:
    return np.cumsum(np.frombuffer(body, "<i8"), dtype=np.int64)


def sampled(query_ids: QueryIds, sample: int | None, limit: int | None, seed: int) -> QueryIds:
    """`sample` of them by chance, the same for the same seed; then the first `limit` of these."""
    if sample is not None and sample < len(query_ids):
        query_ids = np.sort(np.random.default_rng(seed).choice(query_ids, sample, replace=False))
    return query_ids if limit is None else query_ids[:limit]
