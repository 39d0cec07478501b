"""The events of edits to a hierarchy. Each says what became of every node that it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.base import Aggregate
from domain.clustering import Changes
from domain.hierarchy.tree import TOP, changes_of

if TYPE_CHECKING:
    from domain.hierarchy.curation import Curation


class TreeEdit(Aggregate.Event):
    """`nodes`: `{cluster_id, was, now}`, the fields that changed; `parent_cluster_id` null: the top.

    Where a category came to be or ceased to be: all its fields, and null for the side without it.
    """

    KIND = ""
    nodes: list[dict[str, Any]]

    def changes(self) -> Changes:
        return changes_of(self.nodes)

    def apply(self, hierarchy: Curation) -> None:
        hierarchy.tree.apply(self.changes())
        self.enter(hierarchy)

    def enter(self, hierarchy: Curation) -> None:
        hierarchy.history.enter(self.originator_version)


class NodesMoved(TreeEdit):
    """Clusters or categories went under another category, or to the top."""

    TOPIC = "hierarchy.nodes_moved"
    KIND = "move_node"
    parent_cluster_id: int | None


class CategoryRenamed(TreeEdit):
    TOPIC = "hierarchy.category_renamed"
    KIND = "rename_category"
    cluster_id: int


class CategoryAdded(TreeEdit):
    """A person made a category; what was put under it stands in `nodes`."""

    TOPIC = "hierarchy.category_added"
    KIND = "add_category"
    cluster_id: int

    def apply(self, hierarchy: Curation) -> None:
        super().apply(hierarchy)
        hierarchy.next_category_id = max(hierarchy.next_category_id, self.cluster_id + 1)


class CategoryRemoved(TreeEdit):
    """A category ceased to be; what was under it went to the place that it had, or to another category."""

    TOPIC = "hierarchy.category_removed"
    KIND = "remove_category"
    cluster_id: int


class TreeEditsUndone(TreeEdit):
    """Edits taken back, by their versions in this stream: one compensating event for all of them."""

    TOPIC = "hierarchy.edits_undone"
    KIND = "undo"
    edits: list[int]

    def enter(self, hierarchy: Curation) -> None:
        hierarchy.history.take_back(self.edits, self.originator_version)


class TreeEditsRedone(TreeEdit):
    """Edits that had been undone, done again."""

    TOPIC = "hierarchy.edits_redone"
    KIND = "redo"
    edits: list[int]

    def enter(self, hierarchy: Curation) -> None:
        hierarchy.history.put_back(self.edits, self.originator_version)


class ClustersFollowed(Aggregate.Event):
    """Clusters of the run ceased to be, or came to be or came back (`{cluster_id, parent_cluster_id}`).

    `run_version`: of the edit of the run that did it.
    """

    TOPIC = "hierarchy.clusters_followed"
    run_version: int
    gone: list[int]
    came: list[dict[str, Any]]

    def apply(self, hierarchy: Curation) -> None:
        tree = hierarchy.tree
        hierarchy.run_version = self.run_version
        tree.leaves.difference_update(self.gone)
        for one in self.came:
            place = one["parent_cluster_id"]
            tree.places[one["cluster_id"]] = TOP if place is None else place
            tree.leaves.add(one["cluster_id"])
