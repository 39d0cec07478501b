"""Whenever this event, then that job: the only flows from one feature to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.classification import ClassificationRun
from domain.clustering import ClusteringRun
from domain.clustering.edits import Edit
from domain.datasets import Dataset
from domain.evaluation import EvaluationRun, Suggestion
from domain.hierarchy import Hierarchy
from domain.summaries import SummaryRun


@dataclass(frozen=True)
class Job:
    """Work for the queue: the name of a task and what it is called with. `key`: one of these at a time."""

    task: str
    key: str
    arguments: dict[str, Any]
    delay_s: int = 0
    """So long it waits, and what is asked for again meanwhile is done once."""


TIDY_AFTER_S = 10
"""Erasures mostly come in numbers: the database is tidied up once for those of so many seconds."""


def _dataset(task: str, prefix: str = "") -> Callable[[Any], Job]:
    def job(event: Any) -> Job:  # noqa: ANN401
        dataset = event.originator_id.partition("/")[2]
        return Job(task, f"{prefix}{event.job_id}", {"dataset": dataset, "job_id": event.job_id})

    return job


def _title_jobs(event: Any) -> list[Job]:  # noqa: ANN401
    """A job for each cluster whose words an edit changed: what search compares with follows."""
    run_id = event.originator_id.partition("/")[2]
    return [
        Job(
            "embed_titles",
            f"titles-{run_id}-{cluster_id}",
            {"run_id": run_id, "cluster_id": cluster_id},
            delay_s=1,
        )
        for cluster_id, (was, now) in event.changes().clusters.items()
        if now is not None and (was is None or now.keys() & {"own_title", "own_description"})
    ]


def _mixed_titles_job(event: Any) -> Job:  # noqa: ANN401
    run_id = event.originator_id.partition("/")[2]
    return Job("embed_titles", f"titles-{run_id}", {"run_id": run_id, "cluster_id": None})


def _measure_jobs(event: Any) -> list[Job]:  # noqa: ANN401
    """One job for all edits of a second: measures follow whatever changes the members of clusters."""
    match event:
        case ClusteringRun.Completed() | ClusteringRun.QueriesErased() | ClusteringRun.ExtensionEnded():
            concerned = True
        case Edit():
            concerned = bool(event.changes().regrouped)
        case _:
            concerned = False
    run_id = event.originator_id.partition("/")[2]
    return [Job("measure", f"measure-{run_id}", {"run_id": run_id}, delay_s=1)] if concerned else []


def _evaluation_job(event: Any) -> Job:  # noqa: ANN401
    run_id = event.originator_id.partition("/")[2]
    return Job("evaluate", run_id, {"evaluation_run_id": run_id})


def _follow_jobs(event: Any) -> list[Job]:  # noqa: ANN401
    """Hierarchies follow whatever makes or removes clusters."""
    run_id = event.originator_id.partition("/")[2]
    concerned = bool(event.changes().made_or_removed)
    return [_follow_job(run_id)] if concerned else []


def _follow_job(run_id: str) -> Job:
    return Job("follow", f"follow-{run_id}", {"run_id": run_id})


def _hierarchy_job(event: Any) -> Job:  # noqa: ANN401
    hierarchy_run_id = event.originator_id.partition("/")[2]
    return Job("arrange", hierarchy_run_id, {"hierarchy_run_id": hierarchy_run_id})


def _extension_job(event: Any) -> Job:  # noqa: ANN401
    run_id = event.originator_id.partition("/")[2]
    arguments = {"run_id": run_id, "extension_id": event.extension_id}
    return Job("extend", f"{run_id}-{event.extension_id}", arguments)


def _summary_job(event: Any) -> Job:  # noqa: ANN401
    summary_run_id = event.originator_id.partition("/")[2]
    return Job("summarise", summary_run_id, {"summary_run_id": summary_run_id})


def _snapshot_job(event: Any) -> Job:  # noqa: ANN401
    run_id = event.originator_id.partition("/")[2]
    return Job("snapshot", f"snapshot-{event.originator_id}-{event.originator_version}", {"run_id": run_id})


CANCEL_AFTER_S = 10
"""Time for what is under way; a job that still works on it then ends the run by itself all the same."""


def _classify_job(event: Any) -> Job:  # noqa: ANN401
    run_id = event.originator_id.partition("/")[2]
    return Job("classify", run_id, {"classification_run_id": run_id})


def _ingest_job(event: Any) -> Job:  # noqa: ANN401
    run_id = event.originator_id.partition("/")[2]
    arguments = {"classification_run_id": run_id, "ingest_id": event.ingest_id}
    return Job("ingest", f"{run_id}-{event.ingest_id}", arguments)


def _cancel_job(event: Any) -> Job:  # noqa: ANN401
    run_id = event.originator_id.partition("/")[2]
    arguments = {"classification_run_id": run_id}
    return Job("cancel_classification", f"{run_id}-cancel", arguments, delay_s=CANCEL_AFTER_S)


POLICIES: dict[type, Callable[[Any], Job]] = {
    Dataset.LoadRequested: _dataset("load"),
    Dataset.LoadFailed: _dataset("release", "release-"),
    Dataset.ConversationErased: lambda e: Job("tidy", "tidy", {}, delay_s=TIDY_AFTER_S),
    Dataset.EmbeddingRequested: _dataset("embed"),
    ClusteringRun.Created: lambda e: Job("cluster", e.run_id, {"run_id": e.run_id}),
    ClusteringRun.ClustersTitled: _mixed_titles_job,
    SummaryRun.Created: _summary_job,
    SummaryRun.Resumed: _summary_job,
    ClassificationRun.Created: _classify_job,
    ClassificationRun.Resumed: _classify_job,
    ClassificationRun.IngestRequested: _ingest_job,
    ClassificationRun.CancelRequested: _cancel_job,
    ClusteringRun.ExtensionRequested: _extension_job,
    EvaluationRun.Created: _evaluation_job,
    EvaluationRun.Resumed: _evaluation_job,
    Suggestion.Created: lambda e: Job("suggest", e.suggestion_id, {"suggestion_id": e.suggestion_id}),
    Hierarchy.Created: _hierarchy_job,
    Hierarchy.Resumed: _hierarchy_job,
    Hierarchy.Completed: lambda e: _follow_job(e.run_id),
    ClusteringRun.Completed: _snapshot_job,
}

SNAPSHOT_EVERY = 200
"""A snapshot of a run after this many events: its load then replays fewer."""


def jobs_for(event: Any) -> list[Job]:  # noqa: ANN401
    """What an event sets off."""
    jobs = [policy(event)] if (policy := POLICIES.get(type(event))) else []
    if type(event) in ClusteringRun.EDITS:
        jobs += _title_jobs(event) + _follow_jobs(event)
    jobs += _measure_jobs(event)
    stream, version = event.originator_id, event.originator_version
    if stream.startswith(f"{ClusteringRun.PREFIX}/") and version % SNAPSHOT_EVERY == 0:
        jobs.append(_snapshot_job(event))
    return jobs
