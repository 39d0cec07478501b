"""`ClusteringRun`: how it came to be, and every edit since. Its stream is the edit log of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self, cast

import numpy as np

from domain.base import Aggregate, Conflict, event
from domain.clustering.cluster import Cluster
from domain.clustering.curation import Curation
from domain.clustering.edits import Edit
from domain.clustering.history import History
from domain.clustering.partition import Partition
from domain.values import NOISE, Labels, QueryIds, Space, Vectors, mended, pack, unpack

CONFIDENCE_UNIT = 10_000
"""Confidences stand in events as whole ten-thousandths."""


class ClusteringRun(Curation):
    TOPIC = "clustering"
    PREFIX = "clustering"
    EDITS: ClassVar[frozenset[type[Any]]]
    """The events that change what people see, undo and redo among them."""

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

    class Failed(Aggregate.Event):
        TOPIC = "clustering.failed"
        error: str

    class ClustersTitled(Aggregate.Event):
        """A summary run's titles became the ones that are shown, except where a person had written one."""

        TOPIC = "clustering.clusters_titled"
        summary_run_id: str
        titles: list[dict[str, Any]]

    class Retired(Aggregate.Event):
        """It left the read models together with its data set."""

        TOPIC = "clustering.retired"

    class Snapshot(Aggregate.Snapshot):
        TOPIC = "clustering.state"

        @classmethod
        def take(cls, aggregate: Any) -> Self:  # noqa: ANN401
            snapshot = super().take(aggregate)
            snapshot.state["partition"] = aggregate.partition.packed()
            snapshot.state["clusters"] = [
                [key, one.fields()] for key, one in sorted(aggregate.clusters.items())
            ]
            snapshot.state["history"] = aggregate.history.packed()
            for name in ("_id", "_version", "_pending_events"):
                snapshot.state.pop(name)
            return snapshot

        def mutate(self, _: None) -> ClusteringRun:
            run = cast(ClusteringRun, super().mutate(None))
            run.partition = Partition.unpacked(cast("dict[str, str]", run.partition))
            run.clusters = {key: Cluster.of(one) for key, one in cast("list[Any]", run.clusters)}
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
        self.next_cluster_id = 0
        self.history = History()
        self.centroids: str | None = None
        self.carried_from: list[list[Any]] = []

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

    def fail(self, error: str) -> None:
        if self.status == "pending":
            self._failed(error=mended(error))

    @event(Failed)
    def _failed(self, error: str) -> None:
        self.status = "failed"

    def retire(self) -> None:
        if self.status != "retired":
            self._retired()

    @event(Retired)
    def _retired(self) -> None:
        self.status = "retired"

    # --- titles

    def adopt_titles(self, summary_run_id: str, titles: Sequence[Mapping[str, Any]]) -> None:
        """Show these titles (`{cluster_id, title, description}`) where no person has written one."""
        self.check_editable()
        names = ("cluster_id", "title", "description")
        known = [{name: one[name] for name in names} for one in titles if one["cluster_id"] in self.clusters]
        if known:
            self._clusters_titled(summary_run_id=summary_run_id, titles=known)

    @event(ClustersTitled)
    def _clusters_titled(self, summary_run_id: str, titles: list[dict[str, Any]]) -> None:
        for one in titles:
            self.clusters[one["cluster_id"]] = replace(
                self.clusters[one["cluster_id"]],
                named_title=one["title"],
                named_description=one["description"],
                summary_run_id=summary_run_id,
            )


ClusteringRun.EDITS = frozenset(
    kind for kind in vars(ClusteringRun).values() if isinstance(kind, type) and issubclass(kind, Edit)
)
