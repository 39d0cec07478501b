"""What the queue can run: the work of each task, and the command that records its failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from commands.classification import (
    EndIngest,
    run_cancelled,
    run_classification,
    run_ingest,
)
from commands.clustering import run_clustering
from commands.datasets import EndEmbedding, EndLoad, run_embedding, run_load, run_release
from commands.evaluation import EndEvaluation, run_evaluation, run_suggestion
from commands.extension import EndExtension, run_extension
from commands.hierarchy import run_follow, run_hierarchy
from commands.measures import run_measure
from commands.ports import Contents, EventStore
from commands.runs import Fail
from commands.summaries import run_embed_titles, run_summary
from domain.classification import ClassificationRun
from domain.clustering import ClusteringRun
from domain.evaluation import Suggestion
from domain.hierarchy import Hierarchy
from domain.runs import Run
from domain.summaries import SummaryRun


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


def _failed(kind: type[Run]) -> Callable[[Mapping[str, Any], str], Fail]:
    """Of a job whose one argument is the name of the run."""

    def failed(job: Mapping[str, Any], error: str) -> Fail:
        (name,) = job.values()
        return Fail(kind=kind, name=name, error=error)

    return failed


WORK: dict[str, Work] = {
    "load": Work(run_load, lambda job, error: EndLoad(**job, error=error)),
    "embed": Work(run_embedding, lambda job, error: EndEmbedding(**job, error=error)),
    "cluster": Work(run_clustering, _failed(ClusteringRun)),
    "classify": Work(run_classification, _failed(ClassificationRun)),
    "ingest": Work(run_ingest, lambda job, error: EndIngest(**job, error=error)),
    "cancel_classification": Work(run_cancelled),
    "evaluate": Work(run_evaluation, lambda job, error: EndEvaluation(**job, error=error)),
    "suggest": Work(run_suggestion, _failed(Suggestion)),
    "extend": Work(run_extension, lambda job, error: EndExtension(**job, error=error)),
    "summarise": Work(run_summary, _failed(SummaryRun)),
    "embed_titles": Work(run_embed_titles),
    "arrange": Work(run_hierarchy, _failed(Hierarchy)),
    "follow": Work(run_follow),
    "measure": Work(run_measure),
    "release": Work(run_release),
    "snapshot": Work(run_snapshot),
    "tidy": Work(run_tidy),
}
