"""The base of aggregates, and who acts. Alone here in knowing the library."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from eventsourcing import domain as es
from eventsourcing.domain import event as event

from domain.errors import Invalid
from domain.values import flaw

__all__ = [
    "Aggregate",
    "Context",
    "DomainEvent",
    "context",
    "event",
]


@dataclass(frozen=True)
class Context:
    """Who acts, why, and in what chain of causes. Set at the edge, stored beside every event."""

    actor: str = "system"
    reason: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    key_scope: str = ""
    """Whose keys these are: two holders of API keys may choose the same one."""
    expected_version: int | None = None
    """The version of the aggregate that the caller has seen (If-Match)."""
    expected_hash: str | None = None
    """The same of a template, whose ETag is the hash of what it says."""

    def __post_init__(self) -> None:
        """Raises Invalid for a reason that cannot be kept; the rest are headers, which are checked there."""
        _refuse_flaws({"reason": self.reason})


def _refuse_flaws(values: Mapping[str, object]) -> None:
    for name, value in values.items():
        if wrong := flaw(name, value):
            raise Invalid(wrong)


context: ContextVar[Context] = ContextVar("context", default=Context())  # noqa: B039  (frozen)


class DomainEvent(es.CanCreateTimestamp, metaclass=es.MetaDomainEvent):
    """What every event has: its stream, its version in the stream, and when it was decided (UTC)."""

    originator_id: str
    originator_version: int
    timestamp: datetime


class Aggregate(es.BaseAggregate[str]):
    """An aggregate whose id is the name of its stream: `clustering/kmeans-200-20251004-170442`."""

    PREFIX: ClassVar[str]

    class Event(es.CanMutateAggregate[str], DomainEvent):
        def __post_init__(self) -> None:
            """Raises Invalid for what cannot be kept. A replay does not come here, only a decision."""
            _refuse_flaws(vars(self))

    class Created(Event, es.CanInitAggregate[str]):
        originator_topic: str

    class Snapshot(es.CanSnapshotAggregate[str], DomainEvent):
        topic: str
        state: dict[str, Any]

    @classmethod
    def stream(cls, name: str) -> str:
        """The id of the stream of the aggregate with this name, or Invalid where there can be none."""
        _refuse_flaws({f"the name of a {cls.__name__.lower()}": name})
        return f"{cls.PREFIX}/{name}"

    @property
    def name(self) -> str:
        """The name of this aggregate within its kind."""
        return self.id.partition("/")[2]
