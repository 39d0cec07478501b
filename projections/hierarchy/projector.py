"""The fold of a hierarchy's events into rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson
from sqlalchemy import ARRAY, Integer, any_, delete, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from commands.ports import NO_USAGE, Usage
from domain.clustering import ClusteringRun
from domain.hierarchy import Hierarchy
from projections.base import BATCH, ReadStore, Recorded
from projections.hierarchy.tables import edits, hierarchies, nodes, tables

SHOWN_NODES = 20
"""Nodes of an edit that the history shows; `GET /api/curation/edits/{edit_id}` has all."""


def _new(one: Recorded) -> dict[str, Any]:
    same = ("hierarchy_run_id", "run_id", "summary_run_id", "model", "parameters", "run_version")
    return {
        **{name: getattr(one.event, name) for name in same},
        "prompts": [],
        "usage": {},
        "status": "pending",
        "unanswered": 0,
        "version": one.event.originator_version,
        "created_at": one.recorded_at,
    }


def _remove(run_id: str, store: ReadStore) -> None:
    """A job that is still at work on one of these finds nothing to add to."""
    of_run = select(hierarchies.c.hierarchy_run_id).where(hierarchies.c.run_id == run_id)
    for table in (nodes, edits, hierarchies):
        store.execute(delete(table).where(table.c.hierarchy_run_id.in_(of_run)))


class _Fold:
    """One event of a hierarchy into its rows."""

    def __init__(self, one: Recorded, store: ReadStore) -> None:
        self._one = one
        self._event = one.event
        self._store = store
        self._here = nodes.c.hierarchy_run_id == one.name

    def fold(self) -> None:
        """Of a hierarchy whose run was cleared meanwhile there is nothing to add to."""
        if self._set(version=self._event.originator_version):
            _FOLDS[type(self._event)](self)

    def begin_level(self) -> None:
        if self._event.level == 1:
            ids = [one for area in self._event.neighborhoods for one in area["cluster_ids"]]
            self._insert({"cluster_id": one, "level": 0} for one in ids)

    def propose(self) -> None:
        self._answered(self._event.proposals)

    def choose(self) -> None:
        self._answered([{"error": self._event.error}])
        level = self._event.level
        self._insert(
            {"cluster_id": one["cluster_id"], "level": level, **_words(one)} for one in self._event.categories
        )

    def assign(self) -> None:
        self._answered(self._event.assignments)
        for one in self._event.assignments:
            self._update(one["cluster_id"], {"parent_cluster_id": one["parent_cluster_id"]})

    def name(self) -> None:
        self._answered(self._event.names)
        for one in self._event.names:
            self._update(one["cluster_id"], _words(one))

    def end_level(self) -> None:
        """Categories under which nothing came go."""
        below = nodes.alias()
        kept = select(below.c.parent_cluster_id).where(
            below.c.hierarchy_run_id == self._one.name, below.c.parent_cluster_id.is_not(None)
        )
        of_level = (self._here, nodes.c.level == self._event.level, nodes.c.cluster_id.not_in(kept))
        self._store.execute(delete(nodes).where(*of_level))

    def complete(self) -> None:
        self._set(status="completed", levels=self._event.levels, completed_at=self._one.recorded_at)

    def fail(self) -> None:
        self._set(status="failed", error=self._event.error, completed_at=self._one.recorded_at)

    def cancel(self) -> None:
        self._set(status="cancelled", completed_at=self._one.recorded_at)

    def resume(self) -> None:
        left = hierarchies.c.unanswered - self._event.retried
        self._set(status="pending", error=None, completed_at=None, unanswered=left)

    def follow(self) -> None:
        self._set(run_version=self._event.run_version)
        some = nodes.c.cluster_id == any_(literal(self._event.gone, ARRAY(Integer)))
        self._store.execute(update(nodes).where(self._here, some).values(is_there=False))
        for one in self._event.came:
            row = {**one, "hierarchy_run_id": self._one.name, "level": 0, "is_there": True}
            again = {name: row[name] for name in ("parent_cluster_id", "is_there")}
            keys = ["hierarchy_run_id", "cluster_id"]
            came = insert(nodes).values(row).on_conflict_do_update(index_elements=keys, set_=again)
            self._store.execute(came)

    def edit(self) -> None:
        for row in self._event.nodes:
            if row["was"] is None:
                self._insert([{"cluster_id": row["cluster_id"], **row["now"]}])
            elif row["now"] is None:
                gone = (self._here, nodes.c.cluster_id == row["cluster_id"])
                self._store.execute(delete(nodes).where(*gone))
            elif row["now"]:
                self._update(row["cluster_id"], row["now"])
        self._store.copy(edits, [_edit_row(self._one)])

    def undo(self) -> None:
        self.edit()
        self._mark(self._one.position)

    def redo(self) -> None:
        self.edit()
        self._mark(None)

    def _mark(self, undone_by: int | None) -> None:
        theirs = (edits.c.hierarchy_run_id == self._one.name, edits.c.version.in_(self._event.edits))
        self._store.execute(update(edits).where(*theirs).values(undone_by=undone_by))

    def _set(self, **values: Any) -> int:  # noqa: ANN401
        mine = update(hierarchies).where(hierarchies.c.hierarchy_run_id == self._one.name)
        return int(self._store.execute(mine.values(values)).rowcount)

    def _insert(self, rows: Iterable[Mapping[str, Any]]) -> None:
        blank = {column.name: None for column in nodes.columns} | {"is_there": True}
        full = ({**blank, **one, "hierarchy_run_id": self._one.name} for one in rows)
        self._store.copy(nodes, (list(one.values()) for one in full))

    def _update(self, cluster_id: int, values: Mapping[str, Any]) -> None:
        self._store.execute(update(nodes).where(self._here, nodes.c.cluster_id == cluster_id).values(values))

    def _answered(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Add up what the answers took, and how many there were none to."""
        mine = hierarchies.c.hierarchy_run_id == self._one.name
        row = self._store.execute(select(hierarchies.c.prompts, hierarchies.c.usage).where(mine)).one()
        usage = Usage(**row.usage) + Usage(**self._event.usage)
        prompts = dict.fromkeys((*row.prompts, *filter(None, [self._event.prompt])))
        unanswered = sum(one["error"] is not None for one in answers)
        self._set(
            prompts=list(prompts),
            usage={} if usage == NO_USAGE else asdict(usage),
            unanswered=hierarchies.c.unanswered + unanswered,
        )


