"""Proposals: edits that somebody suggests, what they would come to now, and the decision of a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from commands.bus import Handler
from commands.curation.edits import MAX_QUERIES, Edit, done, load_for_edit
from commands.curation.reversal import changes_at, numbered
from commands.ports import EventStore, Outcome
from domain.clustering import Changes, ClusteringRun
from domain.clustering.cluster import MAX_TITLE, check_text
from domain.clustering.history import History
from domain.clustering.impact import Standing, impact
from domain.clustering.script import Spec, read_edit, write_edit
from domain.clustering.trial import Tried, clusters_named, try_edits
from domain.errors import Conflict, DomainError, Invalid
from domain.proposals import MAX_EDITS, Proposal, stated

SHOWN_EDITS = 20
"""Later edits that are named for each edit of a proposal; all are counted."""


@dataclass(frozen=True, kw_only=True)
class ProposeEdits:
    """`edits` as in `domain.clustering.script`; `at` becomes part of the proposal's id."""

    run_id: str
    edits: Sequence[Mapping[str, Any]]
    title: str | None
    reason: str
    source: str | None
    at: datetime
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class AcceptProposal:
    """`only`: indexes of the edits that are meant. `force`: although others touched the same since."""

    proposal_id: str
    only: Sequence[int] | None = None
    reason: str | None = None
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class RejectProposal:
    proposal_id: str
    reason: str


@dataclass(frozen=True)
class Review:
    """What edits come to in the present state, and which later edits touched the same, by index."""

    tried: list[Tried]
    later: Mapping[int, list[dict[str, Any]]]
    came_to: Mapping[str, Any]

    def card(self) -> dict[str, Any]:
        return {**self.came_to, "edits": [self._row(one) for one in self.tried]}

    def _row(self, one: Tried) -> dict[str, Any]:
        made = one.refusal is None
        return {
            "index": one.index,
            "edit_type": one.kind,
            "can_be_made": made,
            "refusal": one.refusal.message if one.refusal else None,
            "queries_moved": len(one.changes.query_ids) if made else 0,
            "clusters_changed": sorted(one.changes.touched) if made else [],
            "touched_since": len(self.later[one.index]),
            "touched_by": self.later[one.index][:SHOWN_EDITS],
        }

    def conflicts(self) -> list[dict[str, Any]]:
        """For each edit that cannot be made, or whose matter others have touched: why."""
        return [
            {
                "index": one.index,
                "edit_type": one.kind,
                "can_be_made": one.refusal is None,
                "reason": one.refusal.message if one.refusal else "edited since by others",
                "edits": self.later[one.index][:SHOWN_EDITS],
            }
            for one in self.tried
            if one.refusal or self.later[one.index]
        ]


def propose_edits(cmd: ProposeEdits, store: EventStore) -> Outcome:
    """Refused as a whole where one of the edits cannot be made."""
    run = load_for_edit(store, cmd.run_id)
    run.check_editable()
    title = None if cmd.title is None else check_text("title", cmd.title, MAX_TITLE)
    source = None if cmd.source is None else check_text("source", cmd.source, MAX_TITLE)
    edits = _read(cmd.edits, run)
    version = run.version
    review = _review(run, edits, {}, {})
    _refuse([(one.index, one.refusal) for one in review.tried if one.refusal])
    if not run.pending_events:
        raise Invalid("the edits would change nothing: what they propose is so already")
    proposal = Proposal(
        proposal_id=next(free for free in _ids(cmd.at) if store.find(Proposal, free) is None),
        run_id=cmd.run_id,
        run_version=version,
        edits=[write_edit(one) for one in edits.values()],
        title=title,
        reason=stated(cmd.reason),
        source=source,
    )
    answer = {
        "proposal_id": None if cmd.dry_run else proposal.proposal_id,
        "run_id": cmd.run_id,
        "status": "pending",
        "version": version,
        "dry_run": cmd.dry_run,
        "impact": review.card(),
    }
    return Outcome(() if cmd.dry_run else (proposal,), answer)


def _ids(at: datetime) -> Iterator[str]:
    """`proposal-20251004-170442`, then the same with `-2`, `-3`, ... for proposals of the same second."""
    name = f"proposal-{at:%Y%m%d-%H%M%S}"
    yield name
    for number in range(2, 1_000_000):
        yield f"{name}-{number}"


def _read(edits: Sequence[Mapping[str, Any]], run: ClusteringRun) -> dict[int, Spec]:
    if not 0 < len(edits) <= MAX_EDITS:
        raise Invalid(f"edits: there are {len(edits)}; a proposal has 1 to {MAX_EDITS}")
    read: dict[int, Spec] = {}
    faults: list[tuple[int, DomainError]] = []
    for index, edit in enumerate(edits):
        try:
            read[index] = read_edit(edit)
            _refuse_guesses(read[index], run)
        except Invalid as fault:
            faults.append((index, fault))
    _refuse(faults)
    queries = sum(len(getattr(one, "query_ids", ())) for one in read.values())
    if queries > MAX_QUERIES:
        raise Invalid(f"edits: they name {queries} queries; {MAX_QUERIES} are allowed")
    return read


def _refuse_guesses(edit: Spec, run: ClusteringRun) -> None:
    """The id that a split will give cannot be known: others may split before the proposal is accepted."""
    if guessed := [one for one in clusters_named(edit) if one >= run.next_cluster_id]:
        raise Invalid(
            f'run {run.run_id} has no cluster {guessed[0]}; what the edit at index n makes is called "new:n"'
        )


