"""Hierarchies: how they are made step by step, what people may change, how they follow their run."""

from __future__ import annotations

import pytest

from domain.errors import Conflict, Invalid, NotFound
from domain.hierarchy import FIRST_CATEGORY, TOP, Hierarchy, Tree
from tests.given import given
from tests.runs import replayed, stored
from tests.trees import (
    A,
    B,
    C,
    D,
    assign,
    begin,
    build,
    completed_hierarchy,
    requested_hierarchy,
    words,
)

SIZES = {0: 5, 1: 7, 2: 1, 3: 2, 4: 9}


def shape(tree: Tree, sizes: dict[int, int] | None = None) -> dict[int, tuple[int | None, int, int]]:
    """Node → (parent, queries, clusters)."""
    nodes = tree.nodes(SIZES if sizes is None else sizes)
    assert len({one.cluster_id for one in nodes}) == len(nodes)
    return {one.cluster_id: (one.parent_id, one.num_queries, one.num_clusters) for one in nodes}


# --- how it is made


def test_a_level_has_the_clusters_as_they_were_found() -> None:
    made = given(requested_hierarchy()).when(lambda one: begin(one, 1, [0, 1, 2]))
    made.then(Hierarchy.LevelBegun, level=1, wanted=2)
    assert made.aggregate.tree.leaves == {0, 1, 2}


@pytest.mark.parametrize("level", [0, 2])
def test_levels_are_begun_in_order(level: int) -> None:
    given(requested_hierarchy()).when(lambda one: begin(one, level, [0, 1])).then_nothing()


def test_a_level_is_begun_after_the_one_below_is_done() -> None:
    made = requested_hierarchy()
    begin(made, 1, [0, 1])
    given(made).when(lambda one: begin(one, 2, [A])).then_nothing()


def test_what_is_answered_already_is_not_recorded_twice() -> None:
    made = requested_hierarchy()
    begin(made, 1, [0, 1, 2])
    first, second = ({"neighborhood": n, "categories": words("Food"), "error": None} for n in (0, 1))
    made.record_proposals(1, [first], "p", {})
    given(made).when(lambda one: one.record_proposals(1, [first], "p", {})).then_nothing()
    given(made).when(lambda one: one.record_proposals(1, [first, second], "p", {})).then(
        Hierarchy.CategoriesProposed, proposals=[second]
    )
    made.choose(1, words("Food", "Money"), "p", {})
    given(made).when(lambda one: one.choose(1, words("Other"), "p", {})).then_nothing()
    given(made).when(
        lambda one: one.record_proposals(1, [{**first, "neighborhood": 7}], "p", {})
    ).then_nothing()
    assign(made, 1, {0: A})
    given(made).when(lambda one: assign(one, 1, {0: B})).then_nothing()
    given(made).when(lambda one: assign(one, 1, {0: B, 1: A})).then(Hierarchy.NodesAssigned)
    assert made.tree.places == {0: A, 1: A, 2: TOP, A: TOP, B: TOP}


def test_categories_get_ids_that_no_cluster_has_and_none_twice() -> None:
    made = completed_hierarchy()
    assert sorted(made.tree.categories) == [A, B, C]
    assert A == FIRST_CATEGORY
    made.remove(C)
    assert made.add("Other") == D


def test_categories_under_which_nothing_came_are_dropped() -> None:
    made = requested_hierarchy()
    build(made, 1, {0: A, 1: A, 2: None}, "Food", "Nothing")
    assert list(made.tree.categories) == [A]
    ended = made.collect_events()[-1]
    assert (ended.categories, ended.unplaced) == (1, 1)


def test_who_cancels_loses_nothing_that_was_answered() -> None:
    made = requested_hierarchy()
    begin(made, 1, [0, 1])
    given(made).when(Hierarchy.cancel).then(Hierarchy.Cancelled)
    given(made).when(Hierarchy.cancel).then_nothing()
    proposal = {"neighborhood": 0, "categories": words("Food"), "error": None}
    given(made).when(lambda one: one.record_proposals(1, [proposal], "", {})).then(
        Hierarchy.CategoriesProposed
    )
    given(made).when(Hierarchy.complete).then_nothing()
    given(made).when(lambda one: one.fail("late")).then_nothing()
    given(made).when(Hierarchy.resume).then(Hierarchy.Resumed, retried=0)
    assert (made.status, list(made.proposals)) == ("pending", [0])


