"""The events of any history make the aggregate that decided them, from the start and from a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.access import ApiKey
from domain.base import Aggregate
from domain.clustering import ClusteringRun
from domain.datasets import Dataset, SortedRows
from domain.errors import DomainError, Invalid
from domain.proposals import Proposal
from domain.search import TitleIndex
from domain.summaries import SummaryRun
from domain.values import Space
from tests.domain.test_datasets import MANIFEST, SOURCE, new_rows
from tests.runs import SPACE, assign, complete, replayed, requested_run, stored, titles

Decision = Callable[[Any], object]
SMALL = st.integers(0, 4)
IDS = st.sampled_from(["j1", "j2", "j3"])
WORDS = st.none() | st.sampled_from(["", "Tax", "Law", "Mine"])


def _chunk(chunk: int, labels: list[int]) -> Decision:
    ids = range(10 * chunk + 1, 10 * chunk + 1 + len(labels))
    return lambda run: assign(run, chunk, ids, labels)


OF_A_RUN: st.SearchStrategy[Decision] = st.one_of(
    st.builds(_chunk, SMALL, st.lists(st.integers(-1, 2), min_size=1, max_size=4)),
    st.just(complete),
    st.builds(lambda one, title, words: lambda run: run.rename(one, title, words), SMALL, WORDS, WORDS),
    st.builds(lambda query, to: lambda run: run.move([query], to), st.integers(0, 14), st.integers(-1, 3)),
    st.builds(lambda name, ids: lambda run: run.adopt_titles(name, titles(name, *ids)), IDS, st.sets(SMALL)),
)
ENDS_OF_A_RUN: st.SearchStrategy[Decision] = st.sampled_from(
    [lambda run: None, lambda run: run.fail("no"), lambda run: run.retire()]
)
OF_A_DATASET: st.SearchStrategy[Decision] = st.one_of(
    st.builds(lambda job: lambda one: one.request_load(job, "upload", SOURCE, {"limit": 5}), IDS),
    st.builds(
        lambda job, rows, count, bad: (
            lambda one: one.import_batch(
                job,
                rows,
                one.last_query_id + 1,
                SortedRows(new_rows(count), 1, []),
                [{"row": rows, "reason": "bad"}] * bad,
                MANIFEST if count else None,
            )
        ),
        IDS,
        st.integers(1, 20),
        SMALL,
        st.integers(0, 60),
    ),
    st.builds(lambda job: lambda one: one.complete_load(job), IDS),
    st.builds(lambda job: lambda one: one.fail_load(job, "gone"), IDS),
    st.builds(lambda job: lambda one: one.request_embedding(f"e{job}", "wordllama", "m", {}), IDS),
    st.builds(
        lambda dimension, last: lambda one: one.record_embedded(Space("p", "m", dimension), 1, last, last),
        SMALL,
        st.integers(1, 20),
    ),
    st.builds(lambda job: lambda one: one.complete_embedding(f"e{job}", SPACE, 3), IDS),
    st.builds(lambda job: lambda one: one.fail_embedding(f"e{job}", "gone"), IDS),
    st.just(lambda one: one.clear()),
)
OF_A_SUMMARY: st.SearchStrategy[Decision] = st.one_of(
    st.builds(lambda ids: lambda one: one.record(titles("s", *ids), {}), st.sets(SMALL)),
    st.builds(lambda id: lambda one: one.record_failures({id: "no"}, {}), SMALL),
    st.builds(lambda id: lambda one: one.tell_apart({id: "other"}, {}, {}), SMALL),
    st.just(lambda one: one.complete()),
    st.just(lambda one: one.fail("no")),
    st.just(lambda one: one.cancel()),
    st.just(lambda one: one.resume(range(5))),
)
OF_TITLES: st.SearchStrategy[Decision] = st.builds(
    lambda ids, name: (
        lambda one: one.record(SPACE, [{"cluster_id": at, "text": "ab" * 32} for at in ids], name)
    ),
    st.sets(SMALL),
    st.none() | IDS,
)
OF_A_PROPOSAL: st.SearchStrategy[Decision] = st.one_of(
    st.builds(
        lambda made: lambda one: one.accept(made, 7, {"queries_moved": 1}, reason=None, forced=False),
        st.dictionaries(SMALL, st.none() | SMALL),
    ),
    st.builds(lambda reason: lambda one: one.reject(reason, {}), st.sampled_from(["", "no"])),
)
KINDS: dict[str, tuple[Callable[[], Aggregate], st.SearchStrategy[Decision]]] = {
    "ApiKey": (lambda: ApiKey("anna", "5e" * 32), st.just(lambda one: one.revoke())),
    "ClusteringRun": (requested_run, OF_A_RUN | ENDS_OF_A_RUN),
    "Dataset": (lambda: Dataset("default"), OF_A_DATASET),
    "Proposal": (
        lambda: Proposal("p1", "r1", 3, [{"type": "rename", "cluster_id": 1}], None, "better", "a robot"),
        OF_A_PROPOSAL,
    ),
    "SummaryRun": (lambda: SummaryRun("s1", "r1", None, "m", {"a": 1}), OF_A_SUMMARY),
    "TitleIndex": (lambda: TitleIndex("r1"), OF_TITLES),
}


def lived(aggregate: Aggregate, decisions: Sequence[Decision]) -> list[Any]:
    """Take these decisions, as far as they are not refused; returns the events."""
    for decide in decisions:
        with suppress(DomainError):
            decide(aggregate)
    return list(aggregate.collect_events())


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_a_history_makes_the_aggregate_that_decided_it(kind: str, data: st.DataObject) -> None:
    make, decisions = KINDS[kind]
    aggregate = make()
    events = lived(aggregate, data.draw(st.lists(decisions, max_size=25)))
    assert vars(replayed(map(stored, events))) == vars(aggregate)
    assert [one.originator_version for one in events] == list(range(1, len(events) + 1))


def completed_history(decisions: Sequence[Decision], end: Decision) -> tuple[ClusteringRun, list[Any]]:
    run = requested_run()
    start: list[Decision] = [_chunk(0, [0, 1, 2, -1]), _chunk(1, [0, 0, 1]), complete]
    return run, lived(run, [*start, *decisions, end])


@given(st.lists(OF_A_RUN, max_size=20), ENDS_OF_A_RUN, st.integers(0, 40))
def test_a_snapshot_and_what_follows_make_what_all_events_make(
    decisions: list[Decision], end: Decision, at: int
) -> None:
    run, events = completed_history(decisions, end)
    cut = 1 + at % len(events)
    early = replayed(map(stored, events[:cut]))
    snapshot = stored(ClusteringRun.Snapshot.take(early))
    tail = [stored(one) for one in events[cut:]]
    assert vars(replayed(tail, start=snapshot.mutate(None))) == vars(run)
    assert vars(snapshot.mutate(None)) == vars(early)


def test_taking_a_snapshot_leaves_the_run_as_it_is() -> None:
    run, _ = completed_history([], lambda run: None)
    before = deepcopy(vars(run))
    ClusteringRun.Snapshot.take(run)
    assert vars(run) == before


def test_a_decision_that_is_refused_leaves_no_trace() -> None:
    run, _ = completed_history([], lambda run: None)
    before = deepcopy(vars(run))
    with pytest.raises(Invalid):
        run.adopt_titles("s1", [{"cluster_id": 0, "title": "\0", "description": ""}])
    assert vars(run) == before
