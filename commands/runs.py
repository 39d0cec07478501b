"""What the work on every run has: a free id, a look whether it was cancelled, answers recorded in chunks.

Of no feature: summaries, hierarchies, classifications and evaluations are worked on alike.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import TypeVar

from commands.bus import Handler
from commands.ports import EventStore, Outcome
from domain.base import Aggregate
from domain.runs import Run

LOOKED_EVERY_S = 0.5
RECORDED_EVERY_S = 1.0
"""So much of what was answered is lost at most when a worker dies."""

CHARACTERS_AT_ONCE = 300_000
"""Of an event, about."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Fail:
    """Give it up, for this reason."""

    kind: type[Run]
    name: str
    error: str


def fail(cmd: Fail, store: EventStore) -> Outcome:
    run = store.load(cmd.kind, cmd.name)
    run.fail(cmd.error)
    return Outcome((run,))


def free_id(store: EventStore, kind: type[Aggregate], name: str) -> str:
    """The name, or where that is taken the same with `-2`, `-3`, ..."""
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(one for one in names if store.find(kind, one) is None)


def stamped(model: str, at: datetime) -> str:
    """What the ids of runs by a model end with: `c-tf-idf-20251004-124530`."""
    name = re.sub(r"[^a-z0-9.]+", "-", model.partition("/")[2].lower())[:40]
    return f"{name}-{at:%Y%m%d-%H%M%S}"


class Cancellation:
    """Whether nobody wants any more of a run. Once that is so it stays so; the log is asked now and then."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked
        self._looked = 0.0
        self._is_asked_for = False

    def __call__(self) -> bool:
        late = time.monotonic() - self._looked >= LOOKED_EVERY_S
        return self.look() if late else self._is_asked_for

    def look(self) -> bool:
        """The same, by the log as it is now."""
        self._looked = time.monotonic()
        self._is_asked_for = self._is_asked_for or self._asked()
        return self._is_asked_for


def chunks(
    answers: Iterable[T], most: int, characters: Callable[[T], int] = lambda one: 0
) -> Iterator[list[T]]:
    """Answers in parts to be recorded, each as an event, as soon as they are many, long or old.

    Where their source breaks off, what came before is given out first.
    """
    some: list[T] = []
    size, begun = 0, time.monotonic()
    try:
        for one in answers:
            some.append(one)
            size += characters(one)
            late = time.monotonic() - begun >= RECORDED_EVERY_S
            if late or len(some) >= most or size >= CHARACTERS_AT_ONCE:
                yield some
                some, size, begun = [], 0, time.monotonic()
    except Exception:
        if some:
            yield some
        raise
    if some:
        yield some


HANDLERS: dict[type, Handler] = {Fail: fail}
