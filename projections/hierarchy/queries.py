"""What is asked of hierarchies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, and_, func, select, text, true

from domain.hierarchy import TOP, Category, Tree
from projections.hierarchy.tables import edits, hierarchies, nodes


def list_hierarchies(
    connection: Connection, limit: int, offset: int, *, run_id: str | None, status: str | None
) -> tuple[list[dict[str, Any]], int]:
    """A page of hierarchies, newest first, and how many there are."""
    wanted = {"run_id": run_id, "status": status}
    where = and_(true(), *(hierarchies.c[name] == v for name, v in wanted.items() if v is not None))
    total = connection.execute(select(func.count()).select_from(hierarchies).where(where)).scalar_one()
    order = (hierarchies.c.created_at.desc(), hierarchies.c.hierarchy_run_id)
    page = select(hierarchies).where(where).order_by(*order).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def find_hierarchy(connection: Connection, hierarchy_run_id: str) -> dict[str, Any] | None:
    """A hierarchy, with how far its job is: `processed` and `total`; one whose job has begun is `running`."""
    statement = select(hierarchies).where(hierarchies.c.hierarchy_run_id == hierarchy_run_id)
    row = connection.execute(statement).mappings().first()
    if row is None:
        return None
    progress = text("SELECT processed, total FROM ops.progress WHERE job_id = :id")
    pending = row["status"] == "pending"
    done = connection.execute(progress, {"id": hierarchy_run_id}).first() if pending else None
    status = "running" if done else row["status"]
    return {
        **row,
        "status": status,
        "processed": done[0] if done else None,
        "total": done[1] if done else None,
    }


def find_tree(connection: Connection, hierarchy_run_id: str) -> Tree:
    statement = select(nodes).where(nodes.c.hierarchy_run_id == hierarchy_run_id)
    tree = Tree()
    names = ("level", "named_title", "named_description", "own_title", "own_description")
    for row in connection.execute(statement).mappings():
        one, parent = row["cluster_id"], row["parent_cluster_id"]
        tree.places[one] = TOP if parent is None else parent
        if row["level"]:
            tree.categories[one] = Category(**{name: row[name] for name in names})
        elif row["is_there"]:
            tree.leaves.add(one)
    return tree


def shown_tree(tree: Tree, clusters: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The nodes as they are answered, each before what is below it.

    `clusters`: those of the run as they are (or were then): what a tree still has of others is not shown.
    """
    known = {row["cluster_id"]: row for row in clusters}
    found = tree.nodes({one: row["size"] for one, row in known.items()})
    return [
        {
            "cluster_id": node.cluster_id,
            "parent_cluster_id": node.parent_id,
            "level": node.level,
            "children_ids": node.children_ids,
            "num_queries": node.num_queries,
            "num_clusters": node.num_clusters,
            **_named(tree.categories.get(node.cluster_id) or known[node.cluster_id]),
        }
        for node in found
    ]


def _named(one: Category | Mapping[str, Any]) -> dict[str, Any]:
    names = ("title", "description", "title_edited", "description_edited")
    return {name: one[name] if isinstance(one, Mapping) else getattr(one, name) for name in names}


def list_edits(
    connection: Connection, hierarchy_run_id: str, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """A page of edits, newest first, and how many there are."""
    where = edits.c.hierarchy_run_id == hierarchy_run_id
    total = connection.execute(select(func.count()).select_from(edits).where(where)).scalar_one()
    page = select(edits).where(where).order_by(edits.c.position.desc()).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total
