"""Queries with their cluster as rows of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, Text, and_, cast, func, null, select
from sqlalchemy.dialects.postgresql import REAL

from projections import clustering, datasets
from projections.base import bookkeeping
from projections.clustering import clusters, memberships, shown_confidence
from projections.datasets import queries
from projections.queries.filters import QueryFilter, metadata_text, narrowed

AT_ONCE = 500
"""Rows that are in memory at a time."""


def export_rows(connection: Connection, where: QueryFilter) -> Iterator[Sequence[Any]]:
    """Batches of rows in order of id, by a cursor of the server.

    Each: query_id, conversation_id, dataset, model, language, timestamp, query_text, cluster_id,
    cluster_title, confidence, label, domain, metadata (the text of a JSON object).
    """
    with connection.execute(_selected(where), execution_options={"yield_per": AT_ONCE}) as rows:
        yield from rows.partitions()


def _selected(where: QueryFilter) -> Select[Any]:
    of_run = where.run_no is not None
    columns = [queries.c[name] for name in ("query_id", "conversation_id", "dataset", "model", "language")]
    columns += [queries.c.timestamp, queries.c.query_text]
    cluster: list[ColumnElement[Any]] = [cast(null(), Integer), cast(null(), Text), cast(null(), REAL)]
    if of_run:
        cluster = [memberships.c.cluster_id, clusters.c.title, shown_confidence]
    about = [metadata_text("label"), metadata_text("domain"), cast(queries.c.metadata, Text)]
    statement = narrowed(select(*columns, *cluster, *about).select_from(queries), where)
    if of_run:
        titled = and_(
            clusters.c.run_no == memberships.c.run_no, clusters.c.cluster_id == memberships.c.cluster_id
        )
        statement = statement.outerjoin(clusters, titled)
    return statement.order_by(queries.c.query_id)


def has_dataset(connection: Connection, name: str) -> bool:
    table = datasets.datasets
    return connection.execute(select(table.c.name).where(table.c.name == name)).first() is not None


def position(connection: Connection) -> int:
    """The event up to which rows of this snapshot show everything."""
    reached = [
        select(bookkeeping(tables, "checkpoint").c.position).scalar_subquery()
        for tables in (datasets.tables, clustering.tables)
    ]
    statement = select(func.least(*reached))
    return int(connection.execute(statement).scalar_one())
