"""Spherical k-means: centroids are trained on a sample, or by batches; every point goes to the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np

from adapters.clusterer.fit import Fit, margins, sampled, sweep, unit, versions, without_empty
from adapters.clusterer.parameters import KMeansParameters
from adapters.clusterer.points import Points, Sample
from adapters.threads import single_thread
from commands.ports import Progress
from domain.errors import Invalid
from domain.values import Vectors

SAMPLE_BYTES = 512 * 2**20
INIT_POINTS_PER_CENTROID = 32
"""Enough for k-means++: more take longer and give no better start (CLINC150: NMI 0.824 against 0.822)."""


def cluster_kmeans(points: Points, given: KMeansParameters, threads: int, progress: Progress) -> Fit:
    """Raises `Invalid` when there are fewer points than clusters are asked for.

    One thread trains: what BLAS and scikit-learn share out among threads they add up in no fixed order.
    """
    import faiss  # noqa: F401  (what is not loaded is not held to one thread)
    import sklearn.cluster  # noqa: F401

    with single_thread():
        sample = _sample(points, given)
        clusters = _distinct(sample.rows, given.n_clusters)
        train = _by_faiss if given.engine == "faiss" else _by_sklearn
        trained = train(points, sample, clusters, given)
        labels, confidence, sums = sweep(
            points, clusters, lambda rows: margins(rows, trained), progress, threads=threads
        )
    labels, sums, centroids = without_empty(labels, sums, trained)
    return Fit(
        labels=labels,
        confidence=confidence,
        centroids=centroids,
        sums=sums,
        sample=sample,
        parameters=_effective(given, sampled(sample, points)),
        metrics={"requested_clusters": given.n_clusters},
    )


def _sample(points: Points, given: KMeansParameters) -> Sample:
    most = max(given.n_clusters, SAMPLE_BYTES // (4 * points.dimension))
    sample = points.sample(min(given.n_clusters * given.points_per_centroid, most), given.seed)
    if len(sample.rows) < given.n_clusters <= sample.usable:  # hardly any of those drawn was not zero
        sample = points.sample(points.count, given.seed)
    if sample.usable < given.n_clusters:
        raise Invalid(
            f"kmeans: n_clusters is {given.n_clusters}, but there are only {sample.usable} vectors "
            f"that are not zero ({points.count} in all); ask for fewer clusters",
            [{"field": "n_clusters", "message": f"more than the {sample.usable} vectors there are"}],
        )
    return sample


def _distinct(rows: Vectors, enough: int) -> int:
    """How many different rows there are, counted up to `enough`: so many clusters can be told apart."""
    seen: set[int] = set()
    for row in rows:
        seen.add(hash(row.tobytes()))
        if len(seen) == enough:
            break
    return len(seen)


def _start(sample: Sample, clusters: int, seed: int) -> Vectors:
    from sklearn.cluster import kmeans_plusplus

    order = np.random.default_rng(seed).permutation(len(sample.rows))
    drawn = sample.rows[np.sort(order[: clusters * INIT_POINTS_PER_CENTROID])]
    centres, _ = kmeans_plusplus(drawn, clusters, random_state=seed)
    start: Vectors = centres.astype(np.float32)
    return start


def _by_faiss(points: Points, sample: Sample, clusters: int, given: KMeansParameters) -> Vectors:
    """Lloyd's iterations on the sample."""
    import faiss

    kmeans = faiss.Kmeans(
        points.dimension,
        clusters,
        niter=given.niter,
        seed=given.seed,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=max(1, len(sample.rows)),
    )
    kmeans.train(sample.rows, init_centroids=_start(sample, clusters, given.seed))
    return unit(np.asarray(kmeans.centroids, dtype=np.float64))


def _by_sklearn(points: Points, sample: Sample, clusters: int, given: KMeansParameters) -> Vectors:
    """Mini-batches: first of the sample, then of all blocks, several times, each shuffled."""
    from sklearn.cluster import MiniBatchKMeans

    kmeans = MiniBatchKMeans(clusters, n_init=3, batch_size=given.mb_batch_size, random_state=given.seed)
    kmeans.fit(sample.rows)
    kmeans.set_params(reassignment_ratio=0.0)  # late in the run it would tear good clusters apart
    draw = np.random.default_rng(given.seed)
    for _ in range(given.passes):
        for _, rows in points.blocks():
            rows = draw.permutation(rows[rows.any(axis=1)])
            for start in range(0, len(rows), given.mb_batch_size):
                kmeans.partial_fit(rows[start : start + given.mb_batch_size])
    return unit(np.asarray(kmeans.cluster_centers_, dtype=np.float64))


def _effective(given: KMeansParameters, part: dict[str, int] | None) -> dict[str, Any]:
    if given.engine == "faiss":
        unused, package = {"mb_batch_size", "passes"}, "faiss-cpu"
    else:
        unused, package = {"niter"}, "scikit-learn"
    return {
        **given.model_dump(exclude=unused),
        "reduction": {"training_sample": part} if part else None,
        "versions": versions(package, "scikit-learn"),
    }
