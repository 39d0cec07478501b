"""What every aggregate has whose edits can be taken back: the plan of an undo or redo."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from domain.clustering.changes import Changes
from domain.clustering.history import History, Plan
from domain.errors import Conflict
from domain.runs import Run

SHOWN_IDS = 20
"""Ids that an error names, at most."""


class Reversible(Run):
    """Its edits say in one form what they changed (`Changes`), and `history` knows which are in force."""

    EDITS: ClassVar[frozenset[type[Any]]]
    """The events that change what people see, undo and redo among them."""

    if TYPE_CHECKING:  # the library would make fields of these
        history: History

    @abstractmethod
    def check_editable(self) -> None:
        """Raises NotFound or Conflict where nothing can be edited."""

    def plan(self, version: int, changes: Mapping[int, Changes], *, redo: bool) -> Plan:
        """What an undo (or redo) of the edit, undo or redo at this version comes to.

        `changes`: those of all edits in `concerned_by`. Raises NotFound, and Conflict where nothing is left
        to be taken back.
        """
        edits, redo = self.history.meant(version, redo=redo)
        if not edits:
            state = "not undone" if redo else "not in force"
            raise Conflict(f"the edit at version {version} of {self.noun} is {state}")
        plan = (self.history.plan_redo if redo else self.history.plan_undo)(edits, changes)
        return plan if plan.refused else replace(plan, changes=self._from_here(plan.changes))

    def concerned_by(self, version: int, *, redo: bool) -> set[int]:
        """The versions of all edits whose changes `plan` must know."""
        edits, redo = self.history.meant(version, redo=redo)
        return (self.history.concerned_by_redo if redo else self.history.concerned_by_undo)(edits)

    def take_back(self, plan: Plan) -> None:
        """Do what was planned, by one compensating event."""
        self.check_editable()
        if plan.refused:
            raise Conflict(f"the edits at versions {named(plan.refused)} of {self.noun} are in the way")
        self._take_back(plan)

    @abstractmethod
    def _from_here(self, changes: Changes) -> Changes:
        """The same changes, from the present state: what happened besides edits stays."""

    @abstractmethod
    def _take_back(self, plan: Plan) -> None:
        """The one event of it, whose changes are those of the plan."""


def named(ids: Sequence[int]) -> str:
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return ", ".join(map(str, ids[:SHOWN_IDS])) + more
