"""`Partition` against a plain dict from query to cluster."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.clustering import Partition

CLUSTERS = st.integers(-1, 4)
MODELS = st.dictionaries(st.integers(1, 60), CLUSTERS, max_size=40)


def partition_of(model: dict[int, int], cuts: list[int] | None = None) -> Partition:
    """Made in as many pieces as there are cuts, and one."""
    ids = sorted(model)
    edges = sorted({0, len(ids), *(cut % (len(ids) + 1) for cut in cuts or [])})
    partition = Partition.empty()
    for start, end in pairwise(edges):
        part = ids[start:end]
        labels = np.array([model[one] for one in part], np.int32)
        partition = partition.extended(np.array(part, np.int64), labels)
    return partition


def as_dict(partition: Partition) -> dict[int, int]:
    return dict(zip(partition.query_ids.tolist(), partition.labels.tolist(), strict=True))


@given(MODELS, st.lists(st.integers(0, 100), max_size=4))
def test_pieces_make_the_same_as_the_whole(model: dict[int, int], cuts: list[int]) -> None:
    partition = partition_of(model, cuts)
    assert as_dict(partition) == model
    assert len(partition) == len(model)
    assert partition == partition_of(model)


@given(MODELS)
def test_sizes_and_members_are_counted_right(model: dict[int, int]) -> None:
    partition = partition_of(model)
    assert partition.sizes() == {one: list(model.values()).count(one) for one in sorted(set(model.values()))}
    for cluster_id in range(-1, 6):
        of_it = sorted(query for query, cluster in model.items() if cluster == cluster_id)
        assert partition.members(cluster_id).tolist() == of_it


@given(MODELS, st.lists(st.integers(-2, 64), max_size=8))
def test_places_tell_who_is_here_and_who_is_not(model: dict[int, int], asked: list[int]) -> None:
    partition = partition_of(model)
    places, missing = partition.places(asked)
    assert partition.query_ids[places].tolist() == [one for one in asked if one in model]
    assert missing == [one for one in asked if one not in model]
    assert [partition.cluster_of(one) for one in asked] == [model.get(one) for one in asked]


@given(MODELS, st.lists(st.tuples(st.integers(0, 100), st.integers(1, 5), CLUSTERS), max_size=6))
def test_moves_do_what_they_do_to_a_dict(model: dict[int, int], moves: list[tuple[int, int, int]]) -> None:
    partition, expected = partition_of(model), dict(model)
    for first, count, cluster_id in moves:
        some = sorted(model)[first % (len(model) + 1) :][:count]
        before = as_dict(partition)
        after = partition.relabelled(np.array(some, np.int64), np.full(len(some), cluster_id, np.int32))
        assert as_dict(partition) == before
        assert after.query_ids is partition.query_ids
        expected.update(dict.fromkeys(some, cluster_id))
        partition = after
    assert as_dict(partition) == expected


@given(MODELS)
def test_what_is_packed_comes_back(model: dict[int, int]) -> None:
    partition = partition_of(model)
    packed = orjson.loads(orjson.dumps(partition.packed()))
    back = Partition.unpacked(packed)
    assert back == partition
    assert [back.query_ids.dtype.str, back.labels.dtype.str] == ["<i8", "<i4"]


def test_a_million_queries_pack_into_little_more_than_their_labels() -> None:
    ids, labels = np.arange(1, 1_000_001), np.random.default_rng(1).integers(0, 200, 1_000_000)
    packed = Partition(ids, labels.astype(np.int32)).packed()
    assert len(packed["query_ids"]) < 20_000
    assert len(packed["labels"]) < 2_000_000


@pytest.mark.parametrize("query_id", [0, -1, 2**63, 2**70, -(2**70)])
def test_no_number_is_too_odd_to_be_asked_for(query_id: int) -> None:
    assert partition_of({1: 0, 5: 1}).cluster_of(query_id) is None


def test_partitions_are_equal_by_what_they_hold() -> None:
    one = partition_of({1: 0, 2: 1})
    assert one == partition_of({1: 0, 2: 1})
    assert one != partition_of({1: 0, 2: 2})
    assert one != partition_of({1: 0, 3: 1})
    assert one != {1: 0, 2: 1}


def test_a_copy_of_a_run_shares_its_arrays() -> None:
    partition = partition_of({1: 0})
    assert deepcopy(partition) is partition


@given(
    start=st.dictionaries(st.integers(1, 30), st.integers(-2, 5), min_size=1),
    edits=st.lists(st.tuples(st.sets(st.integers(1, 30), min_size=1), st.integers(-2, 5)), max_size=12),
)
def test_edits_that_nobody_looks_at_between_come_to_the_same(
    start: dict[int, int], edits: list[tuple[set[int], int]]
) -> None:
    """Also those before them stay as they were, whenever they are looked at."""
    now, model = partition_of(start), dict(start)
    states = [(now, dict(model))]
    for some, label in edits:
        there = np.array(sorted(some & set(model)), np.int64)
        now = now.relabelled(there, np.full(len(there), label, np.int32))
        model |= dict.fromkeys(there.tolist(), label)
        states.append((now, dict(model)))
    for state, expected in reversed(states):
        assert state == partition_of(expected)


def test_what_can_be_compared_by_content_cannot_be_a_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        {partition_of({1: 0})}
