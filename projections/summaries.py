"""Summary runs and the names that they gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Integer,
    Table,
    Text,
    and_,
    delete,
    func,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from domain.clustering import ClusteringRun
from domain.summaries import SummaryRun
from projections.base import BATCH, ReadStore, Recorded, read_model

tables = read_model("summaries")

summary_runs = Table(
    "summary_runs",
    tables,
    Column("summary_run_id", Text, primary_key=True),
    Column("run_id", Text, nullable=False, index=True),
    Column("alias", Text),
    Column("model", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("summarised", Integer, nullable=False),
    Column("error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
)

summaries = Table(
    "summaries",
    tables,
    Column("summary_run_id", Text, primary_key=True),
    Column("cluster_id", Integer, primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("representative_query_ids", ARRAY(BigInteger), nullable=False),
    Column("num_queries", BigInteger, nullable=False),
)


class SummariesProjection:
    name = "summaries"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset(
        {
            SummaryRun.Created,
            SummaryRun.ClustersSummarised,
            SummaryRun.Completed,
            SummaryRun.Failed,
            ClusteringRun.Retired,
        }
    )

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            self._project(one, store)

    def _project(self, one: Recorded, store: ReadStore) -> None:
        event = one.event
        of_run = update(summary_runs).where(summary_runs.c.summary_run_id == one.name)
        match event:
            case SummaryRun.Created():
                same = ("summary_run_id", "run_id", "alias", "model", "parameters")
                values = {"status": "pending", "summarised": 0, "created_at": one.recorded_at}
                values |= {name: getattr(event, name) for name in same}
                store.execute(insert(summary_runs).values(values))
            case SummaryRun.ClustersSummarised():
                more = summary_runs.c.summarised + len(event.summaries)
                if store.execute(of_run.values(summarised=more)).rowcount:
                    rows = [{**row, "summary_run_id": one.name} for row in event.summaries]
                    store.execute(insert(summaries), rows)
            case SummaryRun.Completed():
                store.execute(of_run.values(status="completed", completed_at=one.recorded_at))
            case SummaryRun.Failed():
                store.execute(of_run.values(status="failed", error=event.error, completed_at=one.recorded_at))
            case ClusteringRun.Retired():
                self._remove(one.name, store)

    def _remove(self, run_id: str, store: ReadStore) -> None:
        """A job that is still naming this run finds nothing to add to."""
        of_run = select(summary_runs.c.summary_run_id).where(summary_runs.c.run_id == run_id)
        store.execute(delete(summaries).where(summaries.c.summary_run_id.in_(of_run)))
        store.execute(delete(summary_runs).where(summary_runs.c.run_id == run_id))


# --- queries -------------------------------------------------------------------------------------


def list_summary_runs(
    connection: Connection,
    limit: int,
    offset: int,
    *,
    run_id: str | None,
    alias: str | None,
    status: str | None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of summary runs, newest first, and how many there are."""
    wanted = {"run_id": run_id, "alias": alias, "status": status}
    where = and_(true(), *(summary_runs.c[name] == v for name, v in wanted.items() if v is not None))
    total = connection.execute(select(func.count()).select_from(summary_runs).where(where)).scalar_one()
    order = (summary_runs.c.created_at.desc(), summary_runs.c.summary_run_id)
    page = select(summary_runs).where(where).order_by(*order).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def find_summary_run(connection: Connection, summary_run_id: str) -> dict[str, Any] | None:
    statement = select(summary_runs).where(summary_runs.c.summary_run_id == summary_run_id)
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None


def find_summary(connection: Connection, summary_run_id: str, cluster_id: int) -> dict[str, Any] | None:
    """What a summary run said of one cluster."""
    of_run = summaries.c.summary_run_id == summary_run_id
    statement = select(summaries).where(of_run, summaries.c.cluster_id == cluster_id)
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None