def test_who_goes_on_asks_again_what_had_no_answer() -> None:
    made = requested_hierarchy()
    begin(made, 1, [0, 1, 2])
    failed = {"neighborhood": 0, "categories": [], "error": "no sense"}
    made.record_proposals(1, [failed], "", {})
    made.fail("no category was proposed")
    given(made).when(Hierarchy.resume).then(Hierarchy.Resumed, retried=1)
    made.record_proposals(1, [{**failed, "categories": words("Food"), "error": None}], "", {})
    made.choose(1, words("Food"), "", {})
    rows = [{"cluster_id": one, "parent_cluster_id": None, "error": "no sense"} for one in (0, 1)]
    made.record_assignments(1, [*rows, {**rows[0], "cluster_id": 2, "error": None}], "", {})
    made.fail("died")
    given(made).when(Hierarchy.resume).then(Hierarchy.Resumed, retried=2)
    assert (made.assigned, made.unanswered) == ({2}, {})


@pytest.mark.parametrize("made", [requested_hierarchy(), completed_hierarchy()])
def test_what_is_not_left_cannot_be_gone_on_with(made: Hierarchy) -> None:
    given(made).when(Hierarchy.resume).refuses(Conflict, "under way|nothing is left")


def test_what_is_complete_cannot_be_cancelled() -> None:
    given(completed_hierarchy()).when(Hierarchy.cancel).refuses(Conflict, "nothing to cancel")


def test_a_category_is_called_by_what_came_under_it() -> None:
    made = requested_hierarchy()
    begin(made, 1, [0, 1])
    made.choose(1, words("Food"), "p", {})
    assign(made, 1, {0: A, 1: A})
    name = {"cluster_id": A, "title": "Bread", "description": "", "error": None}
    made.record_names(1, [name], "p", {})
    given(made).when(lambda one: one.record_names(1, [name], "p", {})).then_nothing()
    assert (made.tree.categories[A].title, made.tree.categories[A].title_edited) == ("Bread", False)


def test_what_failed_or_is_complete_takes_no_more_answers() -> None:
    made = requested_hierarchy()
    begin(made, 1, [0, 1])
    made.fail("no key\0")
    assert made.collect_events()[-1].error == "no key\N{REPLACEMENT CHARACTER}"
    for late in (lambda one: one.choose(1, words("Food"), "", {}), lambda one: one.complete()):
        given(made).when(late).then_nothing()
    given(completed_hierarchy()).when(lambda one: begin(one, 3, [C])).then_nothing()
    given(completed_hierarchy()).when(lambda one: one.fail("late")).then_nothing()


def test_it_says_how_many_levels_came_of_it() -> None:
    assert completed_hierarchy().collect_events()[-1].levels == 3
    flat = requested_hierarchy()
    flat.complete()
    assert flat.collect_events()[-1].levels == 1


# --- what is shown


def test_counts_are_those_of_all_clusters_below() -> None:
    assert shape(completed_hierarchy().tree) == {
        C: (None, 12, 2),
        A: (C, 12, 2),
        1: (A, 7, 1),
        0: (A, 5, 1),
        B: (None, 3, 2),
        3: (B, 2, 1),
        2: (B, 1, 1),
        4: (None, 9, 1),
    }


def test_each_node_stands_before_what_is_below_it_the_largest_first() -> None:
    assert list(shape(completed_hierarchy().tree)) == [C, A, 1, 0, B, 3, 2, 4]


def test_a_cluster_that_is_no_more_is_not_shown_and_neither_is_what_it_leaves_empty() -> None:
    """Before the hierarchy has followed: the clusters that there are decide."""
    sizes = {one: size for one, size in SIZES.items() if one not in (0, 1, 3)}
    assert list(shape(completed_hierarchy().tree, sizes)) == [B, 2, 4]


def test_an_empty_category_that_a_person_made_stays() -> None:
    made = completed_hierarchy()
    empty = made.add("Later")
    assert shape(made.tree)[empty] == (None, 0, 0)


# --- edits


def test_only_a_complete_hierarchy_is_edited() -> None:
    given(requested_hierarchy()).when(lambda one: one.move([0], None)).refuses(Conflict, "is pending")


