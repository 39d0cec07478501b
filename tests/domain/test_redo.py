"""Redo, the undo of an undo, and what stays through both: erasures, extensions, the words of summaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from domain.clustering import Cluster, ClusteringRun
from domain.errors import Conflict
from domain.values import ERASED, NOISE, ORPHAN
from tests.domain.story import Story, move, rename, shown
from tests.given import given
from tests.runs import completed_run, titles


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
