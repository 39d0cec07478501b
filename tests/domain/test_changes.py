"""`Changes` against plain dictionaries: apply, inverse, composition, and how they are written down."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.clustering import Changes, Cluster, Partition
from domain.values import NOISE, ORPHAN

QUERIES = range(1, 8)
FIELDS: dict[str, list[Any]] = {
    "own_title": [None, "Tax", "Law"],
    "notes": [None, "odd"],
    "flags": [[], ["a"], ["a", "b"]],
}

State = tuple[dict[int, int], dict[int, dict[str, Any]]]
"""Query → label, and cluster → its fields that say something."""


def begin() -> State:
    return {one: one % 3 for one in QUERIES}, {0: {}, 1: {"own_title": "Tax"}, 2: {"flags": ["a"]}}


def partition_of(labels: dict[int, int]) -> Partition:
    ids = sorted(labels)
    return Partition(np.array(ids, np.int64), np.array([labels[one] for one in ids], np.int32))


def clusters_of(written: dict[int, dict[str, Any]]) -> dict[int, Cluster]:
    return {one: Cluster.of(fields) for one, fields in written.items()}


def applied(changes: Changes, state: State) -> State:
    """As the aggregate applies them."""
    clusters = clusters_of(state[1])
    partition = changes.apply(partition_of(state[0]), clusters)
    labels = dict(zip(partition.query_ids.tolist(), partition.labels.tolist(), strict=True))
    return labels, {one: cluster.fields() for one, cluster in clusters.items()}


def difference(before: State, after: State) -> Changes:
    """Found by looking at both, as an edit would say it."""
    ids = [one for one in QUERIES if before[0][one] != after[0][one]]
    clusters: dict[int, Any] = {}
    for one in before[1].keys() | after[1].keys():
        was, now = before[1].get(one), after[1].get(one)
        if was is None or now is None:
            clusters[one] = (was, now)
        elif was != now:
            names = [name for name in FIELDS if was.get(name) != now.get(name)]
            nothing: dict[str, Any] = {"flags": []}
            clusters[one] = tuple({n: s.get(n, nothing.get(n)) for n in names} for s in (was, now))
    was_labels = [before[0][one] for one in ids]
    return Changes.of(ids, was_labels, np.array([after[0][one] for one in ids], np.int32), clusters)


@st.composite
def histories(draw: st.DrawFn) -> list[State]:
    """States, each a step from the one before; a cluster that is made has an id that was never used."""
    states, new = [begin()], 3
    for _ in range(draw(st.integers(1, 6))):
        labels: dict[int, int] = dict(states[-1][0])
        written: dict[int, Any] = deepcopy(states[-1][1])
        more, fewer = draw(st.booleans()), draw(st.booleans())
        if more:
            written[new] = {"own_title": "New"}
            new += 1
        elif written and fewer:
            del written[draw(st.sampled_from(sorted(written)))]
        for one in draw(st.sets(st.sampled_from(QUERIES), max_size=3)):
            labels[one] = draw(st.sampled_from([NOISE, ORPHAN, *sorted(written)]))
        for one in draw(st.sets(st.sampled_from(sorted(written)), max_size=2)) if written else ():
            name = draw(st.sampled_from(sorted(FIELDS)))
            written[one][name] = draw(st.sampled_from(FIELDS[name]))
        states.append((labels, {one: {k: v for k, v in f.items() if v} for one, f in written.items()}))
    return states


def steps(states: Sequence[State]) -> list[Changes]:
    return [difference(one, other) for one, other in pairwise(states)]


def same(one: Changes, other: Changes) -> bool:
    return one.moves() == other.moves() and one.cluster_rows() == other.cluster_rows()


@given(histories())
def test_changes_lead_from_what_was_to_what_is_and_their_inverse_back(states: list[State]) -> None:
    for before, after in pairwise(states):
        changes = difference(before, after)
        assert applied(changes, before) == after
        assert applied(changes.inverse(), after) == before
        assert same(changes.inverse().inverse(), changes)
        assert bool(changes) == (before != after)


@given(histories())
def test_composed_changes_do_what_they_do_one_after_the_other(states: list[State]) -> None:
    composed = Changes.composed(steps(states))
    assert applied(composed, states[0]) == states[-1]
    assert applied(composed.inverse(), states[-1]) == states[0]
    back = Changes.composed([one.inverse() for one in reversed(steps(states))])
    assert applied(back, states[-1]) == states[0]


@given(histories())
def test_composed_changes_hold_only_what_differs_in_the_end(states: list[State]) -> None:
    composed = Changes.composed(steps(states))
    assert (composed.was != composed.now).all()
    assert [one for one in QUERIES if states[0][0][one] != states[-1][0][one]] == composed.query_ids.tolist()
    round_trip = Changes.composed([*steps(states), *(one.inverse() for one in reversed(steps(states)))])
    assert not round_trip


@given(histories(), st.integers(0, 6))
def test_it_does_not_matter_how_changes_are_grouped(states: list[State], cut: int) -> None:
    parts = steps(states)
    cut = min(cut, len(parts))
    grouped = Changes.composed([Changes.composed(parts[:cut]), Changes.composed(parts[cut:])])
    assert applied(grouped, states[0]) == states[-1]


def test_nothing_composed_is_nothing() -> None:
    assert not Changes.composed([])
    assert applied(Changes(), begin()) == begin()


@given(histories())
def test_what_is_written_is_read_again(states: list[State]) -> None:
    for changes in steps(states):
        moves, rows = orjson.loads(orjson.dumps([changes.moves(), changes.cluster_rows()]))
        back = Changes.read(moves, rows)
        assert same(back, changes)
        assert back.query_ids.tolist() == changes.query_ids.tolist()
        assert [one.dtype.str for one in (back.query_ids, back.was, back.now)] == ["<i8", "<i4", "<i4"]


def test_moves_are_written_by_whence_and_whither() -> None:
    changes = Changes.of([9, 4, 6, 1], [1, 0, 1, 0], np.array([2, 2, 0, 2], np.int32))
    assert changes.moves() == [
        {"from": 0, "to": 2, "query_ids": [1, 4]},
        {"from": 1, "to": 0, "query_ids": [6]},
        {"from": 1, "to": 2, "query_ids": [9]},
    ]


# --- what meets what


def moved(*query_ids: int, was: int = 0, now: int = 1) -> Changes:
    return Changes.of(query_ids, [was] * len(query_ids), now)


def written(cluster_id: int, **fields: Any) -> Changes:  # noqa: ANN401
    return Changes(clusters={cluster_id: (dict.fromkeys(fields), fields)})


def removed(cluster_id: int) -> Changes:
    return Changes(clusters={cluster_id: ({"own_title": "Tax"}, None)})


MEETING = [
    ("the same query", moved(1, 2), moved(2, 3, was=1, now=2), True),
    ("other queries of the same clusters", moved(1, 2), moved(3, 4), False),
    ("queries between each other", moved(1, 5), moved(2, 4), False),
    ("the same field", written(0, notes="a"), written(0, notes="b"), True),
    ("another field", written(0, notes="a"), written(0, quality="low"), False),
    ("the same field of another cluster", written(0, notes="a"), written(1, notes="a"), False),
    ("a field of a cluster that goes", written(0, notes="a"), removed(0), True),
    ("a field of a cluster that stays", written(0, notes="a"), removed(1), False),
    ("a move out of a cluster that goes", moved(1), removed(0), True),
    ("a move into a cluster that goes", moved(1), removed(1), True),
    ("a move elsewhere", moved(1), removed(2), False),
    ("the making of a cluster, and its end", removed(0).inverse(), removed(0), True),
    ("ends of two clusters", removed(0), removed(1), False),
    ("a field, and moves", written(0, notes="a"), moved(1), False),
    ("nothing", Changes(), removed(0), False),
    ("orphans of two clusters", moved(1, now=ORPHAN), moved(2, was=1, now=ORPHAN), False),
]


@pytest.mark.parametrize(
    ("one", "other", "meet"), [row[1:] for row in MEETING], ids=[row[0] for row in MEETING]
)
def test_edits_meet_where_they_touched_the_same(one: Changes, other: Changes, meet: bool) -> None:
    assert one.meets(other) == other.meets(one) == meet


@given(histories(), st.randoms(use_true_random=False))
def test_what_does_not_meet_can_be_done_in_any_order(states: list[State], order: random.Random) -> None:
    """What an undo rests on: an edit that no later one meets can be taken back as if it were the last."""
    parts = steps(states)
    for _ in range(3 * len(parts)):
        at = order.randrange(len(parts))
        if at and not parts[at].meets(parts[at - 1]):
            parts[at - 1], parts[at] = parts[at], parts[at - 1]
    state = states[0]
    for changes in parts:
        state = applied(changes, state)
    assert state == states[-1]


def test_an_orphan_is_in_no_cluster_that_could_be_touched() -> None:
    assert moved(1, was=NOISE, now=ORPHAN).touched == {NOISE}
    assert moved(1).touched == {0, 1}


# --- parts of them


def test_queries_can_be_left_out() -> None:
    some = Changes.of([1, 2, 3], [0, 0, 1], 2, {2: (None, {})}).without(np.array([2, 9]))
    assert some.moves() == [{"from": 0, "to": 2, "query_ids": [1]}, {"from": 1, "to": 2, "query_ids": [3]}]
    assert some.clusters == {2: (None, {})}


def test_the_usual_target_is_where_most_went() -> None:
    changes = Changes.of([1, 2, 3, 4], [0, 0, 0, 1], np.array([5, 6, 6, 7], np.int32))
    assert [changes.usual_target(one) for one in (0, 1, 2)] == [6, 7, ORPHAN]
