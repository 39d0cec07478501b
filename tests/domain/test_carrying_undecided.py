"""Edits that are not made again in another run, or not in full, each with the reason."""

from __future__ import annotations

import numpy as np

from domain.values import ERASED
from tests.carrying import OTHER, Story, carried, labels, other, outcome, plain, titled

# --- what needs a decision


def test_what_people_have_written_here_stays() -> None:
    older = plain(
        lambda run: run.rename(0, "Theirs", "their words"),
        lambda run: run.annotate(0, {"notes": "theirs", "quality": "low"}),
        lambda run: run.flag(0, ["a", "b"]),
        lambda run: run.flag(0, [], ["a", "b"]),
    )
    newer = other(
        lambda run: run.rename(2, "Ours", None),
        lambda run: run.annotate(2, {"notes": "ours"}),
        lambda run: run.flag(2, ["a"]),
    )
    made, already, reasons = outcome(carried(older, newer))
    assert (made, already) == (4, 0)
    assert reasons == [
        "in this run, people have written the title of cluster 2",
        "in this run, people have written the notes of cluster 2",
        "in this run, people set a on cluster 2",
    ]
    cluster = newer.run.cluster(2)
    assert (cluster.title, cluster.description, cluster.notes) == ("Ours", "their words", "ours")
    assert (cluster.quality, cluster.flags) == ("low", ("a",))


def test_queries_that_people_have_moved_here_stay() -> None:
    newer = other(lambda run: run.move([1], 1), lambda run: run.split(2, [2], "Own", None))
    carry = carried(plain(lambda run: run.move([1, 2, 3], 1)), newer)
    assert outcome(carry) == (1, 0, ["2 of 3 were moved in this run by people"])
    assert newer.run.partition.labels_of([1, 2, 3]).tolist() == [1, 3, 0]


def test_queries_that_a_merge_here_took_along_may_move() -> None:
    newer = other(lambda run: run.merge([2], 1, None, None))
    assert outcome(carried(plain(lambda run: run.move([1], 1)), newer)) == (1, 0, [])
    assert newer.run.partition.cluster_of(1) == 0


def test_queries_that_are_not_here_are_counted() -> None:
    newer = Story(OTHER[:10])
    carry = carried(plain(lambda run: run.move([1, 11, 12], 1)), newer)
    assert outcome(carry) == (1, 0, ["2 of 3 queries are not in this run"])
    carry = carried(plain(lambda run: run.split(2, [11, 12], "x", None)), Story(OTHER[:10]))
    assert outcome(carry) == (0, 0, ["2 of 2 queries are not in this run"])


def test_erased_queries_are_not_here() -> None:
    older, newer = plain(lambda run: run.move([1, 2], 1)), other()
    for story in (older, newer):
        story.edit(lambda run: run.erase(np.array([1], np.int64)))
    assert outcome(carried(older, newer)) == (1, 0, ["1 of 2 queries are not in this run"])
    assert newer.run.partition.labels_of([1, 2]).tolist() == [ERASED, 0]


def test_a_cluster_that_nothing_continues() -> None:
    older = Story([0] * 4 + [1] * 4 + [2] * 4).edit(
        lambda run: run.rename(0, "Gone", None),
        lambda run: run.move([5], 0),
        lambda run: run.merge([0], 2, None, None),
        lambda run: run.merge([1], 2, None, None),
    )
    newer = Story([0, 1, 2, 3, *[4] * 4, *[5] * 4], 6)
    made, already, reasons = outcome(carried(older, newer))
    assert (made, already) == (1, 0)
    assert reasons == ["cluster 0 was split into clusters 0, 1, 2, 3"] * 3
    assert set(labels(newer.run)) == {0, 1, 2, 3, 5}


def test_a_cluster_that_became_part_of_another() -> None:
    older = plain(lambda run: run.rename(0, "A", None), lambda run: run.rename(1, "B", None))
    newer = Story([0] * 8 + [1] * 4, 2)
    made, _, reasons = outcome(carried(older, newer))
    assert made == 1
    assert len(reasons) == 1
    assert "became part of cluster 0, together with others" in reasons[0]


def test_a_move_into_what_became_part_of_another_goes_to_that() -> None:
    older = plain(lambda run: run.move([9], 0), lambda run: run.move([10], 1))
    newer = Story([0] * 8 + [1] * 4, 2)
    assert outcome(carried(older, newer)) == (2, 0, [])
    assert newer.run.partition.labels_of([9, 10]).tolist() == [0, 0]


