"""Curation carried over from one run to another: the clusters matched, the edits made again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from commands.bus import Handler
from commands.curation.edits import Edit, done, load_for_edit
from commands.curation.reversal import changes_at
from commands.ports import Contents, EventStore, Outcome
from domain.base import Conflict, Invalid
from domain.clustering import Changes, ClusteringRun
from domain.clustering.carrying import CarryOver
from domain.clustering.lineage import THRESHOLD, Assign, Lineage, Matrix, match
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
    wanted = sorted(older.history.in_force)
    events = store.events(ClusteringRun, older.run_id, wanted)
    lineage = _lineage(run, _before(older, events), contents, assign, cmd.threshold)
    held = changes_at(store, run.run_id, run.history.in_force)
    carry = CarryOver(run, lineage, Changes.composed(held[one] for one in sorted(held)))
    carry.carry(events)
    ids = store.positions(ClusteringRun, older.run_id, wanted)
    answer = _answer(cmd, older, carry, {version: event.KIND for version, event in events.items()}, ids)
    causes = {(run.id, one.new): str(ids[one.old]) for one in carry.made}
    if carry.made or [older.run_id, older.version] not in run.carried_from:
        run.trigger_event(
            run.CarriedOver,
            edits=[one.new for one in carry.made],
            from_run_id=older.run_id,
            from_version=older.version,
            threshold=cmd.threshold,
            lineage=answer["lineage"],
            undecided=answer["undecided"],
        )
    outcome = done(run, answer, Edit(run_id=cmd.run_id, dry_run=cmd.dry_run))
    return replace(outcome, causes=causes)


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


def _before(older: ClusteringRun, events: dict[int, Any]) -> ClusteringRun:
    """The run as it was before its edits: what these speak of is matched, not what became of it."""
    undone = Changes.composed([events[one].changes().inverse() for one in sorted(events, reverse=True)])
    erased = older.unknown(undone.query_ids.tolist())
    older.partition = undone.without(np.array(erased, np.int64)).apply(older.partition, older.clusters)
    return older


def _lineage(
    run: ClusteringRun, older: ClusteringRun, contents: Contents, assign: Assign, threshold: float
) -> Lineage:
    old_ids, new_ids = (sorted(one for one in side.clusters if one >= 0) for side in (older, run))
    similarity = None
    if run.space == older.space:
        rows = (_centroids(side, ids, contents) for side, ids in ((older, old_ids), (run, new_ids)))
        similarity = _cosine(*rows)
    return match(older.partition, run.partition, old_ids, new_ids, assign, similarity, threshold)


def _centroids(run: ClusteringRun, cluster_ids: list[int], contents: Contents) -> Vectors:
    """A row for each cluster, as the algorithm found it; zero for one that people made."""
    dimension = int((run.space or {})["dimension"])
    rows = np.zeros((len(cluster_ids), dimension), np.float32)
    address = bytes.fromhex(run.centroids or "")
    found = np.frombuffer(contents.get([address]).get(address, b""), "<f4").reshape(-1, dimension)
    known = [at for at, cluster_id in enumerate(cluster_ids) if cluster_id < len(found)]
    rows[known] = found[[cluster_ids[at] for at in known]]
    return rows


def _cosine(old: Vectors, new: Vectors) -> Matrix:
    return old @ new.T


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
