"""A hierarchy as it is asked for, recorded and gone on with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from commands.bus import Handler
from commands.ports import NO_USAGE, Child, EventStore, Neighborhood, Outcome, Step, Taxonomists, Usage
from commands.runs import free_id
from domain.clustering import Cluster, ClusteringRun
from domain.errors import Conflict, Invalid, NotFound
from domain.hierarchy import Hierarchy
from domain.hierarchy.tree import MAX_LEVEL
from domain.summaries import SummaryRun

MOST_CLUSTERS = 5_000
"""More are not arranged: they are compared all with one another, which grows with the square."""

FEWEST = 3
"""Fewer nodes are not arranged any further."""

TARGET_LEVELS = 3
MERGE_RATIO = 0.2


@dataclass(frozen=True, kw_only=True)
class RequestHierarchy:
    """`at` becomes part of its id. `summary_run_id` None: the titles that are shown."""

    run_id: str
    model: str
    at: datetime
    summary_run_id: str | None = None
    target_levels: int = TARGET_LEVELS
    merge_ratio: float = MERGE_RATIO
    neighborhood_size: int | None = None
    concurrency: int | None = None
    rpm: int | None = None


@dataclass(frozen=True, kw_only=True)
class BeginLevel:
    hierarchy_run_id: str
    level: int
    wanted: int
    neighborhoods: Sequence[Neighborhood]


@dataclass(frozen=True, kw_only=True)
class RecordStep:
    """Answers of one step, as the events of the hierarchy have them."""

    hierarchy_run_id: str
    level: int
    step: Step
    rows: Sequence[Mapping[str, Any]]
    prompt: str
    usage: Usage
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class EndLevel:
    hierarchy_run_id: str
    level: int


@dataclass(frozen=True, kw_only=True)
class CompleteHierarchy:
    hierarchy_run_id: str


@dataclass(frozen=True, kw_only=True)
class CancelHierarchy:
    hierarchy_run_id: str


@dataclass(frozen=True, kw_only=True)
class ResumeHierarchy:
    hierarchy_run_id: str


def request_hierarchy(cmd: RequestHierarchy, store: EventStore, taxonomists: Taxonomists) -> Outcome:
    if not 2 <= cmd.target_levels <= MAX_LEVEL:
        raise Invalid(
            f"target_levels is {cmd.target_levels}; it goes from 2 (clusters, parents) to {MAX_LEVEL}"
        )
    if not 0 < cmd.merge_ratio < 1:
        raise Invalid(f"merge_ratio is {cmd.merge_ratio}; it lies between 0 and 1: parents per node")
    run = store.load(ClusteringRun, cmd.run_id)
    run.check_editable()
    taxonomist = taxonomists.get(cmd.model)
    clusters = {one: found for one, found in run.clusters.items() if one >= 0}
    _check_clusters(run, clusters, needs_titles=bool(taxonomist.prompts))
    chosen = cmd.summary_run_id
    if chosen is not None:
        titles_of(store, run, chosen)
    asked = ("target_levels", "merge_ratio", "neighborhood_size", "concurrency", "rpm", "summary_run_id")
    hierarchy = Hierarchy(
        hierarchy_run_id=free_id(store, Hierarchy, f"hier-{cmd.run_id}-{cmd.at:%Y%m%d-%H%M%S}"),
        run_id=cmd.run_id,
        run_version=run.version,
        summary_run_id=chosen or _shown_summary(clusters.values()),
        model=taxonomist.model,
        parameters={name: value for name in asked if (value := getattr(cmd, name)) is not None},
    )
    return Outcome((hierarchy,), _answer(hierarchy))


def _answer(hierarchy: Hierarchy) -> dict[str, str]:
    return {name: getattr(hierarchy, name) for name in ("hierarchy_run_id", "run_id", "status")}


def _check_clusters(run: ClusteringRun, clusters: Mapping[int, Cluster], *, needs_titles: bool) -> None:
    if not FEWEST <= len(clusters) <= MOST_CLUSTERS:
        raise Conflict(
            f"run {run.run_id} has {len(clusters)} clusters;"
            f" a hierarchy is made of {FEWEST} to {MOST_CLUSTERS}"
        )
    if needs_titles and not any(one.title for one in clusters.values()):
        raise Conflict(f"no cluster of run {run.run_id} has a title: summarise it first")


def _shown_summary(clusters: Iterable[Cluster]) -> str | None:
    """The summary run of which most titles are."""
    found = Counter(one.summary_run_id for one in clusters if one.summary_run_id)
    return max(found, key=lambda one: (found[one], one), default=None)


def titles_of(store: EventStore, run: ClusteringRun, summary_run_id: str) -> Mapping[int, Mapping[str, Any]]:
    """What a summary run calls the clusters. Raises NotFound, and Conflict for one that cannot be used."""
    summary = store.find(SummaryRun, summary_run_id)
    if summary is None or summary.run_id != run.run_id:
        raise NotFound(f"run {run.run_id} has no summary run {summary_run_id!r}")
    if summary.status != "completed":
        raise Conflict(f"summary run {summary_run_id} is {summary.status}: only a completed one can be used")
    return summary.summaries


def begin_level(cmd: BeginLevel, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    areas = [
        {"cluster_ids": _ids_of(one.children), "outside_ids": _ids_of(one.outside), "wanted": one.wanted}
        for one in cmd.neighborhoods
    ]
    hierarchy.begin_level(cmd.level, cmd.wanted, areas)
    return Outcome((hierarchy,))


def _ids_of(children: Iterable[Child]) -> list[int]:
    return [one.cluster_id for one in children]


def record_step(cmd: RecordStep, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    record: dict[Step, Callable[..., None]] = {
        "propose": hierarchy.record_proposals,
        "deduplicate": partial(hierarchy.choose, error=cmd.error),
        "assign": hierarchy.record_assignments,
        "rename": hierarchy.record_names,
    }
    usage = {} if cmd.usage == NO_USAGE else asdict(cmd.usage)
    record[cmd.step](cmd.level, cmd.rows, cmd.prompt, usage)
    return Outcome((hierarchy,))


def end_level(cmd: EndLevel, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    hierarchy.end_level(cmd.level)
    return Outcome((hierarchy,))


def complete_hierarchy(cmd: CompleteHierarchy, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    hierarchy.complete()
    return Outcome((hierarchy,))


def cancel_hierarchy(cmd: CancelHierarchy, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    hierarchy.cancel()
    return Outcome((hierarchy,), _answer(hierarchy))


def resume_hierarchy(cmd: ResumeHierarchy, store: EventStore, taxonomists: Taxonomists) -> Outcome:
    """Raises what a new request would: its model may not be there any more."""
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    store.load(ClusteringRun, hierarchy.run_id).check_editable()
    taxonomists.get(hierarchy.model)
    hierarchy.resume()
    return Outcome((hierarchy,), _answer(hierarchy))


HANDLERS: dict[type, Handler] = {
    BeginLevel: begin_level,
    CancelHierarchy: cancel_hierarchy,
    CompleteHierarchy: complete_hierarchy,
    EndLevel: end_level,
    RecordStep: record_step,
    RequestHierarchy: request_hierarchy,
    ResumeHierarchy: resume_hierarchy,
}
