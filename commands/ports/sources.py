"""Where conversations are read from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class Conversation:
    """One good row of a source, in the form that all formats are brought to.

    `turns` are `{"role": ..., "content": ...}` in order, `query` the first user turn, `metadata` the columns
    that have no field of their own. `conversation_id` is None where the source has no id.
    """

    row: int
    conversation_id: str | None
    query: str
    turns: list[dict[str, str]]
    model: str = "unknown"
    language: str | None = None
    timestamp: datetime | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BadRow:
    """A row that was not taken: `row` counts from 1 in the source as a whole, `reason` says what to mend.

    `breaks`: nothing can be read behind it, though the source goes on or should.
    """

    row: int
    reason: str
    breaks: bool = field(default=False, compare=False)


class ConversationSource(Protocol):
    """Rows of a file, a folder or a data set of a hub, in a fixed order."""

    @property
    def name(self) -> str:
        """What to call it in messages and events: a file's name, never a path of the machine."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the bytes (or of name and revision), hex: ids of rows without one derive from it."""

    @property
    def total(self) -> int | None:
        """How many rows there are, where that is known without reading all."""

    def rows(self, after: int = 0) -> Iterator[Conversation | BadRow]:
        """Rows in order, those numbered up to `after` passed over as cheaply as the format allows.

        A source that breaks off yields what stands before the break and then a BadRow that says where.
        """


class Sources(Protocol):
    """Where conversations come from."""

    def open(self, source: Mapping[str, Any], options: Mapping[str, Any]) -> ConversationSource:
        """Raises Refused for what may not be read, NotFound, and Invalid for a wrong format.

        `source`: `{kind: huggingface, name}`, `{kind: import, path}` (below the import folder) or
        `{kind: upload, file, sha256, name}`; `options`: limit, text_column, format.
        """

    def check_importable(self, path: str) -> None:
        """Raises Refused for what does not lie below the import folder, NotFound for what is not there."""

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a file below the import folder, one after the other. Raises as above."""

    def release(self, source: Mapping[str, Any]) -> None:
        """It has been read: what was kept for that alone goes. May be said again."""
