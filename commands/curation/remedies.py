"""A proposal of what could be done about clusters that heuristics speak against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from commands.bus import Handler
from commands.curation.edits import suggested_title
from commands.curation.proposals import ProposeEdits, propose_edits
from commands.ports import EventStore, Outcome
from domain.clustering import ClusteringRun
from domain.errors import Conflict
from domain.quality import Bad, Facts
from domain.remedies import remedies

SOURCE = "select-bad-clusters"

AT_ONCE = 50
"""Edits of a proposal: what a person looks through; 50 merges among 1,000,000 queries are tried in 0.7 s."""


@dataclass(frozen=True, kw_only=True)
class ProposeRemedies:
    """`bad`: what the heuristics found, the worst first; `facts`: of all clusters of the run."""

    run_id: str
    bad: Sequence[Bad]
    facts: Sequence[Facts]
    title: str | None
    reason: str | None
    source: str | None
    at: datetime
    dry_run: bool = False


def propose_remedies(cmd: ProposeRemedies, store: EventStore) -> Outcome:
    """The worst first; the rest is found when these are decided."""
    run = store.load(ClusteringRun, cmd.run_id)
    edits = remedies(cmd.bad, cmd.facts, lambda ids: suggested_title(run, ids))[:AT_ONCE]
    if not edits:
        raise Conflict(f"the heuristics find nothing in run {cmd.run_id} that an edit could be proposed for")
    found = Counter(reason.heuristic for one in cmd.bad for reason in one.reasons)
    counted = ", ".join(f"{count} {heuristic}" for heuristic, count in found.most_common())
    proposing = ProposeEdits(
        run_id=cmd.run_id,
        edits=edits,
        title=cmd.title or f"{len(cmd.bad)} clusters that somebody should look at",
        reason=cmd.reason or f"found by heuristics: {counted}",
        source=cmd.source or SOURCE,
        at=cmd.at,
        dry_run=cmd.dry_run,
    )
    return propose_edits(proposing, store)


HANDLERS: dict[type, Handler] = {ProposeRemedies: propose_remedies}
