"""Undo and redo: what stands in the way, what goes along, and that it leads back to the beginning."""

from __future__ import annotations

import pytest

from domain.clustering import ClusteringRun
from domain.errors import Conflict, NotFound
from tests.domain.story import Decide, Story, group, move, rename, shown
from tests.given import given

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
