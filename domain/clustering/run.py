"""`ClusteringRun`: how it came to be, and every edit since. Its stream is the edit log of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, cast

import numpy as np

from domain.base import Aggregate, event
from domain.clustering.cluster import Cluster
from domain.clustering.curation import Curation
from domain.clustering.edits import Edit
from domain.clustering.history import History
from domain.clustering.partition import Partition
from domain.errors import Conflict, Invalid
from domain.runs import Run
from domain.values import NOISE, ORPHAN, Labels, QueryIds, Space, Vectors, mended, pack, unpack

CONFIDENCE_UNIT = 10_000
"""Confidences stand in events as whole ten-thousandths."""


TITLES_AT_ONCE = 1_000
"""Titles of an event, at most: about 0.5 MB."""


class ClusteringRun(Curation):
    TOPIC = "clustering"
    PREFIX = "clustering"

    class Created(Aggregate.Created):
        """The intent: what to cluster, how, from which seed, and up to which query of the data set."""

        TOPIC = "clustering.created"
        run_id: str
        dataset: str
        algorithm: str
        parameters: dict[str, Any]
        embedding: dict[str, Any]
        last_query_id: int
        queries: int
        description: str | None

    class QueriesAssigned(Aggregate.Event):
        """A chunk of the result: three packed arrays (`domain.values.pack`), confidence in 1/10,000."""

        TOPIC = "clustering.queries_assigned"
        chunk: int
        count: int
        query_ids: str
        cluster_ids: str
        confidence: str

    class Completed(Aggregate.Event):
        """`centroids` is the SHA-256 (hex) of the content that holds them: float32, one row a cluster."""

        TOPIC = "clustering.completed"
        space: dict[str, Any]
        parameters: dict[str, Any]
        metrics: dict[str, Any]
        num_clusters: int
        centroids: str

    class Failed(Run.Failed):
        TOPIC = "clustering.failed"

    class ClustersTitled(Aggregate.Event):
        """A summary run's titles became the ones that are shown, except where a person had written one."""

        TOPIC = "clustering.clusters_titled"
        summary_run_id: str
        titles: list[dict[str, Any]]

    class ExtensionRequested(Aggregate.Event):
        """Queries loaded since are to go to the nearest clusters, or to none where that is too uncertain."""

        TOPIC = "clustering.extension_requested"
        extension_id: str
        after_query_id: int
        last_query_id: int
        confidence_floor: float

    class QueriesAdded(Aggregate.Event):
        """A chunk of an extension: packed arrays as in `QueriesAssigned`; -2 stands for no cluster."""

        TOPIC = "clustering.queries_added"
        extension_id: str
        count: int
        query_ids: str
        cluster_ids: str
        confidence: str

    class ExtensionEnded(Aggregate.Event):
        """`error`: why it was given up; what had been added by then stays."""

        TOPIC = "clustering.extension_ended"
        extension_id: str
        added: int
        orphaned: int
        error: str | None

    class Retired(Aggregate.Event):
        """It left the read models together with its data set."""

        TOPIC = "clustering.retired"

    class Snapshot(Aggregate.Snapshot):
        """Of another form, it has another topic: those of before are not read any more, and taken anew."""

        TOPIC = "clustering.state_2"

        @classmethod
        def take(cls, aggregate: Any) -> Self:  # noqa: ANN401
            snapshot = super().take(aggregate)
            snapshot.state["partition"] = aggregate.partition.packed()
            for name in ("clusters", "removed"):
                states = sorted(getattr(aggregate, name).items())
                snapshot.state[name] = [[key, one.fields()] for key, one in states]
            snapshot.state["history"] = aggregate.history.packed()
            for name in ("_id", "_version", "_pending_events"):
                snapshot.state.pop(name)
            return snapshot

        def mutate(self, _: None) -> ClusteringRun:
            run = cast(ClusteringRun, super().mutate(None))
            run.partition = Partition.unpacked(cast("dict[str, str]", run.partition))
            for name in ("clusters", "removed"):
                setattr(run, name, {key: Cluster.of(one) for key, one in getattr(run, name)})
            run.history = History.unpacked(cast("list[Any]", run.history))
            return run

    @staticmethod
    def create_id(run_id: str) -> str:
        return ClusteringRun.stream(run_id)

    def __init__(
        self,
        run_id: str,
        dataset: str,
        algorithm: str,
        parameters: dict[str, Any],
        embedding: dict[str, Any],
        last_query_id: int,
        queries: int,
        description: str | None,
    ) -> None:
        self.run_id = run_id
        self.dataset = dataset
        self.algorithm = algorithm
        self.parameters = parameters
        self.embedding = embedding
        self.last_query_id = last_query_id
        self.queries = queries
        self.description = description
        self.status = "pending"
        self.chunks = 0
        self.space: dict[str, Any] | None = None
        self.partition = Partition.empty()
        self.clusters: dict[int, Cluster] = {}
        self.removed: dict[int, Cluster] = {}
        self.next_cluster_id = 0
        self.history = History()
        self.centroids: str | None = None
        self.carried_from: list[list[Any]] = []
        self.extension: dict[str, Any] | None = None

    # --- how it came to be

    def assign(self, chunk: int, query_ids: QueryIds, labels: Labels, confidence: Vectors) -> None:
        """Record a chunk. One that is recorded already changes nothing, so that a job can be repeated."""
        if self.status != "pending" or chunk < self.chunks:
            return
        if chunk > self.chunks:
            raise Conflict(f"run {self.run_id} waits for chunk {self.chunks}, not for chunk {chunk}")
        scaled = np.rint(np.asarray(confidence) * CONFIDENCE_UNIT).astype(np.uint16)
        self._queries_assigned(
            chunk=chunk,
            count=len(query_ids),
            query_ids=pack(query_ids),
            cluster_ids=pack(labels.astype(np.int32)),
            confidence=pack(scaled),
        )

    @event(QueriesAssigned)
    def _queries_assigned(
        self, chunk: int, count: int, query_ids: str, cluster_ids: str, confidence: str
    ) -> None:
        self.chunks = chunk + 1
        self.partition = self.partition.extended(
            unpack(query_ids).astype(np.int64), unpack(cluster_ids).astype(np.int32)
        )

    def complete(
        self,
        space: Space,
        parameters: dict[str, Any],
        metrics: dict[str, Any],
        num_clusters: int,
        centroids: str,
    ) -> None:
        if self.status == "pending":
            self._completed(
                space=vars(space),
                parameters=parameters,
                metrics=metrics,
                num_clusters=num_clusters,
                centroids=centroids,
            )

    @event(Completed)
    def _completed(
        self,
        space: dict[str, Any],
        parameters: dict[str, Any],
        metrics: dict[str, Any],
        num_clusters: int,
        centroids: str,
    ) -> None:
        self.status = "completed"
        self.space = space
        self.centroids = centroids
        self.clusters = {cluster_id: Cluster() for cluster_id in range(num_clusters)}
        if (self.partition.labels == NOISE).any():
            self.clusters[NOISE] = Cluster()
        self.next_cluster_id = num_clusters

    def retire(self) -> None:
        if self.status != "retired":
            self._retired()

    @event(Retired)
    def _retired(self) -> None:
        self.status = "retired"

    # --- how it grows

    def request_extension(self, extension_id: str, last_query_id: int, confidence_floor: float) -> None:
        """Ask that the queries behind those of the run, up to this one, be assigned to its clusters."""
        self.check_editable()
        if self.extension is not None:
            raise Conflict(f"run {self.run_id} is being extended already: {self.extension['extension_id']}")
        if last_query_id <= self.last_query_id:
            raise Conflict(
                f"no queries were loaded into {self.dataset!r} since run {self.run_id} saw the last"
            )
        if not 0 <= confidence_floor <= 1:
            raise Invalid(f"confidence_floor is {confidence_floor}; it goes from 0 to 1")
        self._extension_requested(
            extension_id=extension_id,
            after_query_id=self.last_query_id,
            last_query_id=last_query_id,
            confidence_floor=confidence_floor,
        )

    @event(ExtensionRequested)
    def _extension_requested(
        self, extension_id: str, after_query_id: int, last_query_id: int, confidence_floor: float
    ) -> None:
        self.extension = {
            "extension_id": extension_id,
            "after_query_id": after_query_id,
            "last_query_id": last_query_id,
            "confidence_floor": confidence_floor,
            "added": 0,
            "orphaned": 0,
        }

    def add(self, extension_id: str, query_ids: QueryIds, labels: Labels, confidence: Vectors) -> None:
        """Record a chunk, in ascending order of id. Queries that are here already are passed over.

        A query whose cluster has gone meanwhile, or whose confidence is less than asked for, is an orphan.
        """
        if self.extension is None or not self._is_extended_by(extension_id):
            return
        new = query_ids > self.last_query_id
        ids, confidence = query_ids[new], np.asarray(confidence)[new]
        gone = ~np.isin(labels[new], list(self.clusters))
        unsure = confidence < self.extension["confidence_floor"]
        found = np.where(gone | unsure, ORPHAN, labels[new]).astype(np.int32)
        if len(ids):
            self._queries_added(
                extension_id=extension_id,
                count=len(ids),
                query_ids=pack(ids),
                cluster_ids=pack(found),
                confidence=pack(np.rint(confidence * CONFIDENCE_UNIT).astype(np.uint16)),
            )

    @event(QueriesAdded)
    def _queries_added(
        self, extension_id: str, count: int, query_ids: str, cluster_ids: str, confidence: str
    ) -> None:
        ids, labels = unpack(query_ids).astype(np.int64), unpack(cluster_ids).astype(np.int32)
        self.partition = self.partition.extended(ids, labels)
        self.last_query_id = int(ids[-1])
        if self.extension is not None:
            orphaned = int((labels == ORPHAN).sum())
            self.extension["added"] += count
            self.extension["orphaned"] += orphaned

    def end_extension(self, extension_id: str, error: str | None) -> None:
        if self.extension is not None and self._is_extended_by(extension_id):
            added, orphaned = self.extension["added"], self.extension["orphaned"]
            mended_error = None if error is None else mended(error)
            self._extension_ended(
                extension_id=extension_id, added=added, orphaned=orphaned, error=mended_error
            )

    def _is_extended_by(self, extension_id: str) -> bool:
        """Whether it is under way. A run that was cleared meanwhile takes in nothing any more."""
        pending = self.extension is not None and self.extension["extension_id"] == extension_id
        return pending and self.status == "completed"

    @event(ExtensionEnded)
    def _extension_ended(self, extension_id: str, added: int, orphaned: int, error: str | None) -> None:
        if self.extension is not None and error is None:
            self.last_query_id = self.extension["last_query_id"]
        self.extension = None

    # --- titles

    def adopt_titles(self, summary_run_id: str, titles: Sequence[Mapping[str, Any]]) -> None:
        """Show these titles (`{cluster_id, title, description}`) where no person has written one.

        A cluster that has been removed meanwhile gets its title all the same: an undo may bring it back.
        What is called so already is passed over.
        """
        self.check_editable()
        names = ("cluster_id", "title", "description")
        new = [{name: one[name] for name in names} for one in titles if self._is_new_to(one, summary_run_id)]
        for start in range(0, len(new), TITLES_AT_ONCE):
            some = new[start : start + TITLES_AT_ONCE]
            self._clusters_titled(summary_run_id=summary_run_id, titles=some)

    def _is_new_to(self, title: Mapping[str, Any], summary_run_id: str) -> bool:
        cluster = self.clusters.get(title["cluster_id"]) or self.removed.get(title["cluster_id"])
        if cluster is None:
            return False
        known = (cluster.named_title, cluster.named_description, cluster.summary_run_id)
        return known != (title["title"], title["description"], summary_run_id)

    @event(ClustersTitled)
    def _clusters_titled(self, summary_run_id: str, titles: list[dict[str, Any]]) -> None:
        for one in titles:
            where = self.clusters if one["cluster_id"] in self.clusters else self.removed
            where[one["cluster_id"]] = replace(
                where[one["cluster_id"]],
                named_title=one["title"],
                named_description=one["description"],
                summary_run_id=summary_run_id,
            )


ClusteringRun.EDITS = frozenset(
    kind for kind in vars(ClusteringRun).values() if isinstance(kind, type) and issubclass(kind, Edit)
)
