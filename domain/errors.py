"""The kinds of refusal. They import nothing: the command line starts with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


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


class UpstreamRefused(Refused):
    """Another service that was asked says no: a wrong key, say, or an unknown model."""


class Unavailable(DomainError):
    """Something that is needed does not answer; the same request may succeed later."""
