"""Tags: set and removed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from commands.bus import Handler
from commands.ports import EventStore, Outcome
from domain.errors import Conflict, Invalid
from domain.tags import Tag, check_name


@dataclass(frozen=True, kw_only=True)
class AddTag:
    """At a position, or at a time; without either: now."""

    name: str
    position: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RemoveTag:
    name: str


def add_tag(cmd: AddTag, store: EventStore) -> Outcome:
    name, position = check_name(cmd.name), _position(cmd, store)
    tag = store.find(Tag, name)
    if tag is None:
        tag = Tag(name, position)
    else:
        tag.place(position)
    return Outcome((tag,), {"name": name, "position": position})


def _position(cmd: AddTag, store: EventStore) -> int:
    if cmd.position is not None and cmd.at is not None:
        raise Invalid("position and at: give one of them")
    head = store.head()
    position = head if cmd.position is None else cmd.position
    if cmd.at is not None:
        position = store.position_at(cmd.at)
    if not head or not position:
        raise Conflict("there is no event yet at that moment: nothing could be found under the tag")
    if not 0 < position <= head:
        raise Invalid(f"position: {position} is not in the log, which goes from 1 to {head}")
    return position


def remove_tag(cmd: RemoveTag, store: EventStore) -> Outcome:
    tag = store.load(Tag, check_name(cmd.name))
    tag.remove()
    return Outcome((tag,), {"name": cmd.name})


HANDLERS: dict[type, Handler] = {AddTag: add_tag, RemoveTag: remove_tag}
