"""The fold of classification events into rows. Results go in by COPY, counters once a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ARRAY, BigInteger, any_, delete, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.classification import CONFIDENCE_UNIT, NO_CONFIDENCE, ClassificationRun
from domain.datasets import Dataset
from domain.values import added, unpack
from projections.base import ReadStore, Recorded
from projections.classification.tables import counts, erased, results, runs, tables

_SAME = (
    *("dataset", "template_id", "template_number", "template_hash", "labels", "model", "alias"),
    *("filters", "execution", "parameters"),
)
_USED = ("calls", "input_tokens", "output_tokens", "cost_usd", "cached")


class _Batch:
    """Runs that are not there (any more) are passed over: their data set was cleared."""

    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self._rows: dict[str, dict[str, Any]] = {}
        self._changed: set[str] = set()
        self._counts: Counter[tuple[int, int]] = Counter()

    # --- the rows of runs, read once and written once

    def row(self, run_id: str) -> dict[str, Any] | None:
        if run_id not in self._rows:
            statement = select(runs).where(runs.c.classification_run_id == run_id)
            found = self._store.execute(statement).mappings().first()
            if found is None:
                return None
            self._rows[run_id] = dict(found)
        return self._rows[run_id]

    def change(self, one: Recorded, **values: Any) -> None:  # noqa: ANN401
        if (row := self.row(one.name)) is not None:
            row |= {**values, "version": one.event.originator_version}
            self._changed.add(one.name)

    def write(self) -> None:
        for run_id in sorted(self._changed):
            of_run = update(runs).where(runs.c.classification_run_id == run_id)
            self._store.execute(of_run.values(self._rows[run_id]))
        self._changed.clear()
        rows = [
            {"run_no": run_no, "label": label, "results": more}
            for (run_no, label), more in sorted(self._counts.items())
            if more
        ]
        if rows:
            added = insert(counts)
            more = {"results": counts.c.results + added.excluded.results}
            self._store.execute(
                added.on_conflict_do_update(index_elements=counts.primary_key, set_=more), rows
            )
        self._counts.clear()

    # --- events

    def create(self, one: Recorded) -> None:
        zeros = (
            "answered",
            "failed",
            "missing",
            "batches",
            "calls",
            "input_tokens",
            "output_tokens",
            "cached",
        )
        row = {
            **{name: getattr(one.event, name) for name in _SAME},
            **dict.fromkeys(zeros, 0),
            "classification_run_id": one.name,
            "run_no": one.position,
            "status": "pending",
            "attempt": 1,
            "cost_usd": 0.0,
            "call_seconds": 0.0,
            "version": one.event.originator_version,
            "created_at": one.recorded_at,
        }
        self._store.execute(insert(runs).values(row))

    def select(self, one: Recorded) -> None:
        self.change(one, total=one.event.count, status="running", started_at=one.recorded_at)

    def record(self, one: Recorded) -> None:
        row = self.row(one.name)
        if row is None:
            return
        event, run_no = one.event, row["run_no"]
        gone = self._gone([*unpack(event.query_ids).tolist(), *(e["query_id"] for e in event.errors)])
        rows = [r for r in _result_rows(run_no, one) if r[1] not in gone]
        replaced = self._without_errors(run_no, [r[1] for r in rows]) if row["failed"] else 0
        self._store.copy(results, rows)
        labels = [r[2] for r in rows if r[2] is not None]
        self._counts.update((run_no, label) for label in labels)
        self.change(
            one,
            answered=row["answered"] + len(labels),
            failed=row["failed"] + len(rows) - len(labels) - replaced,
            missing=row["missing"] + len(gone),
            prompt=event.prompt or row["prompt"],
            **_used(row, event.usage),
        )

    def _gone(self, query_ids: Sequence[int]) -> set[int]:
        found = self._store.execute(select(erased).where(erased.c.query_id == _any(query_ids)))
        return set(found.scalars())

    def _without_errors(self, run_no: int, query_ids: Sequence[int]) -> int:
        of_these = (results.c.run_no == run_no, results.c.query_id == _any(query_ids))
        gone = delete(results).where(*of_these, results.c.label.is_(None))
        return int(self._store.execute(gone).rowcount)

    def submit(self, one: Recorded) -> None:
        if (row := self.row(one.name)) is not None:
            self.change(one, batches=row["batches"] + 1)

    def end_batch(self, one: Recorded) -> None:
        if (row := self.row(one.name)) is not None:
            self.change(one, batches=row["batches"] - 1, error=one.event.error or row["error"])

    def note(self, one: Recorded) -> None:
        self.change(one)

    def request_cancel(self, one: Recorded) -> None:
        self.change(one, status="cancelling")

    def cancel(self, one: Recorded) -> None:
        self.change(one, status="cancelled", completed_at=one.recorded_at)

    def fail(self, one: Recorded) -> None:
        self.change(one, status="failed", error=one.event.error, completed_at=one.recorded_at)

    def complete(self, one: Recorded) -> None:
        if (row := self.row(one.name)) is not None:
            settled = row["answered"] + row["failed"]
            missing = max(0, (row["total"] or 0) - settled)
            self.change(one, status="completed", missing=missing, completed_at=one.recorded_at)

    def resume(self, one: Recorded) -> None:
        row = self.row(one.name)
        if row is not None:
            status = "pending" if row["total"] is None else "running"
            again = {"error": None, "completed_at": None, "started_at": one.recorded_at}
            self.change(
                one, status=status, attempt=row["attempt"] + 1, execution=one.event.execution, **again
            )

    # --- what others decide

    def erase(self, one: Recorded) -> None:
        self.write()
        ids = one.event.query_ids
        kept = insert(erased).on_conflict_do_nothing()
        self._store.execute(kept, [{"query_id": query_id} for query_id in ids])
        gone = delete(results).where(results.c.query_id == _any(ids))
        left = self._store.execute(gone.returning(results.c.run_no, results.c.label)).all()
        for run_no, label in left:
            column = runs.c.failed if label is None else runs.c.answered
            fewer = {column: column - 1, runs.c.missing: runs.c.missing + 1}
            self._store.execute(update(runs).where(runs.c.run_no == run_no).values(fewer))
            if label is not None:
                self._counts[run_no, label] -= 1
        self._rows.clear()

    def clear(self, one: Recorded) -> None:
        self.write()
        of_dataset = select(runs.c.run_no).where(runs.c.dataset == one.name)
        for table in (results, counts):
            self._store.execute(delete(table).where(table.c.run_no.in_(of_dataset)))
        self._store.execute(delete(runs).where(runs.c.dataset == one.name))
        self._rows.clear()


def _used(row: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    sums = added({**{name: row[name] for name in _USED}, "seconds": row["call_seconds"]}, usage)
    return {**{name: sums[name] for name in _USED}, "call_seconds": sums["seconds"]}


def _any(query_ids: Iterable[int]) -> Any:  # noqa: ANN401
    return any_(literal(list(query_ids), ARRAY(BigInteger)))


def _result_rows(run_no: int, one: Recorded) -> Iterator[tuple[Any, ...]]:
    event, at = one.event, (one.position, one.recorded_at)
    ids, labels = unpack(event.query_ids).tolist(), unpack(event.labels).tolist()
    scaled = unpack(event.confidence).astype(np.int64)
    sure = [None if one == NO_CONFIDENCE else one / CONFIDENCE_UNIT for one in scaled.tolist()]
    words = event.reasoning or [None] * len(ids)
    for query_id, label, confidence, reasoning in zip(ids, labels, sure, words, strict=True):
        yield run_no, query_id, label, confidence, reasoning, None, *at
    for error in event.errors:
        yield run_no, error["query_id"], None, None, None, error["error"], *at


_FOLDS: Mapping[type, Callable[[_Batch, Recorded], None]] = {
    ClassificationRun.Created: _Batch.create,
    ClassificationRun.PopulationSelected: _Batch.select,
    ClassificationRun.ResultsRecorded: _Batch.record,
    ClassificationRun.BatchSubmitted: _Batch.submit,
    ClassificationRun.BatchEnded: _Batch.end_batch,
    ClassificationRun.IngestRequested: _Batch.note,
    ClassificationRun.IngestEnded: _Batch.note,
    ClassificationRun.CancelRequested: _Batch.request_cancel,
    ClassificationRun.Cancelled: _Batch.cancel,
    ClassificationRun.Failed: _Batch.fail,
    ClassificationRun.Completed: _Batch.complete,
    ClassificationRun.Resumed: _Batch.resume,
    Dataset.ConversationErased: _Batch.erase,
    Dataset.Cleared: _Batch.clear,
}


class ClassificationProjection:
    name = "classification"
    tables = tables
    batch = 200
    """An event may bring 10,000 rows."""
    handles: frozenset[type] = frozenset(_FOLDS)

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        batch = _Batch(store)
        for one in events:
            _FOLDS[type(one.event)](batch, one)
        batch.write()
