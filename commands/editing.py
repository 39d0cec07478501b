"""What every edit by hand has: the state that the caller has seen, and an answer with the version it led to.

Of no feature: runs and hierarchies are edited alike.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from commands.ports import EventStore, Outcome
from domain.base import context
from domain.clustering.reversal import Reversible
from domain.errors import Stale

R = TypeVar("R", bound=Reversible)


class Tried(Protocol):
    @property
    def dry_run(self) -> bool:
        """Decide and answer, but change nothing."""


def load_for_edit(store: EventStore, kind: type[R], name: str) -> R:
    """What is to be edited, if it can be and is still what the caller has seen (If-Match)."""
    found = store.load(kind, name)
    expected = context.get().expected_hash or context.get().expected_version
    if expected is not None and expected != found.version:
        raise Stale(
            f"{found.noun} is at version {found.version}, not {expected}; read it again",
            [{"version": found.version}],
        )
    found.check_editable()
    return found


def done(edited: Reversible, answer: dict[str, Any], cmd: Tried) -> Outcome:
    """The answer, and what was edited where it was changed and is meant to be."""
    changed = bool(edited.pending_events) and not cmd.dry_run
    version = edited.version if changed else edited.version - len(edited.pending_events)
    full = {**answer, "version": version, "changed": changed, "dry_run": cmd.dry_run}
    return Outcome((edited,) if changed else (), full)
