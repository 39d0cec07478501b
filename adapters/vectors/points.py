"""What both fillings of the port refuse before the engine sees it, with the point or the field named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeGuard
from uuid import UUID

import numpy as np

from commands.ports import Point, PointFilter, PointId
from domain.errors import Invalid
from domain.values import Vectors

BATCH = 500
"""Points in one call of the engine or the server.

The embedded engine holds the GIL throughout a call (about 5 ms for 500 points of 256 dimensions); a server
refuses bodies over 32 MB.
"""

NAME = re.compile(r"(?!lock$)[A-Za-z0-9_][A-Za-z0-9_-]{0,199}")


def checked_name(name: str) -> str:
    """A collection's name is a folder's name too."""
    if not NAME.fullmatch(name):
        raise Invalid(f"{name!r} cannot name a collection: use up to 200 of A-Z a-z 0-9 _ - (and not 'lock')")
    return name


def checked_dimension(dimension: int) -> int:
    if not 1 <= dimension <= 65_536:
        raise Invalid(f"the dimension of a collection is {dimension}, it must be in 1..65536")
    return dimension


def checked_ids(ids: Iterable[PointId]) -> list[PointId]:
    """Anything else than these ids would be cast or parsed by the engine, and come back as another id."""
    found = list(ids)
    for point_id in found:
        if not (_is_uuid(point_id) if isinstance(point_id, str) else _is_unsigned(point_id)):
            raise Invalid(
                f"{point_id!r} cannot be the id of a point: use an integer in 0..2^64-1 or a lower-case UUID"
            )
    return found


def _is_unsigned(point_id: PointId) -> bool:
    return isinstance(point_id, int) and not isinstance(point_id, bool) and 0 <= point_id < 2**64


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def checked_vectors(points: Sequence[Point], dimension: int | None = None) -> Vectors:
    """The vectors as rows, (n, dimension). One NaN would hide its point from every search."""
    width = len(points[0].vector) if dimension is None and points else dimension
    for point in points:
        if point.vector.shape != (width,):
            raise Invalid(
                f"the vector of point {point.point_id} has the shape {point.vector.shape}, not ({width},)"
            )
    rows = np.array([point.vector for point in points], dtype=np.float32)
    if not np.isfinite(rows).all():
        bad = next(point for point, row in zip(points, rows, strict=True) if not np.isfinite(row).all())
        raise Invalid(f"the vector of point {bad.point_id} has a NaN or an infinity")
    return rows


def checked_batch(batch: int) -> int:
    if batch < 1:
        raise Invalid(f"batch is {batch}, it must be at least 1")
    return batch


def checked_query(vector: Vectors, limit: int, dimension: int | None = None) -> Vectors:
    if not 1 <= limit < 2**31:
        raise Invalid(f"limit is {limit}, it must be in 1..2^31-1")
    row = np.ascontiguousarray(vector, dtype=np.float32)
    if row.ndim != 1 or (dimension is not None and len(row) != dimension):
        raise Invalid(f"the query vector has the shape {row.shape}, the collection has ({dimension or 'n'},)")
    if not np.isfinite(row).all():
        raise Invalid("the query vector has a NaN or an infinity")
    return row


def matches_nothing(where: PointFilter) -> bool:
    """One of no values, or one of no points."""
    return (where.ids is not None and not where.ids) or not all(where.equals.values())


def values_by_kind(where: PointFilter) -> list[tuple[str, list[str], list[int]]]:
    """Per field its strings and its integers: the engine takes lists of one kind only."""
    found = []
    for field, values in where.equals.items():
        words = [value for value in values if isinstance(value, str)]
        numbers = [value for value in values if _is_integer(value)]
        if len(words) + len(numbers) != len(values):
            raise Invalid(f"the filter on {field!r} takes strings and 64-bit integers, not {list(values)!r}")
        found.append((field, words, numbers))
    return found


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def cosine(score: float) -> float:
    """Rounding leaves [-1, 1] by some 1e-7."""
    return min(1.0, max(-1.0, score))