def test_nodes_are_moved() -> None:
    made = given(completed_hierarchy()).when(lambda one: one.move([4, 2], A))
    made.then(
        Hierarchy.NodesMoved,
        parent_cluster_id=A,
        nodes=[
            {"cluster_id": 2, "was": {"parent_cluster_id": B}, "now": {"parent_cluster_id": A}},
            {"cluster_id": 4, "was": {"parent_cluster_id": None}, "now": {"parent_cluster_id": A}},
        ],
    )
    assert shape(made.aggregate.tree)[A] == (C, 22, 4)


def test_a_node_that_is_there_already_is_not_moved() -> None:
    given(completed_hierarchy()).when(lambda one: one.move([0], A)).then_nothing()
    given(completed_hierarchy()).when(lambda one: one.move([4, B], None)).then_nothing()


@pytest.mark.parametrize(
    ("nodes", "to", "match"),
    [
        ([C], A, "of level 2, category 1000000000 of level 1"),
        ([A], B, "of level 1, category 1000000001 of level 1"),
        ([A], A, "higher level"),
        ([0], 1, "no category 1"),
        ([0], D, "no category"),
        ([77], A, "no node 77"),
        ([77], None, "no node 77"),
    ],
)
def test_nothing_goes_where_it_cannot_be(nodes: list[int], to: int | None, match: str) -> None:
    given(completed_hierarchy()).when(lambda one: one.move(nodes, to)).refuses(Conflict, match)


def test_nothing_to_move_is_an_error() -> None:
    given(completed_hierarchy()).when(lambda one: one.move([], A)).refuses(Invalid, "cluster_ids is empty")


def test_a_category_is_renamed_by_a_person() -> None:
    made = given(completed_hierarchy()).when(lambda one: one.rename(A, "Cooking", None))
    row = {"cluster_id": A, "was": {"own_title": None}, "now": {"own_title": "Cooking"}}
    made.then(Hierarchy.CategoryRenamed, cluster_id=A, nodes=[{**row, "was": {"own_title": None}}])
    category = made.aggregate.tree.category(A)
    assert (category.title, category.title_edited, category.named_title) == ("Cooking", True, "Food")


def test_words_that_are_there_already_change_nothing() -> None:
    given(completed_hierarchy()).when(lambda one: one.rename(A, "Food", "about Food")).then_nothing()


def test_a_cluster_is_renamed_in_its_run() -> None:
    given(completed_hierarchy()).when(lambda one: one.rename(0, "x", None)).refuses(
        Conflict, "rename it there"
    )
    given(completed_hierarchy()).when(lambda one: one.rename(D, "x", None)).refuses(NotFound, "no category")
    given(completed_hierarchy()).when(lambda one: one.rename(A, None, None)).refuses(Invalid, "give a title")
    given(completed_hierarchy()).when(lambda one: one.rename(A, " ", None)).refuses(Invalid, "empty")


def test_a_category_is_made_above_what_is_put_under_it() -> None:
    made = completed_hierarchy()
    assert made.add("Mine", "my own", [B, 4]) == D
    assert (made.tree.level(D), shape(made.tree)[D]) == (2, (None, 12, 3))
    made.add("Below", parent=C)
    assert made.tree.level(D + 1) == 1


@pytest.mark.parametrize(
    ("nodes", "parent", "level", "match"),
    [
        ([A], A, None, "at least 2"),
        ([], B, 1, "at most 0"),
        ([C], None, 2, "at least 3"),
        ([], 77, None, "77"),
    ],
)
def test_a_category_fits_between_what_is_under_and_over_it(
    nodes: list[int], parent: int | None, level: int | None, match: str
) -> None:
    given(completed_hierarchy()).when(lambda one: one.add("Mine", None, nodes, parent, level)).refuses(
        Conflict, match
    )


def test_what_is_under_a_removed_category_takes_its_place() -> None:
    made = completed_hierarchy()
    assert made.remove(A) == 2
    assert shape(made.tree)[C] == (None, 12, 2)
    assert made.tree.places[0] == C


def test_what_is_under_a_removed_category_goes_where_it_is_sent() -> None:
    made = completed_hierarchy()
    made.remove(B, A)
    assert made.tree.places[2] == made.tree.places[3] == A
    given(made).when(lambda one: one.remove(C, A)).refuses(Conflict, "higher level")
    given(made).when(lambda one: one.remove(A, A)).refuses(Invalid, "cannot|nothing can be moved")


# --- undo


