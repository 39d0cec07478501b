"""Two runs with their edits, and the carrying over from one to the other as the command does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adapters.matching import best_pairs
from domain.clustering import ClusteringRun
from domain.clustering.carrying import CarryOver, Earlier, as_found
from domain.clustering.edits import EditsGrouped
from domain.clustering.lineage import THRESHOLD, match
from tests.runs import completed_run

Edit = Callable[[ClusteringRun], Any]


class Story:
    """A run with all its events, so that its edits in force can be told as the log would."""

    def __init__(self, labels: Sequence[int], clusters: int = 3) -> None:
        self.run = completed_run(labels, clusters)
        self.events: dict[int, Any] = {}
        self.keep()

    def keep(self) -> None:
        self.events |= {one.originator_version: one for one in self.run.collect_events()}

    def edit(self, *edits: Edit) -> Story:
        """Returns itself; refusals are raised."""
        for one in edits:
            one(self.run)
        self.keep()
        return self

    def in_force(self) -> dict[int, Any]:
        return {one: self.events[one] for one in self.run.history.in_force}

    def single(self) -> dict[int, Any]:
        return {one: event for one, event in self.in_force().items() if not isinstance(event, EditsGrouped)}

    def undo(self, version: int, redo: bool = False) -> Story:
        concerned = self.run.concerned_by(version, redo=redo)
        changes = {one: self.events[one].changes() for one in concerned}
        self.run.take_back(self.run.plan(version, changes, redo=redo))
        self.keep()
        return self

    def last(self) -> int:
        return max(self.events)


def carried(
    older: Story, newer: Story, from_run_id: str = "older", record: bool = True, threshold: float = THRESHOLD
) -> CarryOver:
    """As the command does it, without the log."""
    past, found = as_found(older.run, older.single()), as_found(newer.run, newer.single())
    lineage = match(past[0], found[0], past[1], found[1], best_pairs, threshold=threshold)
    before = [
        one
        for _, one in sorted(newer.in_force().items())
        if isinstance(one, ClusteringRun.CarriedOver) and one.from_run_id == from_run_id
    ]
    carry = CarryOver(newer.run, past[0], lineage, newer.single(), Earlier.of(before))
    carry.carry(older.single())
    version = [from_run_id, older.run.version]
    if record and (carry.made or version not in newer.run.carried_from):
        newer.run.trigger_event(
            ClusteringRun.CarriedOver,
            edits=[one.new for one in carry.made],
            from_edits=[one.old for one in carry.made],
            already=carry.found_so(),
            from_run_id=from_run_id,
            from_version=older.run.version,
            threshold=THRESHOLD,
            lineage=[],
            heirs=carry.heirs(),
            undecided=[{"version": one.old, "reason": one.reason} for one in carry.undecided],
        )
        newer.keep()
    return carry


def outcome(carry: CarryOver) -> tuple[int, int, list[str]]:
    """How many were made, how many were so, and the reasons of the others."""
    made = len({one.old for one in carry.made})
    return made, len(carry.already), [one.reason for one in carry.undecided]


def titled(run: ClusteringRun) -> dict[int, str | None]:
    return {one: cluster.title for one, cluster in run.clusters.items()}


def labels(run: ClusteringRun) -> list[int]:
    return [int(one) for one in run.partition.labels]


PLAIN = [0] * 4 + [1] * 4 + [2] * 4
"""Queries 1 to 4, 5 to 8 and 9 to 12."""
OTHER = [2] * 4 + [0] * 4 + [1] * 4
"""The same clusters with other numbers: 0 is 2 here, 1 is 0, 2 is 1."""


def plain(*edits: Edit) -> Story:
    return Story(PLAIN).edit(*edits)


def other(*edits: Edit) -> Story:
    return Story(OTHER).edit(*edits)


AS_ONE = [0] * 8 + [1] * 4
"""What PLAIN has as 0 and 1 is 0 here."""
