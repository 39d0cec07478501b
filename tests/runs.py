"""Clustering runs in the states that stories begin with, and aggregates made again from their events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from adapters.event_store.store import LogMapper, PlainJson
from domain.base import Aggregate
from domain.clustering import ClusteringRun
from domain.values import Space

SPACE = Space("wordllama", "l2_supercat_4", 4, "r1")
CENTROIDS = "c0" * 32
MAPPER = LogMapper(transcoder=PlainJson())


def requested_run(run_id: str = "kmeans-3-20251004-170442", queries: int = 6) -> ClusteringRun:
    return ClusteringRun(
        run_id=run_id,
        dataset="default",
        algorithm="kmeans",
        parameters={"n_clusters": 3, "seed": 42},
        embedding={"provider": "wordllama", "model": "l2_supercat_4", "options": {}},
        last_query_id=queries,
        queries=queries,
        description=None,
    )


def assign(run: ClusteringRun, chunk: int, query_ids: Sequence[int], labels: Sequence[int]) -> None:
    confidence = np.linspace(0, 1, len(labels), dtype=np.float32)
    run.assign(chunk, np.array(query_ids, np.int64), np.array(labels, np.int32), confidence)


def complete(run: ClusteringRun, clusters: int = 3) -> None:
    run.complete(SPACE, {"n_clusters": clusters, "seed": 42}, {"clusters": clusters}, clusters, CENTROIDS)


def completed_run(labels: Sequence[int] = (0, 0, 1, 1, 2, 2), clusters: int = 3) -> ClusteringRun:
    """Queries 1, 2, ... in these clusters."""
    run = requested_run(queries=len(labels))
    assign(run, 0, range(1, len(labels) + 1), labels)
    complete(run, clusters)
    return run


def titles(summary_run_id: str, *cluster_ids: int) -> list[dict[str, Any]]:
    return [
        {"cluster_id": one, "title": f"{summary_run_id} {one}", "description": f"by {summary_run_id}: {one}"}
        for one in cluster_ids
    ]


def stored(event: Any) -> Any:  # noqa: ANN401
    """The event as it comes back from the log."""
    return MAPPER.to_domain_event(MAPPER.to_stored_event(event))


def replayed(events: Iterable[Any], start: Any = None) -> Any:  # noqa: ANN401
    """The aggregate that these events make, `start` before them."""
    aggregate: Aggregate | None = start
    for event in events:
        aggregate = event.mutate(aggregate)
    return aggregate
