"""One pass over all points that gives each its cluster, and the sums that centroids and metrics come from."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.clusterer.points import Points, Sample
from commands.ports import Progress
from domain.values import NOISE, Labels, Vectors

Assign = Callable[[Vectors], tuple[Labels, Vectors]]
"""Unit rows (n, dimension) to labels (n,) and confidence (n,)."""

Known = tuple[Labels, Vectors]
"""Labels and confidence of the rows of a sample, where the algorithm itself gave them."""

PART = 2_048
"""Rows that are compared at a time, by one thread."""
CELLS = 16_000_000
"""Most numbers in a matrix of similarities: 64 MB a thread."""


@dataclass(frozen=True)
class Fit:
    """What an algorithm found. `sums` (k, dimension) are the added unit rows of each cluster, float64."""

    labels: Labels
    confidence: Vectors
    centroids: Vectors
    sums: NDArray[np.float64]
    sample: Sample
    parameters: dict[str, Any]
    metrics: dict[str, Any]


def sweep(
    points: Points,
    clusters: int,
    assign: Assign,
    progress: Progress,
    *,
    threads: int,
    known: tuple[Sample, Known] | None = None,
) -> tuple[Labels, Vectors, NDArray[np.float64]]:
    """Labels, confidence and sums. Zero vectors have no direction: they are noise.

    `known` rows keep what the algorithm gave them. `threads` share out the parts of a block. Each part is the
    work of one thread and of one size: a product that BLAS itself shares out differs in its last bits.
    """
    labels = np.full(points.count, NOISE, dtype=np.int32)
    confidence = np.zeros(points.count, dtype=np.float32)
    sums = np.zeros((clusters, points.dimension))
    decided = np.zeros(points.count, dtype=bool)
    if known:
        fitted = known[0].positions
        labels[fitted], confidence[fitted] = known[1]
        decided[fitted] = True
    with ThreadPoolExecutor(threads) as pool:
        for start, rows in points.blocks():
            end = start + len(rows)
            waiting = np.flatnonzero(rows.any(axis=1) & ~decided[start:end])
            parts = [waiting[at : at + PART] for at in range(0, len(waiting), PART)]
            for part, found in zip(parts, pool.map(assign, [rows[part] for part in parts]), strict=True):
                labels[start + part], confidence[start + part] = found
            _add(sums, rows, labels[start:end])
            progress(end, points.count)
    return labels, np.clip(confidence, 0, 1), sums


def _add(sums: NDArray[np.float64], rows: Vectors, labels: Labels) -> None:
    order = np.argsort(labels, kind="stable")
    order = order[np.searchsorted(labels[order], 0) :]  # noise stands first
    if len(order):
        found, starts = np.unique(labels[order], return_index=True)
        sums[found] += np.add.reduceat(rows[order].astype(np.float64), starts, axis=0)


def without_empty(labels: Labels, sums: NDArray[np.float64], *others: Vectors) -> tuple[Any, ...]:
    """Labels renumbered 0..k-1 in their order, and the rows of clusters that have members."""
    used = np.bincount(labels[labels != NOISE], minlength=len(sums)) > 0
    number = np.append(np.cumsum(used) - 1, NOISE).astype(np.int32)
    return (number[labels], sums[used], *(other[used] for other in others))


def unit(sums: NDArray[np.float64]) -> Vectors:
    """The directions of sums; members that cancel each other out leave a zero row."""
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    directions: Vectors = (sums / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return directions


def margins(rows: Vectors, centroids: Vectors, labels: Labels | None = None) -> tuple[Labels, Vectors]:
    """The nearest centroid (or the one given), and how clearly it is the nearest.

    With the cosine distances a to the own and b to the best other centroid it is (b - a) / max(a, b): 0 half
    way between two, 1 at the centroid itself. Below 0, which only a given label can be, counts as 0.
    Without a second centroid it is 1.
    """
    nearest = np.empty(len(rows), dtype=np.int32)
    confidence = np.ones(len(rows), dtype=np.float32)
    step = min(PART, max(1, CELLS // len(centroids)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        similarity = rows[part] @ centroids.T
        own = similarity.argmax(axis=1) if labels is None else labels[part]
        nearest[part] = own
        if len(centroids) > 1:
            confidence[part] = _clarity(similarity, own)
    return nearest, confidence


def _clarity(similarity: Vectors, own: NDArray[Any]) -> Vectors:
    line = np.arange(len(own))
    near = np.maximum(1 - similarity[line, own], 0)
    similarity[line, own] = -np.inf
    other = np.maximum(1 - similarity.max(axis=1), 0)
    larger = np.maximum(np.maximum(near, other), np.finfo(np.float32).tiny)
    clarity: Vectors = np.clip((other - near) / larger, 0, 1)
    return clarity


def versions(*packages: str) -> dict[str, str]:
    """What the result depends on beside the parameters."""
    return {name: version(name) for name in (*packages, "numpy")}


def sampled(sample: Sample, points: Points) -> dict[str, int] | None:
    """How `parameters` tell that only a part was fitted and the others were assigned to what it gave."""
    if len(sample.rows) == sample.usable:
        return None
    return {"points": len(sample.rows), "of": points.count}
