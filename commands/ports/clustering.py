"""Vectors to clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from domain.values import Labels, QueryIds, Vectors


class VectorSource(Protocol):
    """The vectors of a data set, read in chunks as often as needed and never held as a whole."""

    @property
    def count(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
        """Chunks in ascending order of query id, each (n,) and (n, dimension); the same in every pass.

        Raises Unavailable when one of them was erased since: whoever reads must begin anew.
        """


@dataclass(frozen=True)
class Clustering:
    """What an algorithm found. `labels` and `confidence` stand in the order of the source.

    `centroids` has a row for each of the labels 0..k-1, L2-normalised. `confidence` is in [0, 1], its meaning
    is documented per algorithm in docs/clustering.md. `parameters` is everything that the result depends on:
    seed, versions of libraries, reductions. `metrics` is JSON.
    """

    labels: Labels
    confidence: Vectors
    centroids: Vectors
    parameters: dict[str, Any]
    metrics: dict[str, Any]


Progress = Callable[[int, int | None], None]
"""Told how many items are done so far, and of how many where that is known."""


Again = Callable[[int], None]
"""Puts the same job into the queue once more, to begin after so many seconds."""


class Clusterer(Protocol):
    def cluster(
        self, algorithm: str, parameters: Mapping[str, Any], vectors: VectorSource, progress: Progress
    ) -> Clustering:
        """Raises `domain.errors.Invalid` naming the parameter that does not fit the data."""

    def check(self, algorithm: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, defaults and seed filled in. Raises Invalid naming the one that is wrong."""
