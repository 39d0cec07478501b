"""A tree of clusters under categories: who is under whom, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from domain.clustering import Changes
from domain.clustering.cluster import Named
from domain.errors import Conflict, NotFound
from domain.values import ORPHAN

TOP = ORPHAN
"""The place of what is under no category."""

FIRST_CATEGORY = 1_000_000_000
"""Ids of categories begin here: no run has so many clusters, so that one id is never both."""

MAX_LEVEL = 20


@dataclass(frozen=True)
class Category(Named):
    """`level`: 1 where it was made of clusters, 2 where of such categories, and so on."""

    level: int
    named_title: str | None = None
    named_description: str | None = None
    own_title: str | None = None
    own_description: str | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Category:
        return self

    @property
    def is_made_by_person(self) -> bool:
        return self.named_title is None

    def fields(self) -> dict[str, Any]:
        """The fields that say something, as JSON."""
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Node:
    """What is shown of a cluster (level 0) or a category. Counts are of all clusters below, or of its own."""

    cluster_id: int
    parent_id: int | None
    level: int
    children_ids: list[int]
    num_queries: int
    num_clusters: int


@dataclass
class Tree:
    """`places`: node → the category that it is under, or TOP. `leaves`: the clusters that there are.

    A cluster that is no more keeps its place, so that it comes back where it was. Everything is under
    something of a higher level: so nothing can ever be below itself, whatever is undone in whatever order.
    """

    places: dict[int, int] = field(default_factory=dict)
    categories: dict[int, Category] = field(default_factory=dict)
    leaves: set[int] = field(default_factory=set)

    def apply(self, changes: Changes) -> None:
        for one, (was, now) in changes.clusters.items():
            if was is None and now is not None:
                self.categories[one] = Category(**now)
                self.places[one] = TOP
            elif now:
                self.categories[one] = replace(self.categories[one], **now)
        self.places.update(zip(changes.query_ids.tolist(), changes.now.tolist(), strict=True))
        for one in removed_by(changes):
            del self.categories[one], self.places[one]

    def __contains__(self, node: int) -> bool:
        return node in self.categories or node in self.leaves

    def category(self, node: int) -> Category:
        if node not in self.categories:
            raise NotFound(f"there is no category {node} in this hierarchy")
        return self.categories[node]

    def level(self, node: int) -> int:
        """Of a node that there is, or of a cluster that there was."""
        return self.categories[node].level if node in self.categories else 0

    def under(self, category: int) -> list[int]:
        """What is directly under it, clusters that are no more among them."""
        return sorted(one for one, place in self.places.items() if place == category)

    def check_fits(self, node: int, category: int) -> None:
        """Raises Conflict where a node may not be under this category, or where there is none of the two."""
        if node not in self:
            raise Conflict(f"there is no node {node} in this hierarchy", [{"cluster_id": node}])
        if category not in self.categories:
            raise Conflict(f"there is no category {category} in this hierarchy", [{"cluster_id": category}])
        low, high = self.level(node), self.level(category)
        if low >= high:
            raise Conflict(
                f"node {node} is of level {low}, category {category} of level {high}:"
                " a node can only be under a category of a higher level",
                [{"cluster_id": node, "level": low}],
            )

    # --- what is shown

    def nodes(self, sizes: Mapping[int, int]) -> list[Node]:
        """From the top, each before what is below it, the largest first; `sizes`: clusters that there are.

        A category without any cluster below is not shown, unless a person made it.
        """
        children = self._children(self.leaves & sizes.keys())
        found: list[Node] = []
        counts = self._counts(children, sizes)

        def show(node: int, parent: int | None) -> None:
            below = sorted(children.get(node, ()), key=lambda one: (-counts[one][0], one))
            found.append(Node(node, parent, self.level(node), below, *counts[node]))
            for child in below:
                show(child, node)

        for node in sorted(children.get(TOP, ()), key=lambda one: (-self.level(one), -counts[one][0], one)):
            show(node, None)
        return found

    def _children(self, leaves: set[int]) -> dict[int, list[int]]:
        """What is shown under each category and at the top: from below, for only that keeps what is above."""
        children: dict[int, list[int]] = {}
        for node in (*leaves, *sorted(self.categories, key=self.level)):
            if node in leaves or node in children or self.categories[node].is_made_by_person:
                children.setdefault(self.places[node], []).append(node)
        return children

    def _counts(
        self, children: Mapping[int, list[int]], sizes: Mapping[int, int]
    ) -> dict[int, tuple[int, int]]:
        """Node → (queries, clusters) below it."""
        counts = {one: (sizes[one], 1) for one in self.leaves & sizes.keys()}
        for node in sorted(self.categories, key=self.level):
            below = [counts[one] for one in children.get(node, ())]
            counts[node] = sum(n for n, _ in below), sum(n for _, n in below)
        return counts

    def copy(self) -> Self:
        return replace(
            self, places=dict(self.places), categories=dict(self.categories), leaves=set(self.leaves)
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()


def removed_by(changes: Changes) -> list[int]:
    """The categories that changes remove."""
    return [one for one, (_, now) in changes.clusters.items() if now is None]


# --- as it stands in events

PARENT = "parent_cluster_id"


def changes_of(rows: list[dict[str, Any]]) -> Changes:
    """Of `{cluster_id, was, now}`: what is under something else is a move, the rest are words.

    A category that is moved counts as touched: its making cannot be undone behind the back of a move.
    """
    moved, places = [], ([], [])  # type: tuple[list[int], tuple[list[int], list[int]]]
    states: dict[int, tuple[dict[str, Any] | None, dict[str, Any] | None]] = {}
    for row in rows:
        sides = row["was"], row["now"]
        was, now = (_place(one) for one in sides)
        if was != now:
            moved.append(row["cluster_id"])
            places[0].append(was)
            places[1].append(now)
        words = [one and {name: value for name, value in one.items() if name != PARENT} for one in sides]
        if row["cluster_id"] >= FIRST_CATEGORY:
            states[row["cluster_id"]] = (words[0], words[1])
    return Changes.of(moved, places[0], np.array(places[1], np.int32), states)


def _place(state: Mapping[str, Any] | None) -> int:
    place = (state or {}).get(PARENT)
    return TOP if place is None else int(place)


def rows_of(changes: Changes) -> list[dict[str, Any]]:
    """What `changes_of` reads."""
    columns = (changes.query_ids.tolist(), changes.was.tolist(), changes.now.tolist())
    places = {one: (was, now) for one, was, now in zip(*columns, strict=True)}
    rows = []
    for one in sorted({*places, *changes.clusters}):
        was, now = changes.clusters.get(one, ({}, {}))
        here = places.get(one, (TOP, TOP))
        rows.append({"cluster_id": one, "was": _state(was, here, 0), "now": _state(now, here, 1)})
    return rows


def _state(words: Mapping[str, Any] | None, places: tuple[int, int], side: int) -> dict[str, Any] | None:
    if words is None:
        return None
    moved = places[0] != places[1]
    parent = {PARENT: None if places[side] == TOP else places[side]} if moved else {}
    return {**words, **parent}
