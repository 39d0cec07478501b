"""What always holds of edits that are carried over, whatever the runs and the edits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.clustering import ClusteringRun
from domain.errors import DomainError
from domain.values import ORPHAN
from tests.carrying import Edit, Story, carried, labels
from tests.runs import replayed, stored

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


@given(PARTITIONS, st.permutations(range(4)), st.lists(EDITS, max_size=12))
def test_a_run_that_differs_in_its_numbers_alone_ends_the_same(
    found: list[int], names: list[int], edits: list[Any]
) -> None:
    found = [0, 1, 2, 3, *found]
    older, newer = lived(found, edits), Story(renumbered(found, names), 4)
    carry = carried(older, newer)
    assert carry.undecided == []
    assert curated(older.run, carry.heir) == curated(newer.run, {})


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
