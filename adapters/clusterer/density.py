"""HDBSCAN: clusters are where points are dense, and what lies between them is noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from adapters.clusterer.fit import Assign, Fit, sampled, sweep, unit, versions, without_empty
from adapters.clusterer.parameters import HdbscanParameters
from adapters.clusterer.points import Points, Sample
from adapters.threads import single_thread
from commands.ports import Progress
from domain.errors import Invalid
from domain.values import Labels, Vectors

MOST_DIMENSIONS = 50
"""Above this the trees that find neighbours are no faster than comparing all pairs."""

Reduce = Callable[[Vectors], Vectors]


def cluster_hdbscan(points: Points, given: HdbscanParameters, threads: int, progress: Progress) -> Fit:
    """Fitted on at most `max_points`; every other point gets what its nearest fitted one has, be it noise.

    One thread does the fit: the linear algebra below a PCA differs in its last bits with their number.
    """
    import hdbscan  # noqa: F401  (what is not loaded is not held to one thread)
    import sklearn.decomposition  # noqa: F401

    sample = points.sample(given.max_points, given.seed)
    _check(sample, given)
    with single_thread():
        reduce, reduction = _reduction(sample, given)
        low = reduce(sample.rows)
        known = _fit(low, given)
        clusters = int(known[0].max(initial=-1)) + 1
        assign = _nearest_fitted(low, known, reduce)
        labels, confidence, sums = sweep(
            points, clusters, assign, progress, threads=threads, known=(sample, known)
        )
    labels, sums = without_empty(labels, sums)
    return Fit(
        labels=labels,
        confidence=confidence,
        centroids=unit(sums),
        sums=sums,
        sample=sample,
        parameters=_effective(given, reduction, sampled(sample, points)),
        metrics={},
    )


def _check(sample: Sample, given: HdbscanParameters) -> None:
    for name in ("min_cluster_size", "min_samples"):
        if getattr(given, name) > len(sample.rows):
            raise Invalid(
                f"hdbscan: {name} is {getattr(given, name)}, but there are only {len(sample.rows)} vectors "
                f"that are not zero",
                [{"field": name, "message": f"more than the {len(sample.rows)} vectors there are"}],
            )


def _reduction(sample: Sample, given: HdbscanParameters) -> tuple[Reduce, dict[str, Any] | None]:
    from sklearn.decomposition import PCA

    kept = min(given.pca_dimensions, len(sample.rows))
    if sample.rows.shape[1] <= MOST_DIMENSIONS or not 0 < kept < sample.rows.shape[1]:
        return (lambda rows: rows), None
    with np.errstate(invalid="ignore"):  # 0/0 where all rows are the same
        pca = PCA(kept, svd_solver="covariance_eigh").fit(sample.rows)
    explained = float(np.nan_to_num(pca.explained_variance_ratio_, nan=1 / kept).sum())
    return pca.transform, {"method": "pca", "dimensions": kept, "explained_variance": round(explained, 4)}


def _fit(low: Vectors, given: HdbscanParameters) -> tuple[Labels, Vectors]:
    from hdbscan import HDBSCAN

    found = HDBSCAN(
        min_cluster_size=given.min_cluster_size,
        min_samples=min(given.min_samples, len(low) - 1),
        cluster_selection_epsilon=given.cluster_selection_epsilon,
        cluster_selection_method=given.cluster_selection_method,
        metric="manhattan" if given.metric == "manhattan" else "euclidean",
        core_dist_n_jobs=1,
    ).fit(low)
    membership = np.nan_to_num(found.probabilities_, nan=1.0)  # 0/0 among identical points
    return found.labels_.astype(np.int32), membership.astype(np.float32)


def _nearest_fitted(low: Vectors, known: tuple[Labels, Vectors], reduce: Reduce) -> Assign:
    import faiss

    index = faiss.IndexFlatL2(low.shape[1])
    index.add(np.ascontiguousarray(low, dtype=np.float32))

    def assign(rows: Vectors) -> tuple[Labels, Vectors]:
        faiss.omp_set_num_threads(1)  # of this thread
        nearest = index.search(np.ascontiguousarray(reduce(rows), dtype=np.float32), 1)[1][:, 0]
        return known[0][nearest], known[1][nearest]

    return assign


def _effective(
    given: HdbscanParameters, reduction: dict[str, Any] | None, part: dict[str, int] | None
) -> dict[str, Any]:
    parts = {"dimensions": reduction, "fitted_sample": part}
    effective: dict[str, Any] = {
        **given.model_dump(),
        "reduction": {name: value for name, value in parts.items() if value} or None,
        "versions": versions("hdbscan", "scikit-learn", "faiss-cpu"),
    }
    if given.metric == "cosine":
        effective["metric_note"] = "euclidean on unit vectors, which orders neighbours as cosine does"
    return effective
