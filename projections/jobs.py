"""Jobs of data sets, as the log knows them. How far a running one is stands in `ops.progress`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Table,
    Text,
    bindparam,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from domain.datasets import Dataset
from projections.base import BATCH, ReadStore, Recorded, read_model

tables = read_model("jobs")

jobs = Table(
    "jobs",
    tables,
    Column("job_id", Text, primary_key=True),
    Column("job_type", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("source", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("processed", BigInteger, nullable=False),
    Column("imported", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("errors", JSONB, nullable=False),
    Column("error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
)
"""`errors`: the first bad rows, `{row, reason}`. `error`: why the job as a whole failed."""


class JobsProjection:
    name = "jobs"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset(
        {
            Dataset.LoadRequested,
            Dataset.ConversationsImported,
            Dataset.LoadCompleted,
            Dataset.LoadFailed,
            Dataset.EmbeddingRequested,
            Dataset.EmbeddingCompleted,
            Dataset.EmbeddingFailed,
        }
    )

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            self._project(one, store)

    def _project(self, one: Recorded, store: ReadStore) -> None:
        event = one.event
        of_job = update(jobs).where(jobs.c.job_id == event.job_id)
        match event:
            case Dataset.LoadRequested():
                store.execute(insert(jobs).values(_new(one, event.kind, event.source)))
            case Dataset.EmbeddingRequested():
                source = {"provider": event.provider, "model": event.model}
                store.execute(insert(jobs).values(_new(one, "backfill", source)))
            case Dataset.ConversationsImported():
                store.execute(
                    of_job.values(
                        processed=event.rows_read,
                        imported=jobs.c.imported + event.count,
                        skipped=jobs.c.skipped + event.skipped,
                        rejected=jobs.c.rejected + event.rejected,
                        errors=jobs.c.errors + bindparam("more", event.errors, type_=JSONB),
                    )
                )
            case Dataset.LoadCompleted():
                store.execute(of_job.values(status="completed", completed_at=one.recorded_at))
            case Dataset.EmbeddingCompleted():
                values: dict[str, Any] = {"processed": event.embedded, "completed_at": one.recorded_at}
                store.execute(of_job.values(status="completed", **values))
            case Dataset.LoadFailed() | Dataset.EmbeddingFailed():
                values = {"error": event.error, "completed_at": one.recorded_at}
                store.execute(of_job.values(status="failed", **values))


def _new(one: Recorded, job_type: str, source: dict[str, Any]) -> dict[str, Any]:
    counts = dict.fromkeys(("processed", "imported", "skipped", "rejected"), 0)
    return {
        "job_id": one.event.job_id,
        "job_type": job_type,
        "dataset": one.name,
        "source": source,
        "status": "pending",
        "errors": [],
        "created_at": one.recorded_at,
        **counts,
    }


# --- queries -------------------------------------------------------------------------------------

_FOUND = (
    "SELECT job.job_id, job.job_type, job.dataset, job.errors, job.error, job.created_at, job.completed_at,"
    " job.imported, job.skipped, job.rejected, running.total,"
    " CASE WHEN job.status = 'pending' AND (running.job_id IS NOT NULL OR job.processed > 0)"
    "  THEN 'running' ELSE job.status END AS status,"
    " CASE WHEN job.completed_at IS NULL THEN greatest(job.processed, running.processed)"
    "  ELSE job.processed END AS processed,"
    " round((greatest(job.processed, running.processed) / greatest(0.001, extract(epoch FROM"
    "  coalesce(job.completed_at, running.updated_at) - job.created_at)))::numeric, 1)::float8 AS rate"
    " FROM jobs.jobs AS job LEFT JOIN ops.progress AS running USING (job_id)"
)


def find(connection: Connection, job_id: str) -> dict[str, Any] | None:
    row = connection.execute(text(f"{_FOUND} WHERE job.job_id = :id"), {"id": job_id}).mappings().first()
    return dict(row) if row else None


def active(connection: Connection, dataset: str | None) -> list[dict[str, Any]]:
    """Jobs that have not ended, oldest first."""
    sql = f"{_FOUND} WHERE job.completed_at IS NULL AND (CAST(:d AS text) IS NULL OR job.dataset = :d)"
    rows = connection.execute(text(f"{sql} ORDER BY job.created_at LIMIT 100"), {"d": dataset})
    return [dict(row) for row in rows.mappings()]


def last_ended(connection: Connection, dataset: str | None) -> dict[str, Any] | None:
    sql = f"{_FOUND} WHERE job.completed_at IS NOT NULL AND (CAST(:d AS text) IS NULL OR job.dataset = :d)"
    row = (
        connection.execute(text(f"{sql} ORDER BY job.completed_at DESC LIMIT 1"), {"d": dataset})
        .mappings()
        .first()
    )
    return dict(row) if row else None
