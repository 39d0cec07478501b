"""The fold of a run's events into rows: chunks by COPY, edits gathered so that the last of each counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from domain.clustering import Changes, ClusteringRun
from domain.clustering.changes import Fields
from domain.clustering.run import CONFIDENCE_UNIT
from domain.values import NOISE, unpack
from projections.base import BATCH, ReadStore, Recorded
from projections.clustering.tables import clusters, extensions, memberships, runs, tables


class _Batch:
    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self._run_no: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._edits: dict[str, list[Changes]] = {}

    def add(self, one: Recorded) -> None:
        _FOLDS[type(one.event)](self, one)
        self._versions[one.name] = one.event.originator_version

    def edit(self, one: Recorded) -> None:
        self._edits.setdefault(one.name, []).append(one.event.changes())

    def _number(self, run_id: str) -> int:
        if run_id not in self._run_no:
            statement = select(runs.c.run_no).where(runs.c.run_id == run_id)
            self._run_no[run_id] = self._store.execute(statement).scalar_one()
        return self._run_no[run_id]

    def create(self, one: Recorded) -> None:
        event = one.event
        self._run_no[one.name] = one.position
        values = {
            "run_id": one.name,
            "run_no": one.position,
            "status": "pending",
            "num_queries": event.queries,
            "version": event.originator_version,
            "created_at": one.recorded_at,
        }
        same = ("dataset", "algorithm", "description", "parameters", "embedding", "last_query_id")
        self._store.execute(insert(runs).values(values | {name: getattr(event, name) for name in same}))

    def assign(self, one: Recorded) -> None:
        self._store.copy(memberships, _membership_rows(self._number(one.name), one.event))

    def complete(self, one: Recorded) -> None:
        event, run_no = one.event, self._number(one.name)
        counts = select(memberships.c.cluster_id, func.count()).where(memberships.c.run_no == run_no)
        found = self._store.execute(counts.group_by(memberships.c.cluster_id))
        sizes = {cluster_id: count for cluster_id, count in found}
        ids = [*([NOISE] if NOISE in sizes else []), *range(event.num_clusters)]
        rows = [{"run_no": run_no, "cluster_id": one, "size": sizes.get(one, 0)} for one in ids]
        if rows:
            self._store.execute(insert(clusters), rows)
        values = {
            "status": "completed",
            "completed_at": one.recorded_at,
            "num_queries": sum(sizes.values()),
            **{name: getattr(event, name) for name in ("space", "parameters", "metrics", "num_clusters")},
        }
        self._store.execute(update(runs).where(runs.c.run_id == one.name).values(values))

    def fail(self, one: Recorded) -> None:
        values = {"status": "failed", "error": one.event.error, "completed_at": one.recorded_at}
        self._store.execute(update(runs).where(runs.c.run_id == one.name).values(values))

    def title(self, one: Recorded) -> None:
        event = one.event
        self._write_edits(one.name)
        titled = update(clusters).where(
            clusters.c.run_no == self._number(one.name), clusters.c.cluster_id == bindparam("at")
        )
        rows = [
            {"at": row["cluster_id"], "new_title": row["title"], "new_description": row["description"]}
            for row in event.titles
        ]
        names = {
            "named_title": bindparam("new_title"),
            "named_description": bindparam("new_description"),
            "summary_run_id": event.summary_run_id,
        }
        self._store.execute(titled.values(names), rows)

    def extend(self, one: Recorded) -> None:
        row = {"run_no": self._number(one.name), "status": "pending", "requested_at": one.recorded_at}
        same = ("extension_id", "after_query_id", "last_query_id", "confidence_floor")
        values = row | {name: getattr(one.event, name) for name in same}
        self._store.execute(insert(extensions).values(values))

    def end_extension(self, one: Recorded) -> None:
        event = one.event
        ended = update(extensions).where(
            extensions.c.run_no == self._number(one.name), extensions.c.extension_id == event.extension_id
        )
        values = {name: getattr(event, name) for name in ("added", "orphaned", "error")}
        status = "failed" if event.error else "completed"
        self._store.execute(ended.values(values | {"status": status, "ended_at": one.recorded_at}))
        if not event.error:  # the last ones may have been erased before they came
            asked = select(extensions.c.last_query_id).where(
                extensions.c.run_no == self._number(one.name),
                extensions.c.extension_id == event.extension_id,
            )
            reached = update(runs).where(runs.c.run_id == one.name)
            self._store.execute(reached.values(last_query_id=asked.scalar_subquery()))

    def grow(self, one: Recorded) -> None:
        event, run_no = one.event, self._number(one.name)
        self._write_edits(one.name)
        self._store.copy(memberships, _membership_rows(run_no, event))
        self._grow(run_no, Counter(unpack(event.cluster_ids).tolist()))
        more = update(runs).where(runs.c.run_no == run_no)
        last = int(unpack(event.query_ids)[-1])
        self._store.execute(more.values(num_queries=runs.c.num_queries + event.count, last_query_id=last))

    def erase(self, one: Recorded) -> None:
        run_no = self._number(one.name)
        self._write_edits(one.name)
        gone = (
            delete(memberships)
            .where(memberships.c.run_no == run_no, memberships.c.query_id == _any(one.event.query_ids))
            .returning(memberships.c.cluster_id)
        )
        left = Counter(self._store.execute(gone).scalars())
        self._grow(run_no, Counter({label: -count for label, count in left.items()}))
        fewer = update(runs).where(runs.c.run_no == run_no)
        self._store.execute(fewer.values(num_queries=runs.c.num_queries - left.total()))

    def retire(self, one: Recorded) -> None:
        self._edits.pop(one.name, None)
        run_no = self._number(one.name)
        for table in (memberships, clusters, extensions, runs):
            self._store.execute(delete(table).where(table.c.run_no == run_no))

    # --- writing what was folded

    def write(self) -> None:
        for run_id in list(self._edits):
            self._write_edits(run_id)
        versions = [{"at": run_id, "new": version} for run_id, version in self._versions.items()]
        if versions:
            statement = update(runs).where(runs.c.run_id == bindparam("at"))
            self._store.execute(statement.values(version=bindparam("new")), versions)

    def _write_edits(self, run_id: str) -> None:
        """The edits of a run so far, as one: each row is written once."""
        if parts := self._edits.pop(run_id, None):
            run_no, changes = self._number(run_id), Changes.composed(parts)
            for cluster_id, (was, now) in changes.clusters.items():
                self._write_cluster(run_no, cluster_id, was, now)
            if more := _more_clusters(changes):
                grow = update(runs).where(runs.c.run_no == run_no)
                self._store.execute(grow.values(num_clusters=runs.c.num_clusters + more))
            if len(changes.query_ids):
                self._store.execute(_relabelled(run_no, changes))
                grown = Counter(changes.now.tolist())
                grown.subtract(changes.was.tolist())
                self._grow(run_no, grown)

    def _write_cluster(self, run_no: int, cluster_id: int, was: Fields, now: Fields) -> None:
        here = and_(clusters.c.run_no == run_no, clusters.c.cluster_id == cluster_id)
        if now is None:
            self._store.execute(delete(clusters).where(here))
        elif was is None:
            row = {"run_no": run_no, "cluster_id": cluster_id, "size": 0, **now}
            self._store.execute(insert(clusters).values(row))
        else:
            values = {**now, **({"flags": now["flags"] or []} if "flags" in now else {})}
            self._store.execute(update(clusters).where(here).values(values))

    def _grow(self, run_no: int, grown: Counter[int]) -> None:
        rows = [{"at": one, "more": more} for one, more in sorted(grown.items()) if more]
        if rows:
            grow = update(clusters).where(
                clusters.c.run_no == run_no, clusters.c.cluster_id == bindparam("at")
            )
            self._store.execute(grow.values(size=clusters.c.size + bindparam("more")), rows)


def _more_clusters(changes: Changes) -> int:
    """How many more there are than before, noise not counted."""
    states = [state for cluster_id, state in changes.clusters.items() if cluster_id != NOISE]
    return sum(was is None for was, _ in states) - sum(now is None for _, now in states)


def _any(query_ids: Sequence[int]) -> Any:  # noqa: ANN401
    return any_(literal(list(query_ids), ARRAY(BigInteger)))


def _array(numbers: Any) -> Any:  # noqa: ANN401
    """As Postgres reads an array: of a list, the driver would look at each number by itself."""
    return cast(literal(f"{{{','.join(map(str, numbers.tolist()))}}}", Text), ARRAY(BigInteger))


def _relabelled(run_no: int, changes: Changes) -> Any:  # noqa: ANN401
    """One statement for any number of queries."""
    columns = (_array(changes.query_ids), _array(changes.now))
    new = func.unnest(*columns).table_valued("query_id", "label").render_derived(name="new")
    return (
        update(memberships)
        .where(memberships.c.run_no == run_no, memberships.c.query_id == new.c.query_id)
        .values(cluster_id=new.c.label)
    )


def _membership_rows(run_no: int, event: Any) -> Iterator[tuple[int, int, int, int, float]]:  # noqa: ANN401
    """Members of a cluster side by side: a cluster is read, and edited in bulk, on few pages."""
    columns = (unpack(event.query_ids), unpack(event.cluster_ids), unpack(event.confidence))
    order = np.argsort(columns[1], kind="stable")
    for query_id, cluster_id, confidence in zip(*(column[order].tolist() for column in columns), strict=True):
        yield run_no, query_id, cluster_id, cluster_id, confidence / CONFIDENCE_UNIT


_FOLDS: Mapping[type, Callable[[_Batch, Recorded], None]] = {
    ClusteringRun.Created: _Batch.create,
    ClusteringRun.QueriesAssigned: _Batch.assign,
    ClusteringRun.Completed: _Batch.complete,
    ClusteringRun.Failed: _Batch.fail,
    ClusteringRun.ClustersTitled: _Batch.title,
    ClusteringRun.ExtensionRequested: _Batch.extend,
    ClusteringRun.QueriesAdded: _Batch.grow,
    ClusteringRun.ExtensionEnded: _Batch.end_extension,
    ClusteringRun.QueriesErased: _Batch.erase,
    ClusteringRun.Retired: _Batch.retire,
    **dict.fromkeys(ClusteringRun.EDITS, _Batch.edit),
}


class ClusteringProjection:
    """Chunks go in by COPY; edits of a batch are folded, so that only the last of each row is written."""

    name = "clustering"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset(_FOLDS)

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        batch = _Batch(store)
        for one in events:
            batch.add(one)
        batch.write()
