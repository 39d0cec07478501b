"""Edits made again in another run: as they were, or found to be so already."""

from __future__ import annotations

import pytest

from domain.clustering import ClusteringRun
from domain.clustering.carrying.again import MAKERS
from domain.clustering.edits import EditsGrouped
from domain.values import NOISE
from tests.carrying import AS_ONE, OTHER, Edit, Story, carried, labels, other, outcome, plain, titled

# --- each kind of edit is made again


def test_words_go_to_the_cluster_that_continues() -> None:
    newer = other()
    carry = carried(plain(lambda run: run.rename(0, "Refunds", "money back")), newer)
    assert outcome(carry) == (1, 0, [])
    assert newer.run.cluster(2).title == "Refunds"
    assert newer.run.cluster(2).description == "money back"


def test_notes_and_flags_go_along() -> None:
    older = plain(
        lambda run: run.annotate(1, {"quality": "low", "coherence_score": 2, "notes": "mixed"}),
        lambda run: run.annotate(1, {"notes": None}),
        lambda run: run.flag(1, ["review", "odd"]),
        lambda run: run.flag(1, [], ["odd"]),
    )
    newer = other()
    assert outcome(carried(older, newer)) == (4, 0, [])
    cluster = newer.run.cluster(0)
    assert (cluster.quality, cluster.coherence_score, cluster.notes, cluster.flags) == (
        "low",
        2,
        None,
        ("review",),
    )


def test_moved_queries_are_moved_wherever_they_are() -> None:
    newer = Story([2, 2, 2, 1, *OTHER[4:]])
    assert outcome(carried(plain(lambda run: run.move([3, 4], 1)), newer)) == (1, 0, [])
    assert newer.run.partition.labels_of([3, 4]).tolist() == [0, 0]


def test_a_merge_is_a_merge_of_those_that_continue() -> None:
    newer = other()
    assert outcome(carried(plain(lambda run: run.merge([0], 1, "Both", "of them")), newer)) == (1, 0, [])
    assert newer.run.cluster(0).title == "Both"
    assert 2 not in newer.run.clusters
    assert labels(newer.run)[:8] == [0] * 8


def test_a_split_makes_a_new_cluster_and_later_edits_find_it() -> None:
    older = plain(
        lambda run: run.split(1, [5, 6], "Cards", "lost ones"),
        lambda run: run.rename(3, "Lost cards", None),
        lambda run: run.move([1], 3),
        lambda run: run.split(3, [1], "One", None),
        lambda run: run.flag(4, ["tiny"]),
    )
    newer = other(lambda run: run.split(1, [9], "before", None), lambda run: run.merge([3], 1, None, None))
    assert outcome(carried(older, newer)) == (5, 0, [])
    assert newer.run.cluster(4).title == "Lost cards"
    assert newer.run.cluster(4).description == "lost ones"
    assert (newer.run.cluster(5).title, newer.run.cluster(5).flags) == ("One", ("tiny",))
    assert newer.run.partition.labels_of([1, 5, 6]).tolist() == [5, 4, 4]


def test_noise_is_noise_in_every_run() -> None:
    older = Story([0, 0, 0, NOISE, NOISE], 1).edit(
        lambda run: run.move([3], NOISE), lambda run: run.annotate(NOISE, {"notes": "junk"})
    )
    newer = Story([1, 1, 1, NOISE, 0], 2)
    assert outcome(carried(older, newer)) == (2, 0, [])
    assert newer.run.partition.cluster_of(3) == NOISE
    assert newer.run.cluster(NOISE).notes == "junk"
    without = Story([0, 0, 0, 1, 1], 2)
    assert outcome(carried(older, without)) == (0, 0, ["this run has no noise"] * 2)


def test_every_kind_of_edit_can_be_carried() -> None:
    kinds = {kind.KIND for kind in ClusteringRun.EDITS if not issubclass(kind, EditsGrouped)}
    listed_as_undecided = {"release_titles"}
    assert kinds - {"undo", "redo"} - listed_as_undecided == {kind.KIND for kind in MAKERS}


# --- already so


@pytest.mark.parametrize(
    ("edit", "here"),
    [
        (lambda run: run.rename(0, "Tax", None), lambda run: run.rename(2, "Tax", None)),
        (lambda run: run.annotate(0, {"notes": "x"}), lambda run: run.annotate(2, {"notes": "x"})),
        (lambda run: run.flag(0, ["x"]), lambda run: run.flag(2, ["x"])),
        (lambda run: run.move([1, 2], 1), lambda run: run.move([1, 2], 0)),
        (lambda run: run.merge([0], 1, "A", None), lambda run: run.merge([2], 0, "A", None)),
        (lambda run: run.merge([0], 1, "A", None), lambda run: run.merge([0], 2, "A", None)),
        (lambda run: run.delete(0, None), lambda run: run.delete(2, None)),
    ],
)
def test_what_people_did_here_as_well_is_so_already(edit: Edit, here: Edit) -> None:
    newer = other(here)
    version, before = newer.run.version, labels(newer.run)
    carry = carried(plain(edit), newer, record=False)
    assert outcome(carry) == (0, 1, [])
    assert (newer.run.version, labels(newer.run)) == (version, before)


