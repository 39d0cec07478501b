"""What the queue can run: the work of each task, and the command that records its failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from commands.classification import (
    EndIngest,
    FailClassification,
    run_cancelled,
    run_classification,
    run_ingest,
)
from commands.clustering import FailClustering, run_clustering
from commands.datasets import EndEmbedding, EndLoad, run_embedding, run_load, run_release
from commands.evaluation import EndEvaluation, FailSuggestion, run_evaluation, run_suggestion
from commands.extension import EndExtension, run_extension
from commands.hierarchy import FailHierarchy, run_follow, run_hierarchy
from commands.measures import run_measure
from commands.ports import Contents, EventStore
from commands.summaries import FailSummary, run_embed_titles, run_summary
from domain.clustering import ClusteringRun


@dataclass(frozen=True)
class Work:
    """`run` is called with the job's arguments and what it needs; run again, it goes on where it stopped.

    `failed` makes the command that records why it was given up; None where nobody waits for the result.
    """

    run: Callable[..., None]
    failed: Callable[[Mapping[str, Any], str], object] | None = None


def run_snapshot(run_id: str, *, store: EventStore) -> None:
    store.take_snapshot(ClusteringRun, run_id)


def run_tidy(*, contents: Contents) -> None:
    """After erasures: what the database still knows of rows that are gone."""
    contents.tidy()


WORK: dict[str, Work] = {
    "load": Work(run_load, lambda job, error: EndLoad(**job, error=error)),
    "embed": Work(run_embedding, lambda job, error: EndEmbedding(**job, error=error)),
    "cluster": Work(run_clustering, lambda job, error: FailClustering(**job, error=error)),
    "classify": Work(run_classification, lambda job, error: FailClassification(**job, error=error)),
    "ingest": Work(run_ingest, lambda job, error: EndIngest(**job, error=error)),
    "cancel_classification": Work(run_cancelled),
    "evaluate": Work(run_evaluation, lambda job, error: EndEvaluation(**job, error=error)),
    "suggest": Work(run_suggestion, lambda job, error: FailSuggestion(**job, error=error)),
    "extend": Work(run_extension, lambda job, error: EndExtension(**job, error=error)),
    "summarise": Work(run_summary, lambda job, error: FailSummary(**job, error=error)),
    "embed_titles": Work(run_embed_titles),
    "arrange": Work(run_hierarchy, lambda job, error: FailHierarchy(**job, error=error)),
    "follow": Work(run_follow),
    "measure": Work(run_measure),
    "release": Work(run_release),
    "snapshot": Work(run_snapshot),
    "tidy": Work(run_tidy),
}
