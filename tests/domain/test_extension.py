"""A run that grows: what it takes in, what becomes an orphan, and when it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from domain.clustering import ClusteringRun
from domain.errors import Conflict, Invalid, NotFound
from domain.values import NOISE, ORPHAN, unpack
from tests.given import given
from tests.runs import completed_run, replayed, requested_run, stored

FLOOR = 0.25


def extending(floor: float = FLOOR, labels: Sequence[int] = (0, 0, 1, 1, 2, 2)) -> ClusteringRun:
    """Queries 1 to 6 in the clusters 0, 1 and 2, and 7 to 12 on their way."""
    run = completed_run(labels)
    run.request_extension("more", 12, floor)
    return run


def add(
    run: ClusteringRun, ids: Sequence[int], labels: Sequence[int], confidence: Sequence[float] = ()
) -> None:
    sure = np.array(confidence or [1.0] * len(ids), np.float32)
    run.add("more", np.array(ids, np.int64), np.array(labels, np.int32), sure)


def test_a_request_says_from_where_to_where() -> None:
    given(completed_run()).when(lambda run: run.request_extension("more", 12, FLOOR)).then(
        ClusteringRun.ExtensionRequested,
        extension_id="more",
        after_query_id=6,
        last_query_id=12,
        confidence_floor=FLOOR,
    )


@pytest.mark.parametrize("floor", [-0.1, 1.1, float("nan")])
def test_a_floor_is_a_share(floor: float) -> None:
    given(completed_run()).when(lambda run: run.request_extension("more", 12, floor)).refuses(
        Invalid, "confidence_floor is"
    )


def test_without_new_queries_there_is_nothing_to_do() -> None:
    given(completed_run()).when(lambda run: run.request_extension("more", 6, FLOOR)).refuses(
        Conflict, "no queries were loaded into 'default' since"
    )


def test_one_at_a_time() -> None:
    given(extending()).when(lambda run: run.request_extension("again", 13, FLOOR)).refuses(
        Conflict, "is being extended already: more"
    )


def test_a_run_that_is_not_completed_is_not_extended() -> None:
    given(requested_run()).when(lambda run: run.request_extension("more", 12, FLOOR)).refuses(
        Conflict, "is pending"
    )
    run = completed_run()
    run.retire()
    given(run).when(lambda one: one.request_extension("more", 12, FLOOR)).refuses(NotFound, "was cleared")


def test_a_chunk_goes_to_its_clusters() -> None:
    event = (
        given(extending())
        .when(lambda run: add(run, [7, 8, 9], [2, 0, 1], [0.5, 1.0, 0.25]))
        .then(ClusteringRun.QueriesAdded, extension_id="more", count=3)
    )
    assert unpack(event.query_ids).tolist() == [7, 8, 9]
    assert unpack(event.cluster_ids).tolist() == [2, 0, 1]
    assert unpack(event.confidence).tolist() == [5_000, 10_000, 2_500]


@pytest.mark.parametrize(("floor", "label"), [(0.25, 0), (0.26, ORPHAN), (0.0, 0)])
def test_what_is_less_sure_than_asked_for_goes_nowhere(floor: float, label: int) -> None:
    run = extending(floor)
    add(run, [7], [0], [0.25])
    assert run.partition.cluster_of(7) == label


def test_a_cluster_that_is_gone_takes_in_nothing() -> None:
    run = extending()
    run.delete(1, None)
    add(run, [7, 8, 9], [0, 1, ORPHAN])
    assert run.partition.labels_of([7, 8, 9]).tolist() == [0, ORPHAN, ORPHAN]


def test_noise_takes_in_only_where_there_is_noise() -> None:
    without, with_noise = extending(), extending(labels=(0, 0, 1, 1, 2, NOISE))
    for run in (without, with_noise):
        add(run, [7], [NOISE])
    assert (without.partition.cluster_of(7), with_noise.partition.cluster_of(7)) == (ORPHAN, NOISE)


def test_a_chunk_that_comes_again_adds_nothing() -> None:
    run = extending()
    add(run, [7, 8], [0, 1])
    given(run).when(lambda one: add(one, [7, 8], [1, 1])).then_nothing()
    given(run).when(lambda one: add(one, [8, 9], [2, 2])).then(ClusteringRun.QueriesAdded, count=1)
    assert run.partition.labels_of([7, 8, 9]).tolist() == [0, 1, 2]


def test_what_is_not_asked_for_is_not_added() -> None:
    given(completed_run()).when(lambda run: add(run, [7], [0])).then_nothing()
    run = extending()
    given(run).when(
        lambda one: one.add("other", np.array([7]), np.array([0], np.int32), np.ones(1, np.float32))
    ).then_nothing()
    given(run).when(lambda one: one.end_extension("other", None)).then_nothing()


def test_a_run_that_was_cleared_meanwhile_takes_in_nothing() -> None:
    run = extending()
    run.retire()
    given(run).when(lambda one: add(one, [7], [0])).then_nothing()
    given(run).when(lambda one: one.end_extension("more", None)).then_nothing()
    given(run).when(lambda one: one.end_extension("more", "too late")).then_nothing()


def test_the_end_counts_what_came() -> None:
    run = extending()
    add(run, [7, 8], [0, 1], [1, 0.1])
    add(run, [9], [2])
    given(run).when(lambda one: one.end_extension("more", None)).then(
        ClusteringRun.ExtensionEnded, added=3, orphaned=1, error=None
    )
    assert run.extension is None


def test_after_the_end_the_next_one_begins_where_this_one_was_to_end() -> None:
    """Also when the last queries have no vector, or were erased."""
    run = extending()
    add(run, [7], [0])
    run.end_extension("more", None)
    given(run).when(lambda one: one.request_extension("again", 12, FLOOR)).refuses(Conflict, "no queries")
    given(run).when(lambda one: one.request_extension("again", 13, FLOOR)).then(
        ClusteringRun.ExtensionRequested, after_query_id=12
    )


def test_after_a_failure_the_next_one_goes_on_from_what_was_added() -> None:
    run = extending()
    add(run, [7, 8], [0, 1])
    given(run).when(lambda one: one.end_extension("more", "the key is wrong\0")).then(
        ClusteringRun.ExtensionEnded, added=2, orphaned=0, error="the key is wrong�"
    )
    given(run).when(lambda one: one.request_extension("again", 12, FLOOR)).then(
        ClusteringRun.ExtensionRequested, after_query_id=8
    )


def test_people_edit_what_has_come_and_it_stays_so() -> None:
    run = extending()
    add(run, [7, 8], [0, 1])
    run.rename(0, "Tax", None)
    run.move([7], 2)
    run.merge([1], 0, None, None)
    add(run, [9], [0])
    run.end_extension("more", None)
    assert run.partition.labels.tolist() == [0, 0, 0, 0, 2, 2, 2, 0, 0]
    assert run.cluster(0).title == "Tax"


def test_the_undo_of_a_split_takes_along_what_an_extension_put_there() -> None:
    """It goes where the rest of the cluster goes: nothing is lost, and nobody has to move it before."""
    run = completed_run()
    run.split(0, [1], "x", None)
    version = run.version
    split: Any = run.pending_events[-1]
    changes = {version: split.changes()}
    run.request_extension("more", 12, 0.0)
    add(run, [7, 8], [3, 1])
    run.end_extension("more", None)
    run.take_back(run.plan(version, changes, redo=False))
    assert run.partition.labels_of([1, 7, 8]).tolist() == [0, 0, 1]
    assert 3 not in run.clusters


def test_what_an_extension_put_there_and_people_moved_on_goes_there_too() -> None:
    """Its move is taken back first; what it was moved out of goes all the same."""
    run = completed_run()
    run.split(0, [1], "x", None)
    split: Any = run.pending_events[-1]
    run.request_extension("more", 12, 0.0)
    add(run, [7, 8], [3, 3])
    run.end_extension("more", None)
    run.move([7], 1)
    move: Any = run.pending_events[-1]
    made = {one.originator_version: one.changes() for one in (split, move)}
    plan = run.plan(split.originator_version, made, redo=False)
    assert plan.blockers == [move.originator_version]
    run.take_back(plan)
    assert run.partition.labels_of([1, 7, 8]).tolist() == [0, 0, 0]
    assert 3 not in run.clusters


def test_what_an_extension_put_into_a_cluster_that_comes_and_goes_at_once_is_orphaned() -> None:
    run = completed_run()
    run.split(0, [1], "x", None)
    split: Any = run.pending_events[-1]
    run.request_extension("more", 12, 0.0)
    add(run, [7], [3])
    run.end_extension("more", None)
    run.delete(3, None)
    delete: Any = run.pending_events[-1]
    made = {one.originator_version: one.changes() for one in (split, delete)}
    run.take_back(run.plan(split.originator_version, made, redo=False))
    assert run.partition.labels_of([1, 7]).tolist() == [0, ORPHAN]
    assert 3 not in run.clusters


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_snapshot_at_any_time_goes_on_as_the_log_does(cut: int) -> None:
    run = extending()
    add(run, [7, 8], [0, 1], [1, 0.1])
    run.move([8], 2)
    add(run, [9], [2])
    run.end_extension("more", None)
    run.request_extension("again", 20, 0.0)
    events = [stored(one) for one in run.collect_events()]
    assert len(events) == 9
    early = replayed(events[:cut])
    snapshot = stored(ClusteringRun.Snapshot.take(early))
    assert vars(replayed(events[cut:], snapshot.mutate(None))) == vars(replayed(events)) == vars(run)
