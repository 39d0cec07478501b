"""Clustering: the request, the recording of what an algorithm found, and the work between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from commands.bus import Bus, Handler
from commands.embedding import embed_queries
from commands.ports import (
    Clusterer,
    Clustering,
    Contents,
    Embedders,
    Embeddings,
    EventStore,
    Outcome,
    Progress,
    VectorSource,
)
from commands.runs import free_id
from domain.clustering import ClusteringRun
from domain.datasets import Dataset
from domain.errors import Conflict, Invalid
from domain.values import Labels, QueryIds, Space, Vectors, digest


@dataclass(frozen=True, kw_only=True)
class RequestClustering:
    """`at` becomes part of the run's id; `embedding`: `{provider, model, options}`."""

    dataset: str
    algorithm: str
    parameters: Mapping[str, Any]
    embedding: Mapping[str, Any]
    description: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class RecordAssignments:
    run_id: str
    chunk: int
    query_ids: QueryIds
    labels: Labels
    confidence: Vectors


@dataclass(frozen=True, kw_only=True)
class CompleteClustering:
    run_id: str
    space: Space
    clustering: Clustering


def request_clustering(cmd: RequestClustering, store: EventStore, clusterer: Clusterer) -> Outcome:
    dataset = store.load(Dataset, cmd.dataset)
    if not dataset.queries:
        raise Invalid(f"data set {cmd.dataset!r} has no queries to cluster; load some first")
    parameters = clusterer.check(cmd.algorithm, cmd.parameters)
    wanted = parameters.get("n_clusters")
    if wanted is not None and wanted > dataset.queries:
        raise Invalid(f"n_clusters is {wanted}, but data set {cmd.dataset!r} has {dataset.queries} queries")
    run_id = free_id(store, ClusteringRun, _run_id(cmd))
    run = ClusteringRun(
        run_id=run_id,
        dataset=cmd.dataset,
        algorithm=cmd.algorithm,
        parameters=parameters,
        embedding=dict(cmd.embedding),
        last_query_id=dataset.last_query_id,
        queries=dataset.queries,
        description=cmd.description,
    )
    return Outcome((run,), {"run_id": run_id, "status": "pending", "processed": 0})


def _run_id(cmd: RequestClustering) -> str:
    """`kmeans-200-20251004-170442`."""
    size = cmd.parameters.get("n_clusters")
    stamp = f"{cmd.at:%Y%m%d-%H%M%S}"
    return f"{cmd.algorithm}-{size}-{stamp}" if size else f"{cmd.algorithm}-{stamp}"


def record_assignments(cmd: RecordAssignments, store: EventStore) -> Outcome:
    run = store.load(ClusteringRun, cmd.run_id)
    run.assign(cmd.chunk, cmd.query_ids, cmd.labels, cmd.confidence)
    return Outcome((run,))


def complete_clustering(cmd: CompleteClustering, store: EventStore) -> Outcome:
    """The centroids are kept beside the log, under their SHA-256.

    Queries that were erased since the job read them are in the chunks: the run forgets them here.
    """
    run = store.load(ClusteringRun, cmd.run_id)
    found = cmd.clustering
    centroids = np.ascontiguousarray(found.centroids, "<f4").tobytes()
    address = digest(centroids)
    run.complete(cmd.space, found.parameters, found.metrics, len(found.centroids), address.hex())
    if run.pending_events and (erased := store.load(Dataset, run.dataset).erased_queries()):
        run.erase(np.array(erased, np.int64))
    return Outcome((run,), contents={address: centroids})


def run_clustering(
    run_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    embeddings: Embeddings,
    embedders: Embedders,
    clusterer: Clusterer,
    progress: Progress,
) -> None:
    """Embed what is missing, cluster, record. A second try computes the same and records what is left."""
    run = store.load(ClusteringRun, run_id)
    if run.status != "pending":
        return
    if run.chunks and run.version > 1 + run.chunks:  # chunks of two tries must be of the same queries
        raise Conflict(
            f"conversations of data set {run.dataset!r} were erased while run {run_id} was recorded; "
            "request a new run"
        )
    embedder = embedders.get(run.embedding["provider"], run.embedding["model"], run.embedding["options"])
    embed_queries(
        run.dataset,
        run.last_query_id,
        embedder,
        bus=bus,
        store=store,
        contents=contents,
        embeddings=embeddings,
        progress=lambda done, total: None,
    )
    vectors = embeddings.source(run.dataset, embedder.space, run.last_query_id)
    if vectors.count == 0:
        raise Conflict(f"data set {run.dataset!r} was cleared before run {run_id} began")
    found = clusterer.cluster(run.algorithm, run.parameters, vectors, progress)
    for chunk, (ids, labels, confidence) in enumerate(_chunks(vectors, found)):
        if chunk >= run.chunks:
            bus.handle(
                RecordAssignments(
                    run_id=run_id, chunk=chunk, query_ids=ids, labels=labels, confidence=confidence
                )
            )
    bus.handle(CompleteClustering(run_id=run_id, space=embedder.space, clustering=found))


def _chunks(vectors: VectorSource, found: Clustering) -> Iterator[tuple[QueryIds, Labels, Vectors]]:
    at = 0
    for ids, _ in vectors.chunks():
        part = slice(at, at + len(ids))
        yield ids, found.labels[part], found.confidence[part]
        at += len(ids)


HANDLERS: dict[type, Handler] = {
    CompleteClustering: complete_clustering,
    RecordAssignments: record_assignments,
    RequestClustering: request_clustering,
}
