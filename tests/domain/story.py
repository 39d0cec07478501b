"""A run that is edited, undone and redone, as the log would keep it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.clustering import Cluster, ClusteringRun, Plan
from tests.runs import completed_run

Decide = Callable[[ClusteringRun], Any]


class Story:
    """A run, and what its edits changed. Queries 1 2, 3 4 and 5 6 are in the clusters 0, 1 and 2."""

    def __init__(self, *decisions: Decide) -> None:
        self.run: Any = completed_run()
        self.changes: dict[int, Any] = {}
        self.run.collect_events()
        self.edits = [self.does(decide) for decide in decisions]

    def does(self, decide: Decide) -> int:
        """The version of the one event that this decision makes."""
        decide(self.run)
        (event,) = self.run.collect_events()
        if hasattr(event, "changes"):
            self.changes[event.originator_version] = event.changes()
        return int(event.originator_version)

    def plan(self, version: int, *, redo: bool = False) -> Plan:
        wanted = self.run.concerned_by(version, redo=redo)
        known = {one: self.changes[one] for one in wanted}
        return self.run.plan(version, known, redo=redo)  # type: ignore[no-any-return]

    def undo(self, version: int) -> int:
        plan = self.plan(version)
        return self.does(lambda run: run.take_back(plan))

    def redo(self, version: int) -> int:
        plan = self.plan(version, redo=True)
        return self.does(lambda run: run.take_back(plan))

    @property
    def labels(self) -> list[int]:
        return self.run.partition.labels.tolist()  # type: ignore[no-any-return]

    @property
    def in_force(self) -> list[int]:
        return sorted(self.run.history.in_force)

    def state(self, version: int) -> str:
        return self.run.history.state(version)  # type: ignore[no-any-return]


def move(query: int, to: int) -> Decide:
    return lambda run: run.move([query], to)


def rename(cluster_id: int, title: str) -> Decide:
    return lambda run: run.rename(cluster_id, title, None)


def group(*edits: int) -> Decide:
    return lambda run: run.trigger_event(run.ProposalAccepted, edits=list(edits), proposal_id="p1")


def shown(run: ClusteringRun) -> tuple[list[int], dict[int, Cluster]]:
    return run.partition.labels.tolist(), dict(run.clusters)
