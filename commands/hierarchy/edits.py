"""Each edit of a hierarchy as a command. One edit is one event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from commands.bus import Handler
from commands.editing import done, load_for_edit
from commands.ports import EventStore, Outcome
from domain.hierarchy import Hierarchy


@dataclass(frozen=True, kw_only=True)
class TreeEdit:
    """`dry_run`: decide and answer, but change nothing."""

    hierarchy_run_id: str
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class MoveNodes(TreeEdit):
    """`parent_cluster_id` None: to the top."""

    cluster_ids: Sequence[int]
    parent_cluster_id: int | None


@dataclass(frozen=True, kw_only=True)
class RenameCategory(TreeEdit):
    cluster_id: int
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class AddCategory(TreeEdit):
    title: str
    description: str | None = None
    children_ids: Sequence[int] = ()
    parent_cluster_id: int | None = None
    level: int | None = None


@dataclass(frozen=True, kw_only=True)
class RemoveCategory(TreeEdit):
    """`move_to` None: what is under it takes its place."""

    cluster_id: int
    move_to: int | None = None


def move_nodes(cmd: MoveNodes, store: EventStore) -> Outcome:
    hierarchy = load_for_edit(store, Hierarchy, cmd.hierarchy_run_id)
    moved = hierarchy.move(cmd.cluster_ids, cmd.parent_cluster_id)
    return done(hierarchy, {"moved": moved, "parent_cluster_id": cmd.parent_cluster_id}, cmd)


def rename_category(cmd: RenameCategory, store: EventStore) -> Outcome:
    hierarchy = load_for_edit(store, Hierarchy, cmd.hierarchy_run_id)
    was = hierarchy.rename(cmd.cluster_id, cmd.title, cmd.description)
    now = hierarchy.tree.category(cmd.cluster_id)
    answer = {
        "old_title": was.title,
        "new_title": now.title,
        "old_description": was.description,
        "new_description": now.description,
    }
    return done(hierarchy, answer, cmd)


def add_category(cmd: AddCategory, store: EventStore) -> Outcome:
    hierarchy = load_for_edit(store, Hierarchy, cmd.hierarchy_run_id)
    made = hierarchy.add(cmd.title, cmd.description, cmd.children_ids, cmd.parent_cluster_id, cmd.level)
    answer = {
        "cluster_id": made,
        "level": hierarchy.tree.level(made),
        "parent_cluster_id": cmd.parent_cluster_id,
        "moved": len(set(cmd.children_ids)),
    }
    return done(hierarchy, answer, cmd)


def remove_category(cmd: RemoveCategory, store: EventStore) -> Outcome:
    hierarchy = load_for_edit(store, Hierarchy, cmd.hierarchy_run_id)
    moved = hierarchy.remove(cmd.cluster_id, cmd.move_to)
    return done(hierarchy, {"cluster_id": cmd.cluster_id, "moved": moved, "moved_to": cmd.move_to}, cmd)


HANDLERS: dict[type, Handler] = {
    AddCategory: add_category,
    MoveNodes: move_nodes,
    RemoveCategory: remove_category,
    RenameCategory: rename_category,
}
