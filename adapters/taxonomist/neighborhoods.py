"""Children that lie together, as many as fit into one question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from commands.ports import Child, Neighborhood
from domain.values import Labels, QueryIds, Vectors

OUTSIDE = 5
"""The nearest of the others, which a neighbourhood is told from."""


def neighborhoods(children: Sequence[Child], wanted: int, size: int) -> list[Neighborhood]:
    """By k-means over the directions, about `size` in each. The same children give the same."""
    vectors = np.stack([one.vector for one in children])
    labels = _near(vectors, -(-len(children) // size))
    return [
        Neighborhood(
            number,
            [children[row] for row in rows.tolist()],
            [children[row] for row in _outside(vectors, rows)],
            max(1, round(wanted * len(rows) / len(children))),
        )
        for number, rows in enumerate(np.flatnonzero(labels == one) for one in np.unique(labels))
    ]


def _near(vectors: Vectors, count: int) -> Labels:
    from sklearn.cluster import KMeans

    if count == 1:
        return np.zeros(len(vectors), np.int32)
    found: Labels = KMeans(min(count, len(np.unique(vectors, axis=0))), n_init=4, random_state=0).fit_predict(
        vectors
    )
    return found


def _outside(vectors: Vectors, rows: QueryIds) -> list[int]:
    nearness = vectors @ vectors[rows].mean(axis=0)
    nearness[rows] = -np.inf
    nearest = np.argsort(-nearness, kind="stable")[:OUTSIDE]
    return [int(row) for row in nearest if nearness[row] > -np.inf]
