"""Pages of queries, one query, and the clusters that queries are in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Connection, Integer, and_, any_, func, literal, select

from projections.clustering import clusters, memberships, runs, shown_confidence
from projections.datasets import datasets, queries
from projections.queries.filters import QueryFilter, among, narrowed


def list_queries(
    connection: Connection, where: QueryFilter, limit: int, offset: int = 0, after: int | None = None
) -> list[dict[str, Any]]:
    """Queries in ascending order of id; `after`: an id to go on behind."""
    if where.query_ids is not None and where.has_counter:
        begin = offset if after is None else offset + bisect_right(where.query_ids, after)
        where, offset = replace(where, query_ids=where.query_ids[begin : begin + limit]), 0
    statement = narrowed(select(queries), where).order_by(queries.c.query_id).limit(limit).offset(offset)
    if after is not None:
        statement = statement.where(queries.c.query_id > after)
    return [dict(row) for row in connection.execute(statement).mappings()]


def count_queries(connection: Connection, where: QueryFilter) -> int:
    """Exact. Sizes of data sets and clusters are kept; anything else is counted."""
    if where.has_counter and where.size is not None:
        return where.size
    kept = _kept_count(connection, where) if where.has_counter else None
    if kept is not None:
        return kept
    statement = narrowed(select(func.count()).select_from(queries), where)
    return int(connection.execute(statement).scalar_one())


def _kept_count(connection: Connection, where: QueryFilter) -> int | None:
    """None for a run that has no clusters yet. Orphans belong to the run, though to no cluster."""
    if where.run_no is not None and where.cluster_ids is None:
        ended = (runs.c.run_no == where.run_no, runs.c.status == "completed")
        sizes = select(func.sum(runs.c.num_queries)).where(*ended)
    elif where.run_no is not None:
        sizes = select(func.sum(clusters.c.size)).where(clusters.c.run_no == where.run_no)
        sizes = sizes.where(clusters.c.cluster_id == any_(_integers(where.cluster_ids or ())))
    else:
        sizes = select(func.coalesce(func.sum(datasets.c.queries), 0))
        if where.dataset is not None:
            sizes = sizes.where(datasets.c.name == where.dataset)
    found = connection.execute(sizes).scalar_one()
    return None if found is None else int(found)


def find_query(connection: Connection, query_id: int) -> dict[str, Any] | None:
    row = connection.execute(select(queries).where(queries.c.query_id == query_id)).mappings().first()
    return dict(row) if row else None


def queries_by_id(connection: Connection, query_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Query id → row, for those that exist."""
    rows = connection.execute(select(queries).where(among(query_ids))).mappings()
    return {row["query_id"]: dict(row) for row in rows}


def clusters_of(
    connection: Connection, query_ids: Sequence[int], run_no: int | None = None
) -> dict[int, list[dict[str, Any]]]:
    """Query id → `{run_id, cluster_id, title, confidence_score}` of each run, newest first, or of one."""
    titled = and_(
        clusters.c.run_no == memberships.c.run_no, clusters.c.cluster_id == memberships.c.cluster_id
    )
    statement = (
        select(
            memberships.c.query_id,
            runs.c.run_id,
            memberships.c.cluster_id,
            clusters.c.title,
            shown_confidence.label("confidence_score"),
        )
        .join(runs, runs.c.run_no == memberships.c.run_no)
        .outerjoin(clusters, titled)
        .where(memberships.c.query_id == any_(literal(list(query_ids), ARRAY(BigInteger))))
        .order_by(memberships.c.run_no.desc())
    )
    if run_no is not None:
        statement = statement.where(memberships.c.run_no == run_no)
    found: dict[int, list[dict[str, Any]]] = {query_id: [] for query_id in query_ids}
    for row in connection.execute(statement).mappings():
        info = dict(row)
        found[info.pop("query_id")].append(info)
    return found


def known_clusters(
    connection: Connection, run_no: int, cluster_ids: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Cluster id → `{cluster_id, title, description, num_queries}`, for those that the run has."""
    statement = select(
        clusters.c.cluster_id, clusters.c.title, clusters.c.description, clusters.c.size.label("num_queries")
    ).where(clusters.c.run_no == run_no, clusters.c.cluster_id == any_(_integers(cluster_ids)))
    return {row["cluster_id"]: dict(row) for row in connection.execute(statement).mappings()}


def _integers(values: Sequence[int]) -> Any:  # noqa: ANN401
    return literal(list(values), ARRAY(Integer))
