"""The vector read model made anew and compared, beside the live one. Runs where the vector engine is open."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import structlog
from eventsourcing.persistence import Mapper

from adapters.database import Database
from adapters.read_store import SqlReadStore, alone, events_after, lock, position_of, read_store
from adapters.runner import move
from adapters.vectors import VectorStore
from commands.ports import Embeddings, Point
from projections.base import Recorded, bookkeeping, topics_of
from projections.search import SearchProjection, tables

log = structlog.get_logger()

TOLERANCE = 1e-5
"""Vectors are normalised again by the engine, which may change their last bits."""

SHOWN = 20
INDEX_FROM = 20_000
"""Points of a collection below which an exact search is as fast as an index."""

INDEXED_SHARE = 0.8
"""An index is built anew when less of a collection than this is in it."""


class Points:
    def __init__(
        self, database: Database, index: VectorStore, embeddings: Embeddings, mapper: Mapper[str]
    ) -> None:
        self._database = database
        self._index = index
        self._embeddings = embeddings
        self._mapper = mapper

    def rebuild(self) -> dict[str, Any]:
        """Fill new collections from the log and let the aliases mean them; the ones before are removed.

        Raises Conflict when another process is at it.
        """
        begun = time.monotonic()
        with alone(self._database, str(tables.schema)):
            position = self._rebuild()
        return {"name": "search", "position": position, "seconds": round(time.monotonic() - begun, 3)}

    def _rebuild(self) -> int:
        made: dict[str, str] = {}
        fresh = SearchProjection(self._index, self._embeddings, self._beside("rebuilt", made))
        position = self._replay(fresh, 0, None)
        with read_store(self._database, tables, str(tables.schema)) as store:
            lock(store.connection, tables, wait=True)
            position = self._project(fresh, store, position, None)
            replaced = self._swap(fresh.aliases(), self._there(made))
            store.execute(bookkeeping(tables, "parked").delete())
            move(store, fresh, position)
        for collection in replaced:
            self._index.drop(collection)
        return position

    def _swap(self, aliases: Sequence[str], made: Mapping[str, str]) -> list[str]:
        """Let the aliases mean what was made; returns the collections that they meant."""
        before = {alias: self._index.resolve(alias) for alias in aliases}
        for alias, collection in made.items():
            self._index.alias(alias, collection)
        for alias, replaced in before.items():
            if replaced and alias not in made:
                self._empty(replaced)
        return [replaced for alias, replaced in before.items() if replaced and alias in made]

    def _there(self, made: Mapping[str, str]) -> dict[str, str]:
        """Without those that have a name, but never got a point."""
        there = self._index.collections()
        return {alias: collection for alias, collection in made.items() if collection in there}

    def verify(self) -> dict[str, Any]:
        """Compare every point, its vector and its payload, with what the log says."""
        begun = time.monotonic()
        with alone(self._database, str(tables.schema)):
            position, found = self._verify()
        differences = [one for one in found if one["rows"]]
        return {
            "name": "search",
            "position": position,
            "equal": not differences,
            "differences": differences,
            "seconds": round(time.monotonic() - begun, 3),
        }

    def _verify(self) -> tuple[int, list[dict[str, Any]]]:
        made: dict[str, str] = {}
        scratch = SearchProjection(self._index, self._embeddings, self._beside("verify", made))
        try:
            with self._database.engine.connect() as connection:
                reached = position_of(connection, tables)
            reached = self._replay(scratch, 0, reached)
            with read_store(self._database, tables, str(tables.schema)) as store:
                lock(store.connection, tables, wait=True)
                position = position_of(store.connection, tables)
                self._project(scratch, store, reached, position)
                there = self._there(made)
                live = {alias for alias in scratch.aliases() if self._index.resolve(alias)}
                found = [self._compare(alias, there.get(alias)) for alias in sorted(live | set(there))]
        finally:
            for collection in made.values():
                self._index.drop(collection)
        return position, found

    def _beside(self, suffix: str, made: dict[str, str]) -> Any:  # noqa: ANN401
        """Names for new collections, remembered in `made`; what an earlier try has left is removed."""

        def collection_of(alias: str) -> str:
            if alias not in made:
                made[alias] = f"{alias}__{suffix}_{time.time_ns()}"
            return made[alias]

        for collection in self._index.collections():
            stem, _, rest = collection.rpartition("__")
            if rest.startswith(suffix) and self._index.resolve(stem) != collection:
                self._index.drop(collection)
        return collection_of

    def _replay(self, projection: SearchProjection, position: int, up_to: int | None) -> int:
        with read_store(self._database, tables, str(tables.schema)) as store:
            return self._project(projection, store, position, up_to)

    def _project(
        self, projection: SearchProjection, store: SqlReadStore, position: int, up_to: int | None
    ) -> int:
        topics = topics_of(projection)
        while batch := events_after(store.connection, position, 100, topics, up_to):
            events: list[Recorded] = [one.decoded(self._mapper) for one in batch if one.type in topics]
            projection.project(events, store)
            position = batch[-1].position
        return position

    def _empty(self, collection: str) -> None:
        """What the log no longer puts anywhere: a collection all of whose points were cleared."""
        for points in self._index.scroll(collection, 1_000):
            self._index.delete(collection, [one.point_id for one in points])

    def _compare(self, alias: str, rebuilt: str | None) -> dict[str, Any]:
        live = self._index.resolve(alias)
        shown: list[dict[str, Any]] = []
        differing = 0
        for mine, theirs in _paired(self._points(live), self._points(rebuilt)):
            if mine is None or theirs is None or not _equal(mine, theirs):
                differing += 1
                if len(shown) < SHOWN:
                    side = "both" if mine and theirs else "live" if mine else "rebuilt"
                    one = mine or theirs
                    shown.append({"only_in": side, "point_id": one.point_id if one else None})
        return {"projection": "search", "table": alias, "rows": differing, "shown": shown}

    def _points(self, collection: str | None) -> Iterator[Point]:
        if collection is not None:
            for points in self._index.scroll(collection, 1_000):
                yield from points


def _paired(live: Iterator[Point], rebuilt: Iterator[Point]) -> Iterator[tuple[Point | None, Point | None]]:
    """Both in ascending order of id, side by side; None where the other has no such point."""
    mine, theirs = next(live, None), next(rebuilt, None)
    while mine or theirs:
        if theirs is None or (mine is not None and _key(mine) < _key(theirs)):
            yield mine, None
            mine = next(live, None)
        elif mine is None or _key(theirs) < _key(mine):
            yield None, theirs
            theirs = next(rebuilt, None)
        else:
            yield mine, theirs
            mine, theirs = next(live, None), next(rebuilt, None)


def _key(point: Point) -> tuple[bool, int | str]:
    return isinstance(point.point_id, str), point.point_id


def _equal(mine: Point, theirs: Point) -> bool:
    return dict(mine.payload) == dict(theirs.payload) and bool(
        np.allclose(mine.vector, theirs.vector, atol=TOLERANCE)
    )


class Indexer(threading.Thread):
    """Builds the index of a collection that has grown, when nothing has been added to it for a while."""

    def __init__(self, index: VectorStore, every_s: float = 15.0) -> None:
        super().__init__(name="indexer", daemon=True)
        self._index = index
        self._every_s = every_s
        self._stopping = threading.Event()
        self._points: dict[str, int] = {}

    def run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                for collection in self._index.collections():
                    self._look_at(collection)
            except Exception as error:
                log.warning("IndexingFailed", error=repr(error))

    def _look_at(self, collection: str) -> None:
        info = self._index.info(collection)
        points, indexed = info["points"] or 0, info["indexed"] or 0
        resting = self._points.get(collection) == points
        self._points[collection] = points
        if resting and points >= INDEX_FROM and indexed < INDEXED_SHARE * points:
            log.info("IndexingStarted", collection=collection, points=points)
            self._index.optimise(collection)
            log.info("IndexingEnded", collection=collection)

    def stop(self) -> None:
        self._stopping.set()
