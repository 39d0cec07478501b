"""The fold of a run's events into rows: chunks by COPY, edits gathered so that the last of each counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Boolean, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from domain.clustering import ClusteringRun
from domain.clustering.run import CONFIDENCE_UNIT
from domain.values import NOISE, unpack
from projections.base import BATCH, ReadStore, Recorded
from projections.clustering.tables import clusters, memberships, runs, tables


class ClusteringProjection:
    """Chunks go in by COPY; edits of a batch are folded, so that only the last of each row is written."""

    name = "clustering"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset(
        {
            ClusteringRun.Created,
            ClusteringRun.QueriesAssigned,
            ClusteringRun.Completed,
            ClusteringRun.Failed,
            ClusteringRun.ClustersTitled,
            ClusteringRun.ClusterRenamed,
            ClusteringRun.QueriesMoved,
            ClusteringRun.Retired,
        }
    )

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        batch = _Batch(store)
        for one in events:
            batch.add(one)
        batch.write()


class _Batch:
    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self._run_no: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._moved: dict[tuple[int, int], int] = {}
        self._grown: Counter[tuple[int, int]] = Counter()
        self._renamed: dict[tuple[int, int], dict[str, Any]] = {}

    def add(self, one: Recorded) -> None:
        run_id, event = one.name, one.event
        match event:
            case ClusteringRun.Created():
                self._create(one)
            case ClusteringRun.QueriesAssigned():
                self._assign(run_id, event)
            case ClusteringRun.Completed():
                self._complete(one)
            case ClusteringRun.Failed():
                values = {"status": "failed", "error": event.error, "completed_at": one.recorded_at}
                self._store.execute(update(runs).where(runs.c.run_id == run_id).values(values))
            case ClusteringRun.ClustersTitled():
                self._title(run_id, event)
            case ClusteringRun.ClusterRenamed():
                self._rename(run_id, event)
            case ClusteringRun.QueriesMoved():
                self._move(run_id, event)
            case ClusteringRun.Retired():
                self._retire(run_id)
        self._versions[run_id] = event.originator_version

    def _number(self, run_id: str) -> int:
        if run_id not in self._run_no:
            statement = select(runs.c.run_no).where(runs.c.run_id == run_id)
            self._run_no[run_id] = self._store.execute(statement).scalar_one()
        return self._run_no[run_id]

    def _create(self, one: Recorded) -> None:
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

    def _assign(self, run_id: str, event: Any) -> None:  # noqa: ANN401
        self._store.copy(memberships, _membership_rows(self._number(run_id), event))

    def _complete(self, one: Recorded) -> None:
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

    def _title(self, run_id: str, event: Any) -> None:  # noqa: ANN401
        self._write_renamed()
        kept = update(clusters).where(
            clusters.c.run_no == self._number(run_id), clusters.c.cluster_id == bindparam("at")
        )
        summary = {"summary_run_id": event.summary_run_id}
        self._store.execute(kept.values(summary), [{"at": one["cluster_id"]} for one in event.titles])
        for name in ("title", "description"):
            free = kept.where(clusters.c[f"{name}_edited"].is_(False)).values({name: bindparam("new")})
            rows = [{"at": one["cluster_id"], "new": one[name]} for one in event.titles]
            self._store.execute(free, rows)

    def _rename(self, run_id: str, event: Any) -> None:  # noqa: ANN401
        key = (self._number(run_id), event.cluster_id)
        before = self._renamed.get(key, {"title_edited": False, "description_edited": False})
        self._renamed[key] = {
            "new_title": event.title,
            "new_description": event.description,
            "title_edited": before["title_edited"] or event.title != event.was_title,
            "description_edited": before["description_edited"] or event.description != event.was_description,
        }

    def _move(self, run_id: str, event: Any) -> None:  # noqa: ANN401
        run_no = self._number(run_id)
        for query_id, was in zip(event.query_ids, event.was, strict=True):
            self._moved[run_no, query_id] = event.cluster_id
            self._grown[run_no, was] -= 1
            self._grown[run_no, event.cluster_id] += 1

    def _retire(self, run_id: str) -> None:
        run_no = self._number(run_id)
        for table in (memberships, clusters, runs):
            self._store.execute(delete(table).where(table.c.run_no == run_no))

    # --- writing what was folded

    def write(self) -> None:
        self._write_renamed()
        at = {"at_run": 0, "at_query": 0}
        move = update(memberships).where(
            memberships.c.run_no == bindparam("at_run"), memberships.c.query_id == bindparam("at_query")
        )
        rows = [
            dict(zip((*at, "new"), (*key, cluster_id), strict=True))
            for key, cluster_id in self._moved.items()
        ]
        if rows:
            self._store.execute(move.values(cluster_id=bindparam("new")), rows)
        grow = update(clusters).where(
            clusters.c.run_no == bindparam("at_run"), clusters.c.cluster_id == bindparam("at_cluster")
        )
        grown = [
            {"at_run": run_no, "at_cluster": cluster_id, "more": more}
            for (run_no, cluster_id), more in self._grown.items()
            if more
        ]
        if grown:
            self._store.execute(grow.values(size=clusters.c.size + bindparam("more")), grown)
        versions = [{"at": run_id, "new": version} for run_id, version in self._versions.items()]
        if versions:
            statement = update(runs).where(runs.c.run_id == bindparam("at"))
            self._store.execute(statement.values(version=bindparam("new")), versions)
        self._moved.clear()
        self._grown.clear()
        self._versions.clear()

    def _write_renamed(self) -> None:
        if not self._renamed:
            return
        statement = update(clusters).where(
            clusters.c.run_no == bindparam("at_run"), clusters.c.cluster_id == bindparam("at_cluster")
        )
        rows = [
            {"at_run": run_no, "at_cluster": cluster_id, **{f"b_{k}": v for k, v in new.items()}}
            for (run_no, cluster_id), new in self._renamed.items()
        ]
        self._store.execute(
            statement.values(
                title=bindparam("b_new_title"),
                description=bindparam("b_new_description"),
                title_edited=clusters.c.title_edited | bindparam("b_title_edited", type_=Boolean),
                description_edited=clusters.c.description_edited
                | bindparam("b_description_edited", type_=Boolean),
            ),
            rows,
        )
        self._renamed.clear()


def _membership_rows(run_no: int, event: Any) -> Iterator[tuple[int, int, int, float]]:  # noqa: ANN401
    columns = (unpack(event.query_ids), unpack(event.cluster_ids), unpack(event.confidence))
    for query_id, cluster_id, confidence in zip(*(column.tolist() for column in columns), strict=True):
        yield run_no, query_id, cluster_id, confidence / CONFIDENCE_UNIT
