"""The `VectorIndex` by a server or a cluster of Qdrant, which builds its indexes by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from adapters.vectors.points import (
    BATCH,
    checked_batch,
    checked_dimension,
    checked_ids,
    checked_name,
    checked_query,
    checked_vectors,
    cosine,
    matches_nothing,
    values_by_kind,
)
from commands.ports import Hit, Point, PointFilter, PointId
from domain.errors import Conflict, DomainError, Invalid, NotFound, Unavailable, UpstreamRefused
from domain.values import Vectors

TIMEOUT = 30
"""Seconds for one call: a batch of points on a busy cluster takes a few."""


def connect(url: str, api_key: str | None) -> QdrantClient:
    """No call is made yet: an unreachable server shows at the first use, as `Unavailable`."""
    return QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT, check_compatibility=False)


class ServerVectors:
    is_embedded = False

    def __init__(self, client: QdrantClient) -> None:
        self._client = client

    @contextmanager
    def _calling(self, collection: str = "") -> Iterator[None]:
        """Without a collection a 404 means that the URL leads elsewhere."""
        try:
            yield
        except UnexpectedResponse as error:
            raise _meant(error, collection) from error
        except ApiException as error:
            raise Unavailable(f"the vector server does not answer: {error}") from error
        except ValueError as error:
            if collection and not self._client.collection_exists(collection):
                raise _unknown(collection) from error
            raise Invalid(f"the vector server cannot take this: {error}") from error

    def create(
        self,
        collection: str,
        dimension: int,
        keyword_fields: Sequence[str],
        integer_fields: Sequence[str] = (),
    ) -> None:
        """Indexes are asked for each time: the first time may have ended before they were made."""
        if alias_of := self.resolve(checked_name(collection)):
            raise Conflict(f"{collection!r} is an alias of {alias_of!r} already")
        params = models.VectorParams(size=checked_dimension(dimension), distance=models.Distance.COSINE)
        with self._calling(collection):
            self._create_once(collection, params)
            if (found := self._dimension(collection)) != dimension:
                raise Conflict(f"the collection {collection!r} exists, with dimension {found}")
            for field in keyword_fields:
                self._client.create_payload_index(collection, field, models.PayloadSchemaType.KEYWORD)
            for field in integer_fields:
                self._client.create_payload_index(collection, field, models.PayloadSchemaType.INTEGER)

    def _create_once(self, collection: str, params: models.VectorParams) -> None:
        """Several processes start at once, and all but one are told that it exists."""
        if self._client.collection_exists(collection):
            return
        try:
            self._client.create_collection(collection, vectors_config=params)
        except (UnexpectedResponse, ValueError):
            if not self._client.collection_exists(collection):
                raise

    def _dimension(self, collection: str) -> int | None:
        vectors = self._client.get_collection(collection).config.params.vectors
        return vectors.size if isinstance(vectors, models.VectorParams) else None

    def collections(self) -> list[str]:
        with self._calling():
            return sorted(found.name for found in self._client.get_collections().collections)

    def drop(self, collection: str) -> None:
        with self._calling(collection):
            if collection in self.collections():
                self._client.delete_collection(collection)

    def alias(self, alias: str, collection: str) -> None:
        existing = self.collections()
        if checked_name(alias) in existing:
            raise Conflict(f"{alias!r} is a collection already, an alias needs a name of its own")
        if collection not in existing:
            raise _unknown(collection)
        steps: list[models.CreateAliasOperation | models.DeleteAliasOperation] = []
        if self.resolve(alias):
            steps.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        meaning = models.CreateAlias(collection_name=collection, alias_name=alias)
        steps.append(models.CreateAliasOperation(create_alias=meaning))
        with self._calling(collection):
            self._client.update_collection_aliases(change_aliases_operations=steps)

    def resolve(self, alias: str) -> str | None:
        with self._calling():
            aliases = self._client.get_aliases().aliases
        return next((found.collection_name for found in aliases if found.alias_name == alias), None)

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """A failure half-way leaves whole batches of `BATCH`."""
        ids = checked_ids(point.point_id for point in points)
        rows = checked_vectors(points)
        for start in range(0, len(points), BATCH):
            part = slice(start, start + BATCH)
            payloads = [dict(point.payload) for point in points[part]]
            with self._calling(collection):
                batch = models.Batch(ids=[*ids[part]], vectors=rows[part].tolist(), payloads=payloads)
                self._client.upsert(collection, points=batch, wait=True)

    def delete(self, collection: str, point_ids: Sequence[PointId]) -> None:
        ids = checked_ids(point_ids)
        for start in range(0, len(ids), BATCH):
            with self._calling(collection):
                selector = models.PointIdsList(points=[*ids[start : start + BATCH]])
                self._client.delete(collection, points_selector=selector, wait=True)

    def delete_where(self, collection: str, where: PointFilter) -> None:
        checked_ids(where.ids or ())
        with self._calling(collection):
            if matches_nothing(where):
                self._client.get_collection(collection)
                return
            selector = models.FilterSelector(filter=to_filter(where) or models.Filter())
            self._client.delete(collection, points_selector=selector, wait=True)

    def search(self, collection: str, vector: Vectors, limit: int, where: PointFilter) -> list[Hit]:
        query = checked_query(vector, limit)
        checked_ids(where.ids or ())
        with self._calling(collection):
            if matches_nothing(where):
                self._client.get_collection(collection)
                return []
            found = self._client.query_points(
                collection,
                query=query.tolist(),
                limit=limit,
                query_filter=to_filter(where),
                search_params=None if where.ids is None else models.SearchParams(exact=True),
                with_payload=True,
            )
        return [Hit(_plain(hit.id), cosine(hit.score), hit.payload or {}) for hit in found.points]

    def retrieve(self, collection: str, point_ids: Sequence[PointId]) -> list[Point]:
        ids = checked_ids(point_ids)
        found: list[Point] = []
        for start in range(0, len(ids), BATCH):
            with self._calling(collection):
                batch = ids[start : start + BATCH]
                records = self._client.retrieve(collection, batch, with_payload=True, with_vectors=True)
            found += map(_to_point, records)
        return found

    def count(self, collection: str) -> int:
        with self._calling(collection):
            return self._client.count(collection, exact=True).count

    def scroll(self, collection: str, batch: int) -> Iterator[list[Point]]:
        """Not a snapshot: a point written behind the reader is missed, one written before it is seen."""
        with self._calling(collection):
            self._client.get_collection(collection)
        return self._pages(collection, checked_batch(batch))

    def _pages(self, collection: str, batch: int) -> Iterator[list[Point]]:
        start: models.ExtendedPointId | None = None
        while True:
            with self._calling(collection):
                records, start = self._client.scroll(
                    collection, limit=batch, offset=start, with_payload=True, with_vectors=True
                )
            if records:
                yield [_to_point(record) for record in records]
            if start is None:
                return

    def optimise(self, collection: str) -> None:
        """A server does that by itself, in the background; `info` tells how far it is."""
        self.info(collection)

    def info(self, collection: str) -> dict[str, int | None]:
        with self._calling(collection):
            found = self._client.get_collection(collection)
        return {
            "points": found.points_count,
            "indexed": found.indexed_vectors_count,
            "segments": found.segments_count,
            "bytes": None,
        }

    def close(self) -> None:
        self._client.close()


def to_filter(where: PointFilter) -> models.Filter | None:
    must: list[models.Condition] = []
    for field, words, numbers in values_by_kind(where):
        should: list[models.Condition] = [
            models.FieldCondition(key=field, match=models.MatchAny(any=kind))
            for kind in (words, numbers)
            if kind
        ]
        must.append(models.Filter(should=should))
    if where.ids is not None:
        must.append(models.HasIdCondition(has_id=list(where.ids)))
    return models.Filter(must=must) if must else None


def _meant(error: UnexpectedResponse, collection: str) -> DomainError:
    """What a status of the server means to a caller; the body of the answer says more."""
    if error.status_code == 404 and collection:
        return _unknown(collection)
    if error.status_code in (401, 403):
        return UpstreamRefused(f"the vector server refuses the key (LMSYS_QDRANT_API_KEY): {error}")
    if error.status_code in (400, 409, 413, 422):
        return Invalid(f"the vector server cannot take this: {error}")
    return Unavailable(f"the vector server cannot answer now: {error}")


def _unknown(collection: str) -> NotFound:
    return NotFound(f"there is no collection {collection!r} in the vector index")


def _plain(point_id: models.ExtendedPointId) -> PointId:
    return point_id if isinstance(point_id, int) else str(point_id)


def _to_point(record: models.Record) -> Point:
    return Point(_plain(record.id), np.array(record.vector, dtype=np.float32), record.payload or {})
