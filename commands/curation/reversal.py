"""Undo and redo: what an edit changed, what stands in the way of taking it back, and the taking back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from commands.bus import Handler
from commands.editing import done, load_for_edit
from commands.ports import EventStore, Outcome
from domain.clustering import Changes, ClusteringRun, Plan
from domain.clustering.reversal import Reversible
from domain.errors import Conflict, DomainError, Invalid, NotFound
from domain.hierarchy import Hierarchy


@dataclass(frozen=True, kw_only=True)
class ReverseEdit:
    """Undo or redo an edit by its id, which is the position of its event in the log.

    Without an id: the newest edit of the run that is in force, or for a redo what was undone last. `cascade`:
    together with the edits that stand in the way. `run_id`: that the edit must belong to, be it to a
    hierarchy of the run.
    """

    edit_id: int | None = None
    run_id: str | None = None
    redo: bool = False
    cascade: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Place:
    """Where an edit stands: in the stream of a run or of a hierarchy. `version` None: the newest is meant."""

    kind: type[Reversible]
    name: str
    version: int | None


def reverse_edit(cmd: ReverseEdit, store: EventStore) -> Outcome:
    place = _place(cmd, store)
    edited = load_for_edit(store, place.kind, place.name)
    version = place.version
    if version is None:
        version = edited.history.last_undone() if cmd.redo else edited.history.last()
    elif not edited.history.meant(version, redo=cmd.redo)[0]:
        raise Conflict(f"edit {cmd.edit_id} is {'not undone' if cmd.redo else 'not in force any more'}")
    plan = plan_for(store, edited, version, redo=cmd.redo)
    if blocking := plan.refused or (plan.blockers if not cmd.cascade and not cmd.dry_run else []):
        raise _blocked(cmd, plan, numbered(store, place.name, blocking, place.kind))
    answer = {
        **_belongs(edited),
        "edits": numbered(store, place.name, plan.edits, place.kind),
        "blockers": numbered(store, place.name, plan.blockers, place.kind),
        **_effect_on(edited, plan.changes),
    }
    edited.take_back(plan)
    return done(edited, answer, cmd)


def _place(cmd: ReverseEdit, store: EventStore) -> Place:
    if cmd.edit_id is None:
        if cmd.run_id is None:
            raise Invalid("give the id of an edit, or a run whose last edit is meant")
        return Place(ClusteringRun, cmd.run_id, None)
    kind, name, version = place_of_edit(store, cmd.edit_id)
    run_id = _belongs(store.load(kind, name))["run_id"]
    if cmd.run_id not in (None, run_id):
        raise Conflict(f"edit {cmd.edit_id} belongs to run {run_id}, not to {cmd.run_id}")
    return Place(kind, name, version)


def place_of_edit(store: EventStore, edit_id: int) -> tuple[type[Reversible], str, int]:
    """What an edit is of (its kind and name), and its version there. Raises NotFound."""
    place = store.place_of(edit_id) if 0 <= edit_id < 2**63 else None
    prefix, _, name = (place[0] if place else "").partition("/")
    if place is None or prefix not in _EDITED:
        raise NotFound(f"there is no edit {edit_id}; `edit_id` is what the history of a run calls it")
    return _EDITED[prefix], name, place[1]


def _belongs(edited: Reversible) -> dict[str, Any]:
    if isinstance(edited, Hierarchy):
        return {"run_id": edited.run_id, "hierarchy_run_id": edited.name}
    return {"run_id": edited.name}


def plan_for(store: EventStore, edited: Reversible, version: int, *, redo: bool) -> Plan:
    wanted = edited.concerned_by(version, redo=redo)
    return edited.plan(version, changes_at(store, edited.name, wanted, type(edited)), redo=redo)


def changes_at(
    store: EventStore, name: str, versions: Iterable[int], kind: type[Reversible] = ClusteringRun
) -> dict[int, Changes]:
    """What the edits at these versions of a run (or of something else that is edited) changed."""
    events = store.events(kind, name, versions)
    return {version: event.changes() for version, event in events.items()}


def numbered(
    store: EventStore, name: str, versions: Iterable[int], kind: type[Reversible] = ClusteringRun
) -> list[dict[str, Any]]:
    """Edits as a caller knows them: id, version, kind; in the order given."""
    wanted = list(versions)
    ids = store.positions(kind, name, wanted)
    types = store.types(kind, name, wanted)
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


def _effect_on(edited: Reversible, changes: Changes) -> dict[str, Any]:
    """The same of a hierarchy: its nodes move, and no query does."""
    if not isinstance(edited, Hierarchy):
        return effect(changes)
    nodes = changes.touched | set(changes.query_ids.tolist())
    return {
        **effect(changes),
        "queries_moved": 0,
        "nodes_moved": len(changes.query_ids),
        "clusters_changed": sorted(one for one in nodes if one >= 0),
    }


def edit_in_full(store: EventStore, edit_id: int) -> dict[str, Any]:
    """What an edit changed, whether it is in force, and what blocks an undo (or a redo) of it now."""
    kind, name, version = place_of_edit(store, edit_id)
    edited = store.load(kind, name)
    if not edited.history.knows(version):
        raise NotFound(f"the event {edit_id} of {edited.noun} is no edit")
    event = store.events(kind, name, [version])[version]
    changes = event.changes()
    state = edited.history.state(version)
    what = {"moves": changes.moves(), "clusters": changes.cluster_rows()}
    if isinstance(edited, Hierarchy):
        what = {"moves": [], "clusters": event.nodes}
    found = {
        "edit_id": edit_id,
        **_belongs(edited),
        "version": version,
        "edit_type": event.KIND,
        "state": state,
        **what,
        "of": numbered(store, name, getattr(event, "edits", ()), kind),
        **_effect_on(edited, changes),
    }
    return {**found, "blockers": numbered(store, name, _blockers(store, edited, version, state), kind)}


def _blockers(store: EventStore, edited: Reversible, version: int, state: str) -> list[int]:
    try:
        plan = plan_for(store, edited, version, redo=state == "undone")
    except Conflict:  # an undo that was itself undone: nothing is left of it
        return []
    return [*plan.refused, *plan.blockers]


_EDITED: dict[str, type[Reversible]] = {one.PREFIX: one for one in (ClusteringRun, Hierarchy)}
_KINDS = {kind.TOPIC: kind.KIND for edited in _EDITED.values() for kind in edited.EDITS}

HANDLERS: dict[type, Handler] = {ReverseEdit: reverse_edit}
