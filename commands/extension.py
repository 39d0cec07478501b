"""A run extended: queries that were loaded since go to its clusters; what people did is not touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from commands.bus import Bus, Handler
from commands.embedding import embed_queries
from commands.ports import Contents, Embedders, Embeddings, EventStore, Outcome, Progress
from domain.clustering import ClusteringRun
from domain.datasets import Dataset
from domain.errors import Conflict
from domain.measures import Tally
from domain.values import ORPHAN, Labels, QueryIds, Space, Vectors

CHUNK = 10_000
ROWS_AT_ONCE = 1_000
"""Queries that are compared with all clusters at once: 20 MB with 5,000 of these."""

CONFIDENCE_FLOOR = 0.05
"""Below it a query is about as near to another cluster as to its own: 7 of 10 such would go wrong, of what
belongs to no cluster half is below (docs/carry-over.md)."""


@dataclass(frozen=True, kw_only=True)
class RequestExtension:
    """`at` becomes part of the extension's id."""

    run_id: str
    at: datetime
    confidence_floor: float = CONFIDENCE_FLOOR


@dataclass(frozen=True, kw_only=True)
class RecordAdded:
    run_id: str
    extension_id: str
    query_ids: QueryIds
    labels: Labels
    confidence: Vectors


@dataclass(frozen=True, kw_only=True)
class EndExtension:
    run_id: str
    extension_id: str
    error: str | None = None


def request_extension(cmd: RequestExtension, store: EventStore) -> Outcome:
    run = store.load(ClusteringRun, cmd.run_id)
    run.check_editable()
    extension_id = f"extend-{cmd.at:%Y%m%d-%H%M%S}-v{run.version + 1}"
    dataset = store.load(Dataset, run.dataset)
    run.request_extension(extension_id, dataset.last_query_id, cmd.confidence_floor)
    return Outcome((run,), {"run_id": run.run_id, "extension_id": extension_id, "status": "pending"})


def record_added(cmd: RecordAdded, store: EventStore) -> Outcome:
    run = store.load(ClusteringRun, cmd.run_id)
    run.add(cmd.extension_id, cmd.query_ids, cmd.labels, cmd.confidence)
    return Outcome((run,))


def end_extension(cmd: EndExtension, store: EventStore) -> Outcome:
    run = store.load(ClusteringRun, cmd.run_id)
    run.end_extension(cmd.extension_id, cmd.error)
    if run.pending_events and (erased := store.load(Dataset, run.dataset).erased_queries()):
        run.erase(np.array(erased, np.int64))  # since the job read them
    return Outcome((run,))


def run_extension(
    run_id: str,
    extension_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    embeddings: Embeddings,
    embedders: Embedders,
    progress: Progress,
) -> None:
    """Embed what is missing, find the nearest cluster of each, record. A second try goes on from there.

    Clusters are as they were found when the extension was asked for, edited as they are when the job begins:
    what it adds itself draws no centroid away, so that it matters to no query where a worker died.
    """
    run = store.load(ClusteringRun, run_id)
    if run.status != "completed" or not run.extension or run.extension["extension_id"] != extension_id:
        return
    last = int(run.extension["last_query_id"])
    embedder = embedders.get(run.embedding["provider"], run.embedding["model"], run.embedding["options"])
    if vars(embedder.space) != run.space:
        raise Conflict(f"run {run_id} is in another space than {embedder.space.name}: it cannot be extended")
    embed_queries(
        run.dataset,
        last,
        embedder,
        bus=bus,
        store=store,
        contents=contents,
        embeddings=embeddings,
        progress=lambda done, total: None,
    )
    before = int(run.extension["after_query_id"])
    cluster_ids, centroids = present_centroids(run, embeddings, embedder.space, before)
    done = 0
    for ids, vectors in _added(embeddings, run, embedder.space, last):
        labels, confidence = nearest(vectors, cluster_ids, centroids)
        bus.handle(
            RecordAdded(
                run_id=run_id,
                extension_id=extension_id,
                query_ids=ids,
                labels=followed(labels, run, store.load(ClusteringRun, run_id)),
                confidence=confidence,
            )
        )
        done += len(ids)
        progress(done, None)
    bus.handle(EndExtension(run_id=run_id, extension_id=extension_id))


def present_centroids(
    run: ClusteringRun, embeddings: Embeddings, space: Space, up_to: int
) -> tuple[Labels, Vectors]:
    """The clusters as people have them now, and the mean direction of the members up to this query id.

    Left out are the noise and what has no direction: clusters without members, or of empty texts alone.
    """
    tally = Tally([one for one in run.clusters if one >= 0], space.dimension)
    for ids, vectors in embeddings.source(run.dataset, space, up_to).chunks():
        rows, labels = run.partition.among(ids)
        tally.add(labels, vectors[rows])
    centroids = tally.centroids()
    directed = centroids.any(axis=1)
    if not directed.any():
        raise Conflict(f"run {run.run_id} has no cluster with members: there is nothing to assign to")
    return tally.cluster_ids[directed], centroids[directed]


def followed(labels: Labels, begun: ClusteringRun, now: ClusteringRun) -> Labels:
    """Where a cluster has gone since the job began, the one that has most of its members: it was merged."""
    found = labels.copy()
    for gone in set(np.unique(labels).tolist()) - now.clusters.keys() - {ORPHAN}:
        there = now.partition.labels_of(begun.partition.members(gone))
        heirs, counts = np.unique(there, return_counts=True)
        found[labels == gone] = heirs[counts.argmax()] if len(heirs) else ORPHAN
    return found


def nearest(vectors: Vectors, cluster_ids: Labels, centroids: Vectors) -> tuple[Labels, Vectors]:
    """The nearest cluster of each, and (b - a) / b with a, b the cosine distances to it and to the next one.

    1 is at the centroid, 0 half way between two; with one cluster alone b is 1. Without a direction: ORPHAN.
    """
    parts = [
        _nearest(vectors[at : at + ROWS_AT_ONCE], cluster_ids, centroids)
        for at in range(0, max(len(vectors), 1), ROWS_AT_ONCE)
    ]
    labels, confidence = zip(*parts, strict=True)
    return np.concatenate(labels), np.concatenate(confidence)


def _nearest(vectors: Vectors, cluster_ids: Labels, centroids: Vectors) -> tuple[Labels, Vectors]:
    similarity = vectors @ centroids.T
    best = similarity.argmax(axis=1)
    rows = np.arange(len(vectors))
    own = 1 - similarity[rows, best]
    similarity[rows, best] = -np.inf
    other = 1 - similarity.max(axis=1, initial=0.0 if len(cluster_ids) == 1 else -np.inf)
    confidence = np.clip((other - own) / np.maximum(other, 1e-9), 0, 1)
    nowhere = ~vectors.any(axis=1)
    labels = np.where(nowhere, ORPHAN, cluster_ids[best])
    return labels.astype(np.int32), np.where(nowhere, 0, confidence).astype(np.float32)


def _added(
    embeddings: Embeddings, run: ClusteringRun, space: Space, last: int
) -> Iterator[tuple[QueryIds, Vectors]]:
    after = run.last_query_id
    while rows := embeddings.queries(run.dataset, after, last, CHUNK):
        after = rows[-1][0]
        yield embeddings.of_queries(run.dataset, space, np.array([row[0] for row in rows], np.int64))


HANDLERS: dict[type, Handler] = {
    EndExtension: end_extension,
    RecordAdded: record_added,
    RequestExtension: request_extension,
}
