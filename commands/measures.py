"""Measuring the clusters of a run: all of them once, then those whose members an edit has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from commands.bus import Bus, Handler
from commands.ports import Embeddings, EventStore, Outcome
from domain.clustering import ClusteringRun
from domain.clustering.edits import Edit, EditsGrouped
from domain.measures import AT_ONCE, Measures, Tally
from domain.values import QueryIds, Space, Vectors, digest

CHUNK = 10_000
"""Vectors that are read at once."""

MOST_EVENTS = 2_000
"""Events of a run that are read one by one; beyond it two of its states are compared."""


@dataclass(frozen=True, kw_only=True)
class RecordMeasures:
    """`clusters`: `{cluster_id, size, cohesion}`, each with its row of `centroids`."""

    run_id: str
    run_version: int
    clusters: Sequence[Mapping[str, Any]]
    centroids: Vectors
    gone: Sequence[int]


def record_measures(cmd: RecordMeasures, store: EventStore) -> Outcome:
    """The centroids are kept beside the log, under their SHA-256. Of a cleared run nothing is kept."""
    if store.load(ClusteringRun, cmd.run_id).status != "completed":
        return Outcome(())
    measures = store.find(Measures, cmd.run_id) or Measures(cmd.run_id)
    contents: dict[bytes, bytes] = {}
    parts = []
    for start in range(0, max(len(cmd.clusters), 1), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        body = np.ascontiguousarray(cmd.centroids[part], "<f4").tobytes()
        contents[digest(body)] = body
        parts.append((digest(body).hex(), cmd.clusters[part]))
    measures.record(cmd.run_version, parts, cmd.gone)
    return Outcome((measures,), contents=contents) if measures.pending_events else Outcome(())


def run_measure(run_id: str, *, bus: Bus, store: EventStore, embeddings: Embeddings) -> None:
    """Measure the clusters whose members have changed since the last time, the first time all of them."""
    run = store.load(ClusteringRun, run_id)
    if run.status != "completed":
        return
    before = store.find(Measures, run_id)
    changed = changed_clusters(store, run, before.run_version) if before else set(run.clusters)
    there = changed & set(run.clusters)
    if not changed:
        return
    space = Space(**(run.space or {}))
    tally = Tally(there, space.dimension)
    for ids, vectors in _members(run, there, embeddings, space):
        rows, labels = run.partition.among(ids)
        tally.add(labels, vectors[rows])
    sizes = run.partition.sizes()
    clusters = [
        {"cluster_id": one, "size": sizes.get(one, 0), "cohesion": cohesion}
        for one, cohesion in zip(tally.cluster_ids.tolist(), tally.cohesion(), strict=True)
    ]
    command = RecordMeasures(
        run_id=run_id,
        run_version=run.version,
        clusters=clusters,
        centroids=tally.centroids(),
        gone=sorted(changed - there),
    )
    bus.handle(command)


def _members(
    run: ClusteringRun, cluster_ids: set[int], embeddings: Embeddings, space: Space
) -> Iterator[tuple[QueryIds, Vectors]]:
    """The vectors of their members: by one pass over all, where that is less work than to look for each."""
    ids = run.partition.query_ids[np.isin(run.partition.labels, list(cluster_ids))]
    if len(ids) > len(run.partition) // 2:
        yield from embeddings.source(run.dataset, space, run.last_query_id).chunks()
        return
    for start in range(0, len(ids), CHUNK):
        yield embeddings.of_queries(run.dataset, space, ids[start : start + CHUNK])


def changed_clusters(store: EventStore, run: ClusteringRun, since: int) -> set[int]:
    """Clusters that queries have left or entered, or that came or went, since this version of the run."""
    if run.version - since > MOST_EVENTS:
        return _between(store.at_version(ClusteringRun, run.run_id, since), run)
    found: set[int] = set()
    events = store.events(ClusteringRun, run.run_id, range(since + 1, run.version + 1))
    for event in events.values():
        if isinstance(event, Edit):
            found |= event.changes().regrouped
        elif not isinstance(event, EditsGrouped | ClusteringRun.ClustersTitled):
            return _between(store.at_version(ClusteringRun, run.run_id, since), run)
    return found


def _between(before: ClusteringRun, now: ClusteringRun) -> set[int]:
    """The same, from two states of a run, whatever has led from one to the other."""
    was, has = before.partition, now.partition
    labels = has.labels_of(was.query_ids)
    moved = labels != was.labels
    new = has.labels[~np.isin(has.query_ids, was.query_ids, assume_unique=True)]
    return {
        *np.concatenate([was.labels[moved], labels[moved], new]).tolist(),
        *(set(before.clusters) ^ set(now.clusters)),
    }


HANDLERS: dict[type, Handler] = {RecordMeasures: record_measures}
