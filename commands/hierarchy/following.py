"""Hierarchies follow their run: what an edit did to clusters, it does to their places in every tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from commands.bus import Bus, Handler
from commands.ports import EventStore, Outcome
from domain.clustering import ClusteringRun
from domain.clustering.edits import Edit
from domain.hierarchy import Hierarchy

AT_ONCE = 500
"""Events of the run that are read at a time, and followed by one command."""


@dataclass(frozen=True)
class Step:
    """What an edit of the run did: clusters `gone`, and `came` with what most of each came of."""

    run_version: int
    gone: Sequence[int]
    came: Sequence[tuple[int, int | None]]


@dataclass(frozen=True, kw_only=True)
class FollowRun:
    hierarchy_run_id: str
    steps: Sequence[Step]


def follow_run(cmd: FollowRun, store: EventStore) -> Outcome:
    """An event for each edit that made or removed clusters, caused by it."""
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    versions = {}
    for step in cmd.steps:
        before = hierarchy.version
        hierarchy.follow(step.run_version, step.gone, step.came)
        if hierarchy.version > before:
            versions[hierarchy.version] = step.run_version
    positions = store.positions(ClusteringRun, hierarchy.run_id, versions.values())
    causes = {(hierarchy.id, own): str(positions[theirs]) for own, theirs in versions.items()}
    return Outcome((hierarchy,) if versions else (), causes=causes)


def run_follow(run_id: str, *, bus: Bus, store: EventStore) -> None:
    """Bring the hierarchies of a run up to it. What was followed before is not read again."""
    run = store.load(ClusteringRun, run_id)
    if run.status != "completed":
        return
    for name in store.hierarchies_of(run_id):
        hierarchy = store.load(Hierarchy, name)
        for start in range(hierarchy.run_version + 1, run.version + 1, AT_ONCE):
            versions = range(start, min(start + AT_ONCE, run.version + 1))
            steps = list(steps_of(store.events(ClusteringRun, run_id, versions)))
            if steps and hierarchy.status == "completed":
                bus.handle(FollowRun(hierarchy_run_id=name, steps=steps))


def steps_of(events: dict[int, Any]) -> Iterator[Step]:
    for version, event in sorted(events.items()):
        changes = event.changes() if isinstance(event, Edit) else None
        if changes is not None and changes.made_or_removed:
            states = changes.clusters.items()
            gone = [one for one, (_, now) in states if now is None]
            made = [one for one, (was, _) in states if was is None]
            came = [(one, _source(changes.was[changes.now == one])) for one in made if one >= 0]
            yield Step(version, gone, came)


def _source(labels: Any) -> int | None:  # noqa: ANN401
    """The cluster that most of these came of; None where that was none."""
    found, counts = np.unique(labels[labels >= 0], return_counts=True)
    return int(found[counts.argmax()]) if len(found) else None


HANDLERS: dict[type, Handler] = {FollowRun: follow_run}
