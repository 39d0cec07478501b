"""Which edits of a run are in force, which were undone, and which stand in the way of an undo or redo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from domain.clustering.changes import Changes
from domain.errors import Conflict, NotFound


class Undone(NamedTuple):
    """When an edit had come into force, and when it was undone: versions of the stream."""

    since: int
    until: int


@dataclass(frozen=True)
class Plan:
    """What an undo or a redo comes to: `edits` in the order in which they are taken back or put back.

    `blockers`: those of them that were not asked for, which stand in the way. `refused`: those that stay in
    the way whatever is asked.
    """

    edits: list[int]
    blockers: list[int]
    changes: Changes
    redo: bool = False
    refused: list[int] = field(default_factory=list)


@dataclass
class History:
    """An edit is known by its version in the stream of its run.

    `in_force`: edit → the version at which it came into force (its own, or that of a redo). `undos`, `redos`:
    version of an undo or redo → its edits. `groups`: version → the edits that belong together.

    Edits that touched the same (`Changes.meets`) stand on each other in the order of their versions: one is
    undone only after those that were made on it, and redone only on the ground on which it was made.
    So the state is always that of the edits in force, made one after the other.
    """

    in_force: dict[int, int] = field(default_factory=dict)
    undone: dict[int, Undone] = field(default_factory=dict)
    undos: dict[int, list[int]] = field(default_factory=dict)
    redos: dict[int, list[int]] = field(default_factory=dict)
    groups: dict[int, list[int]] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> History:
        """What is in the dictionaries is never changed in place; there may be 10,000 of it."""
        return History(*(dict(one) for one in self._all()))

    def _all(self) -> tuple[dict[int, Any], ...]:
        return self.in_force, self.undone, self.undos, self.redos, self.groups

    # --- what has happened

    def enter(self, edit: int) -> None:
        self.in_force[edit] = edit

    def take_back(self, edits: Iterable[int], version: int) -> None:
        self.undos[version] = list(edits)
        for edit in edits:
            self.undone[edit] = Undone(self.in_force.pop(edit), version)

    def put_back(self, edits: Iterable[int], version: int) -> None:
        self.redos[version] = list(edits)
        for edit in edits:
            del self.undone[edit]
            self.in_force[edit] = version

    def group(self, version: int, edits: Iterable[int]) -> None:
        self.enter(version)
        self.groups[version] = list(edits)

    # --- what is asked

    def knows(self, version: int) -> bool:
        return any(version in one for one in self._all())

    def state(self, version: int) -> str:
        """`in force`, `undone`, or `partly undone` (where some edits of a group or an undo are).

        An undo is in force as long as what it took back has not been put back, and the other way round.
        """
        if version in self.undos:
            wanted = self.undos[version]
            holding = [one for one in wanted if self._undone_by(one, version)]
        elif version in self.redos:
            wanted = self.redos[version]
            holding = [one for one in wanted if self.in_force.get(one) == version]
        else:
            wanted = self._with_parts(version)
            holding = [one for one in wanted if one in self.in_force]
        if len(holding) == len(wanted):
            return "in force"
        return "partly undone" if holding else "undone"

    def _with_parts(self, version: int) -> list[int]:
        return [*self.groups.get(version, ()), version]

    def last(self) -> int:
        """What came into force last: an edit, a group, or the redo of some. Nothing stands in its way."""
        if not self.in_force:
            raise Conflict("there is no edit in force that could be undone")
        newest = max(self.in_force, key=lambda one: (self.in_force[one], one))
        since = self.in_force[newest]
        return since if since in self.redos else newest

    def last_undone(self) -> int:
        """The newest undo of which something is still undone."""
        if not self.undone:
            raise Conflict("there is no undone edit that could be done again")
        return max(one.until for one in self.undone.values())

    # --- what an undo or a redo takes

    def meant(self, version: int, *, redo: bool) -> tuple[list[int], bool]:
        """The edits that are taken back or put back, and whether it is the latter: undoing an undo is a redo.

        Raises NotFound.
        """
        if not self.knows(version):
            raise NotFound(f"version {version} is no edit of this run")
        if version in self.undos:
            return [one for one in self.undos[version] if self._undone_by(one, version)], True
        if version in self.redos:
            return [one for one in self.redos[version] if self._came_by(one, version, redo=redo)], redo
        where = self.undone if redo else self.in_force
        return [one for one in self._with_parts(version) if one in where], redo

    def _undone_by(self, edit: int, version: int) -> bool:
        return edit in self.undone and self.undone[edit].until == version

    def _came_by(self, edit: int, version: int, *, redo: bool) -> bool:
        """Whether it is in force by this redo, or was so before it was undone."""
        if redo:
            return edit in self.undone and self.undone[edit].since == version
        return self.in_force.get(edit) == version

    def concerned_by_undo(self, edits: Iterable[int]) -> set[int]:
        """The edits whose changes must be known: these, and all in force that were made later."""
        first = min(edits, default=0)
        return {one for one in self.in_force if one >= first}

    def concerned_by_redo(self, edits: Iterable[int]) -> set[int]:
        """The edits whose changes must be known: these, and what is in force now and was not then, or was.

        The same holds for those among them that may have to be redone before.
        """
        found = set(edits)
        left = list(found)
        while left:
            before = self._in_force_before(left.pop())
            ground = (before & self.undone.keys()) - found
            left += ground
            found |= ground | (self.in_force.keys() - before)
        return found

    def plan_undo(self, edits: Iterable[int], changes: Mapping[int, Changes]) -> Plan:
        """These edits and, before them, all in force that were made on them, newest first."""
        wanted = set(edits)
        taken = set(wanted)
        for one in sorted(self.concerned_by_undo(wanted) - wanted):
            if any(other < one and changes[one].meets(changes[other]) for other in taken):
                taken.add(one)
        order = sorted(taken, reverse=True)
        composed = Changes.composed([changes[one].inverse() for one in order])
        return Plan(order, [one for one in order if one not in wanted], composed)

    def plan_redo(self, edits: Iterable[int], changes: Mapping[int, Changes]) -> Plan:
        """These edits and, before them, all that they were made on and that are undone, oldest first.

        Edits in force that touched the same, and that they were not made on, are `refused`: a redo takes
        nothing back.
        """
        wanted = set(edits)
        taken, refused, left = set(wanted), set[int](), list(wanted)
        while left:
            one = left.pop()
            before = self._in_force_before(one)
            ground = {other for other in before & self.undone.keys() if changes[one].meets(changes[other])}
            left += ground - taken
            taken |= ground
            others = self.in_force.keys() - before
            refused |= {other for other in others if changes[one].meets(changes[other])}
        order = sorted(taken)
        composed = Changes.composed([changes[one] for one in order])
        blockers = [one for one in order if one not in wanted]
        return Plan(order, blockers, composed, redo=True, refused=sorted(refused))

    def _in_force_before(self, version: int) -> set[int]:
        """The edits that were in force when the event at this version was decided."""
        standing = {one for one in (*self.in_force, *self.undone) if one < version}
        for at in sorted({*self.undos, *self.redos}):
            if at < version:
                standing.difference_update(self.undos.get(at, ()))
                standing.update(self.redos.get(at, ()))
        return standing

    # --- as it stands in a snapshot

    def packed(self) -> list[list[Any]]:
        in_force, undone, *rest = self._all()
        plain = (in_force, {one: list(at) for one, at in undone.items()}, *rest)
        return [[[key, value] for key, value in one.items()] for one in plain]

    @classmethod
    def unpacked(cls, packed: Iterable[Iterable[Any]]) -> Self:
        in_force, undone, undos, redos, groups = (dict(one) for one in packed)
        return cls(in_force, {one: Undone(*at) for one, at in undone.items()}, undos, redos, groups)
