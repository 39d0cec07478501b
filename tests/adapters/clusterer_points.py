"""Points whose clusters are known, and a source of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import normalized_mutual_info_score

from adapters.clusterer import LocalClusterer
from commands.ports import Clustering
from domain.values import Labels, QueryIds, Vectors


class Rows:
    """A source of vectors in memory, cut into chunks of any size."""

    def __init__(self, rows: Vectors, chunk: int = 1_000, announced: int | None = None) -> None:
        self.rows, self.chunk = rows, chunk
        self.count = len(rows) if announced is None else announced
        self.dimension = rows.shape[1]

    def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
        for start in range(0, len(self.rows), self.chunk):
            part = self.rows[start : start + self.chunk]
            yield np.arange(start, start + len(part), dtype=np.int64) + 7, part


def blobs(
    sizes: list[int], dimension: int = 24, spread: float = 0.06, seed: int = 3
) -> tuple[Vectors, Labels]:
    """Points around random directions, shuffled."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((len(sizes), dimension))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = draw.permutation(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))
    rows = centres[labels] + spread * draw.standard_normal((len(labels), dimension))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), labels


def cluster(
    rows: Vectors,
    algorithm: str,
    *,
    chunk: int = 1_000,
    threads: int = 1,
    **given: Any,  # noqa: ANN401
) -> Clustering:
    return LocalClusterer(threads).cluster(algorithm, given, Rows(rows, chunk), lambda done, total: None)


def nmi(truth: Labels, found: Clustering) -> float:
    return float(normalized_mutual_info_score(truth, found.labels))
