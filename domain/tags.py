"""Tags: names that people give to moments of the log, so that they can come back to them."""

from __future__ import annotations

import re

from domain.base import Aggregate, event
from domain.errors import Conflict, Invalid, NotFound

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
"""It begins with a letter: no position and no time does."""


class Tag(Aggregate):
    TOPIC = "tag"
    PREFIX = "tag"

    class Created(Aggregate.Created):
        """`position`: the event of the log up to which everything is meant, itself included."""

        TOPIC = "tag.created"
        name: str
        position: int

    class Removed(Aggregate.Event):
        """The name is free again."""

        TOPIC = "tag.removed"

    class Placed(Aggregate.Event):
        """A name that had become free stands for another moment."""

        TOPIC = "tag.placed"
        position: int

    @staticmethod
    def create_id(name: str) -> str:
        return Tag.stream(name)

    def __init__(self, name: str, position: int) -> None:
        self.position: int | None = position

    def place(self, position: int) -> None:
        """Use a free name again."""
        if self.position is not None:
            raise Conflict(
                f"there is a tag {self.name!r} already, at position {self.position};"
                " take another name, or remove it first"
            )
        self._placed(position=position)

    @event(Placed)
    def _placed(self, position: int) -> None:
        self.position = position

    def remove(self) -> None:
        self.moment()
        self._removed()

    @event(Removed)
    def _removed(self) -> None:
        self.position = None

    def moment(self) -> int:
        """The position that it stands for. Raises NotFound for a tag that was removed."""
        if self.position is None:
            raise NotFound(f"there is no tag {self.name!r}: it was removed")
        return self.position


def check_name(name: str) -> str:
    """The name, or Invalid where it could be mistaken for something else."""
    if not NAME.fullmatch(name):
        raise Invalid(
            f"tag name {name!r}: begin with a letter and use 1 to 64 letters, digits, '.', '_' or '-'"
        )
    return name
