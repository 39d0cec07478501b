"""Edits that people make to the clusters of a run. One edit is one event."""

from __future__ import annotations

from dataclasses import dataclass

from commands.bus import Handler
from commands.ports import EventStore, Outcome
from domain.base import Stale, context
from domain.clustering import ClusteringRun


@dataclass(frozen=True, kw_only=True)
class RenameCluster:
    run_id: str
    cluster_id: int
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class MoveQuery:
    run_id: str
    query_id: int
    to_cluster_id: int


def rename_cluster(cmd: RenameCluster, store: EventStore) -> Outcome:
    run = load_for_edit(store, cmd.run_id)
    was = run.rename(cmd.cluster_id, cmd.title, cmd.description)
    now = run.cluster(cmd.cluster_id)
    answer = {
        "old_title": was.title,
        "new_title": now.title,
        "old_description": was.description,
        "new_description": now.description,
    }
    return Outcome((run,), answer | {"version": run.version})


def move_query(cmd: MoveQuery, store: EventStore) -> Outcome:
    run = load_for_edit(store, cmd.run_id)
    was = run.move(cmd.query_id, cmd.to_cluster_id)
    answer = {"from_cluster_id": was, "to_cluster_id": cmd.to_cluster_id}
    return Outcome((run,), answer | {"version": run.version})


def load_for_edit(store: EventStore, run_id: str) -> ClusteringRun:
    """The run, if it is still the one that the caller has seen (If-Match)."""
    run = store.load(ClusteringRun, run_id)
    expected = context.get().expected_version
    if expected is not None and expected != run.version:
        raise Stale(
            f"run {run_id} is at version {run.version}, not {expected}; read it again",
            [{"version": run.version}],
        )
    return run


HANDLERS: dict[type, Handler] = {MoveQuery: move_query, RenameCluster: rename_cluster}
