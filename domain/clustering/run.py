"""`ClusteringRun`: how it came to be, and every edit since. Its stream is the edit log of the run."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, cast

import numpy as np

from domain.base import Aggregate, Conflict, Invalid, NotFound, event
from domain.clustering.partition import Partition
from domain.values import NOISE, Labels, QueryIds, Space, Vectors, mended, pack, unpack

CONFIDENCE_UNIT = 10_000
"""Confidences stand in events as whole ten-thousandths."""

MAX_TITLE = 200
MAX_DESCRIPTION = 4_000


@dataclass(frozen=True)
class Cluster:
    """A cluster besides its members. `edited`: a person wrote it, so that no summary replaces it."""

    title: str | None = None
    description: str | None = None
    title_edited: bool = False
    description_edited: bool = False
    summary_run_id: str | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Cluster:
        return self


def check_text(field: str, text: str, longest: int) -> str:
    """A title or description as people write it, or Invalid."""
    if not text.strip():
        raise Invalid(f"{field} must not be empty")
    if len(text) > longest:
        raise Invalid(f"{field} has {len(text)} characters; {longest} are allowed")
    if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text):
        raise Invalid(f"{field} has control characters")
    return text


class ClusteringRun(Aggregate):
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

    class Failed(Aggregate.Event):
        TOPIC = "clustering.failed"
        error: str

    class ClustersTitled(Aggregate.Event):
        """A summary run's titles became the ones that are shown, except where a person had written one."""

        TOPIC = "clustering.clusters_titled"
        summary_run_id: str
        titles: list[dict[str, Any]]

    class ClusterRenamed(Aggregate.Event):
        TOPIC = "curation.cluster_renamed"
        cluster_id: int
        was_title: str | None
        title: str | None
        was_description: str | None
        description: str | None

    class QueriesMoved(Aggregate.Event):
        """`was` says for each query the cluster that it came from."""

        TOPIC = "curation.queries_moved"
        query_ids: list[int]
        was: list[int]
        cluster_id: int

    class Retired(Aggregate.Event):
        """It left the read models together with its data set."""

        TOPIC = "clustering.retired"

    class Snapshot(Aggregate.Snapshot):
        TOPIC = "clustering.snapshot"

        @classmethod
        def take(cls, aggregate: Any) -> Self:  # noqa: ANN401
            snapshot = super().take(aggregate)
            snapshot.state["partition"] = aggregate.partition.packed()
            snapshot.state["clusters"] = [[key, asdict(one)] for key, one in aggregate.clusters.items()]
            for name in ("_id", "_version", "_pending_events"):
                snapshot.state.pop(name)
            return snapshot

        def mutate(self, _: None) -> ClusteringRun:
            run = cast(ClusteringRun, super().mutate(None))
            run.partition = Partition.unpacked(cast("dict[str, str]", run.partition))
            run.clusters = {key: Cluster(**one) for key, one in cast("list[Any]", run.clusters)}
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
            cluster = self.clusters[one["cluster_id"]]
            self.clusters[one["cluster_id"]] = replace(
                cluster,
                title=cluster.title if cluster.title_edited else one["title"],
                description=cluster.description if cluster.description_edited else one["description"],
                summary_run_id=summary_run_id,
            )

    # --- edits

    def rename(self, cluster_id: int, title: str | None, description: str | None) -> Cluster:
        """Give a cluster another title or description; None keeps what is there. Returns what was before."""
        self.check_editable()
        if title is None and description is None:
            raise Invalid("give a title, a description or both")
        was = self.cluster(cluster_id)
        title = was.title if title is None else check_text("title", title, MAX_TITLE)
        if description is None:
            description = was.description
        else:
            check_text("description", description, MAX_DESCRIPTION)
        if (title, description) != (was.title, was.description):
            self._cluster_renamed(
                cluster_id=cluster_id,
                was_title=was.title,
                title=title,
                was_description=was.description,
                description=description,
            )
        return was

    @event(ClusterRenamed)
    def _cluster_renamed(
        self,
        cluster_id: int,
        was_title: str | None,
        title: str | None,
        was_description: str | None,
        description: str | None,
    ) -> None:
        cluster = self.clusters[cluster_id]
        self.clusters[cluster_id] = replace(
            cluster,
            title=title,
            description=description,
            title_edited=cluster.title_edited or title != was_title,
            description_edited=cluster.description_edited or description != was_description,
        )

    def move(self, query_id: int, cluster_id: int) -> int:
        """Put a query into another cluster. Returns the cluster that it was in."""
        self.check_editable()
        self.cluster(cluster_id)
        was = self.partition.cluster_of(query_id)
        if was is None:
            raise NotFound(f"query {query_id} is not part of run {self.run_id}")
        if was != cluster_id:
            self._queries_moved(query_ids=[query_id], was=[was], cluster_id=cluster_id)
        return was

    @event(QueriesMoved)
    def _queries_moved(self, query_ids: list[int], was: list[int], cluster_id: int) -> None:
        self.partition = self.partition.moved(query_ids, cluster_id)

    # --- questions

    def cluster(self, cluster_id: int) -> Cluster:
        try:
            return self.clusters[cluster_id]
        except KeyError:
            raise NotFound(f"run {self.run_id} has no cluster {cluster_id}") from None

    def check_editable(self) -> None:
        if self.status == "retired":
            raise NotFound(f"run {self.run_id} was cleared together with data set {self.dataset!r}")
        if self.status != "completed":
            raise Conflict(f"run {self.run_id} is {self.status}: only a completed run can be edited")
