"""Queries with their cluster as rows of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Row, Select, Text, and_, cast, func, null, select
from sqlalchemy.dialects.postgresql import REAL

from domain.values import ERASED
from projections import datasets
from projections.clustering import clusters, memberships, shown_confidence
from projections.clustering.past import PastRun
from projections.datasets import queries
from projections.queries.filters import QueryFilter, metadata_text, narrowed
from projections.summaries import summaries

AT_ONCE = 500
"""Rows that are in memory at a time."""


def export_rows(
    connection: Connection,
    where: QueryFilter,
    past: PastRun | None = None,
    summary_run_id: str | None = None,
) -> Iterator[Sequence[Any]]:
    """Batches of rows in order of id, by a cursor of the server.

    Each: query_id, conversation_id, dataset, model, language, timestamp, query_text, cluster_id,
    cluster_title, confidence, label, domain, metadata (the text of a JSON object). `past`: the run as it was,
    whose clusters and titles are shown. `summary_run_id`: titles that it gave go before those of another.
    """
    titles = _titles_then(connection, past, summary_run_id) if past else {}
    statement = _selected(where, past, summary_run_id)
    with connection.execute(statement, execution_options={"yield_per": AT_ONCE}) as rows:
        yield from (_as_of(some, past, titles) for some in rows.partitions()) if past else rows.partitions()


def _titles_then(connection: Connection, past: PastRun, summary_run_id: str | None) -> dict[int, str | None]:
    """Cluster → its title, as it was or as a summary run gave it."""
    of_run = select(summaries.c.cluster_id, summaries.c.title).where(
        summaries.c.summary_run_id == summary_run_id
    )
    given = {cluster_id: title for cluster_id, title in connection.execute(of_run)}
    return {
        one: cluster.title if cluster.title_edited else given.get(one, cluster.title)
        for one, cluster in past.run.clusters.items()
    }


def _as_of(
    rows: Sequence[Row[Any]], past: PastRun, titles: Mapping[int, str | None]
) -> list[tuple[Any, ...]]:
    """Rows with what the algorithm found in place of the cluster and its title: with what that had become."""
    labels = past.run.partition.labels_of([row.query_id for row in rows]).tolist()
    return [
        (
            *row[:CLUSTER],
            label,
            titles.get(label),
            row.confidence if label == row.assigned_to else None,
            *row[CLUSTER + 3 :],
        )
        for row, label in zip(rows, labels, strict=True)
        if label != ERASED
    ]


CLUSTER = 7
"""Where the columns of the cluster begin; there are three."""


def _selected(where: QueryFilter, past: PastRun | None, summary_run_id: str | None) -> Select[Any]:
    columns = [queries.c[name] for name in ("query_id", "conversation_id", "dataset", "model", "language")]
    columns += [queries.c.timestamp, queries.c.query_text]
    cluster: list[ColumnElement[Any]] = [cast(null(), Integer), cast(null(), Text), cast(null(), REAL)]
    of_run = where.run_no is not None
    if of_run and past is not None:
        cluster = [memberships.c.assigned_to, cast(null(), Text), memberships.c.confidence]
    elif of_run:
        given = func.coalesce(clusters.c.own_title, summaries.c.title, clusters.c.title)
        cluster = [memberships.c.cluster_id, given, shown_confidence]
    about = [metadata_text("label"), metadata_text("domain"), cast(queries.c.metadata, Text)]
    statement = narrowed(select(*columns, *cluster, *about).select_from(queries), where)
    if of_run and past is None:
        titled = and_(
            clusters.c.run_no == memberships.c.run_no, clusters.c.cluster_id == memberships.c.cluster_id
        )
        theirs = and_(
            summaries.c.cluster_id == clusters.c.cluster_id, summaries.c.summary_run_id == summary_run_id
        )
        statement = statement.outerjoin(clusters, titled).outerjoin(summaries, theirs)
    return statement.order_by(queries.c.query_id)


def has_dataset(connection: Connection, name: str) -> bool:
    table = datasets.datasets
    return connection.execute(select(table.c.name).where(table.c.name == name)).first() is not None