def test_a_move_follows_what_was_merged_on_the_way() -> None:
    """Cluster 0 is part of 0 here, which goes into 1 together with what continues it."""
    older = Story([0] * 2 + [1] * 4 + [2] * 4).edit(
        lambda run: run.merge([1], 2, None, None), lambda run: run.move([10], 0)
    )
    newer = Story([0] * 6 + [1] * 3 + [2], 3)
    assert outcome(carried(older, newer)) == (2, 0, [])
    assert labels(newer.run) == [1] * 9 + [1]


def test_no_cluster_is_deleted_unasked() -> None:
    newer = other()
    older = plain(lambda run: run.delete(0, None), lambda run: run.delete(1, 2))
    assert outcome(carried(older, newer)) == (
        0,
        0,
        [
            "it was deleted there; cluster 2 continues it here, and no cluster is deleted unasked",
            "it was deleted there; cluster 0 continues it here, and no cluster is deleted unasked",
        ],
    )
    assert sorted(newer.run.clusters) == [0, 1, 2]


def test_a_deleted_cluster_that_lives_on_in_others_needs_a_decision() -> None:
    older = Story([0] * 4 + [1] * 4).edit(lambda run: run.delete(0, None))
    _, _, reasons = outcome(carried(older, Story([0, 0, 1, 1, *[2] * 4], 3)))
    assert reasons == ["it was deleted there; cluster 0 continues it here, and no cluster is deleted unasked"]
    _, _, reasons = outcome(carried(older, Story([0, 1, 2, 3, *[4] * 4], 5)))
    assert reasons == ["it was deleted there; it is in clusters 0, 1, 2, 3 here"]


def test_what_people_took_apart_here_is_not_followed_into_its_parts() -> None:
    older = plain(lambda run: run.rename(0, "A", None), lambda run: run.merge([1], 2, None, None))
    merged = other(lambda run: run.merge([2], 1, None, None))
    _, _, reasons = outcome(carried(older, merged))
    assert reasons == ["cluster 2, which continues cluster 0, was merged into cluster 1 in this run"]
    deleted = other(lambda run: run.delete(2, None))
    _, _, reasons = outcome(carried(older, deleted))
    assert reasons == ["cluster 2, which continues cluster 0, was deleted in this run"]


def test_a_cluster_with_words_of_its_own_here_is_not_merged_away() -> None:
    newer = other(lambda run: run.rename(2, "Ours", None))
    older = plain(lambda run: run.merge([0, 2], 1, None, None))
    carry = carried(older, newer)
    assert outcome(carry) == (1, 0, ["in this run, people have written the title of cluster 2"])
    assert titled(newer.run) == {0: None, 2: "Ours"}


def test_a_part_that_is_spread_is_not_split_off() -> None:
    older = plain(lambda run: run.split(0, [1, 2], "x", None), lambda run: run.rename(3, "y", None))
    newer = Story([0, 1, 0, 1, *[2] * 4, *[1] * 4])
    assert outcome(carried(older, newer)) == (
        0,
        0,
        [
            "its 2 queries are spread over 2 clusters of this run",
            "the split that concerns cluster 3 was not carried over as it was",
        ],
    )


def test_a_part_of_which_some_are_elsewhere_is_split_off_without_them() -> None:
    older = Story([0] * 8 + [1] * 4, 2).edit(lambda run: run.split(0, [1, 2, 3], "x", None))
    newer = Story([0, 0, *[1] * 4, *[0] * 6], 2)
    carry = carried(older, newer)
    assert outcome(carry) == (1, 0, ["1 of its 3 queries are not with the others here"])
    assert newer.run.partition.labels_of([1, 2, 3]).tolist() == [2, 2, 1]


def test_a_part_that_is_another_cluster_here_is_not_named() -> None:
    """Cluster 1 here is 1 there, and has nearly all of the part."""
    older = Story([0] * 30 + [1] * 4, 2).edit(lambda run: run.split(0, range(1, 11), "x", None))
    newer = Story([1] * 10 + [0] * 20 + [1] * 4, 2)
    _, _, reasons = outcome(carried(older, newer, threshold=0.2))
    assert reasons == ["most of it is cluster 1 here, which continues cluster 1"]


def test_a_deleted_cluster_that_is_part_of_another_needs_a_decision() -> None:
    older = Story([0] * 4 + [1] * 2 + [2] * 4).edit(lambda run: run.delete(1, None))
    _, _, reasons = outcome(carried(older, Story([0] * 6 + [1] * 4, 2)))
    assert reasons == [
        "it was deleted there; cluster 0 has most of it here, together with others,"
        " and no cluster is deleted unasked"
    ]
