"""Which queries of each cluster a namer is shown, by two passes over the vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from commands.ports import VectorSource
from domain.clustering import Partition
from domain.measures import Tally
from domain.values import Labels, QueryIds, Vectors

NEIGHBOURS = 5
"""Clusters around each, by the cosine of the centroids, whose queries are compared with it."""

PAIRS_AT_ONCE = 8_192
"""Vectors that are held twice, each beside a centroid."""

ROWS_AT_ONCE = 1_000
"""Centroids that are compared with all others at a time."""

MOST_BESIDE = 100
"""Clusters whose neighbour one may be: a hub is compared with the nearest of them alone."""

CANDIDATES = 10_000_000
"""Queries that are held in all, 16 bytes each: of more clusters fewer are read."""

SORTED_AT_ONCE = 50_000

Places = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Chosen:
    """Ids of queries by cluster: see `ClusterTexts`. What is missing is empty."""

    central: dict[int, list[int]]
    random: dict[int, list[int]] = field(default_factory=dict)
    borderline: dict[int, list[int]] = field(default_factory=dict)
    outside: dict[int, list[int]] = field(default_factory=dict)


def central_queries(vectors: VectorSource, partition: Partition, most: int) -> dict[int, list[int]]:
    """For each cluster the ids of its `most` queries nearest to its mean (cosine), nearest first.

    Two passes over the vectors; what is held are the means and `most` candidates a cluster.
    """
    clusters, centroids = _centroids(vectors, partition)
    central = _Best(len(clusters), most)
    for ids, at, rows in _members(vectors, partition, clusters):
        central.add(at, _cosines(rows, centroids, at), ids)
    return central.by_cluster(clusters)


def contrasting_queries(
    vectors: VectorSource, partition: Partition, most: int, few: int, seed: int
) -> Chosen:
    """The `most` central queries of each cluster, and `few` of each other kind; likewise two passes.

    Borderline are the members whose cosine to the own centroid exceeds that to a neighbour's by the least.
    The noise and what is in no cluster is nobody's neighbour. The random ones depend on the seed alone.
    """
    clusters, centroids = _centroids(vectors, partition)
    around = _Around.of(clusters, centroids)
    central = _Best(len(clusters), most)
    drawn, edge, outside = (_Best(len(clusters), few) for _ in range(3))
    for ids, at, rows in _members(vectors, partition, clusters):
        near = _cosines(rows, centroids, at)
        central.add(at, near, ids)
        drawn.add(at, _lots(ids, seed), ids)
        beside, others, cosines = around.compared(rows, at)
        outside.add(others, cosines, ids[beside])
        rival = np.full(len(ids), -np.inf)
        np.maximum.at(rival, beside, cosines)
        known = np.isfinite(rival)
        edge.add(at[known], (rival - near)[known], ids[known])
    return Chosen(*(one.by_cluster(clusters) for one in (central, drawn, edge, outside)))


def _centroids(vectors: VectorSource, partition: Partition) -> tuple[Labels, Vectors]:
    tally = Tally(partition.sizes(), vectors.dimension)
    for ids, chunk in vectors.chunks():
        rows, labels = partition.among(ids)
        tally.add(labels, chunk[rows])
    return tally.cluster_ids, tally.centroids()


def _members(
    vectors: VectorSource, partition: Partition, clusters: Labels
) -> Iterator[tuple[QueryIds, Places, Vectors]]:
    """Ids, the place of the cluster of each in `clusters`, and the vectors."""
    for ids, chunk in vectors.chunks():
        rows, labels = partition.among(ids)
        yield ids[rows], np.searchsorted(clusters, labels), chunk[rows]


def _cosines(rows: Vectors, centroids: Vectors, at: Places) -> Vectors:
    """Of each row to the centroid at its place."""
    return np.asarray(np.einsum("ij,ij->i", rows, centroids[at]), np.float32)


def _lots(ids: QueryIds, seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each id, by SplitMix64: the same whatever the chunks are."""
    with np.errstate(over="ignore"):
        mixed = (ids.astype(np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


@dataclass(frozen=True)
class _Around:
    """For each cluster those that it is compared with: its neighbours, and those whose neighbour it is.

    `others` has them one cluster after the other; `starts` says where those of each begin.
    """

    centroids: Vectors
    others: Places
    starts: Places

    @classmethod
    def of(cls, clusters: Labels, centroids: Vectors) -> _Around:
        own, other, cosine = _nearest_centroids(np.flatnonzero(clusters >= 0), centroids)
        own, other = np.concatenate([own, other]), np.concatenate([other, own])
        distinct = np.unique(own * len(clusters) + other, return_index=True)[1]
        cosines = np.concatenate([cosine, cosine])[distinct]
        order = distinct[np.lexsort((-cosines, own[distinct]))]
        own, other = own[order], other[order]
        kept = _rank(own) < MOST_BESIDE
        starts = np.searchsorted(own[kept], np.arange(len(clusters) + 1))
        return cls(centroids, other[kept], starts)

    def compared(self, rows: Vectors, at: Places) -> tuple[Places, Places, Vectors]:
        """Each row with each cluster beside its own: number of the row, place of the other, cosine."""
        counts = self.starts[at + 1] - self.starts[at]
        beside = np.repeat(np.arange(len(at)), counts)
        within = np.arange(len(beside)) - np.repeat(np.cumsum(counts) - counts, counts)
        others = self.others[self.starts[at][beside] + within]
        cosines = np.empty(len(beside), np.float32)
        for start in range(0, len(beside), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            cosines[part] = np.einsum("ij,ij->i", rows[beside[part]], self.centroids[others[part]])
        return beside, others, cosines


def _nearest_centroids(real: Places, centroids: Vectors) -> tuple[Places, Places, Vectors]:
    """Pairs of places, each cluster with its NEIGHBOURS nearest, and their cosines."""
    count = min(NEIGHBOURS, len(real) - 1)
    own, other, cosine = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for start in range(0, len(real) if count > 0 else 0, ROWS_AT_ONCE):
        some = real[start : start + ROWS_AT_ONCE]
        cosines = centroids[some] @ centroids[real].T
        cosines[np.arange(len(some)), np.arange(start, start + len(some))] = -np.inf
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        own.append(np.repeat(some, count))
        other.append(real[nearest].ravel())
        cosine.append(np.take_along_axis(cosines, nearest, axis=1).ravel())
    return np.concatenate(own), np.concatenate(other), np.concatenate(cosine)


def _rank(at: Places) -> Places:
    """The place of each item among those of its group; the groups stand in ascending order."""
    return np.arange(len(at)) - np.searchsorted(at, at)


class _Best:
    """For each place the ids with the greatest scores, the greatest first; of equals the older one.

    What could be among them waits until it is half as much as is held: sorting each chunk in costs more.
    """

    def __init__(self, places: int, most: int) -> None:
        most = max(1, min(most, CANDIDATES // max(places, 1)))
        self._scores = np.full((places, most), -np.inf)
        self._ids = np.full((places, most), -1, np.int64)
        self._waiting: list[tuple[Places, Scores, QueryIds]] = []
        self._room = max(self._ids.size // 2, SORTED_AT_ONCE)

    def add(self, at: Places, scores: NDArray[np.floating], ids: QueryIds) -> None:
        """Ids come in ascending order from call to call."""
        able = scores > self._scores[at, -1]
        self._waiting.append((at[able], scores[able].astype(np.float64), ids[able]))
        self._room -= int(able.sum())
        if self._room < 0:
            self._sort_in()

    def _sort_in(self) -> None:
        touched, most = np.unique(np.concatenate([at for at, _, _ in self._waiting])), self._ids.shape[1]
        held = (np.repeat(touched, most), self._scores[touched].ravel(), self._ids[touched].ravel())
        at, scores, ids = (np.concatenate(parts) for parts in zip(held, *self._waiting, strict=True))
        order = np.lexsort((ids, -scores, at))
        at, scores, ids = at[order], scores[order], ids[order]
        rank = _rank(at)
        best = rank < most
        self._scores[at[best], rank[best]] = scores[best]
        self._ids[at[best], rank[best]] = ids[best]
        self._waiting = []
        self._room = max(self._ids.size // 2, SORTED_AT_ONCE)

    def by_cluster(self, clusters: Labels) -> dict[int, list[int]]:
        if self._waiting:
            self._sort_in()
        return {
            int(cluster_id): [one for one in ids if one >= 0]
            for cluster_id, ids in zip(clusters, self._ids.tolist(), strict=True)
        }
