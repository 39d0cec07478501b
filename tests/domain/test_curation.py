"""What people may do to clusters: each edit is one event, or it is refused in words and nothing happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from domain.clustering import Cluster, ClusteringRun
from domain.clustering.cluster import MAX_DESCRIPTION, MAX_FLAG, MAX_FLAGS, MAX_NOTES, MAX_TITLE
from domain.errors import Conflict, DomainError, Invalid, NotFound
from domain.values import ERASED, NOISE, ORPHAN
from tests.given import given
from tests.runs import completed_run, replayed, stored, titles


def a_run() -> ClusteringRun:
    """Clusters 0, 1 and 2 with the queries 1 2, 3 4 and 5 6; cluster 1 has words, notes and flags."""
    run = completed_run()
    run.adopt_titles("s1", titles("s1", 0, 1, 2))
    run.rename(1, "Cards", None)
    run.annotate(1, {"quality": "high", "notes": "seen"})
    run.flag(1, ["done"])
    return run


CARDS = {
    "named_title": "s1 1",
    "named_description": "by s1: 1",
    "summary_run_id": "s1",
    "own_title": "Cards",
    "quality": "high",
    "notes": "seen",
    "flags": ["done"],
}


def labels(run: ClusteringRun) -> list[int]:
    found: list[int] = run.partition.labels.tolist()
    return found


# --- merging


def test_a_merge_puts_the_members_of_the_sources_into_the_target() -> None:
    run = a_run()
    event = (
        given(run)
        .when(lambda run: run.merge([2, 1], 0))
        .then(ClusteringRun.ClustersMerged, source_cluster_ids=[1, 2], target_cluster_id=0)
    )
    assert event.moves == [
        {"from": 1, "to": 0, "query_ids": [3, 4]},
        {"from": 2, "to": 0, "query_ids": [5, 6]},
    ]
    assert labels(run) == [0] * 6
    assert set(run.clusters) == {0}
    assert run.cluster(0).title == "s1 0"


def test_a_merge_keeps_what_the_sources_were_in_the_event() -> None:
    event = given(a_run()).when(lambda run: run.merge([1], 0)).then(ClusteringRun.ClustersMerged)
    assert event.clusters == [{"cluster_id": 1, "was": CARDS, "now": None}]


def test_a_merge_answers_with_how_many_queries_moved() -> None:
    run = a_run()
    run.move([3], 2)
    assert run.merge([1, 2], 0) == 4


def test_a_merged_cluster_may_get_other_words() -> None:
    run = a_run()
    event = (
        given(run).when(lambda run: run.merge([2], 1, "Both", "of them")).then(ClusteringRun.ClustersMerged)
    )
    assert event.clusters[0] == {
        "cluster_id": 1,
        "was": {"own_title": "Cards", "own_description": None},
        "now": {"own_title": "Both", "own_description": "of them"},
    }
    assert (run.cluster(1).title, run.cluster(1).description, run.cluster(1).notes) == (
        "Both",
        "of them",
        "seen",
    )


def test_words_that_are_shown_already_are_not_written_anew() -> None:
    run = a_run()
    run.merge([2], 0, "s1 0", "by s1: 0")
    assert not run.cluster(0).title_edited
    assert not run.cluster(0).description_edited


def test_an_empty_cluster_is_merged_like_any_other() -> None:
    run = completed_run([0, 0], clusters=2)
    event = given(run).when(lambda run: run.merge([1], 0)).then(ClusteringRun.ClustersMerged, moves=[])
    assert event.clusters == [{"cluster_id": 1, "was": {}, "now": None}]
    assert set(run.clusters) == {0}


def test_noise_can_be_merged_and_merged_into() -> None:
    run = completed_run([NOISE, 0, 1], clusters=2)
    run.merge([NOISE], 0)
    assert (labels(run), set(run.clusters)) == ([0, 0, 1], {0, 1})
    other = completed_run([NOISE, 0, 1], clusters=2)
    other.merge([0], NOISE)
    assert (labels(other), set(other.clusters)) == ([NOISE, NOISE, 1], {NOISE, 1})


MERGES: list[tuple[Callable[[ClusteringRun], Any], type[DomainError], str]] = [
    (lambda run: run.merge([], 0), Invalid, "source_cluster_ids is empty"),
    (lambda run: run.merge([1, 0], 0), Invalid, "cluster 0 cannot be merged into itself"),
    (lambda run: run.merge([1], 9), Conflict, "has no cluster 9"),
    (lambda run: run.merge([1, 9], 0), Conflict, "has no cluster 9"),
    (lambda run: run.merge([NOISE], 0), Conflict, "has no cluster -1"),
    (lambda run: run.merge([1], 0, " "), Invalid, "new_title must not be empty"),
    (lambda run: run.merge([1], 0, "x" * (MAX_TITLE + 1)), Invalid, "new_title has 201 characters"),
    (lambda run: run.merge([1], 0, None, "a\0b"), Invalid, "new_description has control characters"),
]


@pytest.mark.parametrize(("decide", "error", "words"), MERGES, ids=[words for _, _, words in MERGES])
def test_what_cannot_be_merged(
    decide: Callable[[ClusteringRun], Any], error: type[DomainError], words: str
) -> None:
    given(a_run()).when(decide).refuses(error, words)


def test_a_refusal_names_the_cluster_that_is_not_there() -> None:
    with pytest.raises(Conflict) as refusal:
        a_run().merge([1, 9], 0)
    assert refusal.value.details == [{"cluster_id": 9}]


# --- splitting


def test_a_split_puts_some_members_into_a_new_cluster() -> None:
    run = a_run()
    event = (
        given(run)
        .when(lambda run: run.split(0, [2, 2], "Visa", "the card"))
        .then(ClusteringRun.ClusterSplit, cluster_id=0, new_cluster_id=3)
    )
    assert event.moves == [{"from": 0, "to": 3, "query_ids": [2]}]
    assert event.clusters == [
        {"cluster_id": 3, "was": None, "now": {"own_title": "Visa", "own_description": "the card"}}
    ]
    assert labels(run) == [0, 3, 1, 1, 2, 2]
    assert run.cluster(3) == Cluster(own_title="Visa", own_description="the card")
    assert run.cluster(0).title == "s1 0"


def test_a_split_answers_with_the_new_cluster_and_its_size() -> None:
    assert completed_run([0, 0, 0]).split(0, [3, 1], "New", None) == (3, 2)


@pytest.mark.parametrize("description", [None, ""])
def test_a_new_cluster_needs_no_description(description: str | None) -> None:
    run = a_run()
    run.split(0, [1], "New", description)
    assert run.cluster(3) == Cluster(own_title="New")


def test_no_id_is_used_twice() -> None:
    run = completed_run([0] * 6, clusters=1)
    assert run.split(0, [1], "One", None)[0] == 1
    run.merge([1], 0)
    assert run.split(0, [1], "Two", None)[0] == 2
    run.delete(2, None)
    assert run.split(0, [2], "Three", None)[0] == 3
    again = replayed([stored(one) for one in run.collect_events()])
    again.delete(3, 0)
    snapshot = stored(ClusteringRun.Snapshot.take(again))
    assert snapshot.mutate(None).split(0, [2], "Four", None)[0] == 4


def test_the_first_new_cluster_comes_behind_all_that_the_algorithm_made() -> None:
    assert completed_run([0, 0, NOISE], clusters=7).split(0, [1], "New", None)[0] == 7


def test_noise_can_be_split() -> None:
    run = completed_run([NOISE, NOISE, 0], clusters=1)
    run.split(NOISE, [2], "Not noise at all", None)
    assert labels(run) == [NOISE, 1, 0]


SPLITS: list[tuple[Callable[[ClusteringRun], Any], type[DomainError], str]] = [
    (lambda run: run.split(9, [1], "x", None), NotFound, "has no cluster 9"),
    (lambda run: run.split(0, [], "x", None), Invalid, "query_ids is empty"),
    (
        lambda run: run.split(0, [1, 2], "x", None),
        Conflict,
        "these are all 2 queries of cluster 0; rename it",
    ),
    (lambda run: run.split(0, [1, 3, 5], "x", None), Conflict, "2 queries are not in cluster 0: 3, 5$"),
    (lambda run: run.split(0, [1, 99], "x", None), Conflict, "1 queries are not in cluster 0: 99$"),
    (
        lambda run: run.split(0, [1, -7, 2**70], "x", None),
        Conflict,
        "2 queries are not in cluster 0: -7, 1180",
    ),
    (lambda run: run.split(0, range(100, 150), "x", None), Conflict, r"not in .*: 100, .*, 119 and 30 more$"),
    (lambda run: run.split(0, [1], "", None), Invalid, "new_title must not be empty"),
    (lambda run: run.split(0, [1], "x", "y" * (MAX_DESCRIPTION + 1)), Invalid, "new_description has 4001"),
]


@pytest.mark.parametrize(("decide", "error", "words"), SPLITS, ids=[words for _, _, words in SPLITS])
def test_what_cannot_be_split(
    decide: Callable[[ClusteringRun], Any], error: type[DomainError], words: str
) -> None:
    given(a_run()).when(decide).refuses(error, words)


def test_a_refusal_names_each_query_that_is_elsewhere() -> None:
    with pytest.raises(Conflict) as refusal:
        a_run().split(0, [1, 3, 99], "x", None)
    assert refusal.value.details == [
        {"query_id": 3, "detail": "not in cluster 0"},
        {"query_id": 99, "detail": "not in cluster 0"},
    ]


# --- deleting


def test_the_members_of_a_deleted_cluster_become_orphans() -> None:
    run = a_run()
    event = (
        given(run)
        .when(lambda run: run.delete(1, None))
        .then(ClusteringRun.ClusterDeleted, cluster_id=1, move_to_cluster_id=None)
    )
    assert event.moves == [{"from": 1, "to": ORPHAN, "query_ids": [3, 4]}]
    assert event.clusters == [{"cluster_id": 1, "was": CARDS, "now": None}]
    assert labels(run) == [0, 0, ORPHAN, ORPHAN, 2, 2]
    assert set(run.clusters) == {0, 2}


def test_or_they_go_to_another_cluster() -> None:
    run = a_run()
    event = given(run).when(lambda run: run.delete(1, 2)).then(ClusteringRun.ClusterDeleted)
    assert (event.move_to_cluster_id, event.moves) == (2, [{"from": 1, "to": 2, "query_ids": [3, 4]}])
    assert labels(run) == [0, 0, 2, 2, 2, 2]


def test_a_deletion_answers_with_how_many_members_there_were() -> None:
    run = completed_run([0, 0, 0, 1], clusters=3)
    assert [run.delete(0, 1), run.delete(2, None), run.delete(1, None)] == [3, 0, 4]
    assert run.clusters == {}


def test_orphans_are_moved_back_into_a_cluster() -> None:
    run = a_run()
    run.delete(1, None)
    event = given(run).when(lambda run: run.move([3, 4], 0)).then(ClusteringRun.QueriesMoved)
    assert (event.query_ids, event.was) == ([3, 4], [ORPHAN, ORPHAN])
    assert labels(run) == [0, 0, 0, 0, 2, 2]
    assert run.label_of(3) == 0


def test_an_orphan_is_asked_for_like_any_other_query() -> None:
    run = a_run()
    run.delete(1, None)
    assert (run.label_of(3), run.unknown([3, 4])) == (ORPHAN, [])
    assert run.partition.sizes() == {ORPHAN: 2, 0: 2, 2: 2}


def test_noise_can_be_deleted_and_is_no_cluster_then() -> None:
    run = completed_run([NOISE, 0], clusters=1)
    run.delete(NOISE, None)
    assert (labels(run), set(run.clusters)) == ([ORPHAN, 0], {0})
    given(run).when(lambda run: run.move([1], NOISE)).refuses(Conflict, "has no cluster -1")


DELETIONS: list[tuple[Callable[[ClusteringRun], Any], type[DomainError], str]] = [
    (lambda run: run.delete(9, None), NotFound, "has no cluster 9"),
    (lambda run: run.delete(ORPHAN, 0), NotFound, "has no cluster -2"),
    (lambda run: run.delete(1, 9), Conflict, "has no cluster 9"),
    (lambda run: run.delete(1, ORPHAN), Conflict, "has no cluster -2"),
    (lambda run: run.delete(1, 1), Invalid, "cluster 1 is to be deleted; its queries cannot be moved to it"),
]


@pytest.mark.parametrize(("decide", "error", "words"), DELETIONS, ids=[words for _, _, words in DELETIONS])
def test_what_cannot_be_deleted(
    decide: Callable[[ClusteringRun], Any], error: type[DomainError], words: str
) -> None:
    given(a_run()).when(decide).refuses(error, words)


@pytest.mark.parametrize("decide", [lambda run: run.delete(1, None), lambda run: run.merge([1], 0)])
def test_a_cluster_that_is_gone_is_not_edited(decide: Callable[[ClusteringRun], Any]) -> None:
    run = a_run()
    decide(run)
    given(run).when(lambda run: run.rename(1, "x", None)).refuses(NotFound, "has no cluster 1")
    given(run).when(lambda run: run.flag(1, ["x"])).refuses(NotFound, "has no cluster 1")
    given(run).when(lambda run: run.annotate(1, {"notes": "x"})).refuses(NotFound, "has no cluster 1")
    given(run).when(lambda run: run.move([1], 1)).refuses(Conflict, "has no cluster 1")


# --- notes


def test_metadata_says_what_was_and_what_is() -> None:
    run = a_run()
    event = (
        given(run)
        .when(lambda run: run.annotate(1, {"quality": "low", "coherence_score": 4}))
        .then(ClusteringRun.MetadataChanged, cluster_id=1, moves=[])
    )
    was, now = {"quality": "high", "coherence_score": None}, {"quality": "low", "coherence_score": 4}
    assert event.clusters == [{"cluster_id": 1, "was": was, "now": now}]
    cluster = run.cluster(1)
    assert (cluster.quality, cluster.coherence_score, cluster.notes) == ("low", 4, "seen")


def test_metadata_is_taken_away_by_none() -> None:
    run = a_run()
    run.annotate(1, {"quality": None, "notes": None})
    assert (run.cluster(1).quality, run.cluster(1).notes) == (None, None)


@pytest.mark.parametrize(
    "metadata", [{}, {"quality": "high"}, {"quality": "high", "notes": "seen"}, {"coherence_score": None}]
)
def test_metadata_that_is_there_changes_nothing(metadata: dict[str, Any]) -> None:
    given(a_run()).when(lambda run: run.annotate(1, metadata)).then_nothing()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"coherence_score": 0}, "coherence_score is 0; it goes from 1 to 5"),
        ({"coherence_score": 6}, "coherence_score is 6; it goes from 1 to 5"),
        ({"coherence_score": 2.5}, "coherence_score is 2.5"),
        ({"quality": "great"}, "quality is 'great'; it is one of high, medium, low"),
        ({"notes": ""}, "notes must not be empty"),
        ({"notes": "x" * (MAX_NOTES + 1)}, "notes has 10001 characters"),
        ({"notes": "\ud800"}, "lone surrogate"),
        ({"colour": "red", "age": 1}, "metadata has no field age, colour"),
    ],
)
def test_metadata_that_cannot_be(metadata: dict[str, Any], words: str) -> None:
    given(a_run()).when(lambda run: run.annotate(1, metadata)).refuses(Invalid, words)


@pytest.mark.parametrize(
    "metadata", [{"coherence_score": 1}, {"coherence_score": 5}, {"notes": "x" * MAX_NOTES}]
)
def test_the_ends_of_what_metadata_may_be(metadata: dict[str, Any]) -> None:
    given(a_run()).when(lambda run: run.annotate(1, metadata)).then(ClusteringRun.MetadataChanged)


# --- flags


def test_flags_are_added_and_taken_away_in_one_edit() -> None:
    run = a_run()
    event = (
        given(run)
        .when(lambda run: run.flag(1, ["odd", "odd", "big"], ["done", "never"]))
        .then(ClusteringRun.FlagsChanged, cluster_id=1, added=["odd", "big"], removed=["done"])
    )
    assert event.clusters == [{"cluster_id": 1, "was": {"flags": ["done"]}, "now": {"flags": ["odd", "big"]}}]
    assert run.cluster(1).flags == ("odd", "big")


@pytest.mark.parametrize(
    ("add", "remove"), [([], []), (["done"], []), ([], ["never"]), (["done"], ["never"])]
)
def test_flags_that_are_there_or_not_there_change_nothing(add: list[str], remove: list[str]) -> None:
    given(a_run()).when(lambda run: run.flag(1, add, remove)).then_nothing()


MANY = [f"flag {number}" for number in range(MAX_FLAGS)]


@pytest.mark.parametrize(
    ("add", "remove", "words"),
    [
        (["odd", "big"], ["big"], "flags to be both added and removed: big"),
        ([""], [], "flag must not be empty"),
        (["x" * (MAX_FLAG + 1)], [], "flag has 61 characters"),
        (MANY, [], "cluster 1 would have 51 flags of 50"),
    ],
)
def test_flags_that_cannot_be(add: list[str], remove: list[str], words: str) -> None:
    given(a_run()).when(lambda run: run.flag(1, add, remove)).refuses(Invalid, words)


def test_as_many_flags_as_are_allowed() -> None:
    run = a_run()
    given(run).when(lambda run: run.flag(1, MANY, ["done"])).then(ClusteringRun.FlagsChanged, added=MANY)
    assert run.cluster(1).flags == tuple(MANY)


# --- erasing


def test_erased_queries_count_nowhere() -> None:
    run = a_run()
    event = given(run).when(lambda run: run.erase(np.array([6, 99, 1]))).then(ClusteringRun.QueriesErased)
    assert event.query_ids == [1, 6]
    assert labels(run) == [ERASED, 0, 1, 1, 2, ERASED]
    given(run).when(lambda run: run.erase(np.array([1, 99]))).then_nothing()


def test_edits_pass_over_what_is_erased() -> None:
    run = a_run()
    run.erase(np.array([3]))
    given(run).when(lambda run: run.split(1, [3], "x", None)).refuses(Conflict, "not in cluster 1: 3")
    given(run).when(lambda run: run.split(1, [4], "x", None)).refuses(Conflict, "all 1 queries of cluster 1")
    assert run.merge([1], 0) == 1
    assert labels(run) == [0, 0, ERASED, 0, 2, 2]


# --- words that give way to those of a summary


def test_words_of_people_give_way_as_one_edit_that_says_what_they_were() -> None:
    run = a_run()
    run.rename(2, None, "Mine")
    event = (
        given(run)
        .when(lambda run: run.release_titles([0, 1, 2, 9], "s1"))
        .then(ClusteringRun.TitlesReleased, summary_run_id="s1", moves=[])
    )
    assert event.clusters == [
        {"cluster_id": 1, "was": {"own_title": "Cards"}, "now": {"own_title": None}},
        {"cluster_id": 2, "was": {"own_description": "Mine"}, "now": {"own_description": None}},
    ]
    assert (run.cluster(1).title, run.cluster(1).title_edited) == ("s1 1", False)
    assert run.cluster(1).notes == "seen"
    given(run).when(lambda run: run.release_titles([0, 1, 2], "s1")).then_nothing()


def test_words_that_gave_way_come_back_by_an_undo() -> None:
    run = a_run()
    run.collect_events()
    run.release_titles([1], "s1")
    (event,) = run.collect_events()
    run.take_back(run.plan(event.originator_version, {event.originator_version: event.changes()}, redo=False))
    assert run.cluster(1).title == "Cards"
