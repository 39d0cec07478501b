"""Hierarchies of runs: what is under what, what people changed, and the tree as it is shown."""

from projections.hierarchy.projector import HierarchyProjection
from projections.hierarchy.queries import (
    find_hierarchy,
    find_tree,
    list_edits,
    list_hierarchies,
    shown_tree,
)
from projections.hierarchy.tables import edits, hierarchies, nodes, tables

__all__ = [
    "HierarchyProjection",
    "edits",
    "find_hierarchy",
    "find_tree",
    "hierarchies",
    "list_edits",
    "list_hierarchies",
    "nodes",
    "shown_tree",
    "tables",
]
