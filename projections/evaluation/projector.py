"""Events of evaluation into rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ARRAY, Integer, any_, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from domain.datasets import Dataset
from domain.evaluation import EvaluationRun, Manifest, Suggestion, TestSet
from domain.values import unpack
from projections.base import ReadStore, Recorded
from projections.evaluation.tables import cases, results, runs, suggestions, tables, test_sets, versions

FRESH = {"suggestions": [], "priority_categories": [], "confused": [], "evaluated": [], "forced": False}


class EvaluationProjection:
    name = "evaluation"
    tables = tables
    batch = 20
    """A version may bring 100,000 cases."""
    handles: frozenset[type] = frozenset(
        {
            TestSet.Created,
            TestSet.VersionFrozen,
            EvaluationRun.Created,
            EvaluationRun.CasesAnswered,
            EvaluationRun.CancelRequested,
            EvaluationRun.Resumed,
            EvaluationRun.Completed,
            EvaluationRun.Failed,
            EvaluationRun.Cancelled,
            Suggestion.Created,
            Suggestion.Made,
            Suggestion.Failed,
            Suggestion.Evaluated,
            Suggestion.Adopted,
            Suggestion.Discarded,
            Dataset.ConversationErased,
            Dataset.Cleared,
        }
    )

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            match one.event:
                case TestSet.Created() | TestSet.VersionFrozen():
                    _test_set(one, store)
                case Suggestion.Event() | Suggestion.Created():
                    _suggestion(one, store)
                case Dataset.ConversationErased() | Dataset.Cleared():
                    _forget(one, store)
                case _:
                    _run(one, store)


def _actor(one: Recorded) -> str:
    return str(one.meta.get("actor", "system"))


# --- test sets


def _test_set(one: Recorded, store: ReadStore) -> None:
    event = one.event
    if isinstance(event, TestSet.Created):
        row = {"test_set": one.name, "description": event.description, "versions": 0}
        times = {"created_at": one.recorded_at, "updated_at": one.recorded_at, "position": one.position}
        store.execute(insert(test_sets).values(row | times))
        return
    address = bytes.fromhex(event.manifest)
    manifest = Manifest.decoded(store.contents([address])[address])
    same = ("number", "cases", "labels", "source", "rejected", "errors")
    row = {"test_set": one.name, "hash": event.manifest, "dataset": manifest.dataset}
    by = {"created_at": one.recorded_at, "created_by": _actor(one)}
    store.execute(insert(versions).values({**{name: getattr(event, name) for name in same}, **row, **by}))
    newest = {"versions": event.number, "updated_at": one.recorded_at, "position": one.position}
    store.execute(update(test_sets).where(test_sets.c.test_set == one.name).values(newest))
    store.copy(cases, _case_rows(one.name, event.number, manifest))


def _case_rows(test_set: str, number: int, manifest: Manifest) -> Iterator[tuple[Any, ...]]:
    ids = manifest.query_ids.tolist()
    for case_number in range(1, len(manifest) + 1):
        query_id = ids[case_number - 1] or None
        text = manifest.digests.get(case_number)
        yield test_set, number, case_number, manifest.label(case_number), query_id, text, False


def _forget(one: Recorded, store: ReadStore) -> None:
    """Cases of what is not there any more stay, as gone: runs have counted them."""
    gone = cases.c.query_id.in_(getattr(one.event, "query_ids", ()))
    if isinstance(one.event, Dataset.Cleared):
        of_dataset = select(versions.c.test_set, versions.c.number).where(versions.c.dataset == one.name)
        gone = cases.c.query_id.is_not(None) & _both(cases).in_(of_dataset)
    store.execute(update(cases).where(gone).values(gone=True))


def _both(table: Any) -> Any:  # noqa: ANN401
    from sqlalchemy import tuple_

    return tuple_(table.c.test_set, table.c.number)


# --- runs


def _run(one: Recorded, store: ReadStore) -> None:
    event = one.event
    match event:
        case EvaluationRun.Created():
            store.execute(insert(runs).values(_new_run(one)))
        case EvaluationRun.CasesAnswered():
            _answered(one, store)
        case EvaluationRun.CancelRequested():
            _change(one, store, {"status": "cancelling"})
        case EvaluationRun.Resumed():
            again = {"status": "running", "parameters": event.parameters, "error": None}
            _change(one, store, {**again, "ended_at": None, "figures": None})
        case EvaluationRun.Completed():
            _change(one, store, {"status": "completed", **_ended(one)})
        case EvaluationRun.Failed():
            _change(one, store, {"status": "failed", "error": event.error, **_ended(one)})
        case EvaluationRun.Cancelled():
            _change(one, store, {"status": "cancelled", **_ended(one)})


def _change(one: Recorded, store: ReadStore, values: Mapping[str, Any]) -> None:
    store.execute(update(runs).where(runs.c.evaluation_run_id == one.name).values(**values))


def _ended(one: Recorded) -> dict[str, Any]:
    return {"figures": one.event.figures, "ended_at": one.recorded_at}


def _new_run(one: Recorded) -> dict[str, Any]:
    kept = [column.name for column in runs.c if hasattr(one.event, column.name)]
    return {
        **{name: getattr(one.event, name) for name in kept},
        "position": one.position,
        "answered": 0,
        "errors": 0,
        "status": "pending",
        "created_at": one.recorded_at,
        "created_by": _actor(one),
    }


def _answered(one: Recorded, store: ReadStore) -> None:
    """A later answer to a case takes the place of the earlier one."""
    of_run = runs.c.evaluation_run_id == one.name
    labels, status = store.execute(select(runs.c.labels, runs.c.status).where(of_run)).one()
    rows = list(_result_rows(one, labels))
    numbers = literal([row[1] for row in rows], ARRAY(Integer))
    same = (results.c.evaluation_run_id == one.name, results.c.case_number == any_(numbers))
    store.execute(delete(results).where(*same))
    store.copy(results, rows)
    mine = select(func.count()).where(results.c.evaluation_run_id == one.name, ~results.c.gone)
    counts = {
        "answered": mine.scalar_subquery(),
        "errors": mine.where(results.c.predicted.is_(None)).scalar_subquery(),
    }
    now = "cancelling" if status == "cancelling" else "running"
    store.execute(update(runs).where(of_run).values(**counts, status=now))


def _result_rows(one: Recorded, labels: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    event = one.event
    words = {said["number"]: said for said in event.words}
    leaked = set(event.leaked)
    columns = [unpack(getattr(event, name)) for name in ("numbers", "predicted", "confidence", "seconds")]
    for number, predicted, confidence, seconds in zip(*(_plain(one) for one in columns), strict=True):
        said = words.get(number, {})
        label = labels[predicted] if predicted >= 0 else None
        yield (
            one.name,
            number,
            label,
            confidence,
            seconds,
            number in leaked,
            False,
            said.get("error"),
            said.get("reasoning"),
        )
    for number in event.gone:
        yield one.name, number, None, None, None, False, True, None, None


def _plain(array: Any) -> list[Any]:  # noqa: ANN401
    """Numbers of Python; None for what is no number."""
    if array.dtype.kind == "f":
        return [None if np.isnan(value) else float(value) for value in array]
    listed: list[Any] = array.tolist()
    return listed


# --- suggestions


def _suggestion(one: Recorded, store: ReadStore) -> None:
    event = one.event
    if isinstance(event, Suggestion.Created):
        kept = [column.name for column in suggestions.c if hasattr(event, column.name)]
        row = {"position": one.position, "status": "pending", "created_at": one.recorded_at}
        same = {name: getattr(event, name) for name in kept}
        store.execute(insert(suggestions).values({**FRESH, **same, **row, "created_by": _actor(one)}))
        return
    store.execute(update(suggestions).where(suggestions.c.suggestion_id == one.name).values(**_changed(one)))


def _changed(one: Recorded) -> dict[str, Any]:
    event = one.event
    decided = {"decided_at": one.recorded_at, "decided_by": _actor(one)}
    match event:
        case Suggestion.Made():
            names = ("analysis", "suggestions", "priority_categories", "confused", "draft", "prompt", "usage")
            return {"status": "draft", **{name: getattr(event, name) for name in names}}
        case Suggestion.Failed():
            return {"status": "failed", "error": event.error}
        case Suggestion.Evaluated():
            more = literal([event.evaluation_run_id], JSONB)
            return {"evaluated": suggestions.c.evaluated.op("||")(more)}
        case Suggestion.Adopted():
            how = {"adopted_number": event.number, "forced": event.forced, "decision_reason": event.reason}
            return {"status": "adopted", **how, **decided}
        case _:
            return {"status": "discarded", "decision_reason": event.reason, **decided}
