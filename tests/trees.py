"""Hierarchies in the states that stories begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.hierarchy import FIRST_CATEGORY, Hierarchy

RUN_ID = "kmeans-3-20251004-170442"
HIERARCHY_ID = f"hier-{RUN_ID}-20251004-180000"
A, B, C, D = range(FIRST_CATEGORY, FIRST_CATEGORY + 4)
"""The ids that categories get first."""


def requested_hierarchy(run_version: int = 3, **parameters: Any) -> Hierarchy:  # noqa: ANN401
    asked = {"target_levels": 3, "merge_ratio": 0.5, **parameters}
    return Hierarchy(HIERARCHY_ID, RUN_ID, run_version, None, "local/agglomerative", asked)


def words(*titles: str) -> list[dict[str, Any]]:
    return [{"title": one, "description": f"about {one}", "cluster_ids": [0]} for one in titles]


def begin(hierarchy: Hierarchy, level: int, nodes: Sequence[int]) -> None:
    hierarchy.begin_level(level, 2, [{"cluster_ids": list(nodes), "outside_ids": [], "wanted": 2}])


def assign(hierarchy: Hierarchy, level: int, parents: dict[int, int | None]) -> None:
    rows = [
        {"cluster_id": one, "parent_cluster_id": parent, "error": None} for one, parent in parents.items()
    ]
    hierarchy.record_assignments(level, rows, "", {})


def build(hierarchy: Hierarchy, level: int, parents: dict[int, int | None], *titles: str) -> None:
    """A level as a whole: the nodes, and the categories that they go under."""
    begin(hierarchy, level, list(parents))
    proposal = {"neighborhood": 0, "categories": words(*titles), "error": None}
    hierarchy.record_proposals(level, [proposal], "", {})
    hierarchy.choose(level, words(*titles), "", {})
    assign(hierarchy, level, parents)
    hierarchy.end_level(level)


def completed_hierarchy() -> Hierarchy:
    """Food over the clusters 0 and 1, Money over 2 and 3, Life over Food; cluster 4 fits under nothing."""
    made = requested_hierarchy()
    build(made, 1, {0: A, 1: A, 2: B, 3: B, 4: None}, "Food", "Money")
    build(made, 2, {A: C, B: None}, "Life")
    made.complete()
    return made


def resumed_hierarchy() -> Hierarchy:
    """Cancelled before anything was asked, and gone on with."""
    made = requested_hierarchy()
    made.cancel()
    made.resume()
    return made
