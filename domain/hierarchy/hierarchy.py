"""A hierarchy: the clusters of a run under categories, level by level; how it was made, and every edit since.

A level is made in four steps: categories are proposed for each neighbourhood, made one list, the nodes
assigned, the categories named by what they got. What was answered in a step is recorded as it comes, so that
who goes on asks nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.base import Aggregate, event
from domain.clustering.history import History
from domain.errors import Conflict
from domain.hierarchy.curation import Curation
from domain.hierarchy.edits import TreeEdit
from domain.hierarchy.tree import FIRST_CATEGORY, TOP, Category, Tree
from domain.runs import Run


class Hierarchy(Curation):
    TOPIC = "hierarchy"
    PREFIX = "hierarchy"

    class Created(Aggregate.Created):
        """The intent: the clusters of a run as they were at `run_version`, by the titles of a summary run."""

        TOPIC = "hierarchy.created"
        hierarchy_run_id: str
        run_id: str
        run_version: int
        summary_run_id: str | None
        model: str
        parameters: dict[str, Any]

    class LevelBegun(Aggregate.Event):
        """`wanted` categories are asked for, some of each of `neighborhoods`.

        These are `{cluster_ids, outside_ids, wanted}`.
        """

        TOPIC = "hierarchy.level_begun"
        level: int
        wanted: int
        neighborhoods: list[dict[str, Any]]

    class CategoriesProposed(Aggregate.Event):
        """`proposals`: `{neighborhood, categories: [{title, description, cluster_ids}], error}`."""

        TOPIC = "hierarchy.categories_proposed"
        level: int
        proposals: list[dict[str, Any]]
        prompt: str
        usage: dict[str, Any]

    class CategoriesChosen(Aggregate.Event):
        """Of what was proposed, said once: `{cluster_id, title, description, cluster_ids}`.

        `cluster_ids`: for which it was proposed. `error`: why some may stand there twice.
        """

        TOPIC = "hierarchy.categories_chosen"
        level: int
        categories: list[dict[str, Any]]
        error: str | None
        prompt: str
        usage: dict[str, Any]

    class NodesAssigned(Aggregate.Event):
        """`assignments`: `{cluster_id, parent_cluster_id, error}`; null where a node fits under none.

        `error`: why nothing was answered.
        """

        TOPIC = "hierarchy.nodes_assigned"
        level: int
        assignments: list[dict[str, Any]]
        prompt: str
        usage: dict[str, Any]

    class CategoriesNamed(Aggregate.Event):
        """What categories are called by what is under them: `{cluster_id, title, description, error}`."""

        TOPIC = "hierarchy.categories_named"
        level: int
        names: list[dict[str, Any]]
        prompt: str
        usage: dict[str, Any]

    class LevelEnded(Aggregate.Event):
        """Categories under which nothing came are dropped. `unplaced`: nodes that fit under none."""

        TOPIC = "hierarchy.level_ended"
        level: int
        categories: int
        unplaced: int

    class Completed(Aggregate.Event):
        """Of the run it says again which one: what its hierarchies do then follows from this event alone."""

        TOPIC = "hierarchy.completed"
        run_id: str
        levels: int
        categories: int

    class Failed(Run.Failed):
        TOPIC = "hierarchy.failed"

    class Cancelled(Aggregate.Event):
        """Somebody wanted no more of it; what was answered stays, and can be gone on with."""

        TOPIC = "hierarchy.cancelled"

    class Resumed(Aggregate.Event):
        """Goes on with what is left. `retried`: questions without an answer that are asked again."""

        TOPIC = "hierarchy.resumed"
        retried: int

    @staticmethod
    def create_id(hierarchy_run_id: str) -> str:
        return Hierarchy.stream(hierarchy_run_id)

    def __init__(
        self,
        hierarchy_run_id: str,
        run_id: str,
        run_version: int,
        summary_run_id: str | None,
        model: str,
        parameters: dict[str, Any],
    ) -> None:
        self.hierarchy_run_id = hierarchy_run_id
        self.run_id = run_id
        self.run_version = run_version
        self.summary_run_id = summary_run_id
        self.model = model
        self.parameters = parameters
        self.status = "pending"
        self.tree = Tree()
        self.next_category_id = FIRST_CATEGORY
        self.history = History()
        self.level = 0
        self.is_level_open = False
        self.wanted = 0
        self.neighborhoods: list[dict[str, Any]] = []
        self.proposals: dict[int, dict[str, Any]] = {}
        self.chosen: list[dict[str, Any]] | None = None
        self.assigned: set[int] = set()
        self.named: set[int] = set()
        self.unanswered: dict[int, str] = {}
        """Nodes of this level that were not assigned, and categories not named, for want of an answer."""

    # --- how it is made

    def begin_level(self, level: int, wanted: int, neighborhoods: Sequence[Mapping[str, Any]]) -> None:
        """Each step says of which level it is: one that is recorded already changes nothing."""
        if self.status == "pending" and not self.is_level_open and level == self.level + 1:
            self._level_begun(level=level, wanted=wanted, neighborhoods=[dict(one) for one in neighborhoods])

    @event(LevelBegun)
    def _level_begun(self, level: int, wanted: int, neighborhoods: list[dict[str, Any]]) -> None:
        self.level, self.is_level_open = level, True
        self.wanted, self.neighborhoods = wanted, neighborhoods
        self.proposals, self.chosen, self.assigned, self.named = {}, None, set(), set()
        self.unanswered = {}
        if level == 1:
            self.tree.leaves = set(self.nodes_of_level())
            self.tree.places = dict.fromkeys(self.tree.leaves, TOP)

    def nodes_of_level(self) -> list[int]:
        """Those that categories are made for at this level."""
        return [one for area in self.neighborhoods for one in area["cluster_ids"]]

    def record_proposals(
        self, level: int, proposals: Sequence[Mapping[str, Any]], prompt: str, usage: Mapping[str, Any]
    ) -> None:
        new = [dict(one) for one in proposals if one["neighborhood"] not in self.proposals]
        if self._is_open(level) and self.chosen is None and new:
            self._categories_proposed(level=level, proposals=new, prompt=prompt, usage=dict(usage))

    @event(CategoriesProposed)
    def _categories_proposed(
        self, level: int, proposals: list[dict[str, Any]], prompt: str, usage: dict[str, Any]
    ) -> None:
        self.proposals.update({one["neighborhood"]: one for one in proposals})

    def choose(
        self,
        level: int,
        categories: Sequence[Mapping[str, Any]],
        prompt: str,
        usage: Mapping[str, Any],
        error: str | None = None,
    ) -> None:
        """Settle which categories there are to be; they get their ids here."""
        if self._is_open(level) and self.chosen is None:
            first = self.next_category_id
            known = [{**one, "cluster_id": first + at} for at, one in enumerate(categories)]
            self._categories_chosen(
                level=level, categories=known, error=error, prompt=prompt, usage=dict(usage)
            )

    @event(CategoriesChosen)
    def _categories_chosen(
        self,
        level: int,
        categories: list[dict[str, Any]],
        error: str | None,
        prompt: str,
        usage: dict[str, Any],
    ) -> None:
        self.chosen = categories
        self.next_category_id += len(categories)
        for one in categories:
            self.tree.categories[one["cluster_id"]] = _called(level, one)
            self.tree.places[one["cluster_id"]] = TOP

    def record_assignments(
        self, level: int, assignments: Sequence[Mapping[str, Any]], prompt: str, usage: Mapping[str, Any]
    ) -> None:
        new = [dict(one) for one in assignments if one["cluster_id"] not in self.assigned]
        if self._is_open(level) and self.chosen is not None and new:
            self._nodes_assigned(level=level, assignments=new, prompt=prompt, usage=dict(usage))

    @event(NodesAssigned)
    def _nodes_assigned(
        self, level: int, assignments: list[dict[str, Any]], prompt: str, usage: dict[str, Any]
    ) -> None:
        for one in assignments:
            self._answered(self.assigned, one)
            if one["parent_cluster_id"] is not None:
                self.tree.places[one["cluster_id"]] = one["parent_cluster_id"]

    def record_names(
        self, level: int, names: Sequence[Mapping[str, Any]], prompt: str, usage: Mapping[str, Any]
    ) -> None:
        new = [dict(one) for one in names if one["cluster_id"] not in self.named]
        if self._is_open(level) and new:
            self._categories_named(level=level, names=new, prompt=prompt, usage=dict(usage))

    @event(CategoriesNamed)
    def _categories_named(
        self, level: int, names: list[dict[str, Any]], prompt: str, usage: dict[str, Any]
    ) -> None:
        for one in names:
            self._answered(self.named, one)
            self.tree.categories[one["cluster_id"]] = _called(level, one)

    def _answered(self, done: set[int], one: Mapping[str, Any]) -> None:
        done.add(one["cluster_id"])
        if one["error"] is not None:
            self.unanswered[one["cluster_id"]] = one["error"]

    def end_level(self, level: int) -> None:
        if self.status == "pending" and self._is_open(level):
            kept = self.categories_of_level()
            unplaced = [one for one in self.nodes_of_level() if self.tree.places[one] == TOP]
            self._level_ended(level=level, categories=len(kept), unplaced=len(unplaced))

    @event(LevelEnded)
    def _level_ended(self, level: int, categories: int, unplaced: int) -> None:
        self.is_level_open = False
        kept = self.categories_of_level()
        for one in [one for one, found in self.tree.categories.items() if found.level == level]:
            if one not in kept:
                del self.tree.categories[one], self.tree.places[one]

    def categories_of_level(self) -> dict[int, list[int]]:
        """Category of the present level → what is under it; none of those under which nothing came."""
        found: dict[int, list[int]] = {}
        for one in self.nodes_of_level():
            if (place := self.tree.places[one]) != TOP:
                found.setdefault(place, []).append(one)
        return dict(sorted(found.items()))

    def _is_open(self, level: int) -> bool:
        """Also one that was cancelled: what is under way at that moment is still recorded."""
        return self.status in ("pending", "cancelled") and self.is_level_open and level == self.level

    def complete(self) -> None:
        if self.status == "pending":
            levels = 1 + max((one.level for one in self.tree.categories.values()), default=0)
            self._completed(run_id=self.run_id, levels=levels, categories=len(self.tree.categories))

    @event(Completed)
    def _completed(self, run_id: str, levels: int, categories: int) -> None:
        self.status = "completed"
        self.neighborhoods, self.proposals, self.chosen = [], {}, None
        self.assigned, self.named, self.unanswered = set(), set(), {}

    def cancel(self) -> None:
        """Ask for no more of it. What is under way at that moment is still recorded."""
        if self.status == "cancelled":
            return
        if self.status != "pending":
            raise Conflict(f"{self.noun} is {self.status}: there is nothing to cancel")
        self._cancelled()

    @event(Cancelled)
    def _cancelled(self) -> None:
        self.status = "cancelled"

    def resume(self) -> None:
        """Go on with what is left; questions of this level that had no answer are asked again."""
        if self.status == "pending":
            raise Conflict(f"{self.noun} is under way")
        if self.status == "completed":
            raise Conflict(f"{self.noun} is complete: nothing is left")
        self._resumed(retried=len(self._failed_proposals()) + len(self.unanswered))

    @event(Resumed)
    def _resumed(self, retried: int) -> None:
        self.status = "pending"
        for one in self._failed_proposals():
            del self.proposals[one]
        self.assigned -= self.unanswered.keys()
        self.named -= self.unanswered.keys()
        self.unanswered = {}

    def _failed_proposals(self) -> list[int]:
        """Neighbourhoods for which nothing was proposed, as long as that can still be mended."""
        found = self.proposals.items() if self.chosen is None else ()
        return [number for number, one in found if one["error"] is not None]

    def check_editable(self) -> None:
        if self.status != "completed":
            raise Conflict(f"{self.noun} is {self.status}: only a completed one can be edited")


def _called(level: int, one: Mapping[str, Any]) -> Category:
    return Category(level, one["title"], one["description"] or None)


Hierarchy.EDITS = frozenset(
    kind for kind in vars(Hierarchy).values() if isinstance(kind, type) and issubclass(kind, TreeEdit)
)
