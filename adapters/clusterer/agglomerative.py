"""Agglomerative: the two nearest clusters are joined until few enough, or only distant ones, remain."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.clusterer.fit import Fit, margins, sampled, sweep, unit, versions, without_empty
from adapters.clusterer.parameters import AgglomerativeParameters
from adapters.clusterer.points import Points, Sample
from adapters.threads import single_thread
from commands.ports import Progress
from domain.errors import Invalid
from domain.values import Labels, Vectors


def cluster_agglomerative(
    points: Points, given: AgglomerativeParameters, threads: int, progress: Progress
) -> Fit:
    """Fitted on at most `max_points`, as all pairs of distances are held (about 1 GB at 10,000).

    Every other point goes to the nearest centroid.
    """
    import sklearn.cluster  # noqa: F401  (what is not loaded is not held to one thread)

    sample = points.sample(given.max_points, given.seed)
    _check(sample, given)
    with single_thread():
        fitted = _fit(sample.rows, given)
        centroids = unit(_sums(sample.rows, fitted))
        known = margins(sample.rows, centroids, fitted)
        labels, confidence, sums = sweep(
            points,
            len(centroids),
            lambda rows: margins(rows, centroids),
            progress,
            threads=threads,
            known=(sample, known),
        )
    labels, sums = without_empty(labels, sums)
    return Fit(
        labels=labels,
        confidence=confidence,
        centroids=unit(sums),
        sums=sums,
        sample=sample,
        parameters=_effective(given, sampled(sample, points)),
        metrics={},
    )


def _check(sample: Sample, given: AgglomerativeParameters) -> None:
    asked = given.n_clusters or 1
    if asked > len(sample.rows):
        raise Invalid(
            f"agglomerative: n_clusters is {asked}, but there are only {len(sample.rows)} vectors to fit "
            f"(max_points is {given.max_points}, {sample.usable} vectors are not zero)",
            [{"field": "n_clusters", "message": f"more than the {len(sample.rows)} vectors there are"}],
        )


def _fit(rows: Vectors, given: AgglomerativeParameters) -> Labels:
    from scipy.cluster.hierarchy import ClusterWarning
    from sklearn.cluster import AgglomerativeClustering

    if len(rows) < 2:
        return np.zeros(len(rows), dtype=np.int32)
    model = AgglomerativeClustering(
        n_clusters=given.n_clusters,
        distance_threshold=given.distance_threshold,
        linkage=given.linkage,
        metric="euclidean" if given.linkage == "ward" else "cosine",
    )
    with warnings.catch_warnings():  # as many rows as columns may look like a matrix of distances
        warnings.simplefilter("ignore", ClusterWarning)
        found = model.fit(rows)
    labels: Labels = found.labels_.astype(np.int32)
    return labels


def _sums(rows: Vectors, labels: Labels) -> NDArray[np.float64]:
    sums = np.zeros((int(labels.max(initial=-1)) + 1, rows.shape[1]))
    np.add.at(sums, labels, rows.astype(np.float64))
    return sums


def _effective(given: AgglomerativeParameters, part: dict[str, int] | None) -> dict[str, Any]:
    return {
        **given.model_dump(exclude_none=True),
        "metric": "euclidean" if given.linkage == "ward" else "cosine",
        "reduction": {"fitted_sample": part} if part else None,
        "versions": versions("scikit-learn"),
    }
