"""`lmsys edit ...`: changes of clusters by hand, their history, and the taking back of them."""

from __future__ import annotations

import typer

from cli.clustering import NEGATIVE_IDS
from cli.curation import bad, clusters, history, queries, reversal, tree
from cli.curation.history import show_history
from cli.session import add

__all__ = ["add_to", "show_history"]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="edit", help="Change clusters by hand, see who changed what and why, undo it.")
    add(group, queries.view_query, "view-query")
    add(group, queries.move_query, "move-query")
    add(group, queries.move_queries, "move-queries")
    add(group, queries.orphaned, "orphaned")
    add(group, bad.select_bad_clusters, "select-bad-clusters")
    for function, name in (
        (clusters.rename_cluster, "rename-cluster"),
        (clusters.merge_clusters, "merge-clusters"),
        (clusters.split_cluster, "split-cluster"),
        (clusters.delete_cluster, "delete-cluster"),
        (clusters.tag_cluster, "tag-cluster"),
        (clusters.flag_cluster, "flag-cluster"),
    ):
        add(group, function, name, context_settings=NEGATIVE_IDS)
    add(group, tree.move_nodes, "move-nodes")
    add(group, tree.rename_category, "rename-category")
    add(group, tree.add_category, "add-category")
    add(group, tree.remove_category, "remove-category")
    add(group, tree.tree_history, "tree-history")
    add(group, history.history, "history", context_settings=NEGATIVE_IDS)
    add(group, history.audit, "audit")
    add(group, history.show, "show")
    add(group, reversal.undo, "undo")
    add(group, reversal.redo, "redo")
