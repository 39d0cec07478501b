"""The vector read model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from domain.values import Vectors

PointId = int | str
"""An unsigned integer or a UUID in its canonical text form."""


@dataclass(frozen=True)
class Point:
    point_id: PointId
    vector: Vectors
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """`score` is the cosine similarity, in [-1, 1]."""

    point_id: PointId
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class PointFilter:
    """All of it must hold. `equals`: payload field → one of these values; `ids`: one of these points."""

    equals: Mapping[str, Sequence[str | int]] = field(default_factory=dict)
    ids: Sequence[PointId] | None = None


class VectorIndex(Protocol):
    """Collections of points. They are read by an alias, so that a rebuild can fill another and swap."""

    def create(self, collection: str, dimension: int, keyword_fields: Sequence[str]) -> None:
        """Make it, with payload indexes on these fields. One that exists is left as it is."""

    def collections(self) -> list[str]: ...

    def drop(self, collection: str) -> None:
        """Remove it with all its points. One that does not exist is no error."""

    def alias(self, alias: str, collection: str) -> None:
        """Let `alias` mean this collection, from one moment to the next; what it meant before is kept."""

    def resolve(self, alias: str) -> str | None:
        """The collection that an alias means."""

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Durable when it returns."""

    def delete(self, collection: str, point_ids: Sequence[PointId]) -> None: ...

    def delete_where(self, collection: str, where: PointFilter) -> None:
        """Remove every point that the filter lets through."""

    def search(self, collection: str, vector: Vectors, limit: int, where: PointFilter) -> list[Hit]:
        """The nearest points, best first."""

    def retrieve(self, collection: str, point_ids: Sequence[PointId]) -> list[Point]:
        """Those of these points that there are, in no order."""

    def count(self, collection: str) -> int: ...

    def scroll(self, collection: str, batch: int) -> Iterable[list[Point]]:
        """All points in ascending order of id."""

    def optimise(self, collection: str) -> None:
        """Build the HNSW index. May take minutes; searches and upserts go on meanwhile."""
