"""What people may do to a hierarchy, each edit being one event; and how it follows its run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from domain.clustering import Changes, Plan
from domain.clustering.cluster import MAX_DESCRIPTION, MAX_TITLE, check_text
from domain.clustering.reversal import Reversible
from domain.errors import Conflict, Invalid
from domain.hierarchy import edits
from domain.hierarchy.tree import MAX_LEVEL, PARENT, TOP, Category, Tree, removed_by, rows_of


class Curation(Reversible):
    """The part of a hierarchy that people edit, once it is complete."""

    NOUN = "hierarchy"

    NodesMoved = edits.NodesMoved
    CategoryRenamed = edits.CategoryRenamed
    CategoryAdded = edits.CategoryAdded
    CategoryRemoved = edits.CategoryRemoved
    TreeEditsUndone = edits.TreeEditsUndone
    TreeEditsRedone = edits.TreeEditsRedone
    ClustersFollowed = edits.ClustersFollowed

    if TYPE_CHECKING:  # the library would make fields of these
        run_id: str
        run_version: int
        status: str
        tree: Tree
        next_category_id: int

    def move(self, nodes: Sequence[int], category: int | None) -> int:
        """Put clusters and categories under a category, or (None) at the top. Returns how many moved."""
        self.check_editable()
        if not nodes:
            raise Invalid("cluster_ids is empty: name the nodes to move")
        self._check_can_be_under(nodes, category)
        rows = [row for one in sorted(set(nodes)) if (row := self._moved(one, category))]
        if rows:
            self.trigger_event(self.NodesMoved, nodes=rows, parent_cluster_id=category)
        return len(rows)

    def _check_can_be_under(self, nodes: Iterable[int], category: int | None) -> None:
        for one in nodes:
            if category is not None:
                self.tree.check_fits(one, category)
            elif one not in self.tree:
                raise Conflict(f"there is no node {one} in this hierarchy", [{"cluster_id": one}])

    def _moved(self, node: int, category: int | None) -> dict[str, Any] | None:
        """The row of a node that goes elsewhere than where it is; None where it is there."""
        place, to = self.tree.places[node], TOP if category is None else category
        return None if place == to else _row(node, {PARENT: _or_none(place)}, {PARENT: category})

    def rename(self, category: int, title: str | None, description: str | None) -> Category:
        """Give a category another title or description; None keeps what is there. Returns what was before."""
        self.check_editable()
        if category in self.tree.leaves:
            raise Conflict(f"{category} is a cluster of run {self.run_id}: rename it there")
        was = self.tree.category(category)
        if title is None and description is None:
            raise Invalid("give a title, a description or both")
        now: dict[str, Any] = {}
        if title is not None and title != was.title:
            now["own_title"] = check_text("title", title, MAX_TITLE)
        if description is not None and description != was.description:
            now["own_description"] = check_text("description", description, MAX_DESCRIPTION)
        if now:
            row = _row(category, {name: getattr(was, name) for name in now}, now)
            self.trigger_event(self.CategoryRenamed, nodes=[row], cluster_id=category)
        return was

    def add(
        self,
        title: str,
        description: str | None = None,
        nodes: Sequence[int] = (),
        parent: int | None = None,
        level: int | None = None,
    ) -> int:
        """Make a category, with these nodes under it; returns its id.

        Without a `level` it is above what is under it, or, empty, just below its parent.
        """
        self.check_editable()
        made = self.next_category_id
        words = {"own_title": check_text("title", title, MAX_TITLE)}
        if description:
            words["own_description"] = check_text("description", description, MAX_DESCRIPTION)
        self._check_can_be_under(nodes, None)
        chosen = self._level_for(nodes, parent, level)
        rows = [row for one in sorted(set(nodes)) if (row := self._moved(one, made))]
        fields = {"level": chosen, **words, **({PARENT: parent} if parent is not None else {})}
        self.trigger_event(self.CategoryAdded, nodes=[*rows, _row(made, None, fields)], cluster_id=made)
        return made

    def _level_for(self, nodes: Sequence[int], parent: int | None, wanted: int | None) -> int:
        """Above all of the nodes and below the parent. Raises Conflict where there is none."""
        least = 1 + max((self.tree.level(one) for one in nodes), default=0)
        most = MAX_LEVEL
        if parent is not None:
            if parent not in self.tree.categories:
                raise Conflict(
                    f"there is no category {parent} in this hierarchy", [{"parent_cluster_id": parent}]
                )
            most = self.tree.level(parent) - 1
        chosen = wanted or (least if nodes or parent is None else most)
        if not least <= chosen <= most:
            raise Conflict(
                f"the level must be at least {least}, above what is to be under it, and at most {most}, below"
                f" what it is to be under; it would be {chosen}"
            )
        return chosen

    def remove(self, category: int, move_to: int | None = None) -> int:
        """Remove a category. What is under it takes its place, or goes to another. Returns how many nodes."""
        self.check_editable()
        was = self.tree.category(category)
        if move_to == category:
            raise Invalid(f"category {category} is to be removed; nothing can be moved to it")
        under = self.tree.under(category)
        if move_to is not None:
            self._check_can_be_under([one for one in under if one in self.tree], move_to)
        place = self.tree.places[category]
        to = _or_none(place) if move_to is None else move_to
        rows = [_row(one, {PARENT: category}, {PARENT: to}) for one in under]
        fields = {**was.fields(), **({PARENT: place} if place != TOP else {})}
        self.trigger_event(
            self.CategoryRemoved, nodes=[*rows, _row(category, fields, None)], cluster_id=category
        )
        return len([one for one in under if one in self.tree])

    # --- taking back

    def _from_here(self, changes: Changes) -> Changes:
        """What the run has put under a category that goes, goes where most of what was under it goes."""
        going = removed_by(changes)
        ends = {one: place for one, place in self.tree.places.items() if place in going}
        ends |= zip(changes.query_ids.tolist(), changes.now.tolist(), strict=True)
        now = {one: self._heir(place, changes, going) for one, place in ends.items()}
        was = {one: self.tree.places.get(one, TOP) for one in now}
        moving = [one for one in now if now[one] != was[one]]
        places = np.array([now[one] for one in moving], np.int32)
        return Changes.of(moving, [was[one] for one in moving], places, changes.clusters)

    def _heir(self, place: int, changes: Changes, going: Sequence[int]) -> int:
        """The place, if it stays; else where most of what is there goes, or what it is under itself."""
        if place not in going:
            return place
        leaving = changes.now[(changes.was == place) & ~np.isin(changes.now, (TOP, *going))]
        if len(leaving):
            labels, counts = np.unique(leaving, return_counts=True)
            return int(labels[counts.argmax()])
        return self._heir(self.tree.places[place], changes, going)

    def _take_back(self, plan: Plan) -> None:
        kind = self.TreeEditsRedone if plan.redo else self.TreeEditsUndone
        self.trigger_event(kind, nodes=rows_of(plan.changes), edits=plan.edits)

    # --- following the run

    def follow(self, run_version: int, gone: Iterable[int], came: Iterable[tuple[int, int | None]]) -> None:
        """What an edit of the run did to its clusters: a new one comes beside the one that it came of.

        One that was here before comes back where it was. What was followed already changes nothing.
        """
        if self.status != "completed" or run_version <= self.run_version:
            return
        places: dict[int, int] = {}
        for one, source in came:
            if one not in self.tree.leaves:
                beside = places.get(source, self.tree.places.get(source, TOP)) if source is not None else TOP
                places[one] = self.tree.places.get(one, beside)
        leaving = sorted(set(gone) & self.tree.leaves)
        if leaving or places:
            rows = [{"cluster_id": one, PARENT: _or_none(place)} for one, place in sorted(places.items())]
            self.trigger_event(self.ClustersFollowed, run_version=run_version, gone=leaving, came=rows)


def _row(node: int, was: dict[str, Any] | None, now: dict[str, Any] | None) -> dict[str, Any]:
    return {"cluster_id": node, "was": was, "now": now}


def _or_none(place: int) -> int | None:
    return None if place == TOP else place
