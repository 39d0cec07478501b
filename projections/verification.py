"""A run in the log held against its rows. What differs is said in sentences, with the first ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from sqlalchemy import ARRAY, BigInteger, Connection, any_, func, literal, select

from domain.clustering import Cluster, ClusteringRun
from domain.values import ERASED, NOISE, Labels, QueryIds
from projections.clustering import clusters, find_run, memberships
from projections.datasets import queries

SHOWN = 10
"""Ids that a sentence names, at most."""

CHUNK = 10_000
"""Rows that are held at once."""

_FIELDS = tuple(field.name for field in fields(Cluster))


def named(ids: Iterable[object], count: int | None = None) -> str:
    """The first ids, and how many more there are."""
    listed = list(ids)
    more = (len(listed) if count is None else count) - min(len(listed), SHOWN)
    return ", ".join(map(str, listed[:SHOWN])) + (f" and {more} more" if more > 0 else "")


def row_issues(connection: Connection, run: ClusteringRun) -> list[str]:
    """What the read model says otherwise than the log. The connection sees one snapshot."""
    row = find_run(connection, run.run_id)
    if row is None:
        return [f"the read model has no run {run.run_id}"]
    return [
        *_run_issues(row, run),
        *_cluster_issues(connection, row["run_no"], run),
        *_membership_issues(connection, row["run_no"], run),
    ]


def _run_issues(row: Mapping[str, Any], run: ClusteringRun) -> Iterator[str]:
    expected = {
        "status": run.status,
        "dataset": run.dataset,
        "algorithm": run.algorithm,
        "space": run.space,
        "version": run.version,
        "num_queries": int((run.partition.labels != ERASED).sum()),
        "num_clusters": len(run.clusters.keys() - {NOISE}),
    }
    for name, value in expected.items():
        if row[name] != value:
            yield f"the run's {name} is {row[name]} in the read model, and {value} by the log"


def _cluster_issues(connection: Connection, run_no: int, run: ClusteringRun) -> Iterator[str]:
    columns = [clusters.c[name] for name in ("cluster_id", "size", *_FIELDS)]
    statement = select(*columns).where(clusters.c.run_no == run_no)
    rows = {row["cluster_id"]: dict(row) for row in connection.execute(statement).mappings()}
    yield from presence(run.clusters, rows, "clusters", "the read model")
    sizes = run.partition.sizes()
    different: dict[str, list[int]] = {}
    for cluster_id in sorted(run.clusters.keys() & rows.keys()):
        row, expected = rows[cluster_id], {**vars(run.clusters[cluster_id]), "size": sizes.get(cluster_id, 0)}
        for name, value in expected.items():
            if (tuple(row[name]) if name == "flags" else row[name]) != value:
                different.setdefault(name, []).append(cluster_id)
    for name, ids in different.items():
        yield f"clusters whose {name} is another in the read model than in the log: {len(ids)} ({named(ids)})"


def presence(logged: Iterable[int], found: Iterable[int], what: str, where: str) -> Iterator[str]:
    """Sentences about what only one of two has."""
    expected, there = set(logged), set(found)
    if missing := sorted(expected - there):
        yield f"{what} that the log has and {where} has not: {len(missing)} ({named(missing)})"
    if extra := sorted(there - expected):
        yield f"{what} that {where} has and the log has not: {len(extra)} ({named(extra)})"


def _membership_issues(connection: Connection, run_no: int, run: ClusteringRun) -> Iterator[str]:
    kept = run.partition.labels != ERASED
    expected, labels = run.partition.query_ids[kept], run.partition.labels[kept]
    seen = np.zeros(len(expected), bool)
    moved, extra = Tally(), Tally()
    for ids, now in _memberships(connection, run_no):
        at = np.minimum(np.searchsorted(expected, ids), max(len(expected) - 1, 0))
        known = expected[at] == ids if len(expected) else np.zeros(len(ids), bool)
        seen[at[known]] = True
        extra.add(ids[~known].tolist())
        other = labels[at[known]] != now[known]
        rows = zip(ids[known][other], now[known][other], labels[at[known]][other], strict=True)
        moved.add([f"{one} in {here} instead of {there}" for one, here, there in rows])
    missing = expected[~seen].tolist()
    if missing:
        yield f"queries that the log has and the read model has not: {len(missing)} ({named(missing)})"
    if extra.count:
        yield f"queries that the read model has and the log has not: {extra}"
    if moved.count:
        yield f"queries that are in another cluster in the read model than in the log: {moved}"


class Tally:
    """How many there are, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[object] = []

    def add(self, found: Sequence[object]) -> None:
        self.count += len(found)
        self.first += found[: max(0, SHOWN - len(self.first))]

    def __str__(self) -> str:
        return f"{self.count} ({named(self.first, self.count)})"


def _memberships(connection: Connection, run_no: int) -> Iterator[tuple[QueryIds, Labels]]:
    """Query ids in ascending order and their clusters, a chunk at a time."""
    after = -1
    while True:
        page = (
            select(memberships.c.query_id, memberships.c.cluster_id)
            .where(memberships.c.run_no == run_no, memberships.c.query_id > after)
            .order_by(memberships.c.query_id)
            .limit(CHUNK)
            .subquery()
        )
        found = connection.execute(
            select(func.array_agg(page.c.query_id), func.array_agg(page.c.cluster_id))
        ).one()
        if found[0] is None:
            return
        ids = np.array(found[0], np.int64)
        order = np.argsort(ids, kind="stable")
        yield ids[order], np.array(found[1], np.int32)[order]
        after = int(ids.max())


def titled(connection: Connection, run_id: str) -> list[int]:
    """The clusters of a run that have a title in the read model."""
    row = find_run(connection, run_id)
    statement = select(clusters.c.cluster_id).where(
        clusters.c.run_no == (row["run_no"] if row else -1), clusters.c.title.is_not(None)
    )
    return sorted(connection.execute(statement).scalars())


def payloads(connection: Connection, query_ids: QueryIds) -> dict[int, dict[str, Any]]:
    """Query id → what search filters on, as the read model has it."""
    wanted = any_(literal(query_ids.tolist(), ARRAY(BigInteger)))
    columns = (queries.c.query_id, queries.c.dataset, queries.c.model, queries.c.language)
    rows = connection.execute(select(*columns).where(queries.c.query_id == wanted))
    return {
        query_id: {"dataset": dataset, "model": model, "language": language}
        for query_id, dataset, model, language in rows
    }
