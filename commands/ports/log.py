"""The log: what handlers decide goes in, aggregates and positions come out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from domain.base import Aggregate


@dataclass(frozen=True)
class NewConversation:
    """A line of the index of what a data set has: digests of its content and of the text of its query."""

    conversation_id: str
    query_id: int
    content: bytes
    text: bytes


@dataclass(frozen=True)
class Erasure:
    """What is to go from beside the log: a conversation in all contents that it had, and their texts.

    What another conversation has as well stays, but for what models answered about `query_ids`. A line of
    the index stays, without digests.
    """

    dataset: str
    conversation_id: str
    query_id: int
    query_ids: Sequence[int]
    contents: Sequence[bytes]
    texts: Sequence[bytes]


@dataclass(frozen=True)
class Outcome:
    """What a handler decided: aggregates with new events, the answer, and what lies beside the log.

    `contents` (digest → bytes) and `conversations` (of `dataset`; `forget_conversations` clears its index)
    are stored in the transaction of the events, and what `erasure` names is removed in it. `causes` ((stream,
    version) → what caused that event) stands for the cause of the command where events of one command have
    causes of their own.
    """

    aggregates: tuple[Aggregate, ...]
    answer: dict[str, Any] = field(default_factory=dict)
    contents: Mapping[bytes, bytes] = field(default_factory=dict)
    dataset: str | None = None
    conversations: Sequence[NewConversation] = ()
    forget_conversations: bool = False
    erasure: Erasure | None = None
    causes: Mapping[tuple[str, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """`position` of the last event of the command, None where it changed nothing."""

    answer: dict[str, Any]
    position: int | None
    types: frozenset[str] = frozenset()


A = TypeVar("A", bound=Aggregate)


class EventStore(Protocol):
    def load(self, kind: type[A], name: str) -> A:
        """Raises NotFound."""

    def find(self, kind: type[A], name: str) -> A | None: ...

    def at_version(self, kind: type[A], name: str, version: int) -> A: ...

    def events(self, kind: type[Aggregate], name: str, versions: Iterable[int]) -> dict[int, Any]:
        """The events of a stream at these versions, those that there are."""

    def place_of(self, position: int) -> tuple[str, int] | None:
        """The stream and version of the event at a position of the log."""

    def positions(self, kind: type[Aggregate], name: str, versions: Iterable[int]) -> dict[int, int]:
        """Version → position in the log."""

    def types(self, kind: type[Aggregate], name: str, versions: Iterable[int]) -> dict[int, str]:
        """Version → topic of its event, without reading what the event holds."""

    def version_at(self, kind: type[Aggregate], name: str, position: int) -> int:
        """The version that a stream had when the log was at this position; 0 before its first event."""

    def position_at(self, moment: datetime) -> int:
        """The last event recorded up to then; 0 before the first. Raises Invalid for the future."""

    def commit(self, outcome: Outcome, command: str) -> Receipt:
        """Append all events of the outcome, or none.

        Raises VersionConflict when an aggregate has moved on, Unavailable when nobody knows if it worked.
        """

    def answered(self) -> Receipt | None:
        """What the request of the present context was answered before.

        Raises Invalid where its idempotency key was used for another request.
        """

    def take_snapshot(self, kind: type[Aggregate], name: str) -> None:
        """Keep the present state of an aggregate, so that it loads fast from now on."""

    def head(self) -> int:
        """The position of the last event; 0 for none."""

    def runs_of(self, dataset: str) -> list[str]:
        """The ids of all clustering runs of a data set."""

    def hierarchies_of(self, run_id: str) -> list[str]:
        """The ids of all hierarchies of a clustering run."""

    def templates_with_examples(self) -> list[tuple[str, str]]:
        """Hash and template id of all versions that have or had examples."""

    def reserve_query_ids(self, count: int) -> int:
        """The first of `count` ids that nobody else will get."""
