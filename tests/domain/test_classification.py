"""Classification runs: what is recorded once stays, and nothing is asked twice that has its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from domain.classification import (
    NO_CONFIDENCE,
    ClassificationRun,
    Results,
    decode_population,
    encode_population,
    sampled,
)
from domain.errors import Conflict, Invalid
from domain.values import unpack
from tests.given import given
from tests.runs import replayed, stored

LABELS = ["refund", "weather", "other"]
POPULATION = np.arange(1, 7, dtype=np.int64)


def run(**more: Any) -> ClassificationRun:  # noqa: ANN401
    fields: dict[str, Any] = {
        "classification_run_id": "classify-nearest-20251004-170442",
        "dataset": "default",
        "template_id": "topics",
        "template_number": 2,
        "template_hash": "ab" * 32,
        "labels": LABELS,
        "model": "local/nearest",
        "alias": None,
        "filters": {"dataset": "default"},
        "execution": {"mode": "sync", "concurrency": 4},
        "parameters": {},
    }
    return ClassificationRun(**(fields | more))


def running(**more: Any) -> ClassificationRun:  # noqa: ANN401
    made = run(**more)
    made.select_population(6, "cd" * 32, 17)
    return made


def results(
    *query_ids: int,
    labels: Sequence[int] | None = None,
    confidence: Sequence[float] | None = None,
    reasoning: Sequence[str | None] = (),
    errors: Mapping[int, str] | None = None,
    tokens: int = 0,
) -> Results:
    return Results(
        np.array(query_ids, np.int64),
        np.array(labels or [one % 3 for one in query_ids], np.int32),
        np.array(confidence or [0.5] * len(query_ids), np.float64),
        reasoning,
        errors or {},
        {"calls": 1, "input_tokens": tokens},
        "classify.v1@abc",
    )


def left(one: ClassificationRun) -> list[int]:
    return [int(query_id) for query_id in one.left(POPULATION)]


# --- which queries


def test_the_population_is_chosen_once() -> None:
    chosen = given(run()).when(lambda one: one.select_population(6, "cd" * 32, 17))
    chosen.then(ClassificationRun.PopulationSelected, count=6, population="cd" * 32, position=17)
    assert chosen.aggregate.status == "running"
    given(chosen.aggregate).when(lambda one: one.select_population(3, "ef" * 32, 18)).then_nothing()


def test_a_run_about_nothing_has_failed() -> None:
    nothing = given(run()).when(lambda one: one.select_population(0, "cd" * 32, 17))
    nothing.then(ClassificationRun.Failed, error="no query fits the filters")


def test_there_are_no_results_before_there_is_a_population() -> None:
    given(run()).when(lambda one: one.record(results(1))).refuses(Conflict, "has no queries yet")


# --- results


def test_a_chunk_holds_packed_answers_and_plain_errors() -> None:
    chunk = results(3, 1, labels=[2, 0], confidence=[float("nan"), 0.12345], errors={2: "a\0b"})
    event = given(running()).when(lambda one: one.record(chunk)).then(ClassificationRun.ResultsRecorded)
    assert unpack(event.query_ids).tolist() == [1, 3]
    assert unpack(event.labels).tolist() == [0, 2]
    assert unpack(event.confidence).tolist() == [1234, NO_CONFIDENCE]
    assert event.errors == [{"query_id": 2, "error": "a\N{REPLACEMENT CHARACTER}b"}]
    assert (event.attempt, event.count, event.reasoning, event.prompt) == (1, 2, [], "classify.v1@abc")


def test_reasoning_goes_with_its_query() -> None:
    chunk = results(3, 1, 3, labels=[2, 0, 1], reasoning=["third", None, "again"])
    event = given(running()).when(lambda one: one.record(chunk)).then(ClassificationRun.ResultsRecorded)
    assert (unpack(event.query_ids).tolist(), event.reasoning) == ([1, 3], [None, "third"])


def test_what_is_recorded_already_is_passed_over() -> None:
    one = running()
    assert one.record(results(1, 2, errors={3: "no"})) == 3
    given(one).when(lambda run: run.record(results(2, 1, errors={3: "no again"}))).then_nothing()
    event = (
        given(one)
        .when(lambda run: run.record(results(2, 4, errors={1: "late"})))
        .then(ClassificationRun.ResultsRecorded)
    )
    assert (unpack(event.query_ids).tolist(), event.errors) == ([4], [])
    assert left(one) == [5, 6]


def test_an_answer_takes_the_place_of_an_error() -> None:
    one = running()
    one.record(results(errors={3: "no"}))
    given(one).when(lambda run: run.record(results(3))).then(ClassificationRun.ResultsRecorded, count=1)
    assert (len(one.failed), len(one.answered)) == (0, 1)


def test_a_label_that_is_none_of_the_template_is_refused() -> None:
    given(running()).when(lambda one: one.record(results(1, labels=[3]))).refuses(
        Invalid, "has labels 0 to 2"
    )


@pytest.mark.parametrize("status", ["cancelled", "failed", "completed"])
def test_an_answer_that_was_paid_for_is_kept_whatever_became_of_the_run(status: str) -> None:
    one = running()
    if status == "cancelled":
        one.cancel()
        one.end(left=6, missing=0)
    elif status == "failed":
        one.fail("no key")
    else:
        one.end(left=0, missing=6)
    assert one.status == status
    given(one).when(lambda run: run.record(results(1))).then(ClassificationRun.ResultsRecorded)


# --- how it ends


def test_it_is_complete_when_nothing_is_left() -> None:
    one = running()
    one.record(results(1, 2, 3, 4, errors={5: "no"}))
    given(one).when(lambda run: run.end(left=0, missing=1)).then(
        ClassificationRun.Completed, answered=4, failed=1, missing=1
    )
    given(one).when(lambda run: run.end(left=0, missing=0)).then_nothing()
    given(one).when(lambda run: run.fail("late")).then_nothing()


def test_it_has_failed_when_no_query_got_a_label() -> None:
    one = running()
    one.record(results(errors={1: "no key", 2: "no key"}))
    given(one).when(lambda run: run.end(left=1, missing=0)).then_nothing()
    event = given(one).when(lambda run: run.end(left=0, missing=4)).then(ClassificationRun.Failed)
    assert event.error == "none of 2 queries got a label: their errors say why"
    given(one).when(lambda run: run.resume({})).then(ClassificationRun.Resumed)


def test_with_something_left_it_goes_on() -> None:
    given(running()).when(lambda one: one.end(left=1, missing=0)).then_nothing()


def test_a_cancel_waits_for_what_is_under_way() -> None:
    one = running()
    given(one).when(lambda run: run.cancel()).then(ClassificationRun.CancelRequested)
    given(one).when(lambda run: run.cancel()).then_nothing()
    assert one.status == "cancelling"
    one.record(results(1, 2))
    given(one).when(lambda run: run.end(left=4, missing=0)).then(
        ClassificationRun.Cancelled, answered=2, failed=0
    )
    given(one).when(lambda run: run.cancel()).refuses(Conflict, "has ended already: it is cancelled")


def test_a_cancel_that_comes_too_late_finds_it_complete() -> None:
    one = running()
    one.record(results(1, 2, 3, 4, 5, 6))
    one.cancel()
    given(one).when(lambda run: run.end(left=0, missing=0)).then(ClassificationRun.Completed, answered=6)


def test_one_that_has_not_begun_is_cancelled_at_once() -> None:
    one = run()
    one.cancel()
    assert one.status == "cancelled"
    given(one).when(lambda run: run.select_population(6, "cd" * 32, 17)).then_nothing()


# --- how it goes on


def test_a_resume_asks_again_about_errors_and_never_about_answers() -> None:
    one = running()
    one.record(results(1, 2, errors={3: "no"}))
    one.fail("no key")
    resumed = given(one).when(lambda run: run.resume({"concurrency": 1}))
    resumed.then(ClassificationRun.Resumed, execution={"mode": "sync", "concurrency": 1})
    assert (one.status, one.attempt, left(one)) == ("running", 2, [3, 4, 5, 6])
    event = (
        given(one)
        .when(lambda run: run.record(results(errors={3: "no again"})))
        .then(ClassificationRun.ResultsRecorded)
    )
    assert (event.attempt, left(one)) == (2, [4, 5, 6])


def test_one_that_failed_before_it_had_queries_chooses_them_then() -> None:
    one = run()
    one.fail("no database")
    one.resume({})
    given(one).when(lambda run: run.select_population(6, "cd" * 32, 17)).then(
        ClassificationRun.PopulationSelected
    )


def test_what_need_not_or_cannot_be_resumed() -> None:
    given(running()).when(lambda one: one.resume({})).refuses(Conflict, "is running")
    done = running()
    done.end(left=0, missing=0)
    given(done).when(lambda one: one.resume({})).refuses(Conflict, "nothing left to do")
    failed = running()
    failed.fail("no")
    given(failed).when(lambda one: one.resume({"mode": "batch"})).refuses(Invalid, "execution.mode")


# --- in batches


def test_what_is_in_a_batch_is_not_asked_about_until_that_has_ended() -> None:
    one = running(execution={"mode": "batch"})
    submitted = given(one).when(lambda run: run.submit_batch("b1", np.array([2, 1], np.int64)))
    event = submitted.then(ClassificationRun.BatchSubmitted, batch_id="b1", count=2)
    assert unpack(event.query_ids).tolist() == [1, 2]
    given(one).when(lambda run: run.submit_batch("b1", np.array([3], np.int64))).then_nothing()
    assert left(one) == [3, 4, 5, 6]
    one.record(results(1))
    given(one).when(lambda run: run.end_batch("b1", None)).then(ClassificationRun.BatchEnded)
    given(one).when(lambda run: run.end_batch("b1", None)).then_nothing()
    assert left(one) == [2, 3, 4, 5, 6]


def test_an_ingest_is_asked_for_and_ends_once() -> None:
    given(run()).when(lambda one: one.request_ingest("i1", "out.jsonl")).refuses(Conflict, "no queries yet")
    one = running()
    given(one).when(lambda run: run.request_ingest("i1", "out.jsonl")).then(
        ClassificationRun.IngestRequested, path="out.jsonl"
    )
    given(one).when(lambda run: run.end_ingest("i1", 3, 1, None)).then(
        ClassificationRun.IngestEnded, recorded=3, passed_over=1, error=None
    )
    given(one).when(lambda run: run.end_ingest("i1", 3, 1, None)).then_nothing()


# --- always

IDS = st.lists(st.integers(1, 60), max_size=12, unique=True).map(lambda ids: np.array(ids, np.int64))


STEPS = st.lists(
    st.tuples(st.sampled_from(["record", "fail", "cancel", "end", "resume", "batch", "end batch"]), IDS, IDS),
    max_size=10,
)


@drawn(STEPS)
def test_whatever_happens_an_answer_is_recorded_once_and_replays_to_the_same(
    steps: list[tuple[str, Any, Any]],
) -> None:
    population = np.arange(1, 61, dtype=np.int64)
    one = running()
    for name, ids, failed in steps:
        try:
            _step(one, name, ids, failed, population)
        except Conflict:
            continue
    events = [stored(event) for event in one.collect_events()]
    chunks = [event for event in events if isinstance(event, ClassificationRun.ResultsRecorded)]
    recorded = [query_id for event in chunks for query_id in unpack(event.query_ids).tolist()]
    assert len(recorded) == len(set(recorded)) == len(one.answered)
    again = replayed(events)
    assert left_of(again, population) == left_of(one, population)
    assert (again.status, again.attempt, len(again.failed)) == (one.status, one.attempt, len(one.failed))
    assert not set(left_of(one, population)) & set(recorded)


def _step(one: ClassificationRun, name: str, ids: Any, failed: Any, population: Any) -> None:  # noqa: ANN401
    match name:
        case "record":
            one.record(
                Results(
                    ids,
                    np.zeros(len(ids), np.int32),
                    np.ones(len(ids)),
                    errors=dict.fromkeys(failed.tolist(), "no"),
                )
            )
        case "fail":
            one.fail("no")
        case "cancel":
            one.cancel()
        case "end":
            one.end(len(one.left(population)), 0)
        case "resume":
            one.resume({})
        case "batch":
            one.submit_batch(f"b{len(ids)}", ids)
        case "end batch":
            one.end_batch(f"b{len(ids)}", None)


def left_of(one: ClassificationRun, population: Any) -> list[int]:  # noqa: ANN401
    return [int(query_id) for query_id in one.left(population)]


@drawn(st.lists(st.integers(0, 2**62), unique=True))
def test_a_population_is_what_was_kept(ids: list[int]) -> None:
    ordered = np.array(sorted(ids), np.int64)
    assert decode_population(encode_population(ordered)).tolist() == ordered.tolist()


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    ids = np.arange(100, dtype=np.int64)
    some = sampled(ids, 10, None, 7)
    assert sampled(ids, 10, None, 7).tolist() == some.tolist() == sorted(set(some.tolist()))
    assert sampled(ids, 10, None, 8).tolist() != some.tolist()
    assert sampled(ids, None, 3, 0).tolist() == [0, 1, 2]
    assert sampled(ids, 10, 2, 7).tolist() == some.tolist()[:2]
    assert sampled(ids, 1_000, None, 7).tolist() == ids.tolist()
