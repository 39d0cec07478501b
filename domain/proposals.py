"""A proposal: edits of a run that somebody suggests, which change nothing before somebody accepts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.base import Aggregate, event
from domain.errors import Conflict, Invalid

MAX_EDITS = 500
MAX_REASON = 2_000


class Proposal(Aggregate):
    TOPIC = "proposal"
    PREFIX = "proposal"

    class Created(Aggregate.Created):
        """`edits` as they were written (docs/proposals.md); `run_version`: what the proposer had seen.

        `source`: who or what proposes, where that is more than the actor: a heuristic, a model, a report.
        """

        TOPIC = "proposal.created"
        proposal_id: str
        run_id: str
        run_version: int
        edits: list[dict[str, Any]]
        title: str | None
        reason: str
        source: str | None

    class Accepted(Aggregate.Event):
        """`edits`: `{index, version}`, which edit of the proposal became which version of the run, null where
        it changed nothing any more. `left_out`: the indexes of those that were not accepted. `run_version`:
        of the group in the run, null where nothing changed at all. `impact`: as it was when it was decided.
        """

        TOPIC = "proposal.accepted"
        edits: list[dict[str, Any]]
        left_out: list[int]
        run_version: int | None
        reason: str | None
        forced: bool
        impact: dict[str, Any]

    class Rejected(Aggregate.Event):
        """`impact`: what it would have come to when it was decided."""

        TOPIC = "proposal.rejected"
        reason: str
        impact: dict[str, Any]

    @staticmethod
    def create_id(proposal_id: str) -> str:
        return Proposal.stream(proposal_id)

    def __init__(
        self,
        proposal_id: str,
        run_id: str,
        run_version: int,
        edits: list[dict[str, Any]],
        title: str | None,
        reason: str,
        source: str | None,
    ) -> None:
        self.proposal_id = proposal_id
        self.run_id = run_id
        self.run_version = run_version
        self.edits = edits
        self.title = title
        self.reason = reason
        self.source = source
        self.status = "pending"
        self.impact: dict[str, Any] | None = None

    def check_pending(self) -> None:
        if self.status != "pending":
            raise Conflict(f"proposal {self.proposal_id} is {self.status} already")

    def chosen(self, only: Sequence[int] | None) -> list[int]:
        """The indexes of the edits that are meant, in their order; None for all."""
        if only is None:
            return list(range(len(self.edits)))
        if not only:
            raise Invalid("only is empty: name the indexes of the edits to accept, or leave it out for all")
        if strange := sorted(set(only) - set(range(len(self.edits)))):
            named = ", ".join(map(str, strange[:20]))
            raise Invalid(
                f"only names {named}; proposal {self.proposal_id} has {len(self.edits)} edits, from 0"
            )
        return sorted(set(only))

    def accept(
        self,
        versions: Mapping[int, int | None],
        run_version: int | None,
        impact: dict[str, Any],
        *,
        reason: str | None,
        forced: bool,
    ) -> None:
        """`versions`: what became of each edit that was made."""
        self.check_pending()
        self._accepted(
            edits=[{"index": index, "version": version} for index, version in versions.items()],
            left_out=[one for one in range(len(self.edits)) if one not in versions],
            run_version=run_version,
            reason=reason,
            forced=forced,
            impact=impact,
        )

    @event(Accepted)
    def _accepted(
        self,
        edits: list[dict[str, Any]],
        left_out: list[int],
        run_version: int | None,
        reason: str | None,
        forced: bool,
        impact: dict[str, Any],
    ) -> None:
        self.status = "accepted"
        self.impact = impact

    def reject(self, reason: str, impact: dict[str, Any]) -> None:
        self.check_pending()
        self._rejected(reason=stated(reason), impact=impact)

    @event(Rejected)
    def _rejected(self, reason: str, impact: dict[str, Any]) -> None:
        self.status = "rejected"
        self.impact = impact


def stated(reason: str) -> str:
    """A reason that says something, or Invalid."""
    if not reason.strip():
        raise Invalid("reason must not be empty")
    if len(reason) > MAX_REASON:
        raise Invalid(f"reason has {len(reason)} characters; {MAX_REASON} are allowed")
    return reason
