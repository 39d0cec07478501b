"""How large the clusters of a run are and how alike. Apart from the run, so that no edit meets a conflict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from domain.base import Aggregate, event
from domain.values import Labels, Vectors

DIGITS = 6
"""Of a cohesion: more than vectors of float32 can tell apart."""

AT_ONCE = 10_000
"""Clusters of an event, at most: 0.6 MB."""


class Measures(Aggregate):
    TOPIC = "measures"
    PREFIX = "measures"

    class Created(Aggregate.Created):
        TOPIC = "measures.created"
        run_id: str

    class ClustersMeasured(Aggregate.Event):
        """The clusters of a run whose members changed, as they were at its version `run_version`.

        `clusters`: `{cluster_id, size, cohesion}`; `gone`: those that are no more. `centroids` is the SHA-256
        (hex) of the content that holds a row of float32 for each of `clusters`, of length 1, or all zeros
        where there was nothing to measure: then cohesion is null.
        """

        TOPIC = "measures.clusters_measured"
        run_version: int
        centroids: str
        clusters: list[dict[str, Any]]
        gone: list[int]

    @staticmethod
    def create_id(run_id: str) -> str:
        return Measures.stream(run_id)

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.run_version = 0
        self.cluster_ids: set[int] = set()

    def record(
        self,
        run_version: int,
        parts: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
        gone: Iterable[int] = (),
    ) -> None:
        """Measures of clusters, in parts of (address of centroids, clusters).

        What is no newer than what is recorded changes nothing: a job may be repeated.
        """
        if run_version <= self.run_version:
            return
        known = sorted(set(gone) & self.cluster_ids)
        for at, (centroids, clusters) in enumerate(parts):
            if clusters or (known and not at):
                self._clusters_measured(
                    run_version=run_version,
                    centroids=centroids,
                    clusters=[dict(one) for one in clusters],
                    gone=[] if at else known,
                )

    @event(ClustersMeasured)
    def _clusters_measured(
        self, run_version: int, centroids: str, clusters: list[dict[str, Any]], gone: list[int]
    ) -> None:
        self.run_version = run_version
        self.cluster_ids = (self.cluster_ids - set(gone)) | {one["cluster_id"] for one in clusters}


class Tally:
    """Adds up the vectors of the members of some clusters, chunk by chunk."""

    def __init__(self, cluster_ids: Iterable[int], dimension: int) -> None:
        self.cluster_ids = np.array(sorted(cluster_ids), np.int32)
        self._sums = np.zeros((len(self.cluster_ids), dimension))
        self._counts = np.zeros(len(self.cluster_ids), np.int64)

    def add(self, labels: Labels, vectors: Vectors) -> None:
        """Labels (n,) and unit vectors (n, dimension); those of other clusters are passed over."""
        rows = np.flatnonzero(np.isin(labels, self.cluster_ids))
        if not len(rows):
            return
        places = np.searchsorted(self.cluster_ids, labels[rows])
        order = np.argsort(places, kind="stable")
        distinct, starts = np.unique(places[order], return_index=True)
        self._sums[distinct] += np.add.reduceat(vectors[rows[order]], starts, axis=0, dtype=np.float64)
        self._counts[distinct] += np.diff(starts, append=len(rows))

    def cohesion(self) -> list[float | None]:
        """|sum of the unit vectors| / n: the mean cosine of the members to their centroid, in [0, 1].

        None for a cluster of which there is no vector.
        """
        mean = self._lengths() / np.maximum(self._counts, 1)
        return [
            round(min(one, 1.0), DIGITS) if n else None
            for one, n in zip(mean.tolist(), self._counts.tolist(), strict=True)
        ]

    def centroids(self) -> Vectors:
        rows = self._sums / np.maximum(self._lengths(), 1e-12)[:, None]
        return np.asarray(rows, np.float32)

    def _lengths(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray(np.linalg.norm(self._sums, axis=1))
