"""One shard of the embedded engine in the words of the port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import qdrant_edge as edge

from adapters.vectors import files
from adapters.vectors.points import BATCH, cosine, values_by_kind
from commands.ports import Hit, Point, PointFilter, PointId
from domain.errors import DomainError, Invalid, Unavailable
from domain.values import Vectors

PAGE = 1000
"""Points read in one call: the engine holds the GIL meanwhile (6 ms with vectors of 256 dimensions)."""


@contextmanager
def engine(doing: str) -> Iterator[None]:
    """The engine raises bare exceptions, and where it panics one that `except Exception` does not catch."""
    try:
        yield
    except DomainError:
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise Unavailable(f"the vector engine failed while {doing}: {error}") from error
        raise


@contextmanager
def field_named(field: str) -> Iterator[None]:
    """The engine reads the names of fields as JSON paths."""
    try:
        yield
    except ValueError as error:
        raise Invalid(f"{field!r} cannot be the name of a payload field: {error}") from error


class Shard:
    """An open shard: at most one process may have it. Not to be used after `close`.

    Vectors, payloads and payload indexes are memory-mapped files, whose pages the kernel can take back: of
    the 2 to 3 KB resident per point of 256 dimensions 0.3 KB are the process's own. The write-ahead log
    of the engine makes one call whole even when the process is killed within it.
    """

    def __init__(self, opened: edge.EdgeShard, folder: Path) -> None:
        self._edge = opened
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, dimension: int, keywords: Sequence[str], integers: Sequence[str]) -> Shard:
        vectors = edge.EdgeVectorParams(
            size=dimension, distance=edge.Distance.Cosine, memory=edge.Memory.Cold
        )
        config = edge.EdgeConfig(vectors=vectors, payload_memory=edge.Memory.Cold, wal_enabled=True)
        folder.mkdir(parents=True)
        with engine(f"making {folder}"):
            shard = cls(edge.EdgeShard.create(str(folder), config), folder)
        for field in keywords:
            shard._index(field, edge.KeywordIndexParams(memory=edge.Memory.Cold))
        for field in integers:
            shard._index(field, edge.IntegerIndexParams(memory=edge.Memory.Cold, lookup=True, range=False))
        shard.flush()
        return shard

    @classmethod
    def load(cls, folder: Path) -> Shard:
        files.read_ahead(folder)
        with engine(f"opening {folder}; if it stays so, drop the collection and rebuild it"):
            return cls(edge.EdgeShard.load(str(folder)), folder)

    def _index(self, field: str, parameters: edge.KeywordIndexParams | edge.IntegerIndexParams) -> None:
        with engine("indexing a field"), field_named(field):
            self._edge.update(edge.UpdateOperation.create_field_index(field, parameters))

    def upsert(self, points: Sequence[Point], rows: Vectors) -> None:
        """Durable after `flush`. A kill within it leaves whole batches of `BATCH`."""
        converted = [_to_edge(point, row) for point, row in zip(points, rows, strict=True)]
        for start in range(0, len(converted), BATCH):
            with engine("writing points"):
                self._edge.update(edge.UpdateOperation.upsert_points(converted[start : start + BATCH]))

    def delete(self, point_ids: Sequence[PointId]) -> None:
        for start in range(0, len(point_ids), BATCH):
            with engine("deleting points"):
                ids = point_ids[start : start + BATCH]
                self._edge.update(edge.UpdateOperation.delete_points([*ids]))

    def flush(self) -> None:
        with engine("flushing to disk"):
            self._edge.flush()

    def close(self) -> None:
        with engine("closing"):
            self._edge.close()

    def search(self, vector: Vectors, limit: int, where: PointFilter) -> list[Hit]:
        request = edge.SearchRequest(
            query=edge.Query.Nearest(_floats(vector)),
            limit=limit,
            filter=to_filter(where),
            params=None if where.ids is None else edge.SearchParams(exact=True),
            with_payload=True,
        )
        with engine("searching"):
            found = self._edge.search(request)
        return [Hit(_from_edge(hit.id), cosine(hit.score), hit.payload or {}) for hit in found]

    def count(self) -> int:
        with engine("counting"):
            return int(self._edge.count(edge.CountRequest(exact=True)))

    def page(self, start: PointId | None, size: int) -> tuple[list[Point], PointId | None]:
        """Points in ascending order of id (integers before UUIDs), and the id at which to go on."""
        request = edge.ScrollRequest(offset=start, limit=min(size, PAGE), with_payload=True, with_vector=True)
        with engine("reading points"):
            records, after = self._edge.scroll(request)
        return [_to_point(record) for record in records], None if after is None else _from_edge(after)

    def matching(self, where: PointFilter, start: PointId | None) -> tuple[list[PointId], PointId | None]:
        """Ids in ascending order, at most `BATCH`, and the id at which to go on."""
        request = edge.ScrollRequest(
            offset=start, limit=BATCH, filter=to_filter(where), with_payload=False, with_vector=False
        )
        with engine("reading ids"):
            records, after = self._edge.scroll(request)
        return [_from_edge(record.id) for record in records], None if after is None else _from_edge(after)

    def retrieve(self, point_ids: Sequence[PointId]) -> list[Point]:
        """Those of them that exist, in no order."""
        with engine("reading points"):
            records = self._edge.retrieve([*point_ids], with_payload=True, with_vector=True)
        return [_to_point(record) for record in records]

    def info(self) -> dict[str, int | None]:
        """The engine counts deleted points as indexed until the next optimisation."""
        with engine("reading its state"):
            found = self._edge.info()
        indexed = min(found.indexed_vectors_count, found.points_count)
        return {"points": found.points_count, "indexed": indexed, "segments": found.segments_count}


def to_filter(where: PointFilter) -> edge.Filter | None:
    must: list[edge.ConditionType] = []
    for field, words, numbers in values_by_kind(where):
        with field_named(field):
            should: list[edge.ConditionType] = [
                edge.FieldCondition(field, match=edge.MatchAny(kind)) for kind in (words, numbers) if kind
            ]
        must.append(edge.Filter(should=should))
    if where.ids is not None:
        must.append(edge.HasIdCondition(set(where.ids)))
    return edge.Filter(must=must) if must else None


def _to_edge(point: Point, row: Vectors) -> edge.Point:
    try:
        return edge.Point(point.point_id, _floats(row), dict(point.payload))
    except TypeError as error:
        raise Invalid(f"the payload of point {point.point_id} is not JSON: {error}") from error


def _floats(row: Vectors) -> list[float]:
    """A memoryview in truth, which the engine reads fastest: 145,000 points/s against 100,000 as lists."""
    return cast("list[float]", row.data)


def _from_edge(point_id: object) -> PointId:
    return point_id if isinstance(point_id, int) else str(point_id)


def _to_point(record: edge.Record) -> Point:
    return Point(_from_edge(record.id), np.array(record.vector, dtype=np.float32), record.payload or {})
