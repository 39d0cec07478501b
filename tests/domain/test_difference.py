"""What became of the clusters between two states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from domain.clustering import Cluster, ClusteringRun, Partition
from domain.clustering.comparison import moved_queries
from domain.clustering.difference import Edit, Matching, Reshaped, of_one_run, of_two_runs
from domain.clustering.lineage import match
from tests.runs import completed_run, replayed


def state(run: ClusteringRun) -> ClusteringRun:
    """As it is now, whatever becomes of it."""
    kept: ClusteringRun = replayed(run.pending_events)
    return kept


def edits_of(run: ClusteringRun) -> list[Edit]:
    """Merges and splits; their ids are their versions and 100."""
    found = []
    for one in run.pending_events:
        at = one.originator_version
        match one:
            case ClusteringRun.ClustersMerged():
                others = tuple(one.source_cluster_ids)
                found.append(Edit(at, at + 100, one.target_cluster_id, others, True))
            case ClusteringRun.ClusterSplit():
                found.append(Edit(at, at + 100, one.cluster_id, (one.new_cluster_id,), False))
    return found


def between(before: ClusteringRun, after: ClusteringRun, run: ClusteringRun) -> Any:  # noqa: ANN401
    return of_one_run(
        before.clusters,
        after.clusters,
        before.history.in_force,
        after.history.in_force,
        edits_of(run),
    )


def undo(run: ClusteringRun) -> None:
    version = run.history.last()
    events = {one.originator_version: one for one in run.pending_events}
    wanted = run.concerned_by(version, redo=False)
    run.take_back(run.plan(version, {one: events[one].changes() for one in wanted}, redo=False))


def test_words_and_notes_that_differ_are_told_with_what_was() -> None:
    run = completed_run()
    before = state(run)
    run.rename(0, "Refunds", None)
    run.annotate(1, {"quality": "low"})
    run.flag(1, ["check"])
    run.rename(2, "passing", None)
    undo(run)
    found = between(before, state(run), run)
    assert [(one.cluster_id, one.was, one.now) for one in found.changed] == [
        (0, {"title": None}, {"title": "Refunds"}),
        (1, {"quality": None, "flags": ()}, {"quality": "low", "flags": ("check",)}),
    ]
    assert (found.created, found.retired, found.merged, found.split) == ((), (), (), ())


def test_merges_and_splits_are_told_with_their_edits() -> None:
    run = completed_run()
    before = state(run)
    run.merge([1], 0)
    merge = run.version + 100
    new, _ = run.split(2, [5], "part", None)
    split = run.version + 100
    after = state(run)
    found = between(before, after, run)
    assert found.merged == (Reshaped((0, 1), (0,), (merge,)),)
    assert found.split == (Reshaped((2,), (2, new), (split,)),)
    assert (found.created, found.retired) == ((new,), (1,))
    back = between(after, before, run)
    assert back.split == (Reshaped((0,), (0, 1), (), (merge,)),)
    assert back.merged == (Reshaped((2, new), (2,), (), (split,)),)


def test_a_merge_that_is_undone_between_is_a_split() -> None:
    run = completed_run()
    run.merge([1], 0)
    merge = run.version + 100
    merged = state(run)
    undo(run)
    found = between(merged, state(run), run)
    assert found.split == (Reshaped((0,), (0, 1), (), (merge,)),)
    assert between(state(run), state(run), run).split == ()


def test_what_was_done_and_undone_between_is_not_told() -> None:
    run = completed_run()
    before = state(run)
    run.merge([1], 0)
    undo(run)
    found = between(before, state(run), run)
    assert (found.merged, found.split, found.changed) == ((), (), ())


def test_chains_are_told_from_end_to_end() -> None:
    run = completed_run()
    before = state(run)
    run.merge([0], 1)
    run.merge([1], 2)
    first, _ = run.split(2, [1, 2, 3], "first", None)
    second, _ = run.split(first, [1], "second", None)
    found = between(before, state(run), run)
    ids = [one.edit_id for one in edits_of(run)]
    assert found.merged == (Reshaped((0, 1, 2), (2,), tuple(ids[:2])),)
    assert found.split == (Reshaped((2,), (2, first, second), tuple(ids[2:])),)


def test_a_cluster_that_nobody_sees_on_either_side_is_passed_over() -> None:
    run = completed_run()
    before = state(run)
    new, _ = run.split(0, [1], "passing", None)
    run.merge([new], 0)
    found = between(before, state(run), run)
    assert (found.merged, found.split, found.created, found.retired) == ((), (), (), ())


def best(scores: Any) -> Any:  # noqa: ANN401
    from adapters.matching import best_pairs

    return best_pairs(scores)


def test_clusters_of_two_runs_are_told_by_what_goes_on() -> None:
    ids = np.arange(1, 9)
    older = Partition(ids, np.array([0, 0, 0, 1, 1, 1, 2, 2], np.int32))
    newer = Partition(ids, np.array([7, 7, 7, 5, 5, 5, 6, 5], np.int32))
    before = {0: Cluster(own_title="a"), 1: Cluster(own_title="b"), 2: Cluster()}
    after = {7: Cluster(own_title="A"), 5: Cluster(own_title="b"), 6: Cluster()}
    found = of_two_runs(before, after, match(older, newer, [0, 1, 2], [5, 6, 7], best))
    assert found.pairs == {0: 7, 1: 5, 2: 6}
    assert [(one.cluster_id, one.to_cluster_id, one.now) for one in found.changed] == [(0, 7, {"title": "A"})]
    matching = Matching(found.pairs, older.labels, newer.labels)
    moved = moved_queries(matching.partition(older), newer, 0, 10)
    assert moved.query_ids.tolist() == [8]
    assert (matching.original(moved.was), moved.now.tolist()) == ([2], [5])


@pytest.mark.parametrize("pairs", [{}, {0: 9, 3: 0}])
def test_labels_lead_there_and_back(pairs: dict[int, int]) -> None:
    labels = np.array([-3, -2, -1, 0, 1, 2, 3], np.int32)
    matching = Matching(pairs, labels, labels)
    there = matching.goes(labels)
    assert len(set(there.tolist())) == len(labels)
    assert matching.original(there) == labels.tolist()
    assert there[:3].tolist() == [-3, -2, -1]
    assert [matching.label(one) for one in labels.tolist()] == there.tolist()
    strangers = [one for one, to in zip(labels.tolist(), there.tolist(), strict=True) if one >= 0 and to <= 3]
    assert strangers == [one for one in pairs if pairs[one] <= 3]
