"""Which edits of a run are in force, which were undone, and which stand in the way of an undo or redo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from domain.base import Conflict, NotFound
from domain.clustering.changes import Changes


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

    `in_force`: edit → the version at which it came into force (its own, or that of a redo). `reversals`:
    version of an undo or redo → its edits. `groups`: version → the edits that belong together.
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
            holding = [one for one in wanted if one in self.undone and self.undone[one].until == version]
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
        """The newest edit in force, by when it came into force; a group stands behind its edits."""
        if not self.in_force:
            raise Conflict("there is no edit in force that could be undone")
        return max(self.in_force, key=self._since)

    def last_undone(self) -> int:
        """The newest undo of which something is still undone."""
        if not self.undone:
            raise Conflict("there is no undone edit that could be done again")
        return max(one.until for one in self.undone.values())

    # --- what an undo or a redo takes

    def to_undo(self, version: int) -> list[int] | None:
        """The edits that an undo of this version takes back; None where it means a redo (of an undo)."""
        self._check(version)
        if version in self.undos:
            return None
        if version in self.redos:
            return [one for one in self.redos[version] if self.in_force.get(one) == version]
        return [one for one in self._with_parts(version) if one in self.in_force]

    def to_redo(self, version: int) -> list[int] | None:
        """The edits that a redo of this version puts back; None where it means an undo (of a redo)."""
        self._check(version)
        if version in self.redos:
            return None
        if version in self.undos:
            of_it = self.undos[version]
            return [one for one in of_it if one in self.undone and self.undone[one].until == version]
        return [one for one in self._with_parts(version) if one in self.undone]

    def _check(self, version: int) -> None:
        if not self.knows(version):
            raise NotFound(f"version {version} is no edit of this run")

    def concerned_by_undo(self, edits: Iterable[int]) -> set[int]:
        """The edits whose changes must be known: these, and all that came into force later."""
        begin = min((self.in_force[one] for one in edits), default=0)
        return {one for one, since in self.in_force.items() if since >= begin}

    def concerned_by_redo(self, edits: Iterable[int]) -> set[int]:
        """The edits whose changes must be known: these, all in force since, and all undone since."""
        wanted = set(edits)
        begin = min((self.undone[one].until for one in wanted), default=0)
        newer = {one for one, since in self.in_force.items() if since > begin}
        return wanted | newer | {one for one, undone in self.undone.items() if undone.until >= begin}

    def plan_undo(self, edits: Iterable[int], changes: Mapping[int, Changes]) -> Plan:
        """These edits and, before them, all in force that came later and touched the same, newest first."""
        wanted = set(edits)
        taken = set(wanted)
        for one in sorted(self.concerned_by_undo(wanted) - wanted, key=self._since):
            since = self._since(one)
            if any(self._since(other) < since and changes[one].meets(changes[other]) for other in taken):
                taken.add(one)
        order = sorted(taken, key=self._since, reverse=True)
        composed = Changes.composed([changes[one].inverse() for one in order])
        return Plan(order, [one for one in order if one not in wanted], composed)

    def plan_redo(self, edits: Iterable[int], changes: Mapping[int, Changes]) -> Plan:
        """These edits and, before them, all undone since that they had built on, oldest first.

        Edits that came into force since and touched the same are `refused`: a redo takes nothing back.
        """
        wanted = set(edits)
        taken: set[int] = set()
        left = sorted(wanted, key=lambda one: self.undone[one].since, reverse=True)
        while left:
            one = left.pop(0)
            taken.add(one)
            left += [b for b in self._ground(one, changes) if b not in taken and b not in left]
        refused = {
            other
            for one in taken
            for other, since in self.in_force.items()
            if since > self.undone[one].until and other in changes and changes[one].meets(changes[other])
        }
        order = sorted(taken, key=lambda one: (self.undone[one].since, one))
        composed = Changes.composed([changes[one] for one in order])
        blockers = [one for one in order if one not in wanted]
        return Plan(order, blockers, composed, redo=True, refused=sorted(refused))

    def _ground(self, edit: int, changes: Mapping[int, Changes]) -> list[int]:
        """Edits that were in force before this one, touched the same, and were undone with it or since."""
        mine = self.undone[edit]
        return [
            other
            for other, undone in self.undone.items()
            if undone.until >= mine.until
            and (undone.since, other) < (mine.since, edit)
            and changes[edit].meets(changes[other])
        ]

    def _since(self, edit: int) -> tuple[int, int]:
        return self.in_force[edit], edit

    # --- as it stands in a snapshot

    def packed(self) -> list[list[Any]]:
        in_force, undone, *rest = self._all()
        plain = (in_force, {one: list(at) for one, at in undone.items()}, *rest)
        return [[[key, value] for key, value in one.items()] for one in plain]

    @classmethod
    def unpacked(cls, packed: Iterable[Iterable[Any]]) -> Self:
        in_force, undone, undos, redos, groups = (dict(one) for one in packed)
        return cls(in_force, {one: Undone(*at) for one, at in undone.items()}, undos, redos, groups)
