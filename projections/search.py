"""The vector read model: a point for each query, and one for each title of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid5

from commands.ports import Embeddings, Point, PointFilter, VectorIndex
from domain.clustering import ClusteringRun
from domain.content import decode_content
from domain.datasets import Dataset
from domain.search import TitleIndex
from domain.values import Space
from projections.base import ReadStore, Recorded, read_model

QUERIES, TITLES = "queries", "titles"
KEYWORDS = {QUERIES: ("dataset", "language", "model"), TITLES: ("run_id", "summary_run_id")}
SHOWN = ""
"""The `summary_run_id` of a point that stands for the title that is shown now."""

_TITLE_POINTS = UUID("6d1f2c0e-5d0a-5b57-9d0b-3f6f5f6a7c11")


def alias_of(kind: str, space: Space) -> str:
    """The name under which a collection is read: points of one kind in one space."""
    return f"{kind}_{space.name}"


def title_point(run_id: str, cluster_id: int, summary_run_id: str | None) -> str:
    return str(uuid5(_TITLE_POINTS, f"{run_id}/{cluster_id}/{summary_run_id or SHOWN}"))


tables = read_model("search")


class SearchProjection:
    """Points derive their ids from what they stand for, so that projecting twice changes nothing.

    `collection_of` gives the collection behind an alias: the live one, or a new one in a rebuild.
    """

    name = "search"
    tables = tables
    batch = 4
    """An event may bring 10,000 points, which take about a second."""
    handles: frozenset[type] = frozenset(
        {
            Dataset.QueriesEmbedded,
            Dataset.ConversationErased,
            Dataset.Cleared,
            TitleIndex.TitlesEmbedded,
            ClusteringRun.Retired,
        }
    )

    def __init__(
        self, index: VectorIndex, embeddings: Embeddings, collection_of: Callable[[str], str] | None = None
    ) -> None:
        self._index = index
        self._embeddings = embeddings
        self._beside = collection_of

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            match one.event:
                case Dataset.QueriesEmbedded():
                    self._add_queries(one, store)
                case TitleIndex.TitlesEmbedded():
                    self._add_titles(one)
                case Dataset.ConversationErased():
                    self._erase(one.event.query_ids)
                case Dataset.Cleared():
                    self._remove(QUERIES, PointFilter({"dataset": [one.name]}))
                case ClusteringRun.Retired():
                    self._remove(TITLES, PointFilter({"run_id": [one.name]}))

    def _add_queries(self, one: Recorded, store: ReadStore) -> None:
        event, space = one.event, Space(**one.event.space)
        first, last = event.first_query_id, event.last_query_id
        rows = self._embeddings.queries(one.name, first - 1, last, last - first + 1)
        vectors = self._embeddings.get(space, list({text for _, text, _ in rows}))
        contents = store.contents(list({content for _, _, content in rows}))
        points = [
            Point(query_id, vectors[text], _payload(one.name, contents[content]))
            for query_id, text, content in rows
            if text in vectors and content in contents
        ]
        self._upsert(QUERIES, space, points)

    def _add_titles(self, one: Recorded) -> None:
        event, space = one.event, Space(**one.event.space)
        digests = [bytes.fromhex(row["text"]) for row in event.texts]
        vectors = self._embeddings.get(space, digests)
        summary = event.summary_run_id
        points = [
            Point(
                title_point(one.name, row["cluster_id"], summary),
                vectors[sha256],
                {"run_id": one.name, "cluster_id": row["cluster_id"], "summary_run_id": summary or SHOWN},
            )
            for row, sha256 in zip(event.texts, digests, strict=True)
            if sha256 in vectors
        ]
        self._upsert(TITLES, space, points)

    def _upsert(self, kind: str, space: Space, points: Sequence[Point]) -> None:
        alias = alias_of(kind, space)
        collection = self._collection_of(alias)
        self._index.create(collection, space.dimension, KEYWORDS[kind])
        if self._beside is None and self._index.resolve(alias) is None:
            self._index.alias(alias, collection)
        if points:
            self._index.upsert(collection, points)

    def _remove(self, kind: str, where: PointFilter) -> None:
        there = self._index.collections()
        for alias in self.aliases():
            if alias.startswith(f"{kind}_") and (collection := self._collection_of(alias)) in there:
                self._index.delete_where(collection, where)

    def _erase(self, query_ids: Sequence[int]) -> None:
        """In every collection, also in those that a rebuild is filling or has left; beside: in its own."""
        if self._beside is not None:
            self._remove(QUERIES, PointFilter(ids=query_ids))
            return
        for collection in self._index.collections():
            if collection.startswith(f"{QUERIES}_"):
                self._index.delete(collection, query_ids)

    def aliases(self) -> list[str]:
        """The aliases of all collections that there are."""
        names = (name.rpartition("__")[0] for name in self._index.collections())
        return sorted({name for name in names if name})

    def _collection_of(self, alias: str) -> str:
        if self._beside is not None:
            return self._beside(alias)
        return self._index.resolve(alias) or f"{alias}__1"


def _payload(dataset: str, body: bytes) -> dict[str, Any]:
    content = decode_content(body)
    return {"dataset": dataset, "model": content.model, "language": content.language}