def _refuse(faults: Sequence[tuple[int, DomainError]]) -> None:
    """409 where the state of the run is in the way, 422 where an edit could never be made."""
    if not faults:
        return
    kind = Invalid if any(isinstance(fault, Invalid) for _, fault in faults) else Conflict
    details = [{"index": index, "detail": fault.message} for index, fault in faults]
    first, fault = faults[0]
    raise kind(f"{len(faults)} of the edits cannot be made; edit {first}: {fault.message}", details)


def _review(
    run: ClusteringRun,
    edits: Mapping[int, Spec],
    later: Mapping[int, Changes],
    named: Mapping[int, dict[str, Any]],
) -> Review:
    """Makes the edits on this run. `later`: edits made since, by version; `named`: as callers know them."""
    was = Standing.of(run)
    tried = try_edits(run, edits)
    came_to = impact(was, Standing.of(run), [one.changes for one in tried if one.refusal is None])
    touching = {
        one.index: [named[at] for at in sorted(later, reverse=True) if later[at].meets(one.changes)]
        for one in tried
    }
    return Review(tried, touching, came_to)


def review(store: EventStore, run: ClusteringRun, proposal: Proposal, indexes: Sequence[int]) -> Review:
    """What these edits of the proposal come to now. They are made on this run, which is nobody else's."""
    since = _edited_since(run.history, proposal.run_version)
    later = changes_at(store, run.run_id, since)
    named = {one["version"]: one for one in numbered(store, run.run_id, since)}
    return _review(run, {at: read_edit(proposal.edits[at]) for at in indexes}, later, named)


def _edited_since(history: History, version: int) -> list[int]:
    """Edits that came into force after this version, and undos of what had been in force then."""
    done = {one for one, since in history.in_force.items() if since > version}
    undone = {one.until for one in history.undone.values() if one.since <= version < one.until}
    return sorted(done | undone)


def accept_proposal(cmd: AcceptProposal, store: EventStore) -> Outcome:
    """All that is meant becomes edits of the run, which one undo takes back, or nothing happens."""
    run, proposal = _to_decide(store, cmd.proposal_id)
    found = review(store, run, proposal, proposal.chosen(cmd.only))
    conflicts = found.conflicts()
    if not cmd.dry_run:
        _refuse_conflicts(cmd, conflicts)
    versions = {one.index: one.version for one in found.tried}
    if made := [version for version in versions.values() if version is not None]:
        run.trigger_event(run.ProposalAccepted, edits=made, proposal_id=cmd.proposal_id)
    card = found.card()
    proposal.accept(
        versions, run.version if made else None, card, reason=cmd.reason, forced=cmd.force and bool(conflicts)
    )
    answer = {
        "proposal_id": cmd.proposal_id,
        "run_id": proposal.run_id,
        "status": "pending" if cmd.dry_run else "accepted",
        "edits_made": len(made),
        "conflicts": conflicts,
        "impact": card,
    }
    outcome = done(run, answer, Edit(run_id=proposal.run_id, dry_run=cmd.dry_run))
    if cmd.dry_run:
        return outcome
    cause = str(store.positions(Proposal, cmd.proposal_id, [1])[1])
    causes = {
        (one.originator_id, one.originator_version): cause
        for one in (*run.pending_events, *proposal.pending_events)
    }
    return replace(outcome, aggregates=(proposal, *outcome.aggregates), causes=causes)


def _to_decide(store: EventStore, proposal_id: str) -> tuple[ClusteringRun, Proposal]:
    """The proposal is loaded after its run: else the edits of who accepts it meanwhile look like others'."""
    first = store.load(Proposal, proposal_id)
    first.check_pending()
    run = load_for_edit(store, first.run_id)
    run.check_editable()
    proposal = store.load(Proposal, proposal_id)
    proposal.check_pending()
    return run, proposal


def _refuse_conflicts(cmd: AcceptProposal, conflicts: list[dict[str, Any]]) -> None:
    impossible = [one for one in conflicts if not one["can_be_made"]]
    if impossible:
        raise Conflict(
            f"{len(impossible)} of the edits of proposal {cmd.proposal_id} cannot be made any more;"
            " accept the others by their indexes (only), or reject it",
            conflicts,
        )
    if conflicts and not cmd.force:
        raise Conflict(
            f"others have since edited what proposal {cmd.proposal_id} concerns, in {len(conflicts)} of its"
            " edits; look at them, then accept with force, accept only the rest, or reject it",
            conflicts,
        )


def reject_proposal(cmd: RejectProposal, store: EventStore) -> Outcome:
    run, proposal = _to_decide(store, cmd.proposal_id)
    version = run.version
    card = review(store, run, proposal, proposal.chosen(None)).card()
    proposal.reject(cmd.reason, card)
    answer = {
        "proposal_id": cmd.proposal_id,
        "run_id": proposal.run_id,
        "status": "rejected",
        "version": version,
        "impact": card,
    }
    return Outcome((proposal,), answer)


def present_impact(store: EventStore, proposal_id: str) -> dict[str, Any]:
    """What a proposal would come to now, and the version of the run that this holds for.

    Of one that was decided a moment ago: what it came to then.
    """
    run = store.load(ClusteringRun, store.load(Proposal, proposal_id).run_id)
    proposal = store.load(Proposal, proposal_id)
    if proposal.impact is not None:
        return {"version": None, "impact": proposal.impact}
    run.check_editable()
    version = run.version
    return {"version": version, "impact": review(store, run, proposal, proposal.chosen(None)).card()}


HANDLERS: dict[type, Handler] = {
    AcceptProposal: accept_proposal,
    ProposeEdits: propose_edits,
    RejectProposal: reject_proposal,
}
