"""Which queries a namer is shown, against what is simple and slow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.summaries import central_queries, contrasting_queries
from commands.summaries.samples import NEIGHBOURS
from domain.clustering import Partition
from domain.values import ORPHAN, QueryIds, Vectors


class AtHand:
    """Vectors in memory, in chunks of a given size."""

    def __init__(self, ids: QueryIds, vectors: Vectors, at_once: int) -> None:
        self._ids = ids
        self._vectors = vectors
        self._at_once = at_once
        self.count, self.dimension = vectors.shape

    def cut(self, at_once: int) -> AtHand:
        return AtHand(self._ids, self._vectors, at_once)

    def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
        for at in range(0, self.count, self._at_once):
            yield self._ids[at : at + self._at_once], self._vectors[at : at + self._at_once]


@st.composite
def populations(draw: st.DrawFn) -> tuple[Partition, AtHand, dict[int, Vectors]]:
    """A partition, and vectors of some of its queries and of some that are not in it."""
    known = sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=40)))
    labels = draw(st.lists(st.integers(ORPHAN, 3), min_size=len(known), max_size=len(known)))
    partition = Partition(np.array(known, np.int64), np.array(labels, np.int32))
    ids = sorted(draw(st.sets(st.integers(1, 60), max_size=50)))
    seed = draw(st.integers(0, 2**32 - 1))
    vectors = np.random.default_rng(seed).integers(-3, 4, (len(ids), 3)).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
    source = AtHand(np.array(ids, np.int64), vectors, draw(st.integers(1, 20)))
    return partition, source, dict(zip(ids, vectors, strict=True))


def nearness(members: Mapping[int, Vectors]) -> dict[int, float]:
    """Cosine with the mean, up to the length of the vector itself, which is 1 or 0."""
    total = sum(vector.astype(np.float64) for vector in members.values())
    mean = total / max(float(np.linalg.norm(total)), 1e-12)
    return {query_id: float(vector @ mean) for query_id, vector in members.items()}


@given(populations(), st.integers(1, 8))
def test_central_queries_are_those_nearest_to_the_mean(
    population: tuple[Partition, AtHand, dict[int, Vectors]], most: int
) -> None:
    partition, source, vectors = population
    found = central_queries(source, partition, most)
    assert set(found) == set(partition.sizes())
    for cluster_id, chosen in found.items():
        of_it = partition.members(cluster_id).tolist()
        members = {one: vectors[one] for one in of_it if one in vectors}
        near = nearness(members) if members else {}
        assert len(chosen) == len(set(chosen)) == min(most, len(members))
        assert set(chosen) <= set(members)
        order = [near[one] for one in chosen]
        assert order == pytest.approx(sorted(near.values(), reverse=True)[:most], abs=1e-5)


def test_of_equally_central_queries_the_older_one_comes_first() -> None:
    ids = np.arange(1, 7)
    same = AtHand(ids, np.tile(np.array([[1, 0]], np.float32), (6, 1)), 4)
    partition = Partition(ids, np.zeros(6, np.int32))
    assert central_queries(same, partition, 5) == {0: [1, 2, 3, 4, 5]}


# --- what contrasts


def cosine(vector: Vectors, members: Mapping[int, Vectors]) -> float:
    total = sum((one.astype(np.float64) for one in members.values()), np.zeros(3))
    return float(vector @ total) / max(float(np.linalg.norm(total)), 1e-12)


@given(populations(), st.integers(1, 8), st.integers(1, 4))
def test_the_edge_and_the_outside_are_those_nearest_to_other_clusters(
    population: tuple[Partition, AtHand, dict[int, Vectors]], most: int, few: int
) -> None:
    """With no more clusters than NEIGHBOURS + 1 each is compared with all others."""
    partition, source, vectors = population
    found = contrasting_queries(source, partition, most, few, 7)
    assert found.central == central_queries(source, partition, most)
    members: dict[int, dict[int, Vectors]] = {
        one: {id: vectors[id] for id in partition.members(one).tolist() if id in vectors}
        for one in partition.sizes()
    }
    real = [one for one in members if one >= 0]
    assert len(real) <= NEIGHBOURS + 1
    for one, own in members.items():
        others = [other for other in real if other != one] if one >= 0 else []
        rivals = {
            id: max((cosine(v, members[other]) for other in others), default=0.0) for id, v in own.items()
        }
        margins = {id: cosine(vector, own) - rivals[id] for id, vector in own.items()}
        edge = found.borderline[one]
        assert set(edge) <= set(own)
        assert len(edge) == (min(few, len(own)) if others else 0)
        assert [margins[id] for id in edge] == pytest.approx(sorted(margins.values())[: len(edge)], abs=1e-5)
        strangers = {id: cosine(v, own) for other in others for id, v in members[other].items()}
        outside = found.outside[one]
        assert len(outside) == len(set(outside)) == min(few, len(strangers))
        nearest = sorted(strangers.values(), reverse=True)[: len(outside)]
        assert [strangers[id] for id in outside] == pytest.approx(nearest, abs=1e-5)


@given(populations(), st.integers(1, 4), st.integers(0, 2**31 - 1), st.integers(1, 20))
def test_the_random_ones_depend_on_the_seed_and_not_on_the_chunks(
    population: tuple[Partition, AtHand, dict[int, Vectors]], few: int, seed: int, at_once: int
) -> None:
    partition, source, vectors = population
    drawn = contrasting_queries(source, partition, 1, few, seed).random
    for cluster_id, ids in drawn.items():
        there = set(partition.members(cluster_id).tolist()) & vectors.keys()
        assert set(ids) <= there
        assert len(ids) == len(set(ids)) == min(few, len(there))
    assert contrasting_queries(source.cut(at_once), partition, 1, few, seed).random == drawn


def test_every_query_is_drawn_about_as_often() -> None:
    ids = np.arange(1, 21)
    source = AtHand(ids, np.tile(np.array([[1, 0]], np.float32), (20, 1)), 7)
    partition = Partition(ids, np.zeros(20, np.int32))
    drawn = [contrasting_queries(source, partition, 1, 5, seed).random[0] for seed in range(400)]
    counts = np.bincount(np.concatenate(drawn), minlength=21)[1:]
    assert counts.sum() == 2_000
    assert 60 < counts.min() <= counts.max() < 140


def test_a_hub_is_compared_with_the_nearest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cluster 0 is everybody's neighbour, but no more than so many are its own."""
    monkeypatch.setattr("commands.summaries.samples.NEIGHBOURS", 1)
    monkeypatch.setattr("commands.summaries.samples.MOST_BESIDE", 2)
    around = [(0, 0, 1), (1, 0, 1.3), (0, 1, 1.2), (-1, 0, 1.1), (0, -1, 1)]
    vectors = np.array(around, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids, labels = np.arange(1, 6), np.arange(5, dtype=np.int32)
    found = contrasting_queries(AtHand(ids, vectors, 5), Partition(ids, labels), 1, 3, 1)
    assert [one for one in range(1, 5) if 1 in found.outside[one]] == [1, 2]
