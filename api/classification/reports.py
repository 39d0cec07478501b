"""How the labels of a run are distributed, in all and across clusters."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.classification.results import Clustering, clustering_of
from api.classification.runs import run_row
from api.classification.vocabulary import Labels, Vocabulary
from api.deps import reads
from api.time_travel import Seen, SeenDep
from projections import classification as read

router = APIRouter()


class Agreement(BaseModel):
    """Of the results whose query came with a label (or domain) in its metadata."""

    truth: read.Truth
    compared: int
    agreed: int
    accuracy: float | None = None


class RunStats(BaseModel):
    """`query_count`: results with a label. `cluster_distribution` is empty where there are no clusters."""

    label_distribution: dict[str, int]
    cluster_distribution: dict[int, dict[str, int]]
    query_count: int
    template_hash: str
    error_count: int
    clustering_run_id: str | None = None
    agreement: Agreement | None = None


class ClusterToLabelCount(BaseModel):
    cluster_id: int
    counts: dict[str, int]


class LabelToClusterCount(BaseModel):
    label: str
    counts: dict[int, int]


class LabelPivotResponse(BaseModel):
    """`outside`: results of queries that the clustering run does not have."""

    clusters_to_labels: list[ClusterToLabelCount]
    labels_to_clusters: list[LabelToClusterCount]
    clustering_run_id: str
    outside: int = Field(ge=0)


@router.get("/runs/{run_id}/stats", dependencies=reads)
def get_stats(
    run_id: str,
    seen: SeenDep,
    clustering_run_id: Clustering = None,
    truth: Annotated[read.Truth | None, Query(description="Compare with this of the metadata.")] = None,
    vocabulary: Vocabulary = "original",
) -> RunStats:
    """Labels in all and by cluster. `as_of`: the clusters as they were, and what was known then."""
    run = run_row(seen.connection, run_id)
    labels = Labels(seen.container, run, vocabulary)
    chosen = clustering_run_id or run["filters"].get("run_id")
    counts = read.label_counts(seen.connection, run["run_no"], seen.position)
    cells = _crossed(seen, run, chosen) if chosen is not None else []
    return RunStats(
        label_distribution=labels.added_up(counts.items()),
        cluster_distribution=_by_cluster(cells, labels),
        query_count=sum(counts.values()),
        template_hash=run["template_hash"],
        error_count=run["failed"],
        clustering_run_id=chosen,
        agreement=_agreement(seen, run, truth) if truth else None,
    )


def _agreement(seen: Seen, run: dict[str, Any], truth: read.Truth) -> Agreement:
    compared, agreed = read.agreement(seen.connection, run["run_no"], truth)
    accuracy = round(agreed / compared, 4) if compared else None
    return Agreement(truth=truth, compared=compared, agreed=agreed, accuracy=accuracy)


@router.get("/runs/{run_id}/pivot", dependencies=reads)
def get_pivot(
    run_id: str, seen: SeenDep, clustering_run_id: Clustering = None, vocabulary: Vocabulary = "original"
) -> LabelPivotResponse:
    """Clusters by labels, from both sides; -1 is the noise, -2 the orphans."""
    run = run_row(seen.connection, run_id)
    labels = Labels(seen.container, run, vocabulary)
    chosen = clustering_of(run, clustering_run_id)
    cells = _crossed(seen, run, chosen)
    by_label: dict[str, dict[int, int]] = defaultdict(dict)
    for cell in cells:
        row = by_label[labels.names[cell.label]]
        row[cell.cluster_id] = row.get(cell.cluster_id, 0) + cell.results
    counts = read.label_counts(seen.connection, run["run_no"], seen.position)
    return LabelPivotResponse(
        clusters_to_labels=[
            ClusterToLabelCount(cluster_id=one, counts=many)
            for one, many in _by_cluster(cells, labels).items()
        ],
        labels_to_clusters=[
            LabelToClusterCount(label=name, counts=by_label[name]) for name in sorted(by_label)
        ],
        clustering_run_id=chosen,
        outside=max(0, sum(counts.values()) - sum(cell.results for cell in cells)),
    )


def _crossed(seen: Seen, run: dict[str, Any], clustering_run_id: str) -> list[read.Crossed]:
    clustering = seen.run(clustering_run_id)
    run_no = clustering.row.get("run_no")
    return read.cross(seen.connection, run["run_no"], run_no, clustering.past, seen.position)


def _by_cluster(cells: list[read.Crossed], labels: Labels) -> dict[int, dict[str, int]]:
    clusters: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for cell in cells:
        clusters[cell.cluster_id].append((cell.label, cell.results))
    return {one: labels.added_up(counts) for one, counts in sorted(clusters.items())}