def undo(made: Hierarchy, events: dict[int, object], version: int, *, redo: bool = False) -> list[int]:
    """With all that stands in the way; returns what was taken back."""
    events.update({one.originator_version: stored(one) for one in made.collect_events()})
    changes = {one: events[one].changes() for one in made.concerned_by(version, redo=redo)}  # type: ignore[attr-defined]
    plan = made.plan(version, changes, redo=redo)
    made.take_back(plan)
    events.update({one.originator_version: stored(one) for one in made.collect_events()})
    return plan.edits


def test_an_undo_puts_back_what_was() -> None:
    made, events = completed_hierarchy(), {}
    before = shape(made.tree)
    made.collect_events()
    made.remove(A)
    removed = made.version
    undo(made, events, removed)
    assert shape(made.tree) == before
    undo(made, events, removed, redo=True)
    assert made.tree.places[0] == C
    assert A not in made.tree.categories


def test_a_category_cannot_be_unmade_behind_what_was_put_under_it() -> None:
    made, events = completed_hierarchy(), {}
    made.collect_events()
    made.add("Mine")
    added = made.version
    made.move([4], D)
    moved = made.version
    assert undo(made, events, added) == [moved, added]
    assert made.tree.places[4] == TOP


def test_the_making_of_a_category_cannot_be_undone_behind_its_move() -> None:
    made, events = completed_hierarchy(), {}
    made.collect_events()
    made.add("Mine", level=1)
    added = made.version
    made.move([D], C)
    assert undo(made, events, added) == [made.version - 1, added]


def test_edits_of_other_nodes_do_not_stand_in_the_way() -> None:
    made, events = completed_hierarchy(), {}
    made.collect_events()
    made.move([4], B)
    first = made.version
    made.rename(B, "Taxes", None)
    assert undo(made, events, first) == [first]
    assert made.tree.category(B).title == "Taxes"


def test_a_cluster_that_came_since_under_what_goes_is_not_lost() -> None:
    made, events = completed_hierarchy(), {}
    made.collect_events()
    made.add("Mine", None, [4], parent=C, level=1)
    added = made.version
    made.follow(4, [], [(9, 4)])
    assert made.tree.places[9] == D
    undo(made, events, added)
    assert made.tree.places[4] == TOP
    assert made.tree.places[9] in (TOP, C)


# --- following


def test_a_cluster_that_was_merged_or_deleted_goes_and_comes_back_where_it_was() -> None:
    made = completed_hierarchy()
    given(made).when(lambda one: one.follow(4, [0], [])).then(
        Hierarchy.ClustersFollowed, run_version=4, gone=[0], came=[]
    )
    assert shape(made.tree)[A] == (C, 7, 1)
    made.move([1], B)
    given(made).when(lambda one: one.follow(5, [], [(0, None)])).then(
        Hierarchy.ClustersFollowed, came=[{"cluster_id": 0, "parent_cluster_id": A}]
    )


def test_a_place_changes_also_for_a_cluster_that_is_away() -> None:
    made = completed_hierarchy()
    made.follow(4, [0, 1], [])
    assert A not in shape(made.tree)
    made.remove(A)
    made.follow(5, [], [(0, None)])
    assert made.tree.places[0] == C


def test_a_new_cluster_comes_beside_the_one_that_it_came_of() -> None:
    made = completed_hierarchy()
    made.follow(4, [2], [(7, 2), (8, 7), (9, None), (10, 4)])
    assert [made.tree.places[one] for one in (7, 8, 9, 10)] == [B, B, TOP, TOP]


def test_what_was_followed_already_and_what_changes_nothing_is_passed_over() -> None:
    made = completed_hierarchy()
    made.follow(5, [0], [])
    given(made).when(lambda one: one.follow(5, [1], [])).then_nothing()
    given(made).when(lambda one: one.follow(6, [0, 99], [(1, 0)])).then_nothing()
    given(requested_hierarchy()).when(lambda one: one.follow(9, [], [(1, 0)])).then_nothing()


def test_it_is_what_its_events_say() -> None:
    made = completed_hierarchy()
    made.add("Mine", None, [B, 4])
    made.follow(4, [0], [(7, 1)])
    made.remove(A)
    again = replayed(stored(one) for one in made.collect_events())
    assert (again.tree, again.history, again.next_category_id) == (
        made.tree,
        made.history,
        made.next_category_id,
    )
