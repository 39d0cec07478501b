"""Undo and redo: what stands in the way, what goes along, and that it leads back to the beginning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from domain.base import Conflict, NotFound
from domain.clustering import Cluster, ClusteringRun, Plan
from domain.values import ERASED, NOISE, ORPHAN
from tests.given import given
from tests.runs import completed_run, titles

Decide = Callable[[ClusteringRun], Any]


class Story:
    """A run, and what its edits changed. Queries 1 2, 3 4 and 5 6 are in the clusters 0, 1 and 2."""

    def __init__(self, *decisions: Decide) -> None:
        self.run: Any = completed_run()
        self.changes: dict[int, Any] = {}
        self.run.collect_events()
        self.edits = [self.does(decide) for decide in decisions]

    def does(self, decide: Decide) -> int:
        """The version of the one event that this decision makes."""
        decide(self.run)
        (event,) = self.run.collect_events()
        if hasattr(event, "changes"):
            self.changes[event.originator_version] = event.changes()
        return int(event.originator_version)

    def plan(self, version: int, *, redo: bool = False) -> Plan:
        wanted = self.run.concerned_by(version, redo=redo)
        known = {one: self.changes[one] for one in wanted}
        return self.run.plan(version, known, redo=redo)  # type: ignore[no-any-return]

    def undo(self, version: int) -> int:
        plan = self.plan(version)
        return self.does(lambda run: run.take_back(plan))

    def redo(self, version: int) -> int:
        plan = self.plan(version, redo=True)
        return self.does(lambda run: run.take_back(plan))

    @property
    def labels(self) -> list[int]:
        return self.run.partition.labels.tolist()  # type: ignore[no-any-return]

    @property
    def in_force(self) -> list[int]:
        return sorted(self.run.history.in_force)

    def state(self, version: int) -> str:
        return self.run.history.state(version)  # type: ignore[no-any-return]


def move(query: int, to: int) -> Decide:
    return lambda run: run.move([query], to)


def rename(cluster_id: int, title: str) -> Decide:
    return lambda run: run.rename(cluster_id, title, None)


def group(*edits: int) -> Decide:
    return lambda run: run.trigger_event(run.ProposalAccepted, edits=list(edits), proposal_id="p1")


# --- one edit

ONE: list[tuple[str, Decide]] = [
    ("move", move(1, 2)),
    ("move of many", lambda run: run.move([1, 3, 5], 0)),
    ("rename", rename(1, "Tax")),
    ("merge", lambda run: run.merge([1, 2], 0, "All", "of them")),
    ("split", lambda run: run.split(0, [1], "New", None)),
    ("delete", lambda run: run.delete(1, None)),
    ("delete into another", lambda run: run.delete(1, 0)),
    ("metadata", lambda run: run.annotate(1, {"quality": "low", "notes": "odd"})),
    ("flags", lambda run: run.flag(1, ["odd"])),
]


def shown(run: ClusteringRun) -> tuple[list[int], dict[int, Cluster]]:
    return run.partition.labels.tolist(), dict(run.clusters)


@pytest.mark.parametrize("decide", [one[1] for one in ONE], ids=[one[0] for one in ONE])
def test_every_kind_of_edit_is_undone_and_redone(decide: Decide) -> None:
    story = Story()
    before = shown(story.run)
    edit = story.does(decide)
    after = shown(story.run)
    undo = story.undo(edit)
    assert shown(story.run) == before
    assert (story.state(edit), story.state(undo)) == ("undone", "in force")
    redo = story.redo(edit)
    assert shown(story.run) == after
    assert [story.state(one) for one in (edit, undo, redo)] == ["in force", "undone", "in force"]


def test_an_undo_is_one_event_that_says_what_it_takes_back() -> None:
    story = Story(lambda run: run.merge([1], 0))
    plan = story.plan(story.edits[0])
    event = (
        given(story.run)
        .when(lambda run: run.take_back(plan))
        .then(ClusteringRun.EditsUndone, edits=story.edits)
    )
    assert event.moves == [{"from": 0, "to": 1, "query_ids": [3, 4]}]
    assert event.clusters == [{"cluster_id": 1, "was": None, "now": {}}]


@pytest.mark.parametrize("version", [1, 3, 99])
def test_what_is_no_edit_is_not_undone(version: int) -> None:
    story = Story(move(1, 1))
    for redo in (False, True):
        with pytest.raises(NotFound, match=f"version {version} is no edit of this run"):
            story.plan(version, redo=redo)


def test_an_edit_is_undone_once_and_redone_once() -> None:
    story = Story(move(1, 1))
    (edit,) = story.edits
    with pytest.raises(Conflict, match=f"edit at version {edit} of run .* is not undone"):
        story.plan(edit, redo=True)
    story.undo(edit)
    with pytest.raises(Conflict, match=f"edit at version {edit} of run .* is not in force"):
        story.plan(edit)


# --- what stands in the way

BLOCKED: list[tuple[str, Decide, Decide]] = [
    ("a query that was moved on", move(1, 1), move(1, 2)),
    ("a title that was changed again", rename(0, "One"), rename(0, "Two")),
    ("flags that were added to", lambda run: run.flag(0, ["a"]), lambda run: run.flag(0, ["b"])),
    ("a new cluster that was renamed", lambda run: run.split(0, [1], "x", None), rename(3, "Two")),
    ("a new cluster that was moved into", lambda run: run.split(0, [1], "x", None), move(5, 3)),
    (
        "a new cluster that was merged",
        lambda run: run.split(0, [1], "x", None),
        lambda run: run.merge([3], 2),
    ),
    ("a merged cluster that went", lambda run: run.merge([1], 0), lambda run: run.delete(0, None)),
    ("an orphan that was moved back", lambda run: run.delete(1, None), move(3, 0)),
    ("a query whose cluster went", move(1, 1), lambda run: run.merge([1], 2)),
    (
        "notes on a cluster that went",
        lambda run: run.annotate(1, {"notes": "x"}),
        lambda run: run.merge([1], 2),
    ),
]


@pytest.mark.parametrize(("first", "second"), [one[1:] for one in BLOCKED], ids=[one[0] for one in BLOCKED])
def test_later_edits_of_the_same_stand_in_the_way(first: Decide, second: Decide) -> None:
    story = Story()
    before = shown(story.run)
    one, two = story.does(first), story.does(second)
    assert story.plan(two).blockers == []
    plan = story.plan(one)
    assert (plan.edits, plan.blockers) == ([two, one], [two])
    story.does(lambda run: run.take_back(plan))
    assert shown(story.run) == before
    assert story.plan(two, redo=True).blockers == [one]


FREE: list[tuple[str, Decide, Decide]] = [
    ("another query", move(1, 1), move(2, 1)),
    ("another title", rename(0, "One"), rename(1, "Two")),
    ("another field", rename(0, "One"), lambda run: run.annotate(0, {"quality": "low"})),
    ("a split of what stayed", move(1, 1), lambda run: run.split(2, [5], "x", None)),
    ("a note on the target of a merge", lambda run: run.merge([1], 0), lambda run: run.flag(0, ["a"])),
]


@pytest.mark.parametrize(("first", "second"), [one[1:] for one in FREE], ids=[one[0] for one in FREE])
def test_an_older_edit_is_undone_alone_where_nothing_else_touched_the_same(
    first: Decide, second: Decide
) -> None:
    alone = Story(second)
    story = Story(first, second)
    one, two = story.edits
    assert story.plan(one).blockers == []
    story.undo(one)
    assert story.labels == alone.labels
    assert story.run.clusters == alone.run.clusters
    assert story.in_force == [two]


def test_blockers_of_blockers_stand_in_the_way_too() -> None:
    story = Story(
        move(1, 1),
        lambda run: run.split(1, [1, 3], "New", None),
        rename(3, "Newer"),
        rename(0, "Not concerned"),
        move(2, 3),
    )
    one, two, three, _, five = story.edits
    plan = story.plan(one)
    assert (plan.edits, plan.blockers) == ([five, three, two, one], [five, three, two])
    undo = story.does(lambda run: run.take_back(plan))
    assert story.labels == [0, 0, 1, 1, 2, 2]
    assert story.run.cluster(0).title == "Not concerned"
    again = story.plan(undo)
    assert (again.edits, again.blockers, again.redo) == ([one, two, three, five], [], True)
    story.does(lambda run: run.take_back(again))
    assert story.labels == [3, 3, 3, 1, 2, 2]
    assert story.run.cluster(3).title == "Newer"


def test_edits_that_are_undone_stand_in_nobodys_way() -> None:
    story = Story(move(1, 1), move(1, 2))
    one, two = story.edits
    story.undo(two)
    assert story.plan(one).blockers == []


# --- redo


def test_undone_one_by_one_and_redone_one_by_one() -> None:
    story = Story(move(1, 1), move(1, 2), lambda run: run.merge([2], 0))
    states = [shown(story.run)]
    for _ in range(3):
        story.undo(story.run.history.last())
        states.append(shown(story.run))
    assert story.in_force == []
    for expected in states[-2::-1]:
        assert story.plan(story.run.history.last_undone(), redo=True).blockers == []
        story.redo(story.run.history.last_undone())
        assert shown(story.run) == expected
    assert story.in_force == story.edits


def test_what_an_edit_was_made_on_is_redone_before_it() -> None:
    story = Story(lambda run: run.split(0, [1], "New", None), rename(3, "Newer"))
    one, two = story.edits
    story.undo(two)
    story.undo(one)
    plan = story.plan(two, redo=True)
    assert (plan.edits, plan.blockers, plan.refused) == ([one, two], [one], [])
    story.does(lambda run: run.take_back(plan))
    assert story.run.cluster(3).title == "Newer"


def test_a_redo_is_refused_on_other_ground() -> None:
    story = Story(move(1, 1))
    (one,) = story.edits
    story.undo(one)
    two = story.does(move(1, 2))
    plan = story.plan(one, redo=True)
    assert plan.refused == [two]
    given(story.run).when(lambda run: run.take_back(plan)).refuses(
        Conflict, f"at versions {two} of run .* in the way"
    )
    story.undo(two)
    assert story.plan(one, redo=True).refused == []


def test_a_redo_is_refused_where_what_it_was_not_made_on_is_back() -> None:
    """The second was made while the first was undone: they cannot both be in force."""
    story = Story(move(1, 1))
    (one,) = story.edits
    story.undo(one)
    two = story.does(move(1, 2))
    story.undo(two)
    story.redo(one)
    assert story.plan(two, redo=True).refused == [one]
    assert story.labels[0] == 1


def test_a_redo_is_not_refused_by_the_ground_that_went_and_came_back() -> None:
    story = Story(move(1, 1), move(1, 2))
    one, two = story.edits
    story.undo(two)
    story.undo(one)
    story.redo(one)
    assert story.plan(two, redo=True).refused == []
    story.redo(two)
    assert story.labels[0] == 2


def test_a_merge_is_not_redone_over_queries_that_came_meanwhile() -> None:
    story = Story(lambda run: run.merge([1], 0))
    story.undo(story.edits[0])
    came = story.does(move(5, 1))
    assert story.plan(story.edits[0], redo=True).refused == [came]


# --- undo of an undo, redo of a redo


def test_the_undo_of_an_undo_is_a_redo_and_that_of_a_redo_an_undo() -> None:
    story = Story(move(1, 1))
    undo = story.undo(story.edits[0])
    plan = story.plan(undo)
    event = given(story.run).when(lambda run: run.take_back(plan)).then(ClusteringRun.EditsRedone)
    assert event.edits == story.edits
    assert story.labels[0] == 1
    story.undo(event.originator_version)
    assert story.labels[0] == 0


def test_an_undo_that_was_undone_is_not_undone_again() -> None:
    story = Story(move(1, 1))
    undo = story.undo(story.edits[0])
    story.undo(undo)
    for redo in (False, True):
        with pytest.raises(Conflict, match=f"edit at version {undo} of run .* is not undone"):
            story.plan(undo, redo=redo)


def test_a_redo_of_a_redo_never_takes_anything_back() -> None:
    story = Story(move(1, 1))
    story.undo(story.edits[0])
    redo = story.redo(story.edits[0])
    with pytest.raises(Conflict, match=f"edit at version {redo} of run .* is not undone"):
        story.plan(redo, redo=True)
    story.undo(redo)
    assert story.labels[0] == 0
    story.redo(redo)
    assert story.labels[0] == 1


def test_of_a_cascade_a_part_can_be_put_back() -> None:
    story = Story(rename(0, "One"), rename(0, "Two"))
    one, two = story.edits
    undo = story.undo(one)
    story.redo(one)
    assert (story.state(undo), story.run.cluster(0).title) == ("partly undone", "One")
    story.undo(undo)
    assert (story.state(undo), story.run.cluster(0).title) == ("undone", "Two")
    assert story.in_force == [one, two]


# --- groups


def test_a_group_is_undone_and_redone_as_one() -> None:
    story = Story(move(1, 1), rename(1, "Tax"))
    whole = story.does(group(*story.edits))
    before = shown(story.run)
    assert story.run.history.last() == whole
    undo = story.undo(whole)
    assert story.labels[0] == 0
    assert story.run.cluster(1).title is None
    assert (story.state(whole), story.in_force) == ("undone", [])
    story.redo(whole)
    assert (story.state(whole), story.state(undo), shown(story.run)) == ("in force", "undone", before)


def test_of_a_group_a_part_is_undone_alone() -> None:
    story = Story(move(1, 1), rename(1, "Tax"))
    whole = story.does(group(*story.edits))
    story.undo(story.edits[1])
    assert story.state(whole) == "partly undone"
    assert sorted(story.plan(whole).edits) == [story.edits[0], whole]
    assert story.plan(whole, redo=True).edits == [story.edits[1]]


def test_later_edits_stand_in_the_way_of_a_group() -> None:
    story = Story(move(1, 1), rename(1, "Tax"))
    whole = story.does(group(*story.edits))
    later = story.does(rename(1, "Law"))
    assert story.plan(whole).blockers == [later]


# --- the last


def test_the_last_is_what_came_into_force_last() -> None:
    story = Story(rename(0, "One"), rename(1, "Two"))
    one, two = story.edits
    assert story.run.history.last() == two
    story.undo(one)
    redo = story.redo(one)
    assert story.run.history.last() == redo
    assert story.plan(redo).edits == [one]


def test_what_was_redone_together_is_the_last_together() -> None:
    story = Story(rename(0, "One"), rename(0, "Two"))
    undo = story.undo(story.edits[0])
    story.redo(undo)
    plan = story.plan(story.run.history.last())
    assert (sorted(plan.edits), plan.blockers) == (story.edits, [])


def test_the_last_of_a_group_that_came_back_in_parts_stands_in_nobodys_way() -> None:
    story = Story(rename(0, "One"), rename(1, "Two"))
    one, _ = story.edits
    whole = story.does(group(*story.edits))
    story.undo(whole)
    story.redo(one)
    between = story.does(rename(0, "Three"))
    story.redo(whole)
    for expected in ([one, between], [one], []):
        plan = story.plan(story.run.history.last())
        assert plan.blockers == []
        story.does(lambda run, plan=plan: run.take_back(plan))  # type: ignore[misc]
        assert story.in_force == expected


def test_undo_after_undo_leads_back_to_the_beginning() -> None:
    story = Story()
    begin = shown(story.run)
    for _, decide in ONE:
        try:
            story.does(decide)
        except (Conflict, NotFound):
            continue
    while story.run.history.in_force:
        story.undo(story.run.history.last())
    assert shown(story.run) == begin
    with pytest.raises(Conflict, match="there is no edit in force that could be undone"):
        story.run.history.last()


def test_without_an_undo_there_is_nothing_to_redo() -> None:
    with pytest.raises(Conflict, match="there is no undone edit that could be done again"):
        Story(move(1, 1)).run.history.last_undone()


# --- what is no edit, and stays


def test_what_a_summary_says_stays_through_undo_and_redo() -> None:
    story = Story(lambda run: run.delete(1, None), lambda run: run.split(0, [1], "New", None))
    deletion, split = story.edits
    story.does(lambda run: run.adopt_titles("s1", titles("s1", 0, 1, 3)))
    story.undo(split)
    story.undo(deletion)
    assert story.run.cluster(1) == Cluster("s1 1", "by s1: 1", "s1")
    story.does(lambda run: run.adopt_titles("s2", titles("s2", 1, 3)))
    story.redo(deletion)
    story.redo(split)
    assert story.run.cluster(3) == Cluster("s2 3", "by s2: 3", "s2", own_title="New")
    story.undo(deletion)
    assert story.run.cluster(1) == Cluster("s2 1", "by s2: 1", "s2")


def test_a_redone_merge_says_what_the_source_was_by_then() -> None:
    story = Story(lambda run: run.merge([1], 0))
    story.undo(story.edits[0])
    story.does(lambda run: run.adopt_titles("s1", titles("s1", 1)))
    redo = story.redo(story.edits[0])
    named = {"named_title": "s1 1", "named_description": "by s1: 1", "summary_run_id": "s1"}
    assert story.changes[redo].clusters == {1: (named, None)}


def test_what_is_erased_stays_erased() -> None:
    story = Story(lambda run: run.delete(1, None), move(1, 2))
    story.does(lambda run: run.erase(np.array([3, 1])))
    undo = story.undo(story.edits[0])
    assert story.changes[undo].query_ids.tolist() == [4]
    empty = story.undo(story.edits[1])
    assert not story.changes[empty]
    assert story.labels == [ERASED, 0, ERASED, 1, 2, 2]
    story.redo(story.edits[0])
    assert story.labels == [ERASED, 0, ERASED, ORPHAN, 2, 2]


def extend(run: ClusteringRun, *labels: int) -> None:
    """Queries 7, 8, ... are added to these clusters, as a job of extension does it."""
    last = 6 + len(labels)
    run.request_extension("x1", last, 0.0)
    ids, confidence = np.arange(7, last + 1), np.ones(len(labels), np.float32)
    run.add("x1", ids, np.array(labels, np.int32), confidence)
    run.end_extension("x1", None)
    run.collect_events()


def test_what_an_extension_put_into_a_cluster_that_goes_follows_the_others() -> None:
    story = Story(lambda run: run.split(1, [3], "New", None))
    extend(story.run, 3, 1)
    undo = story.undo(story.edits[0])
    assert story.labels == [0, 0, 1, 1, 2, 2, 1, 1]
    assert story.changes[undo].moves() == [{"from": 3, "to": 1, "query_ids": [3, 7]}]


def test_a_redone_deletion_takes_what_an_extension_brought() -> None:
    story = Story(lambda run: run.delete(1, None))
    story.undo(story.edits[0])
    extend(story.run, 1)
    story.redo(story.edits[0])
    assert story.labels == [0, 0, ORPHAN, ORPHAN, 2, 2, ORPHAN]


def test_a_move_of_what_has_gone_elsewhere_since_says_truly_whence() -> None:
    story = Story(lambda run: run.split(1, [3], "New", None))
    extend(story.run, 3)
    onward = story.does(move(7, 0))
    story.undo(onward)
    story.undo(story.edits[0])
    assert story.labels[6] == 1
    back = story.plan(onward, redo=True)
    redo = story.does(lambda run: run.take_back(back))
    assert story.labels == [0, 0, 3, 1, 2, 2, 0]
    assert {"from": 1, "to": 0, "query_ids": [7]} in story.changes[redo].moves()


def test_noise_that_was_merged_comes_back_as_noise() -> None:
    run: Any = completed_run([NOISE, 0], clusters=1)
    run.merge([NOISE], 0)
    edit = run.collect_events()[-1]
    plan = run.plan(edit.originator_version, {edit.originator_version: edit.changes()}, redo=False)
    run.take_back(plan)
    assert shown(run) == ([NOISE, 0], {NOISE: Cluster(), 0: Cluster()})
