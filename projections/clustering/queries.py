"""What is asked of clustering runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, select, text, true

from domain.summaries import SummaryRun
from projections.audit import events
from projections.clustering.tables import clusters, memberships, runs, shown_confidence
from projections.datasets import queries
from projections.summaries import summaries, summary_runs

SORTS: dict[str, ColumnElement[Any]] = {
    "size": clusters.c.size,
    "cluster_id": clusters.c.cluster_id,
    "title": clusters.c.title,
}


def list_runs(
    connection: Connection,
    limit: int,
    offset: int,
    *,
    algorithm: str | None = None,
    status: str | None = None,
    dataset: str | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of runs, newest first, and how many there are."""
    wanted = {"algorithm": algorithm, "status": status, "dataset": dataset}
    where = and_(true(), *(runs.c[name] == value for name, value in wanted.items() if value is not None))
    total = connection.execute(select(func.count()).select_from(runs).where(where)).scalar_one()
    page = select(runs).where(where).order_by(runs.c.run_no.desc()).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def find_run(connection: Connection, run_id: str) -> dict[str, Any] | None:
    """A run, with how far its job is: `processed` and `total`."""
    row = connection.execute(select(runs).where(runs.c.run_id == run_id)).mappings().first()
    if row is None:
        return None
    progress = text("SELECT processed, total FROM ops.progress WHERE job_id = :id")
    done = connection.execute(progress, {"id": run_id}).first() if row["status"] == "pending" else None
    return {**row, "processed": done[0] if done else None, "total": done[1] if done else None}


def _shown(run_no: int, summary_run_id: str | None) -> Select[Any]:
    """Clusters with the titles that are shown, or with those that one summary run gave.

    What a person has written goes before both; where that summary run gave none, what is shown stays.
    """
    theirs = and_(
        summaries.c.cluster_id == clusters.c.cluster_id, summaries.c.summary_run_id == summary_run_id
    )

    def title(name: str) -> ColumnElement[Any]:
        shown = clusters.c[name]
        given = func.coalesce(summaries.c[name], shown)
        return case((clusters.c[f"{name}_edited"], shown), else_=given).label(name)

    source = func.coalesce(summaries.c.summary_run_id, clusters.c.summary_run_id)
    return (
        select(
            clusters.c.cluster_id,
            clusters.c.size,
            title("title"),
            title("description"),
            clusters.c.title_edited,
            clusters.c.description_edited,
            clusters.c.coherence_score,
            clusters.c.quality,
            clusters.c.notes,
            clusters.c.flags,
            source.label("summary_run_id"),
        )
        .select_from(clusters.outerjoin(summaries, theirs))
        .where(clusters.c.run_no == run_no)
    )


def list_clusters(
    connection: Connection,
    run_no: int,
    limit: int,
    offset: int,
    *,
    sort: str = "-size",
    summary_run_id: str | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of clusters and how many there are; `sort`: size, cluster_id or title, `-`: descending."""
    column = SORTS[sort.removeprefix("-")]
    order = column.desc().nulls_last() if sort.startswith("-") else column.asc().nulls_last()
    total = connection.execute(
        select(func.count()).select_from(clusters).where(clusters.c.run_no == run_no)
    ).scalar_one()
    page = _shown(run_no, summary_run_id).order_by(order, clusters.c.cluster_id).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def find_cluster(
    connection: Connection, run_no: int, cluster_id: int, summary_run_id: str | None = None
) -> dict[str, Any] | None:
    statement = _shown(run_no, summary_run_id).where(clusters.c.cluster_id == cluster_id)
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None


def find_clusters(
    connection: Connection, run_no: int, cluster_ids: Sequence[int], summary_run_id: str | None = None
) -> list[dict[str, Any]]:
    """Those of these clusters that there are, in no order."""
    statement = _shown(run_no, summary_run_id).where(clusters.c.cluster_id.in_(cluster_ids))
    return [dict(row) for row in connection.execute(statement).mappings()]


def members(
    connection: Connection, run_no: int, cluster_id: int, limit: int, offset: int, after: int | None = None
) -> list[dict[str, Any]]:
    """Queries of a cluster in ascending order of id, with their confidence; `after`: a query id."""
    statement = (
        select(queries, memberships.c.assigned_to, shown_confidence.label("confidence"))
        .join(memberships, memberships.c.query_id == queries.c.query_id)
        .where(memberships.c.run_no == run_no, memberships.c.cluster_id == cluster_id)
        .order_by(memberships.c.query_id)
        .limit(limit)
        .offset(offset)
    )
    if after is not None:
        statement = statement.where(memberships.c.query_id > after)
    return [dict(row) for row in connection.execute(statement).mappings()]


def count_members(connection: Connection, run_no: int, cluster_id: int) -> int:
    """How many queries have this label."""
    where = (memberships.c.run_no == run_no, memberships.c.cluster_id == cluster_id)
    return int(connection.execute(select(func.count()).select_from(memberships).where(*where)).scalar_one())


def representatives(
    connection: Connection, summary_run_ids: Sequence[str], cluster_ids: Sequence[int], most: int
) -> dict[int, list[str]]:
    """Cluster id → texts of its most central queries, as a summary run found them."""
    sql = (
        "SELECT s.cluster_id, q.query_text FROM summaries.summaries AS s,"
        " unnest(s.representative_query_ids[1 : :most]) WITH ORDINALITY AS r (query_id, place)"
        " JOIN datasets.queries AS q USING (query_id)"
        " WHERE s.summary_run_id = ANY(:runs) AND s.cluster_id = ANY(:ids) ORDER BY s.cluster_id, place"
    )
    rows = connection.execute(
        text(sql), {"most": most, "runs": list(summary_run_ids), "ids": list(cluster_ids)}
    )
    found: dict[int, list[str]] = {}
    for cluster_id, query_text in rows:
        found.setdefault(cluster_id, []).append(query_text)
    return found


def incoherent_of(
    connection: Connection, summary_run_ids: Sequence[str], cluster_ids: Sequence[int]
) -> dict[tuple[str, int], str]:
    """(summary run, cluster) → why that summary run found no topic in it; of the others nothing."""
    statement = select(summaries.c.summary_run_id, summaries.c.cluster_id, summaries.c.incoherent).where(
        summaries.c.summary_run_id.in_(summary_run_ids),
        summaries.c.cluster_id.in_(cluster_ids),
        summaries.c.incoherent.is_not(None),
    )
    return {(run, cluster_id): reason for run, cluster_id, reason in connection.execute(statement)}


def has_summary_run(connection: Connection, run_id: str, summary_run_id: str) -> bool:
    statement = select(summary_runs.c.run_id).where(summary_runs.c.summary_run_id == summary_run_id)
    return connection.execute(statement).scalar_one_or_none() == run_id


def summary_run_of(
    connection: Connection, run_id: str, alias: str, position: int | None = None
) -> str | None:
    """The newest summary run of a run with this alias; that there was at a position of the log."""
    statement = (
        select(summary_runs.c.summary_run_id)
        .where(summary_runs.c.run_id == run_id, summary_runs.c.alias == alias)
        .order_by(summary_runs.c.created_at.desc())
        .limit(1)
    )
    if position is not None:
        begun = and_(
            events.c.stream == func.concat(f"{SummaryRun.PREFIX}/", summary_runs.c.summary_run_id),
            events.c.version == 1,
        )
        statement = statement.join(events, begun).where(events.c.position <= position)
    return connection.execute(statement).scalar_one_or_none()
