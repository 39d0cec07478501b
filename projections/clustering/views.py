"""A run as it is read: as it is now, or as it was at a moment. Both answer alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    any_,
    column,
    func,
    literal,
    select,
    text,
)

from domain.errors import NotFound
from domain.summaries import SummaryRun
from domain.values import ORPHAN, QueryIds
from projections.clustering import queries as live
from projections.clustering.past import PastRun
from projections.clustering.tables import clusters, memberships
from projections.datasets import queries
from projections.summaries import summaries

Rows = list[dict[str, Any]]


class RunView(Protocol):
    row: dict[str, Any]
    """As `find_run` has it."""

    past: PastRun | None

    def clusters(
        self, limit: int, offset: int, *, sort: str, summary_run_id: str | None
    ) -> tuple[Rows, int]: ...

    def cluster(self, cluster_id: int, summary_run_id: str | None) -> dict[str, Any] | None: ...

    def members(self, label: int, limit: int, offset: int, after: int | None) -> Rows: ...

    def count(self, label: int) -> int:
        """How many queries with this label can be listed."""

    def has(self, cluster_id: int) -> bool: ...

    def among(self, cluster_ids: tuple[int, ...] | None) -> dict[str, Any]:
        """Fields of a `QueryFilter` for queries of the run, or of these clusters of it."""

    def summary_run(self, summary_run_id: str | None, alias: str | None) -> str | None:
        """The summary run whose titles are asked for; None for those that are shown. Raises NotFound."""


class LiveRun:
    past: PastRun | None = None

    def __init__(self, connection: Connection, row: dict[str, Any]) -> None:
        self._connection = connection
        self.row = row

    def clusters(self, limit: int, offset: int, *, sort: str, summary_run_id: str | None) -> tuple[Rows, int]:
        return live.list_clusters(
            self._connection, self.row["run_no"], limit, offset, sort=sort, summary_run_id=summary_run_id
        )

    def cluster(self, cluster_id: int, summary_run_id: str | None) -> dict[str, Any] | None:
        return live.find_cluster(self._connection, self.row["run_no"], cluster_id, summary_run_id)

    def members(self, label: int, limit: int, offset: int, after: int | None) -> Rows:
        return live.members(self._connection, self.row["run_no"], label, limit, offset, after)

    def count(self, label: int) -> int:
        if label == ORPHAN:
            return live.count_members(self._connection, self.row["run_no"], label)
        return int(self._connection.execute(self._here(clusters.c.size, label)).scalar() or 0)

    def has(self, cluster_id: int) -> bool:
        return self._connection.execute(self._here(clusters.c.cluster_id, cluster_id)).first() is not None

    def _here(self, wanted: ColumnElement[int], cluster_id: int) -> Select[Any]:
        at = (clusters.c.run_no == self.row["run_no"], clusters.c.cluster_id == cluster_id)
        return select(wanted).where(*at)

    def among(self, cluster_ids: tuple[int, ...] | None) -> dict[str, Any]:
        return {"run_no": self.row["run_no"], "cluster_ids": cluster_ids}

    def summary_run(self, summary_run_id: str | None, alias: str | None) -> str | None:
        if summary_run_id is None and alias is not None:
            found = live.summary_run_of(self._connection, self.row["run_id"], alias)
            return _named(found, self.row["run_id"], alias)
        if summary_run_id is not None:
            run_id = self.row["run_id"]
            if not live.has_summary_run(self._connection, run_id, summary_run_id):
                raise NotFound(f"there is no summary run {summary_run_id!r} of {run_id}")
        return summary_run_id


class PastView:
    """What is known of queries is read now. Those of a run that was cleared since are not to be had."""

    def __init__(self, connection: Connection, past: PastRun, position: int) -> None:
        self._connection = connection
        self._position = position
        self.past: PastRun | None = past
        self._then = past
        self.row = past.row()
        now = live.find_run(connection, past.run.run_id)
        self._run_no: int | None = now["run_no"] if now else None

    def clusters(self, limit: int, offset: int, *, sort: str, summary_run_id: str | None) -> tuple[Rows, int]:
        rows = self._then.cluster_rows(self._titles(summary_run_id))
        backwards, by = sort.startswith("-"), sort.removeprefix("-")
        if by == "title":
            rows = [rows[place] for place in self._by_title(rows, backwards)]
        else:
            sign = -1 if backwards else 1
            rows.sort(key=lambda row: sign * row[by])
        return rows[offset : offset + limit], len(rows)

    def cluster(self, cluster_id: int, summary_run_id: str | None) -> dict[str, Any] | None:
        cluster = self._then.run.clusters.get(cluster_id)
        if cluster is None:
            return None
        return self._then.cluster_row(cluster_id, cluster, self._titles(summary_run_id))

    def members(self, label: int, limit: int, offset: int, after: int | None) -> Rows:
        ids = self._listed(label)
        begin = offset if after is None else offset + int(ids.searchsorted(after, "right"))
        found = self._connection.execute(_of_run(self._run_no, ids[begin : begin + limit])).mappings()
        return [
            {**row, "confidence": row["confidence"] if row["assigned_to"] == label else None} for row in found
        ]

    def count(self, label: int) -> int:
        return len(self._listed(label))

    def has(self, cluster_id: int) -> bool:
        return cluster_id in self._then.run.clusters

    def among(self, cluster_ids: tuple[int, ...] | None) -> dict[str, Any]:
        """A run loses no queries but by erasure, and gets others only behind those that it has."""
        partition = self._then.run.partition
        if self._run_no is None or not len(partition):
            return {"query_ids": (), "size": 0}
        if cluster_ids is None:
            last = int(partition.query_ids[-1])
            return {"run_no": self._run_no, "up_to": last, "size": self._then.assigned}
        ids = partition.query_ids[np.isin(partition.labels, cluster_ids)]
        return {"run_no": self._run_no, "query_ids": tuple(ids.tolist()), "size": len(ids)}

    def summary_run(self, summary_run_id: str | None, alias: str | None) -> str | None:
        if summary_run_id is None and alias is not None:
            run_id = self.row["run_id"]
            found = live.summary_run_of(self._connection, run_id, alias, self._position)
            return _named(found, run_id, alias)
        if summary_run_id is not None and not self._was_there(SummaryRun.stream(summary_run_id)):
            of_run = f"of {self.row['run_id']}"
            raise NotFound(
                f"there was no summary run {summary_run_id!r} at position {self._position} {of_run}"
            )
        return summary_run_id

    def _listed(self, label: int) -> QueryIds:
        ids = self._then.members(label)
        return ids if self._run_no is not None else ids[:0]

    def _was_there(self, stream: str) -> bool:
        sql = text(
            "SELECT 1 FROM log.events WHERE stream = :stream AND version = 1 AND position <= :at"
            " AND data ->> 'run_id' = :run"
        )
        values = {"stream": stream, "at": self._position, "run": self.row["run_id"]}
        return self._connection.execute(sql, values).first() is not None

    def _titles(self, summary_run_id: str | None) -> dict[int, dict[str, Any]] | None:
        if summary_run_id is None:
            return None
        theirs = select(
            summaries.c.cluster_id, summaries.c.title, summaries.c.description, summaries.c.summary_run_id
        ).where(summaries.c.summary_run_id == summary_run_id)
        return {row["cluster_id"]: dict(row) for row in self._connection.execute(theirs).mappings()}

    def _by_title(self, rows: Rows, backwards: bool) -> Sequence[int]:
        """By the database, which alone knows its collation."""
        given = func.unnest(literal([row["title"] for row in rows], ARRAY(Text)))
        titles = given.table_valued(column("title", Text), with_ordinality="place").render_derived()
        order = titles.c.title.desc() if backwards else titles.c.title.asc()
        places = select(titles.c.place).order_by(order.nulls_last(), titles.c.place)
        return [int(place) - 1 for place in self._connection.execute(places).scalars()]


def _of_run(run_no: int | None, query_ids: QueryIds) -> Any:  # noqa: ANN401
    """The rows of these queries, with what the algorithm found."""
    return (
        select(queries, memberships.c.assigned_to, memberships.c.confidence)
        .join(memberships, memberships.c.query_id == queries.c.query_id)
        .where(
            memberships.c.run_no == run_no,
            memberships.c.query_id == any_(literal(query_ids.tolist(), ARRAY(BigInteger))),
        )
        .order_by(memberships.c.query_id)
    )


def _named(summary_run_id: str | None, run_id: str, alias: str) -> str:
    if summary_run_id is None:
        raise NotFound(f"there is no summary run of {run_id} with alias {alias!r}")
    return summary_run_id
