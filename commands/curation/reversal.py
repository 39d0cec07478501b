"""Undo and redo: what an edit changed, what stands in the way of taking it back, and the taking back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from commands.bus import Handler
from commands.curation.edits import Edit, done, load_for_edit
from commands.ports import EventStore, Outcome
from domain.base import Conflict, DomainError, Invalid, NotFound
from domain.clustering import Changes, ClusteringRun, Plan


@dataclass(frozen=True, kw_only=True)
class ReverseEdit:
    """Undo or redo an edit by its id, which is the position of its event in the log.

    Without an id: the newest edit of the run that is in force, or for a redo what was undone last. `cascade`:
    together with the edits that stand in the way.
    """

    edit_id: int | None = None
    run_id: str | None = None
    redo: bool = False
    cascade: bool = False
    dry_run: bool = False


def reverse_edit(cmd: ReverseEdit, store: EventStore) -> Outcome:
    run_id, version = _place(cmd, store)
    run = load_for_edit(store, run_id)
    if version is None:
        version = run.history.last_undone() if cmd.redo else run.history.last()
    elif not run.history.meant(version, redo=cmd.redo)[0]:
        raise Conflict(f"edit {cmd.edit_id} is {'not undone' if cmd.redo else 'not in force any more'}")
    plan = plan_for(store, run, version, redo=cmd.redo)
    if blocking := plan.refused or (plan.blockers if not cmd.cascade and not cmd.dry_run else []):
        raise _blocked(cmd, plan, numbered(store, run_id, blocking))
    answer = {
        "run_id": run_id,
        "edits": numbered(store, run_id, plan.edits),
        "blockers": numbered(store, run_id, plan.blockers),
        **effect(plan.changes),
    }
    run.take_back(plan)
    return done(run, answer, Edit(run_id=run_id, dry_run=cmd.dry_run))


def _place(cmd: ReverseEdit, store: EventStore) -> tuple[str, int | None]:
    if cmd.edit_id is None:
        if cmd.run_id is None:
            raise Invalid("give the id of an edit, or a run whose last edit is meant")
        return cmd.run_id, None
    run_id, version = place_of_edit(store, cmd.edit_id)
    if cmd.run_id not in (None, run_id):
        raise Conflict(f"edit {cmd.edit_id} belongs to run {run_id}, not to {cmd.run_id}")
    return run_id, version


def place_of_edit(store: EventStore, edit_id: int) -> tuple[str, int]:
    """The run of an edit, and its version there. Raises NotFound."""
    place = store.place_of(edit_id) if 0 <= edit_id < 2**63 else None
    kind, _, name = (place[0] if place else "").partition("/")
    if place is None or kind != ClusteringRun.PREFIX:
        raise NotFound(f"there is no edit {edit_id}; `edit_id` is what the history of a run calls it")
    return name, place[1]


def plan_for(store: EventStore, run: ClusteringRun, version: int, *, redo: bool) -> Plan:
    wanted = run.concerned_by(version, redo=redo)
    return run.plan(version, changes_at(store, run.run_id, wanted), redo=redo)


def changes_at(store: EventStore, run_id: str, versions: Iterable[int]) -> dict[int, Changes]:
    """What the edits at these versions of a run changed."""
    events = store.events(ClusteringRun, run_id, versions)
    return {version: event.changes() for version, event in events.items()}


def numbered(store: EventStore, run_id: str, versions: Iterable[int]) -> list[dict[str, Any]]:
    """Edits as a caller knows them: id, version, kind; in the order given."""
    wanted = list(versions)
    ids = store.positions(ClusteringRun, run_id, wanted)
    types = store.types(ClusteringRun, run_id, wanted)
    return [{"edit_id": ids[one], "version": one, "edit_type": _KINDS[types[one]]} for one in wanted]


def _blocked(cmd: ReverseEdit, plan: Plan, blocking: list[dict[str, Any]]) -> DomainError:
    named = ", ".join(f"{one['edit_id']} ({one['edit_type']})" for one in blocking)
    if plan.refused:
        why = "came since and touched the same; undo these first"
    elif plan.redo:
        why = "that it was made on must be redone first, or cascade"
    else:
        why = "came later and touched the same; undo these first, or cascade"
    what = "redone" if cmd.redo else "undone"
    count = "1 edit" if len(blocking) == 1 else f"{len(blocking)} edits"
    return Conflict(f"it cannot be {what} alone: {count} {why}: {named}", blocking)


def effect(changes: Changes) -> dict[str, Any]:
    """What changes come to, in numbers and names: no list is longer than there are clusters."""
    return {
        "queries_moved": len(changes.query_ids),
        "clusters_changed": sorted(changes.touched),
        "clusters_restored": sorted(one for one, (was, _) in changes.clusters.items() if was is None),
        "clusters_removed": sorted(one for one, (_, now) in changes.clusters.items() if now is None),
    }


def edit_in_full(store: EventStore, edit_id: int) -> dict[str, Any]:
    """What an edit changed, whether it is in force, and what blocks an undo (or a redo) of it now."""
    run_id, version = place_of_edit(store, edit_id)
    run = store.load(ClusteringRun, run_id)
    if not run.history.knows(version):
        raise NotFound(f"the event {edit_id} of run {run_id} is no edit")
    event = store.events(ClusteringRun, run_id, [version])[version]
    changes = event.changes()
    state = run.history.state(version)
    found = {
        "edit_id": edit_id,
        "run_id": run_id,
        "version": version,
        "edit_type": event.KIND,
        "state": state,
        "moves": changes.moves(),
        "clusters": changes.cluster_rows(),
        "of": numbered(store, run_id, getattr(event, "edits", ())),
        **effect(changes),
    }
    return {**found, "blockers": numbered(store, run_id, _blockers(store, run, version, state))}


def _blockers(store: EventStore, run: ClusteringRun, version: int, state: str) -> list[int]:
    try:
        plan = plan_for(store, run, version, redo=state == "undone")
    except Conflict:  # an undo that was itself undone: nothing is left of it
        return []
    return [*plan.refused, *plan.blockers]


_KINDS = {kind.TOPIC: kind.KIND for kind in ClusteringRun.EDITS}

HANDLERS: dict[type, Handler] = {ReverseEdit: reverse_edit}
