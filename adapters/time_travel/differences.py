"""What lies between two states of runs: compared once, and kept, for neither of them changes any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection

from adapters.matching import best_pairs
from adapters.time_travel.kept import Kept
from adapters.time_travel.states import TimeTravel
from domain.clustering import ClusteringRun
from domain.clustering.comparison import Comparison, compare, moved_queries
from domain.clustering.difference import (
    ClusterDifference,
    Edit,
    Matching,
    of_one_run,
    of_two_runs,
)
from domain.clustering.lineage import Lineage, match
from domain.errors import Conflict, Invalid
from domain.values import NOISE
from projections.clustering import PastRun
from projections.curation import reshaping_edits

MOST_PAIRS = 4_000_000
"""Clusters of the one run times those of the other, beyond which they are not matched: it takes seconds."""

MOST_BYTES = 64_000_000
FLOW_BYTES = 40
CLUSTER_BYTES = 1_000


@dataclass(frozen=True)
class Side:
    """A run at a moment. `time`: when the event at `position` was recorded."""

    past: PastRun
    position: int
    time: datetime | None

    @property
    def run(self) -> ClusteringRun:
        return self.past.run


@dataclass(frozen=True, eq=False)
class Difference:
    """`clusters` is None where two runs have too many clusters to be matched: then all queries are `moved`.

    `moved`: how many are elsewhere than where their cluster goes on.
    """

    comparison: Comparison
    clusters: ClusterDifference | None
    matching: Matching
    moved: int


class Differences:
    def __init__(self, time_travel: TimeTravel) -> None:
        self._time_travel = time_travel
        self._kept: Kept[tuple[PastRun, PastRun, Difference]] = Kept(MOST_BYTES)

    def side(self, given: str, name: str, now: int) -> Side:
        """`RUN` or `RUN@MOMENT`. `name`: of the parameter; `now`: the position that is meant without one."""
        run_id, at, moment = given.partition("@")
        if not run_id or (at and not moment):
            raise Invalid(f"{name}: write RUN or RUN@MOMENT, a moment being a position, a time or a tag")
        position = self._time_travel.position(moment) if at else now
        past = self._time_travel.run(run_id, position)
        if past.run.status != "completed":
            raise Conflict(
                f"run {run_id} was {past.run.status} at position {position}:"
                " only a completed run can be compared"
            )
        return Side(past, position, self._time_travel.time_of(position))

    def between(self, connection: Connection, before: Side, after: Side) -> Difference:
        """Raises Conflict for runs of different data sets, which have no query in common."""
        one, other = before.run, after.run
        if one.dataset != other.dataset:
            raise Conflict(
                f"run {one.run_id} is of data set {one.dataset!r}, run {other.run_id} of {other.dataset!r}:"
                " they have no queries in common"
            )
        key = (one.run_id, one.version, other.run_id, other.version)
        kept = self._kept.get(key)
        if kept is not None and kept[0] is before.past and kept[1] is after.past:
            return kept[2]
        found = self._compared(connection, one, other)
        size = FLOW_BYTES * len(found.comparison.flows.counts)
        size += CLUSTER_BYTES * (len(one.clusters) + len(other.clusters))
        self._kept.put(key, (before.past, after.past, found), size)
        return found

    def _compared(self, connection: Connection, one: ClusteringRun, other: ClusteringRun) -> Difference:
        comparison = compare(one.partition, other.partition)
        if one.run_id == other.run_id:
            clusters: ClusterDifference | None = of_one_run(
                one.clusters,
                other.clusters,
                one.history.in_force,
                other.history.in_force,
                [_edit(row) for row in reshaping_edits(connection, one.run_id)],
            )
        else:
            lineage = _lineage(one, other)
            clusters = of_two_runs(one.clusters, other.clusters, lineage) if lineage else None
        pairs = clusters.pairs if clusters else {}
        matching = Matching(pairs, one.partition.labels, other.partition.labels)
        flows = comparison.flows
        moved = int(flows.counts[matching.goes(flows.from_labels) != flows.to_labels].sum())
        return Difference(comparison, clusters, matching, moved)

    def moved(
        self,
        before: Side,
        after: Side,
        found: Difference,
        offset: int,
        limit: int,
        *,
        from_id: int | None = None,
        to_id: int | None = None,
    ) -> tuple[list[dict[str, int]], int]:
        """A page of the queries that are elsewhere (query_id, was, now), by id, and how many there are."""
        matching, flows = found.matching, found.comparison.flows
        chosen = matching.goes(flows.from_labels) != flows.to_labels
        if from_id is not None:
            chosen &= flows.from_labels == from_id
        if to_id is not None:
            chosen &= flows.to_labels == to_id
        page = moved_queries(
            matching.partition(before.run.partition),
            after.run.partition,
            offset,
            limit,
            None if from_id is None else matching.label(from_id),
            to_id,
        )
        rows = zip(page.query_ids.tolist(), matching.original(page.was), page.now.tolist(), strict=True)
        found_rows = [{"query_id": one, "was": was, "now": now} for one, was, now in rows]
        return found_rows, int(flows.counts[chosen].sum())


def largest_flows(
    found: Difference, limit: int, *, moved_only: bool
) -> tuple[list[tuple[int, int, int]], int, int]:
    """(from, to, count), the largest first; how many flows are left out, and of how many queries."""
    flows = found.comparison.flows
    chosen = np.arange(len(flows.counts))
    if moved_only:
        chosen = np.flatnonzero(found.matching.goes(flows.from_labels) != flows.to_labels)
    order = chosen[np.argsort(-flows.counts[chosen], kind="stable")]
    shown, rest = order[:limit], order[limit:]
    columns = (flows.from_labels[shown], flows.to_labels[shown], flows.counts[shown])
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    return rows, len(rest), int(flows.counts[rest].sum())


def _edit(row: dict[str, Any]) -> Edit:
    details = row["details"]
    is_merge = row["edit_type"] == ClusteringRun.ClustersMerged.KIND
    one = details["target_cluster_id"] if is_merge else details["cluster_id"]
    others = details["source_cluster_ids"] if is_merge else [details["new_cluster_id"]]
    return Edit(row["version"], row["position"], one, tuple(others), is_merge)


def _lineage(one: ClusteringRun, other: ClusteringRun) -> Lineage | None:
    """By the queries that both have."""
    old, new = sorted(one.clusters.keys() - {NOISE}), sorted(other.clusters.keys() - {NOISE})
    if len(old) * len(new) > MOST_PAIRS:
        return None
    return match(one.partition, other.partition, old, new, best_pairs)
