"""One run in the log, the read model and the vectors, held against each other. Nothing is changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog
from sqlalchemy import text

from adapters.database import Database
from adapters.jobs import PoliciesProjection
from adapters.points import TOLERANCE
from adapters.read_store import alone, lock, position_of, read_store
from adapters.vectors import VectorStore
from commands.ports import Embeddings, EventStore, Point
from commands.summaries import title_text
from domain.clustering import ClusteringRun
from domain.errors import Conflict, NotFound, Unavailable
from domain.search import TitleIndex
from domain.values import ERASED, QueryIds, Space, digest
from projections import clustering, datasets, search
from projections.search import QUERIES, SHOWN, TITLES, alias_of, title_point
from projections.verification import named, payloads, row_issues, titled

log = structlog.get_logger()

CHUNK = 1_000
"""Points that are compared at once."""

PAUSE_S = 0.002
"""After each chunk, so that other requests of this process come to their turn."""

LOOKED_AT_TWICE = 1_000
"""Queries that may differ because something was under way."""

_TITLING = (
    "SELECT count(*) FROM queue.procrastinate_jobs"
    " WHERE status IN ('todo', 'doing') AND task_name = ANY(:tasks)"
)


@dataclass(frozen=True)
class Title:
    """A text that was embedded for a cluster: by its SHA-256, in this space."""

    cluster_id: int
    summary_run_id: str
    text: bytes
    space: Space


@dataclass
class Titles:
    """Title points of a run: those that the log says, and those that there are, by alias and id."""

    expected: dict[tuple[str, str], Title]
    found: dict[tuple[str, str], Point] = field(default_factory=dict)

    def shown(self) -> dict[int, Title]:
        return {one.cluster_id: one for one in self.expected.values() if one.summary_run_id == SHOWN}


class Verification:
    """`wait`: until the read models have passed a position; False when they have not in time."""

    def __init__(
        self,
        database: Database,
        store: EventStore,
        embeddings: Embeddings,
        index: VectorStore | None,
        wait: Callable[[int], bool],
    ) -> None:
        self._database = database
        self._store = store
        self._embeddings = embeddings
        self._index = index
        self._wait = wait
        self._one_at_a_time = threading.Lock()

    def verify(self, run_id: str) -> dict[str, Any]:
        """Raises NotFound, Conflict (no result yet, or a rebuild is under way), Unavailable for a lag."""
        self._settled(run_id)
        begun = time.monotonic()
        with self._one_at_a_time, ExitStack() as stack:
            for tables in (clustering.tables, datasets.tables, search.tables):
                stack.enter_context(alone(self._database, str(tables.schema)))
            answer = self._verify(run_id)
        took = round(time.monotonic() - begun, 3)
        log.info("RunVerified", run=run_id, status=answer["status"], seconds=took)
        return answer

    def _settled(self, run_id: str) -> None:
        run = self._store.load(ClusteringRun, run_id)
        if run.status == "retired":
            raise NotFound(f"run {run_id} was cleared together with data set {run.dataset!r}")
        if run.status != "completed":
            raise Conflict(f"run {run_id} is {run.status}: there is nothing to compare yet")

    @property
    def _vectors(self) -> VectorStore:
        if self._index is None:
            raise Unavailable("this process has no vector engine")
        return self._index

    def _verify(self, run_id: str) -> dict[str, Any]:
        titled_up_to = self._titled_up_to()
        head = self._store.head()
        if not self._wait(head):
            raise Unavailable(f"the read models have not reached position {head} yet; try again")
        run, issues, titles_in_rows = self._rows(run_id)
        space = Space(**(run.space or {}))
        titles = self._titles(run_id)
        issues += self._title_issues(titles, run_id, space)
        issues += self._stale(run, titles, titled_up_to)
        issues += self._point_issues(run, space)
        self._settled(run_id)
        alias = alias_of(TITLES, space)
        shown = [one for one in titles_in_rows if (alias, title_point(run_id, one, None)) in titles.found]
        return {
            "run_id": run_id,
            "status": "mismatch" if issues else "ok",
            "issues": issues,
            "sqlite_summary_count": len(titles_in_rows),
            "chroma_summary_count": len(shown),
            "embedding_space": {**vars(space), "name": space.name},
        }

    # --- the log and the read model

    def _rows(self, run_id: str) -> tuple[ClusteringRun, list[str], list[int]]:
        """The run as it was at the position of the rows, what differs, and the clusters that have a title."""
        with self._database.engine.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            position = position_of(connection, clustering.tables)
            version = self._store.version_at(ClusteringRun, run_id, position)
            run = self._store.at_version(ClusteringRun, run_id, version)
            return run, row_issues(connection, run), titled(connection, run_id)

    # --- titles

    def _titles(self, run_id: str) -> Titles:
        """Both sides at one position: meanwhile nothing is projected."""
        with read_store(self._database, search.tables, str(search.tables.schema)) as store:
            lock(store.connection, search.tables, wait=True)
            titles = Titles(self._embedded(run_id, position_of(store.connection, search.tables)))
            aliases = {alias for alias, _ in titles.expected} | set(self._title_aliases())
            for alias in sorted(one for one in aliases if self._vectors.resolve(one)):
                for page in self._vectors.scroll(alias, CHUNK):
                    titles.found |= {
                        (alias, str(point.point_id)): point
                        for point in page
                        if point.payload.get("run_id") == run_id
                        or (alias, str(point.point_id)) in titles.expected
                    }
        return titles

    def _title_aliases(self) -> Iterator[str]:
        for collection in self._vectors.collections():
            alias = collection.rpartition("__")[0]
            if alias.startswith(f"{TITLES}_") and self._vectors.resolve(alias) == collection:
                yield alias

    def _embedded(self, run_id: str, position: int) -> dict[tuple[str, str], Title]:
        """The last text of each title, by the log up to a position."""
        last = self._store.version_at(TitleIndex, run_id, position)
        events = self._store.events(TitleIndex, run_id, range(1, last + 1))
        found: dict[tuple[str, str], Title] = {}
        for _, event in sorted(events.items()):
            for row in getattr(event, "texts", ()):
                summary, cluster_id = event.summary_run_id, row["cluster_id"]
                space = Space(**event.space)
                key = alias_of(TITLES, space), title_point(run_id, cluster_id, summary)
                found[key] = Title(cluster_id, summary or SHOWN, bytes.fromhex(row["text"]), space)
        return found

    def _title_issues(self, titles: Titles, run_id: str, space: Space) -> Iterator[str]:
        vectors = self._vectors_of(titles)
        kinds: dict[str, list[int]] = {}
        for key, title in titles.expected.items():
            if wrong := _wrong_title(run_id, title, titles.found.get(key), vectors.get(title.text), space):
                kinds.setdefault(wrong, []).append(title.cluster_id)
        extra = [point for key, point in titles.found.items() if key not in titles.expected]
        if extra:
            kinds["points of titles that the log does not have"] = [
                one.payload["cluster_id"] for one in extra
            ]
        for wrong, clusters in kinds.items():
            yield f"{wrong}: {len(clusters)} (of clusters {named(sorted(clusters))})"

    def _vectors_of(self, titles: Titles) -> dict[bytes, Any]:
        texts: dict[Space, set[bytes]] = {}
        for one in titles.expected.values():
            texts.setdefault(one.space, set()).add(one.text)
        found: dict[bytes, Any] = {}
        for space, wanted in texts.items():
            found |= self._embeddings.get(space, list(wanted))
        return found

    # --- whether search compares with what is shown

    def _titled_up_to(self) -> int:
        """The position up to which every title has been embedded, if nothing is wrong; 0: not known."""
        with self._database.engine.connect() as connection:
            position = position_of(connection, PoliciesProjection.tables)
            tasks = {"tasks": ["summarise", "embed_titles"]}
            return 0 if connection.execute(text(_TITLING), tasks).scalar_one() else position

    def _stale(self, run: ClusteringRun, titles: Titles, titled_up_to: int) -> Iterator[str]:
        last = self._store.positions(ClusteringRun, run.run_id, [run.version])[run.version]
        now = self._store.load(ClusteringRun, run.run_id).version
        if last > titled_up_to or now != run.version:
            return
        embedded = {cluster_id: title.text for cluster_id, title in titles.shown().items()}
        stale = [
            cluster_id
            for cluster_id, one in sorted(run.clusters.items())
            if one.title
            and embedded.get(cluster_id) != digest(title_text(one.title, one.description).encode())
        ]
        if stale:
            yield f"clusters whose title in search is not the shown one: {len(stale)} ({named(stale)})"

    # --- queries

    def _point_issues(self, run: ClusteringRun, space: Space) -> list[str]:
        ids = run.partition.query_ids[run.partition.labels != ERASED]
        wrong = Wrong()
        for start in range(0, len(ids), CHUNK):
            wrong.add(self._compared(run.dataset, space, ids[start : start + CHUNK]))
            time.sleep(PAUSE_S)
        return self._second_look(run, space, wrong).sentences() if wrong.counts else []

    def _second_look(self, run: ClusteringRun, space: Space, wrong: Wrong) -> Wrong:
        """At what differed: it may have been erased meanwhile. Where that is too much, it stands."""
        suspects = np.unique(np.array([one for ids in wrong.ids.values() for one in ids], np.int64))
        if len(suspects) > LOOKED_AT_TWICE:
            return wrong
        self._wait(self._store.head())
        self._settled(run.run_id)
        partition = self._store.load(ClusteringRun, run.run_id).partition
        kept = suspects[partition.labels_of(suspects) != ERASED]
        again = Wrong()
        for start in range(0, len(kept), CHUNK):
            again.add(self._compared(run.dataset, space, kept[start : start + CHUNK]))
        return again

    def _compared(self, dataset: str, space: Space, ids: QueryIds) -> dict[str, list[int]]:
        """What is wrong with some queries: a phrase → their ids."""
        with self._database.engine.connect() as connection:
            rows = payloads(connection, ids)
        known, vectors = self._embeddings.of_queries(dataset, space, ids)
        points = self._points(alias_of(QUERIES, space), ids)
        wrong: dict[str, list[int]] = {
            "queries of the run without a row in the read model": [i for i in ids.tolist() if i not in rows],
            "queries of the run without a vector beside the log": ids[~np.isin(ids, known)].tolist(),
            "queries of the run without a point": [one for one in ids.tolist() if one not in points],
            "points whose payload is not what the read model says": [
                one for one, point in points.items() if one in rows and dict(point.payload) != rows[one]
            ],
        }
        there = [at for at, one in enumerate(known.tolist()) if one in points]
        held = [points[one].vector for one in known[there].tolist()]
        if there:
            apart = _apart(np.array(held), vectors[there])
            wrong["points whose vector is not the one of their text"] = known[there][apart].tolist()
        return wrong

    def _points(self, alias: str, ids: QueryIds) -> dict[int, Point]:
        if self._vectors.resolve(alias) is None:
            return {}
        return {int(point.point_id): point for point in self._vectors.retrieve(alias, ids.tolist())}


@dataclass
class Wrong:
    """Phrase → how many queries, and the first of them."""

    counts: dict[str, int] = field(default_factory=dict)
    ids: dict[str, list[int]] = field(default_factory=dict)

    def add(self, found: Mapping[str, list[int]]) -> None:
        for phrase, ids in found.items():
            if ids:
                self.counts[phrase] = self.counts.get(phrase, 0) + len(ids)
                kept = self.ids.setdefault(phrase, [])
                kept += ids[: max(0, LOOKED_AT_TWICE + 1 - len(kept))]

    def sentences(self) -> list[str]:
        return [f"{phrase}: {n} ({named(self.ids[phrase], n)})" for phrase, n in self.counts.items()]


def _wrong_title(run_id: str, title: Title, point: Point | None, vector: Any, space: Space) -> str | None:  # noqa: ANN401
    payload = {"run_id": run_id, "cluster_id": title.cluster_id, "summary_run_id": title.summary_run_id}
    if title.space != space:
        return f"titles in the space {title.space.name}, while the run is in {space.name}"
    if vector is None:
        return "titles without a vector beside the log"
    if point is None:
        return "titles without a point"
    if dict(point.payload) != payload:
        return "points of titles whose payload is not what the log says"
    if _apart(point.vector[None], vector[None])[0]:
        return "points of titles whose vector is not the one of their text"
    return None


def _apart(some: Any, others: Any) -> Any:  # noqa: ANN401
    """For each pair of rows, whether they differ by more than the engine may change."""
    return (np.abs(some - others) > TOLERANCE).any(axis=1)
