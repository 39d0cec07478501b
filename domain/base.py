"""The base of aggregates, the kinds of refusal, and who acts. Alone here in knowing the library."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from eventsourcing import domain as es
from eventsourcing.domain import event as event

__all__ = [
    "Aggregate",
    "Conflict",
    "Context",
    "DomainError",
    "DomainEvent",
    "Invalid",
    "NotFound",
    "Refused",
    "Stale",
    "Unavailable",
    "VersionConflict",
    "context",
    "event",
]


class DomainError(Exception):
    """A refusal that a caller can understand. `details` names each thing that is wrong."""

    def __init__(self, message: str, details: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = list(details)


class NotFound(DomainError):
    """What was named does not exist."""


class Invalid(DomainError):
    """The request can never be met as it stands."""


class Conflict(DomainError):
    """The request does not fit the present state."""


class VersionConflict(Conflict):
    """Somebody else has changed the aggregate meanwhile; the command may succeed on its new state."""


class Stale(DomainError):
    """The state is no longer the one that the caller has seen (If-Match)."""


class Refused(DomainError):
    """A provider or a policy says no, and will say no again."""


class Unavailable(DomainError):
    """Something that is needed does not answer; the same request may succeed later."""


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
        pass

    class Created(Event, es.CanInitAggregate[str]):
        originator_topic: str

    class Snapshot(es.CanSnapshotAggregate[str], DomainEvent):
        topic: str
        state: dict[str, Any]

    @classmethod
    def stream(cls, name: str) -> str:
        """The id of the stream of the aggregate with this name."""
        return f"{cls.PREFIX}/{name}"

    @property
    def name(self) -> str:
        """The name of this aggregate within its kind."""
        return self.id.partition("/")[2]
