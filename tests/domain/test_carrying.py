"""Edits made again in another run: as they were, as they are there already, or put aside with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.matching import best_pairs
from domain.base import DomainError
from domain.clustering import Changes, ClusteringRun
from domain.clustering.carrying import CarryOver, Earlier, as_found
from domain.clustering.carrying.again import MAKERS
from domain.clustering.edits import EditsGrouped
from domain.clustering.lineage import THRESHOLD, match
from domain.values import ERASED, NOISE, ORPHAN
from tests.runs import completed_run, replayed, stored

Edit = Callable[[ClusteringRun], Any]


class Story:
    """A run with all its events, so that its edits in force can be told as the log would."""

    def __init__(self, labels: Sequence[int], clusters: int = 3) -> None:
        self.run = completed_run(labels, clusters)
        self.events: dict[int, Any] = {}
        self.keep()

    def keep(self) -> None:
        self.events |= {one.originator_version: one for one in self.run.collect_events()}

    def edit(self, *edits: Edit) -> Story:
        """Returns itself; refusals are raised."""
        for one in edits:
            one(self.run)
        self.keep()
        return self

    def in_force(self) -> dict[int, Any]:
        return {one: self.events[one] for one in self.run.history.in_force}

    def single(self) -> dict[int, Any]:
        return {one: event for one, event in self.in_force().items() if not isinstance(event, EditsGrouped)}

    def undo(self, version: int, redo: bool = False) -> Story:
        concerned = self.run.concerned_by(version, redo=redo)
        changes = {one: self.events[one].changes() for one in concerned}
        self.run.take_back(self.run.plan(version, changes, redo=redo))
        self.keep()
        return self

    def last(self) -> int:
        return max(self.events)


def carried(
    older: Story, newer: Story, from_run_id: str = "older", record: bool = True, threshold: float = THRESHOLD
) -> CarryOver:
    """As the command does it, without the log."""
    past, found = as_found(older.run, older.single()), as_found(newer.run, newer.single())
    lineage = match(past[0], found[0], past[1], found[1], best_pairs, threshold=threshold)
    before = [
        one
        for _, one in sorted(newer.in_force().items())
        if isinstance(one, ClusteringRun.CarriedOver) and one.from_run_id == from_run_id
    ]
    carry = CarryOver(newer.run, past[0], lineage, newer.single(), Earlier.of(before))
    carry.carry(older.single())
    version = [from_run_id, older.run.version]
    if record and (carry.made or version not in newer.run.carried_from):
        newer.run.trigger_event(
            ClusteringRun.CarriedOver,
            edits=[one.new for one in carry.made],
            from_edits=[one.old for one in carry.made],
            already=carry.found_so(),
            from_run_id=from_run_id,
            from_version=older.run.version,
            threshold=THRESHOLD,
            lineage=[],
            heirs=carry.heirs(),
            undecided=[{"version": one.old, "reason": one.reason} for one in carry.undecided],
        )
        newer.keep()
    return carry


def outcome(carry: CarryOver) -> tuple[int, int, list[str]]:
    """How many were made, how many were so, and the reasons of the others."""
    made = len({one.old for one in carry.made})
    return made, len(carry.already), [one.reason for one in carry.undecided]


def titled(run: ClusteringRun) -> dict[int, str | None]:
    return {one: cluster.title for one, cluster in run.clusters.items()}


def labels(run: ClusteringRun) -> list[int]:
    return [int(one) for one in run.partition.labels]


PLAIN = [0] * 4 + [1] * 4 + [2] * 4
"""Queries 1 to 4, 5 to 8 and 9 to 12."""
OTHER = [2] * 4 + [0] * 4 + [1] * 4
"""The same clusters with other numbers: 0 is 2 here, 1 is 0, 2 is 1."""


def plain(*edits: Edit) -> Story:
    return Story(PLAIN).edit(*edits)


def other(*edits: Edit) -> Story:
    return Story(OTHER).edit(*edits)


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
    assert kinds - {"undo", "redo"} == {kind.KIND for kind in MAKERS}


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


AS_ONE = [0] * 8 + [1] * 4
"""What PLAIN has as 0 and 1 is 0 here."""


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


# --- what always holds

SMALL = st.integers(0, 6)
QUERIES = st.lists(st.integers(1, 16), min_size=1, max_size=6)
TITLES = st.sampled_from(["Tax", "Law", "Odd"])
EDITS: st.SearchStrategy[Edit] = st.one_of(
    st.builds(lambda one, title: lambda run: run.rename(one, title, None), SMALL, TITLES),
    st.builds(lambda one, text: lambda run: run.rename(one, None, text), SMALL, TITLES),
    st.builds(lambda one, text: lambda run: run.annotate(one, {"notes": text}), SMALL, st.none() | TITLES),
    st.builds(
        lambda one, add, out: lambda run: run.flag(one, add, out), SMALL, st.sets(TITLES), st.sets(TITLES)
    ),
    st.builds(lambda ids, to: lambda run: run.move(ids, to), QUERIES, st.integers(-1, 6)),
    st.builds(
        lambda one, to, title: lambda run: run.merge([one], to, title, None), SMALL, SMALL, st.none() | TITLES
    ),
    st.builds(lambda one, ids, title: lambda run: run.split(one, ids, title, None), SMALL, QUERIES, TITLES),
    st.builds(
        lambda one, count, title: (
            lambda run: run.split(one, run.partition.members(one)[:count].tolist(), title, None)
        ),
        SMALL,
        st.integers(1, 5),
        TITLES,
    ),
    st.builds(lambda at: at, st.integers(0, 30)),
)
DELETIONS: st.SearchStrategy[Edit] = st.builds(
    lambda one, to: lambda run: run.delete(one, to), SMALL, st.none() | SMALL
)
PARTITIONS = st.lists(st.integers(-1, 3), min_size=4, max_size=16)


def lived(labels: list[int], edits: list[Any]) -> Story:
    """Those edits that are not refused; a number undoes an edit."""
    story = Story(labels, 4)
    first = story.last() + 1
    for edit in edits:
        with suppress(DomainError):
            story.undo(first + edit) if isinstance(edit, int) else edit(story.run)
        story.keep()
    return story


def renumbered(labels: list[int], names: Sequence[int]) -> list[int]:
    return [names[one] if one >= 0 else one for one in labels]


def curated(run: ClusteringRun, names: dict[int, int]) -> tuple[Any, ...]:
    """What people see, in the numbers of the newer run."""
    return (
        [names.get(one, one) for one in labels(run)],
        {names.get(one, one): cluster for one, cluster in run.clusters.items()},
    )


@settings(max_examples=300)
@given(PARTITIONS, st.permutations(range(4)), st.lists(EDITS, max_size=12))
def test_a_run_that_differs_in_its_numbers_alone_ends_the_same(
    found: list[int], names: list[int], edits: list[Any]
) -> None:
    found = [0, 1, 2, 3, *found]
    older, newer = lived(found, edits), Story(renumbered(found, names), 4)
    carry = carried(older, newer)
    assert carry.undecided == []
    assert curated(older.run, carry.heir) == curated(newer.run, {})


@settings(max_examples=300)
@given(
    PARTITIONS, PARTITIONS, st.lists(EDITS | DELETIONS, max_size=12), st.lists(EDITS | DELETIONS, max_size=6)
)
def test_carried_twice_records_nothing_and_one_undo_takes_all_back(
    old: list[int], new: list[int], edits: list[Any], own: list[Any]
) -> None:
    older, newer = lived(old, edits), lived(new, own)
    before = {name: vars(newer.run)[name] for name in ("partition", "clusters")}
    before["clusters"] = dict(before["clusters"])
    first = carried(older, newer)
    assert {one.old for one in first.made} | {*first.already} | {one.old for one in first.undecided} == set(
        older.single()
    )
    version, state = newer.run.version, curated(newer.run, {})
    second = carried(older, newer)
    assert (second.made, newer.run.version) == ([], version)
    assert curated(newer.run, {}) == state
    assert second.undecided == first.undecided
    newer.undo(version)
    assert newer.run.partition == before["partition"]
    assert newer.run.clusters == before["clusters"]
    assert vars(replayed(map(stored, newer.events.values()))) == vars(newer.run)


@settings(max_examples=200)
@given(PARTITIONS, PARTITIONS, st.lists(EDITS, max_size=8), st.lists(EDITS, min_size=1, max_size=6))
def test_what_people_named_here_is_never_changed(
    old: list[int], new: list[int], edits: list[Any], own: list[Any]
) -> None:
    older, newer = lived(old, edits), lived(new, own)
    titles = {
        (event.cluster_id, name): vars(newer.run.clusters[event.cluster_id])[name]
        for event in newer.single().values()
        if isinstance(event, ClusteringRun.ClusterRenamed) and event.cluster_id in newer.run.clusters
        for name in event.changes().clusters[event.cluster_id][0] or ()
    }
    named = [one for one in newer.single().values() if isinstance(one, ClusteringRun.QueriesMoved)]
    ids = np.unique(np.concatenate([np.empty(0, np.int64), *(one.changes().query_ids for one in named)]))
    there = newer.run.partition.labels_of(ids)
    merged = {
        source
        for one in carried(older, newer).made
        if isinstance(event := newer.events[one.new], ClusteringRun.ClustersMerged)
        for source in event.source_cluster_ids
    }
    assert {at: vars(newer.run.clusters[at[0]])[at[1]] for at in titles} == titles
    stayed = ~np.isin(there, list(merged))
    assert newer.run.partition.labels_of(ids)[stayed].tolist() == there[stayed].tolist()
    assert ORPHAN not in set(labels(newer.run)) - set(there.tolist()) or ORPHAN in labels(newer.run)


def test_as_found_without_edits_is_the_run() -> None:
    story = plain()
    assert as_found(story.run, {}) == (story.run.partition, [0, 1, 2])
    assert not Changes.composed([])


def test_a_deleted_cluster_that_is_part_of_another_needs_a_decision() -> None:
    older = Story([0] * 4 + [1] * 2 + [2] * 4).edit(lambda run: run.delete(1, None))
    _, _, reasons = outcome(carried(older, Story([0] * 6 + [1] * 4, 2)))
    assert reasons == [
        "it was deleted there; cluster 0 has most of it here, together with others,"
        " and no cluster is deleted unasked"
    ]
