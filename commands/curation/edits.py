"""Each edit as a command. One edit is one event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from commands import editing
from commands.bus import Handler
from commands.editing import done as done
from commands.ports import EventStore, Outcome
from domain.clustering import Cluster, ClusteringRun
from domain.clustering.cluster import MAX_TITLE
from domain.errors import Invalid
from domain.values import flaw

MAX_QUERIES = 100_000
"""Queries that a request may name."""

LARGELY = 0.8
"""A merged cluster of which one part has this share is called as that part is."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """`dry_run`: decide and answer, but change nothing."""

    run_id: str
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class RenameCluster(Edit):
    cluster_id: int
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class MoveQuery(Edit):
    query_id: int
    to_cluster_id: int


@dataclass(frozen=True, kw_only=True)
class MoveQueries(Edit):
    query_ids: Sequence[int]
    to_cluster_id: int


@dataclass(frozen=True, kw_only=True)
class MergeClusters(Edit):
    source_cluster_ids: Sequence[int]
    target_cluster_id: int
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class SplitCluster(Edit):
    cluster_id: int
    query_ids: Sequence[int]
    title: str
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeleteCluster(Edit):
    """One of `orphan` and `move_to_cluster_id`."""

    cluster_id: int
    orphan: bool = False
    move_to_cluster_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class AnnotateCluster(Edit):
    cluster_id: int
    metadata: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class FlagCluster(Edit):
    cluster_id: int
    add: Sequence[str] = ()
    remove: Sequence[str] = field(default=())


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
    return done(run, answer, cmd)


def move_query(cmd: MoveQuery, store: EventStore) -> Outcome:
    run = load_for_edit(store, cmd.run_id)
    was = run.label_of(cmd.query_id)
    run.move([cmd.query_id], cmd.to_cluster_id)
    return done(run, {"from_cluster_id": was, "to_cluster_id": cmd.to_cluster_id}, cmd)


def move_queries(cmd: MoveQueries, store: EventStore) -> Outcome:
    """Those that are in the target already count as moved: they are where they were wanted."""
    run = load_for_edit(store, cmd.run_id)
    if len(cmd.query_ids) > MAX_QUERIES:
        raise Invalid(f"query_ids has {len(cmd.query_ids)} entries; {MAX_QUERIES} are allowed")
    if wrong := flaw("query_ids", cmd.query_ids):
        raise Invalid(wrong)
    was, failed = run.move(cmd.query_ids, cmd.to_cluster_id)
    errors = [{"query_id": one, "error": reason} for one, reason in failed.items()]
    return done(run, {"moved": len(was), "failed": len(failed), "errors": errors}, cmd)


def merge_clusters(cmd: MergeClusters, store: EventStore) -> Outcome:
    run = load_for_edit(store, cmd.run_id)
    suggested = suggested_title(run, [cmd.target_cluster_id, *cmd.source_cluster_ids])
    moved = run.merge(cmd.source_cluster_ids, cmd.target_cluster_id, cmd.title, cmd.description)
    answer = {
        "source_cluster_ids": sorted(set(cmd.source_cluster_ids)),
        "target_cluster_id": cmd.target_cluster_id,
        "queries_moved": moved,
        "new_title": run.cluster(cmd.target_cluster_id).title,
        "suggested_title": suggested,
    }
    return done(run, answer, cmd)


def suggested_title(run: ClusteringRun, cluster_ids: Sequence[int]) -> str | None:
    """What these could be called together: as the largest where it has most, else all names side by side."""
    sizes = run.partition.sizes()
    there = [one for one in dict.fromkeys(cluster_ids) if one in run.clusters]
    known = [(sizes.get(one, 0), run.clusters[one].title) for one in there]
    parts = sorted(((size, title) for size, title in known if title), reverse=True)
    if not parts:
        return None
    if parts[0][0] >= LARGELY * sum(size for size, _ in known):
        return parts[0][1]
    joined = " / ".join(dict.fromkeys(title for _, title in parts))
    return joined if len(joined) <= MAX_TITLE else parts[0][1]


def split_cluster(cmd: SplitCluster, store: EventStore) -> Outcome:
    run = load_for_edit(store, cmd.run_id)
    new_id, moved = run.split(cmd.cluster_id, cmd.query_ids, cmd.title, cmd.description)
    answer = {"original_cluster_id": cmd.cluster_id, "new_cluster_id": new_id, "queries_moved": moved}
    return done(run, answer, cmd)


def delete_cluster(cmd: DeleteCluster, store: EventStore) -> Outcome:
    if cmd.orphan == (cmd.move_to_cluster_id is not None):
        raise Invalid("give either orphan=true or move_to_cluster_id: where the queries are to go")
    run = load_for_edit(store, cmd.run_id)
    count = run.delete(cmd.cluster_id, cmd.move_to_cluster_id)
    status = "orphaned" if cmd.orphan else "moved"
    return done(run, {"query_count": count, "status": status, "moved_to": cmd.move_to_cluster_id}, cmd)


def annotate_cluster(cmd: AnnotateCluster, store: EventStore) -> Outcome:
    run = load_for_edit(store, cmd.run_id)
    run.annotate(cmd.cluster_id, cmd.metadata)
    return done(run, notes_on(run.cluster(cmd.cluster_id)), cmd)


def flag_cluster(cmd: FlagCluster, store: EventStore) -> Outcome:
    run = load_for_edit(store, cmd.run_id)
    run.flag(cmd.cluster_id, cmd.add, cmd.remove)
    return done(run, notes_on(run.cluster(cmd.cluster_id)), cmd)


def notes_on(cluster: Cluster) -> dict[str, Any]:
    return {
        "coherence_score": cluster.coherence_score,
        "quality": cluster.quality,
        "notes": cluster.notes,
        "flags": list(cluster.flags),
    }


def load_for_edit(store: EventStore, run_id: str) -> ClusteringRun:
    """The run, if it can be edited and is still the one that the caller has seen (If-Match)."""
    return editing.load_for_edit(store, ClusteringRun, run_id)


HANDLERS: dict[type, Handler] = {
    AnnotateCluster: annotate_cluster,
    DeleteCluster: delete_cluster,
    FlagCluster: flag_cluster,
    MergeClusters: merge_clusters,
    MoveQueries: move_queries,
    MoveQuery: move_query,
    RenameCluster: rename_cluster,
    SplitCluster: split_cluster,
}