def test_queries_that_the_newer_run_put_there_itself_need_no_move() -> None:
    newer = Story([2, 2, 2, 0, *OTHER[4:]])
    assert outcome(carried(plain(lambda run: run.move([4], 1)), newer, record=False)) == (0, 1, [])


@pytest.mark.parametrize(("source", "target"), [(0, 1), (1, 0)])
def test_a_merge_that_the_newer_run_found_itself(source: int, target: int) -> None:
    """Whichever of the two it counts as the one that continues."""
    newer = Story(AS_ONE, 2)
    older = plain(
        lambda run: run.merge([source], target, "Both", None), lambda run: run.flag(target, ["big"])
    )
    assert outcome(carried(older, newer)) == (2, 0, [])
    assert (newer.run.cluster(0).title, newer.run.cluster(0).flags) == ("Both", ("big",))
    assert labels(newer.run) == AS_ONE


def test_merges_one_after_the_other_that_the_newer_run_found_itself() -> None:
    older = plain(lambda run: run.merge([0], 1, None, None), lambda run: run.merge([2], 1, "All", None))
    newer = Story([0] * 12, 1)
    assert outcome(carried(older, newer)) == (1, 1, [])
    assert titled(newer.run) == {0: "All"}


def test_a_split_whose_part_is_a_cluster_already_gives_it_its_name() -> None:
    older = plain(lambda run: run.split(0, [1, 2], "Part", None), lambda run: run.annotate(3, {"notes": "x"}))
    newer = Story([3, 3, 2, 2, *OTHER[4:]], 4)
    carry = carried(older, newer)
    assert outcome(carry)[0] == 2
    part = newer.run.partition.cluster_of(1)
    assert part == 3
    assert (newer.run.cluster(3).title, newer.run.cluster(3).notes) == ("Part", "x")
    assert sorted(newer.run.clusters) == [0, 1, 2, 3]


def test_what_was_split_off_takes_its_cluster_from_what_it_was_split_from() -> None:
    """Cluster 0 here continues 0 there, until the part that makes nearly all of it is split off."""
    older = Story([0] * 10 + [1] * 2, 2).edit(
        lambda run: run.split(0, range(1, 8), "Most", None), lambda run: run.rename(0, "Rest", None)
    )
    newer = Story([0] * 7 + [1] * 3 + [2] * 2, 3)
    made, already, reasons = outcome(carried(older, newer))
    assert (made, already) == (1, 0)
    assert titled(newer.run) == {0: "Most", 1: None, 2: None}
    assert reasons == [
        "cluster 0 continued cluster 0, of which it is the part split off",
        "the split that concerns cluster 0 was not carried over as it was",
    ]


def test_a_cluster_that_lost_its_heir_has_none_the_next_time() -> None:
    older = plain(lambda run: run.split(0, [1, 2, 3], "Most", None), lambda run: run.rename(0, "Rest", None))
    newer = Story([0, 0, 0, 1, *[2] * 4, *[3] * 4], 4)
    first, second = (carried(older, newer) for _ in range(2))
    assert second.undecided == first.undecided
    assert (second.made, titled(newer.run)[0]) == ([], "Most")


def test_most_of_a_cluster_is_split_off_again() -> None:
    """The part makes three quarters of the cluster here, but the rest is there as well."""
    newer = other()
    assert outcome(carried(plain(lambda run: run.split(0, [1, 2, 3], "Most", None)), newer)) == (1, 0, [])
    assert newer.run.partition.labels_of([1, 2, 3, 4]).tolist() == [3, 3, 3, 2]


def test_most_of_a_part_is_split_off_again() -> None:
    """What was split before counts: the rest of the part is with it here as well."""
    older = plain(
        lambda run: run.split(0, [1, 2, 3], "Part", None),
        lambda run: run.move([5], 3),
        lambda run: run.split(3, [1, 2, 3], "Most", None),
    )
    newer = other()
    assert outcome(carried(older, newer)) == (3, 0, [])
    assert newer.run.partition.labels_of([1, 2, 3, 4, 5]).tolist() == [4, 4, 4, 2, 3]


def test_a_part_of_what_was_merged_before_is_named() -> None:
    """The cluster that was merged is gone: that its heir was the same is no obstacle."""
    older = Story([0] * 10 + [1] * 2 + [2] * 4).edit(
        lambda run: run.merge([1], 0, None, None),
        lambda run: run.split(0, [*range(1, 9), 11, 12], "Most", None),
    )
    newer = Story([0] * 8 + [1] * 2 + [0] * 2 + [2] * 4)
    made, already, reasons = outcome(carried(older, newer))
    assert (made, already) == (1, 1)
    assert reasons == ["cluster 0 continued cluster 0, of which it is the part split off"]
    assert titled(newer.run) == {0: "Most", 1: None, 2: None}
