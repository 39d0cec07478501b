"""A proposal is pending until it is decided, once; what its edits come to is told before they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from domain.clustering import Changes, ClusteringRun
from domain.clustering.impact import SHOWN_CLUSTERS, Standing, impact
from domain.clustering.partition import gini
from domain.clustering.script import read_edit
from domain.clustering.trial import Tried, clusters_named, try_edits
from domain.errors import Conflict, Invalid
from domain.proposals import Proposal
from domain.values import NOISE
from tests.given import given
from tests.runs import completed_run, replayed, stored

EDITS = [
    {"type": "rename", "cluster_id": 0, "title": "Cards"},
    {"type": "delete", "cluster_id": 1, "orphan": True},
]
IMPACT = {"queries_moved": 2}


def a_proposal() -> Proposal:
    return Proposal(
        proposal_id="proposal-20251004-170442",
        run_id="r1",
        run_version=7,
        edits=EDITS,
        title="Tidy up",
        reason="both say the same",
        source=None,
    )


def accepted() -> Proposal:
    proposal = a_proposal()
    proposal.accept({0: 8, 1: 9}, 10, IMPACT, reason=None, forced=False)
    return proposal


def rejected() -> Proposal:
    proposal = a_proposal()
    proposal.reject("no", IMPACT)
    return proposal


# --- the decision


def test_what_became_of_each_edit_is_recorded() -> None:
    def when(proposal: Proposal) -> None:
        proposal.accept({1: 8}, 9, IMPACT, reason="fine", forced=True)

    given(a_proposal()).when(when).then(
        Proposal.Accepted,
        edits=[{"index": 1, "version": 8}],
        left_out=[0],
        run_version=9,
        reason="fine",
        forced=True,
        impact=IMPACT,
    )


def test_a_rejection_has_a_reason() -> None:
    given(a_proposal()).when(lambda one: one.reject("too coarse", IMPACT)).then(
        Proposal.Rejected, reason="too coarse", impact=IMPACT
    )
    given(a_proposal()).when(lambda one: one.reject(" ", IMPACT)).refuses(Invalid, "reason must not be empty")
    given(a_proposal()).when(lambda one: one.reject("x" * 2_001, IMPACT)).refuses(Invalid, "2001 characters")


@pytest.mark.parametrize(("proposal", "status"), [(accepted, "accepted"), (rejected, "rejected")])
def test_it_is_decided_once(proposal: Any, status: str) -> None:  # noqa: ANN401
    words = f"proposal-20251004-170442 is {status} already"
    given(proposal()).when(lambda one: one.accept({}, 1, {}, reason=None, forced=False)).refuses(
        Conflict, words
    )
    given(proposal()).when(lambda one: one.reject("no", {})).refuses(Conflict, words)


def test_its_events_make_it_again() -> None:
    for proposal in (a_proposal(), accepted(), rejected()):
        again = replayed([stored(one) for one in proposal.collect_events()])
        assert vars(again) == {**vars(proposal), "_pending_events": []}


def test_edits_are_chosen_by_their_indexes() -> None:
    proposal = a_proposal()
    assert (proposal.chosen(None), proposal.chosen([1, 1])) == ([0, 1], [1])
    given(a_proposal()).when(lambda one: one.chosen([])).refuses(Invalid, "only is empty")
    given(a_proposal()).when(lambda one: one.chosen([-1, 2])).refuses(
        Invalid, "only names -1, 2; .* has 2 edits"
    )


# --- edits tried


def tried(run: ClusteringRun, *edits: Mapping[str, Any]) -> list[Tried]:
    return try_edits(run, {at: read_edit(one) for at, one in enumerate(edits)})


def test_edits_build_on_each_other() -> None:
    run = completed_run()
    found = tried(
        run,
        {"type": "split", "cluster_id": 0, "query_ids": [2], "new_title": "Two"},
        {"type": "merge", "source_cluster_ids": [1], "target_cluster_id": "new:0"},
        {"type": "delete", "cluster_id": 1, "orphan": True},
        {"type": "flags", "cluster_id": "new:0", "flags": ["review"]},
    )
    assert [one.version for one in found] == [4, 5, None, 6]
    assert [str(one.refusal) for one in found if one.refusal] == [f"run {run.run_id} has no cluster 1"]
    assert run.partition.members(3).tolist() == [2, 3, 4]
    assert run.cluster(3).flags == ("review",)


def test_what_rests_on_an_edit_that_cannot_be_made_cannot_be_made_either() -> None:
    first, second = tried(
        completed_run(),
        {"type": "split", "cluster_id": 0, "query_ids": [5], "new_title": "Five"},
        {"type": "rename", "cluster_id": "new:0", "title": "V"},
    )
    assert isinstance(first.refusal, Conflict)
    assert "new:0 stands for what edit 0 makes" in str(second.refusal)


def test_what_is_so_already_changes_nothing() -> None:
    (found,) = tried(completed_run(), {"type": "move", "query_ids": [1], "to_cluster_id": 0})
    assert (found.version, found.refusal, bool(found.changes)) == (None, None, False)


def test_a_query_that_was_erased_is_passed_over() -> None:
    run = completed_run()
    run.erase(np.array([3], np.int64))
    moved, split, gone = tried(
        run,
        {"type": "move", "query_ids": [1, 3], "to_cluster_id": 2},
        {"type": "split", "cluster_id": 2, "query_ids": [3, 5], "new_title": "x"},
        {"type": "move", "query_ids": [3], "to_cluster_id": 2},
    )
    assert moved.changes.query_ids.tolist() == [1]
    assert split.changes.query_ids.tolist() == [5]
    assert isinstance(gone.refusal, Invalid)


def test_an_edit_that_cannot_be_made_still_meets_what_took_away_its_ground() -> None:
    run = completed_run()
    run.merge([1], 2)
    run.move([1], 2)
    new: list[Any] = run.pending_events[-2:]
    merged, moved = (event.changes() for event in new)
    rename, split = tried(
        run,
        {"type": "rename", "cluster_id": 1, "title": "x"},
        {"type": "split", "cluster_id": 0, "query_ids": [1], "new_title": "x"},
    )
    assert (rename.refusal is None, split.refusal is None) == (False, False)
    assert (merged.meets(rename.changes), moved.meets(rename.changes)) == (True, False)
    assert (merged.meets(split.changes), moved.meets(split.changes)) == (False, True)


def test_the_clusters_of_an_edit_are_those_with_an_id() -> None:
    edit = {"type": "merge", "source_cluster_ids": [4, "new:0"], "target_cluster_id": 2}
    assert clusters_named(read_edit(edit)) == [4, 2]
    assert clusters_named(read_edit({"type": "delete", "cluster_id": 3, "move_to_cluster_id": -1})) == [3, -1]


# --- the impact


def impact_of(run: ClusteringRun, *edits: Mapping[str, Any]) -> dict[str, Any]:
    was = Standing.of(run)
    changes = [one.changes for one in tried(run, *edits)]
    return impact(was, Standing.of(run), changes)


def test_an_impact_has_sizes_and_clusters_before_and_after() -> None:
    run = completed_run([0, 0, 0, 1, 2, NOISE], 3)
    run.rename(1, "Cards", None)
    found = impact_of(
        run,
        {"type": "merge", "source_cluster_ids": [1, 2], "target_cluster_id": 0, "new_title": "All"},
        {"type": "split", "cluster_id": 0, "query_ids": [1, 2], "new_title": "Some"},
        {"type": "move", "query_ids": [6], "to_cluster_id": 0},
        {"type": "flags", "cluster_id": 0, "flags": ["review"]},
    )
    assert found["queries_moved"] == 5
    assert found["before"] == {
        "clusters": 3,
        "queries": 5,
        "noise": 1,
        "orphans": 0,
        "smallest": 1,
        "median": 1.0,
        "largest": 3,
        "gini": pytest.approx(4 / 15),
    }
    after = {"clusters": 2, "queries": 6, "noise": 0, "smallest": 2, "largest": 4}
    assert {name: found["after"][name] for name in after} == after
    assert found["counts"] == {"made": 1, "removed": 2, "renamed": 1, "resized": 2, "noted": 1}
    rows = {row["cluster_id"]: row for row in found["clusters"]}
    assert list(rows) == [-1, 0, 1, 2, 3]
    assert rows[0] == {
        "cluster_id": 0,
        "what": ["renamed", "noted", "resized"],
        "was_title": None,
        "title": "All",
        "was_size": 3,
        "size": 4,
        "noted": {"flags": ["review"]},
    }
    assert (rows[1]["what"], rows[1]["was_title"], rows[1]["size"]) == (["removed"], "Cards", None)
    assert (rows[3]["what"], rows[3]["title"], rows[3]["was_size"], rows[3]["size"]) == (
        ["made"],
        "Some",
        None,
        2,
    )


def test_what_comes_back_is_no_impact() -> None:
    found = impact_of(
        completed_run(),
        {"type": "move", "query_ids": [1], "to_cluster_id": 2},
        {"type": "move", "query_ids": [1], "to_cluster_id": 0},
    )
    assert (found["queries_moved"], found["clusters"]) == (0, [])


def test_many_clusters_are_counted_and_some_are_shown() -> None:
    many = SHOWN_CLUSTERS + 10
    run = completed_run(list(range(many)), many)
    edits = [{"type": "flags", "cluster_id": one, "flags": ["x"]} for one in range(many)]
    found = impact_of(run, *edits)
    assert found["counts"]["noted"] == many
    assert len(found["clusters"]) == SHOWN_CLUSTERS


def test_a_run_without_clusters_has_no_sizes() -> None:
    run = completed_run([0], 1)
    run.delete(0, None)
    figures = Standing.of(run).figures()
    assert (figures["clusters"], figures["orphans"], figures["largest"], figures["gini"]) == (
        0,
        1,
        None,
        None,
    )


@drawn(st.lists(st.integers(0, 1_000), min_size=1, max_size=30).filter(any))
def test_gini_is_the_mean_difference_of_all_pairs(sizes: list[int]) -> None:
    counts = np.array(sizes, np.int64)
    pairs = np.abs(counts[:, None] - counts[None, :]).mean()
    assert gini(counts) == pytest.approx(pairs / (2 * counts.mean()))


def test_gini_is_not_defined_where_there_is_nobody() -> None:
    assert gini(np.zeros(3, np.int64)) is None
    assert gini(np.empty(0, np.int64)) is None


MOVES = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2)), min_size=1, max_size=8)


@drawn(MOVES)
def test_the_impact_of_moves_is_the_difference_of_the_partitions(moves: list[tuple[int, int]]) -> None:
    run = completed_run()
    before = run.partition.labels.copy()
    edits = [{"type": "move", "query_ids": [query], "to_cluster_id": to} for query, to in moves]
    found = impact_of(run, *edits)
    assert found["queries_moved"] == int((before != run.partition.labels).sum())
    sizes = run.partition.sizes()
    for row in found["clusters"]:
        assert row["size"] == sizes.get(row["cluster_id"], 0)
    changed = {row["cluster_id"] for row in found["clusters"]}
    was = np.bincount(before, minlength=3)
    assert changed == {one for one in range(3) if was[one] != sizes.get(one, 0)}


def test_no_changes_meet_nothing() -> None:
    assert not Changes().meets(Changes.of([1], [0], 1))
