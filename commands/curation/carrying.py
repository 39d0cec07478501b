"""Curation carried over from one run to another: the clusters matched, the edits made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from commands.bus import Handler
from commands.curation.edits import Edit, done, load_for_edit
from commands.ports import Contents, EventStore, Outcome
from domain.clustering import ClusteringRun
from domain.clustering.carrying import CarryOver, Earlier, as_found
from domain.clustering.edits import Edit as EditEvent
from domain.clustering.edits import EditsGrouped
from domain.clustering.lineage import THRESHOLD, Assign, match, neighbourhood
from domain.errors import Conflict, Invalid
from domain.values import Vectors


@dataclass(frozen=True, kw_only=True)
class CarryOverEdits:
    """Make the edits that are in force in `from_run_id` again in `run_id`, as one group."""

    run_id: str
    from_run_id: str
    threshold: float = THRESHOLD
    dry_run: bool = False


def carry_over_edits(cmd: CarryOverEdits, store: EventStore, contents: Contents, assign: Assign) -> Outcome:
    run, older = load_for_edit(store, cmd.run_id), store.load(ClusteringRun, cmd.from_run_id)
    _check(run, older)
    there, here = _in_force(store, older), _in_force(store, run)
    earlier = Earlier.of(
        event
        for _, event in sorted(here.items())
        if isinstance(event, ClusteringRun.CarriedOver) and event.from_run_id == older.run_id
    )
    there, here = _single(there), _single(here)
    past, found = as_found(older, there), as_found(run, here)
    alike: dict[str, Any] = {}
    if run.space == older.space:
        rows = _centroids(older, past[1], contents), _centroids(run, found[1], contents)
        alike = {"similarity": rows[0] @ rows[1].T, "apart": neighbourhood(*rows)}
    lineage = match(past[0], found[0], past[1], found[1], assign, threshold=cmd.threshold, **alike)
    carry = CarryOver(run, past[0], lineage, here, earlier)
    carry.carry(there)
    known = sorted({*there, *earlier.made})
    ids = store.positions(ClusteringRun, older.run_id, known)
    kinds = {one: event.KIND for one, event in store.events(ClusteringRun, older.run_id, known).items()}
    answer = _answer(cmd, older, carry, kinds, ids)
    causes = {(run.id, one.new): str(ids[one.old]) for one in carry.made}
    if carry.made or [older.run_id, older.version] not in run.carried_from:
        _record(run, carry, answer)
    outcome = done(run, answer, Edit(run_id=cmd.run_id, dry_run=cmd.dry_run))
    return replace(outcome, causes=causes)


def _record(run: ClusteringRun, carry: CarryOver, answer: dict[str, Any]) -> None:
    same = ("from_run_id", "from_version", "threshold", "lineage", "undecided")
    run.trigger_event(
        run.CarriedOver,
        edits=[one.new for one in carry.made],
        from_edits=[one.old for one in carry.made],
        already=carry.found_so(),
        heirs=carry.heirs(),
        **{name: answer[name] for name in same},
    )


def _check(run: ClusteringRun, older: ClusteringRun) -> None:
    run.check_editable()
    older.check_editable()
    if run.run_id == older.run_id:
        raise Invalid(f"from_run_id: run {run.run_id} has its own edits already")
    if run.dataset != older.dataset:
        raise Conflict(
            f"run {older.run_id} is of data set {older.dataset!r}, run {run.run_id} of {run.dataset!r};"
            " edits are carried over within a data set"
        )


def _in_force(store: EventStore, run: ClusteringRun) -> dict[int, EditEvent]:
    return store.events(ClusteringRun, run.run_id, run.history.in_force)


def _single(events: Mapping[int, EditEvent]) -> dict[int, EditEvent]:
    """Without what only says that some belong together."""
    return {one: event for one, event in events.items() if not isinstance(event, EditsGrouped)}


def _centroids(run: ClusteringRun, cluster_ids: list[int], contents: Contents) -> Vectors:
    """A row for each cluster, as the algorithm found it."""
    dimension = int((run.space or {})["dimension"])
    rows = np.zeros((len(cluster_ids), dimension), np.float32)
    address = bytes.fromhex(run.centroids or "")
    found = np.frombuffer(contents.get([address]).get(address, b""), "<f4").reshape(-1, dimension)
    known = [at for at, cluster_id in enumerate(cluster_ids) if cluster_id < len(found)]
    rows[known] = found[[cluster_ids[at] for at in known]]
    return rows


def _answer(
    cmd: CarryOverEdits, older: ClusteringRun, carry: CarryOver, kinds: dict[int, str], ids: dict[int, int]
) -> dict[str, Any]:
    def named(version: int) -> dict[str, Any]:
        return {"edit_id": ids[version], "version": version, "edit_type": kinds[version]}

    return {
        "run_id": cmd.run_id,
        "from_run_id": older.run_id,
        "from_version": older.version,
        "threshold": cmd.threshold,
        "carried": [{**named(one.old), "new_version": one.new} for one in carry.made],
        "already": [named(version) for version in carry.already],
        "undecided": [{**named(one.old), "reason": one.reason} for one in carry.undecided],
        "lineage": [asdict(link) for link in carry.lineage.links],
    }


HANDLERS: dict[type, Handler] = {CarryOverEdits: carry_over_edits}
