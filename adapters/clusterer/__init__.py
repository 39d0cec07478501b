"""Clustering on this machine: k-means, HDBSCAN, DBSCAN and agglomerative, over vectors read in chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapters.clusterer.agglomerative import cluster_agglomerative
from adapters.clusterer.dbscan import cluster_dbscan
from adapters.clusterer.density import cluster_hdbscan
from adapters.clusterer.fit import Fit
from adapters.clusterer.kmeans import cluster_kmeans
from adapters.clusterer.measures import measure
from adapters.clusterer.parameters import ALGORITHMS, check_parameters, validated
from adapters.clusterer.points import Points
from commands.ports import Clustering, Progress, VectorSource
from domain.errors import Invalid

__all__ = ["ALGORITHMS", "LocalClusterer", "check_parameters"]

RUNNERS: dict[str, Callable[..., Fit]] = {
    "kmeans": cluster_kmeans,
    "hdbscan": cluster_hdbscan,
    "dbscan": cluster_dbscan,
    "agglomerative": cluster_agglomerative,
}


class LocalClusterer:
    """The port `Clusterer`. The same request on the same vectors gives the same answer, bit for bit."""

    def __init__(self, threads: int) -> None:
        self._threads = max(1, threads)

    def cluster(
        self, algorithm: str, parameters: Mapping[str, Any], vectors: VectorSource, progress: Progress
    ) -> Clustering:
        """Raises `Invalid` naming the parameter that does not fit, `Conflict` when the source changes."""
        given = validated(algorithm, parameters)
        if vectors.count < 1:
            raise Invalid(f"{algorithm}: there are no vectors to cluster; embed the data set first")
        points = Points(vectors, given.chunk_size)
        fit = RUNNERS[algorithm](points, given, self._threads, progress)
        return Clustering(
            labels=fit.labels,
            confidence=fit.confidence,
            centroids=fit.centroids,
            parameters={"algorithm": algorithm, **fit.parameters},
            metrics=measure(fit, given.seed),
        )

    def check(self, algorithm: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return check_parameters(algorithm, parameters)
