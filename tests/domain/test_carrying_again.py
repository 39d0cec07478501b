"""Carrying over again and again, and what comes before it: undone edits, groups, runs as they were found."""

from __future__ import annotations

import numpy as np

from domain.clustering import Changes
from domain.clustering.carrying import as_found
from domain.values import ERASED
from tests.carrying import OTHER, PLAIN, Story, carried, labels, other, outcome, plain, titled

# --- groups, undone edits, again and again


def test_undone_edits_are_not_carried() -> None:
    older = plain(lambda run: run.rename(0, "A", None), lambda run: run.rename(1, "B", None))
    older.undo(older.last() - 1)
    newer = other()
    assert outcome(carried(older, newer)) == (1, 0, [])
    assert titled(newer.run) == {0: "B", 1: None, 2: None}


def test_of_a_group_its_parts_are_carried() -> None:
    first, second, third = plain(lambda run: run.rename(0, "A", None)), other(), plain()
    carried(first, second)
    assert outcome(carried(second, third)) == (1, 0, [])
    assert titled(third.run) == {0: "A", 1: None, 2: None}


def test_what_was_carried_is_not_carried_again_but_what_is_new_is() -> None:
    older, newer = plain(lambda run: run.rename(0, "A", None), lambda run: run.move([1], 1)), other()
    carried(older, newer)
    older.edit(lambda run: run.rename(0, "B", None), lambda run: run.move([1], 2))
    assert outcome(carried(older, newer)) == (2, 2, [])
    assert newer.run.cluster(2).title == "B"
    assert newer.run.partition.cluster_of(1) == 1


def test_what_was_found_to_be_so_is_not_made_so_later() -> None:
    """The first move is nothing to do here; carried again, it would take back the second."""
    older = plain(lambda run: run.move([4], 1), lambda run: run.move([4], 2))
    newer = Story([2, 2, 2, 0, *OTHER[4:]])
    assert outcome(carried(older, newer)) == (1, 1, [])
    assert outcome(carried(older, newer)) == (0, 2, [])
    assert newer.run.partition.cluster_of(4) == 1


def test_what_stood_in_the_way_is_tried_again() -> None:
    older, newer = plain(lambda run: run.rename(0, "Theirs", None)), other()
    newer.edit(lambda run: run.rename(2, "Ours", None))
    version = newer.last()
    assert outcome(carried(older, newer))[0] == 0
    newer.undo(version)
    assert outcome(carried(older, newer)) == (1, 0, [])
    assert newer.run.cluster(2).title == "Theirs"


def test_what_stood_in_the_way_is_not_tried_behind_what_came_after_it() -> None:
    """The split could be made the second time, but the query it would take was moved back since."""
    older = Story([0, 1, 0, 0], 2).edit(
        lambda run: run.split(0, [1, 3], "x", None), lambda run: run.move([1], 0)
    )
    newer = Story([0, 0, 1, 1], 2)
    first, second = (outcome(carried(older, newer)) for _ in range(2))
    assert first == (1, 0, ["its 2 queries are spread over 2 clusters of this run"])
    assert second == (0, 1, first[2])
    assert labels(newer.run) == [1, 0, 1, 1]


def test_what_was_redone_there_since_is_not_made_behind_what_came_after_it() -> None:
    older = plain(lambda run: run.rename(0, "A", None), lambda run: run.rename(1, "B", None))
    first = older.last() - 1
    older.undo(first).edit(lambda run: run.rename(0, "C", None))
    newer = other()
    carried(older, newer)
    older.undo(older.last())
    older.undo(first, redo=True)
    made, already, reasons = outcome(carried(older, newer))
    assert (made, already) == (1, 1)
    assert reasons == ["it was carried over before and has been undone there since; it still stands here"]
    assert titled(newer.run) == {0: "B", 1: None, 2: "A"}


def test_what_was_left_of_an_edit_is_told_again() -> None:
    older, newer = plain(lambda run: run.move([1, 12], 1)), Story(OTHER[:11])
    first, second = (outcome(carried(older, newer)) for _ in range(2))
    assert first == (1, 0, ["1 of 2 queries are not in this run"])
    assert second == (0, 0, first[2])


def test_what_people_took_back_here_is_theirs_to_decide() -> None:
    older, newer = plain(lambda run: run.rename(0, "A", None)), other()
    carry = carried(older, newer)
    newer.undo(carry.made[0].new)
    assert outcome(carried(older, newer)) == (
        0,
        0,
        ["it was carried over before and undone in this run since"],
    )
    assert newer.run.cluster(2).title is None


def test_what_was_undone_there_since_is_told() -> None:
    older, newer = plain(lambda run: run.rename(0, "A", None)), other()
    carried(older, newer)
    older.undo(older.last())
    assert outcome(carried(older, newer)) == (
        0,
        0,
        ["it was carried over before and has been undone there since; it still stands here"],
    )


def test_what_was_undone_on_both_sides_is_no_matter() -> None:
    older, newer = plain(lambda run: run.rename(0, "A", None), lambda run: run.rename(1, "B", None)), other()
    carry = carried(older, newer)
    older.undo(older.last() - 1)
    newer.undo(carry.made[0].new)
    assert outcome(carried(older, newer)) == (0, 1, [])


def test_taken_back_as_a_whole_it_can_be_carried_again() -> None:
    older, newer = plain(lambda run: run.rename(0, "A", None)), other()
    carried(older, newer)
    newer.undo(newer.last())
    assert titled(newer.run) == dict.fromkeys(range(3))
    assert outcome(carried(older, newer)) == (1, 0, [])


def test_the_clusters_of_a_split_are_known_the_next_time() -> None:
    older, newer = plain(lambda run: run.split(0, [1, 2], "x", None)), other()
    carried(older, newer)
    older.edit(lambda run: run.rename(3, "y", None), lambda run: run.move([5], 3))
    assert outcome(carried(older, newer)) == (2, 1, [])
    assert newer.run.cluster(3).title == "y"
    assert newer.run.partition.labels_of([1, 2, 5]).tolist() == [3, 3, 3]


def test_what_was_erased_does_not_come_back_as_it_was_found() -> None:
    older = plain(lambda run: run.move([1, 2], 1)).edit(lambda run: run.erase(np.array([1], np.int64)))
    partition, _ = as_found(older.run, older.single())
    assert partition.labels.tolist() == [ERASED, *PLAIN[1:]]


def test_an_extended_run_is_matched_as_it_was_found() -> None:
    """What an extension put into a split-off cluster belongs to what that was split from."""
    older = plain(lambda run: run.split(0, [1, 2], "x", None))
    older.run.request_extension("e", 14, 0.0)
    older.run.add("e", np.array([13, 14]), np.array([3, 1], np.int32), np.ones(2, np.float32))
    older.run.end_extension("e", None)
    older.keep()
    partition, clusters = as_found(older.run, older.single())
    assert partition.labels.tolist() == [*PLAIN, 0, 1]
    assert clusters == [0, 1, 2]


def test_as_found_without_edits_is_the_run() -> None:
    story = plain()
    assert as_found(story.run, {}) == (story.run.partition, [0, 1, 2])
    assert not Changes.composed([])