def _words(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "named_title": one["title"],
        "named_description": one["description"] or None,
    }


def _edit_row(one: Recorded) -> tuple[Any, ...]:
    event = one.event
    ids = [row["cluster_id"] for row in event.nodes]
    own = {
        name: getattr(event, name)
        for name in ("cluster_id", "parent_cluster_id", "edits")
        if hasattr(event, name)
    }
    details = {**own, "nodes_changed": len(ids), "nodes": event.nodes[:SHOWN_NODES]}
    return (
        one.position,
        one.name,
        event.originator_version,
        ids,
        event.KIND,
        one.meta.get("actor", "system"),
        one.meta.get("reason"),
        one.recorded_at,
        orjson.dumps(details).decode(),
        one.meta.get("causation_id"),
        None,
    )


_FOLDS: Mapping[type, Callable[[_Fold], None]] = {
    Hierarchy.LevelBegun: _Fold.begin_level,
    Hierarchy.CategoriesProposed: _Fold.propose,
    Hierarchy.CategoriesChosen: _Fold.choose,
    Hierarchy.NodesAssigned: _Fold.assign,
    Hierarchy.CategoriesNamed: _Fold.name,
    Hierarchy.LevelEnded: _Fold.end_level,
    Hierarchy.Completed: _Fold.complete,
    Hierarchy.Failed: _Fold.fail,
    Hierarchy.Cancelled: _Fold.cancel,
    Hierarchy.Resumed: _Fold.resume,
    Hierarchy.ClustersFollowed: _Fold.follow,
    **dict.fromkeys(Hierarchy.EDITS, _Fold.edit),
    Hierarchy.TreeEditsUndone: _Fold.undo,
    Hierarchy.TreeEditsRedone: _Fold.redo,
}


class HierarchyProjection:
    name = "hierarchy"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset({Hierarchy.Created, ClusteringRun.Retired, *_FOLDS})

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            match one.event:
                case Hierarchy.Created():
                    store.execute(insert(hierarchies).values(_new(one)))
                case ClusteringRun.Retired():
                    _remove(one.name, store)
                case _:
                    _Fold(one, store).fold()
