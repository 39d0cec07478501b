"""Summary runs and the names that they gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    bindparam,
    delete,
    func,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from commands.ports import NO_USAGE, Usage
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
    Column("incoherent", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("usage", JSONB, nullable=False),
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
    Column("incoherent", Text),
    Column("prompt", Text),
)

failures = Table(
    "failures",
    tables,
    Column("summary_run_id", Text, primary_key=True),
    Column("cluster_id", Integer, primary_key=True),
    Column("error", Text, nullable=False),
)
"""Clusters that a summary run could not name, for as long as it has not named them after all."""


def _create(one: Recorded, store: ReadStore) -> None:
    same = ("summary_run_id", "run_id", "alias", "model", "parameters")
    values = {name: getattr(one.event, name) for name in same}
    counts = dict.fromkeys(("summarised", "incoherent", "failed"), 0)
    start = {"status": "pending", **counts, "usage": vars(NO_USAGE), "created_at": one.recorded_at}
    store.execute(insert(summary_runs).values(values | start))


def _name(one: Recorded, store: ReadStore) -> None:
    rows = one.event.summaries
    columns = summary_runs.c
    incoherent = sum(row["incoherent"] is not None for row in rows)
    counts = {"summarised": columns.summarised + len(rows), "incoherent": columns.incoherent + incoherent}
    if _change(one, store, counts):
        store.execute(insert(summaries), [{**row, "summary_run_id": one.name} for row in rows])


def _fail_some(one: Recorded, store: ReadStore) -> None:
    rows = one.event.failures
    if _change(one, store, {"failed": summary_runs.c.failed + len(rows)}):
        store.execute(insert(failures), [{**row, "summary_run_id": one.name} for row in rows])


def _tell_apart(one: Recorded, store: ReadStore) -> None:
    if _change(one, store, {}):
        named = (summaries.c.summary_run_id == one.name, summaries.c.cluster_id == bindparam("at"))
        rows = [{"at": row["cluster_id"], "now": row["title"]} for row in one.event.titles]
        store.execute(update(summaries).where(*named).values(title=bindparam("now")), rows)


def _change(one: Recorded, store: ReadStore, values: Mapping[str, Any]) -> bool:
    """With what the answers took. False where the run was cleared: a job that goes on adds nothing to it."""
    of_run = summary_runs.c.summary_run_id == one.name
    before = store.execute(select(summary_runs.c.usage).where(of_run)).scalar_one_or_none()
    if before is None:
        return False
    usage = vars(Usage(**before) + Usage(**one.event.usage))
    store.execute(update(summary_runs).where(of_run).values(**values, usage=usage))
    return True


def _end(one: Recorded, store: ReadStore) -> None:
    event = one.event
    status = {SummaryRun.Completed: "completed", SummaryRun.Failed: "failed"}.get(type(event), "cancelled")
    values = {"status": status, "error": getattr(event, "error", None), "completed_at": one.recorded_at}
    store.execute(update(summary_runs).where(summary_runs.c.summary_run_id == one.name).values(values))


def _resume(one: Recorded, store: ReadStore) -> None:
    store.execute(delete(failures).where(failures.c.summary_run_id == one.name))
    values = {"status": "pending", "error": None, "completed_at": None, "failed": 0}
    store.execute(update(summary_runs).where(summary_runs.c.summary_run_id == one.name).values(values))


def _remove(one: Recorded, store: ReadStore) -> None:
    of_run = select(summary_runs.c.summary_run_id).where(summary_runs.c.run_id == one.name)
    for table in (summaries, failures):
        store.execute(delete(table).where(table.c.summary_run_id.in_(of_run)))
    store.execute(delete(summary_runs).where(summary_runs.c.run_id == one.name))


_FOLDS: Mapping[type, Callable[[Recorded, ReadStore], None]] = {
    SummaryRun.Created: _create,
    SummaryRun.ClustersSummarised: _name,
    SummaryRun.ClustersNotNamed: _fail_some,
    SummaryRun.TitlesToldApart: _tell_apart,
    SummaryRun.Completed: _end,
    SummaryRun.Failed: _end,
    SummaryRun.Cancelled: _end,
    SummaryRun.Resumed: _resume,
    ClusteringRun.Retired: _remove,
}


class SummariesProjection:
    name = "summaries"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset(_FOLDS)

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            _FOLDS[type(one.event)](one, store)


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


def failures_of(connection: Connection, summary_run_id: str, limit: int) -> list[dict[str, Any]]:
    """Clusters that it could not name and why, in order of their ids."""
    statement = select(failures.c.cluster_id, failures.c.error).order_by(failures.c.cluster_id)
    found = connection.execute(statement.where(failures.c.summary_run_id == summary_run_id).limit(limit))
    return [dict(row) for row in found.mappings()]


def find_failure(connection: Connection, summary_run_id: str, cluster_id: int) -> str | None:
    """Why it could not name this cluster."""
    of_run = failures.c.summary_run_id == summary_run_id
    statement = select(failures.c.error).where(of_run, failures.c.cluster_id == cluster_id)
    return connection.execute(statement).scalar_one_or_none()
