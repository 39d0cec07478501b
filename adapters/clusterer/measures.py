"""Figures that tell how good a clustering is. All derive from the result: no clocks, no unseeded draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.clusterer.fit import Fit
from domain.clustering.partition import gini
from domain.values import NOISE, Labels, Vectors

SILHOUETTE_POINTS = 2_000
LISTED_SIZES = 1_000


def measure(fit: Fit, seed: int) -> dict[str, Any]:
    """As documented in docs/clustering.md, fit for JSON."""
    sizes = np.bincount(fit.labels[fit.labels != NOISE], minlength=len(fit.centroids))
    noise = int((fit.labels == NOISE).sum())
    return {
        "clusters": len(fit.centroids),
        "sizes": _summary(sizes),
        "noise": {"count": noise, "share": noise / len(fit.labels)},
        "inertia": _inertia(fit),
        "silhouette": _silhouette_of(fit, seed),
        "gini": gini(sizes),
        **fit.metrics,
    }


def _summary(sizes: NDArray[np.int64]) -> dict[str, Any]:
    if not len(sizes):
        return {"min": None, "median": None, "max": None, "list": []}
    listed = {"list": sizes.tolist()} if len(sizes) <= LISTED_SIZES else {}
    return {"min": int(sizes.min()), "median": float(np.median(sizes)), "max": int(sizes.max()), **listed}


def _inertia(fit: Fit) -> float:
    """|x - c|² of unit vectors is 2 - 2 x·c, so the sums of the members suffice."""
    members = int((fit.labels != NOISE).sum())
    return max(0.0, 2.0 * members - 2.0 * float((fit.sums * fit.centroids).sum()))


def _silhouette_of(fit: Fit, seed: int) -> float | None:
    labels = fit.labels[fit.sample.positions]
    return silhouette(fit.sample.rows, labels, seed)


def silhouette(rows: Vectors, labels: Labels, seed: int) -> float | None:
    """Mean silhouette by cosine over at most 2,000 clustered rows; None where it is not defined."""
    from sklearn.metrics import silhouette_score

    clustered = np.flatnonzero(labels != NOISE)
    drawn = np.sort(np.random.default_rng(seed).permutation(clustered)[:SILHOUETTE_POINTS])
    found = len(np.unique(labels[drawn]))
    if not 2 <= found < len(drawn):
        return None
    return float(silhouette_score(rows[drawn], labels[drawn], metric="cosine"))
