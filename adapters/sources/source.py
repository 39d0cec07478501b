"""`ConversationSource` over one container of records or over several, numbered through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from adapters.sources.formats import Shape, read_row
from adapters.sources.records import Records
from commands.ports import BadRow, Conversation
from domain.errors import Invalid


class Container(Protocol):
    """A file, or a data set of a hub, as records."""

    @property
    def total(self) -> int | None: ...

    def shape(self, text_column: str | None) -> Shape:
        """Where the text stands. Raises `domain.errors.Invalid` if a header or schema has no place for it."""

    def records(self, skip: int) -> Records:
        """Records in order without the first `skip`; which record has which number does not depend on it."""


@dataclass(frozen=True)
class Part:
    """A container in a source. `label` goes before what is said of its rows, where there are several."""

    container: Container
    text_column: str | None = None
    label: str = ""

    @cached_property
    def shape(self) -> Shape:
        return self.container.shape(self.text_column)

    def rows(self, before: int, after: int, end: int) -> Generator[Conversation | BadRow, None, int]:
        """Its rows, numbered in the source from `before` + 1 on; returns the number of the last."""
        row = max(before, after)
        with closing(self.container.records(row - before)) as records:
            while row < end:
                try:
                    raw = next(records)
                except StopIteration as stop:
                    return before + int(stop.value)
                row += 1
                yield self._labelled(read_row(raw, row, self.shape), row - before)
        return row

    def _labelled(self, read: Conversation | BadRow, row: int) -> Conversation | BadRow:
        if self.label and isinstance(read, BadRow):
            return replace(read, reason=f"{self.label}, row {row}: {read.reason}")
        return read


class Source:
    """See `commands.ports.ConversationSource`. Nothing is open between two calls of `rows`."""

    def __init__(
        self, name: str, parts: Sequence[Part], fingerprint: Callable[[], str], limit: int | None = None
    ) -> None:
        if limit is not None and limit < 0:
            raise Invalid(f"limit must be 0 or more, found {limit}")
        self.name = name
        self._parts = parts
        self._fingerprint = fingerprint
        self._end = sys.maxsize if limit is None else limit

    @cached_property
    def fingerprint(self) -> str:
        return self._fingerprint()

    @property
    def total(self) -> int | None:
        total = 0
        for part in self._parts:
            if part.container.total is None:
                return None
            total += part.container.total
        return min(total, self._end)

    def rows(self, after: int = 0) -> Iterator[Conversation | BadRow]:
        before = 0
        for part in self._parts:
            before = yield from part.rows(before, after, self._end)
