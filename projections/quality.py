"""What is asked about the quality of clusters, of the read models that know of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, func, or_, select

from domain.quality import Facts
from projections.clustering import clusters, memberships, shown_confidence
from projections.measures import measures_of
from projections.summaries import summaries


def facts_of(
    connection: Connection, run_id: str, run_no: int, *, confidence: bool, summary_run_id: str | None = None
) -> list[Facts]:
    """All clusters of a run. `confidence`: also its mean, for which every membership is read.

    `summary_run_id`: whose word counts where it named a cluster; else that of the one that is shown.
    """
    measured = {one["cluster_id"]: one for one in measures_of(connection, run_id)}
    confident = mean_confidence(connection, run_no) if confidence else {}
    names = ("cluster_id", "size", "coherence_score", "quality", "flags")
    incoherent = _said(summary_run_id).scalar_subquery().label("incoherent")
    statement = select(*(clusters.c[name] for name in names), incoherent).where(clusters.c.run_no == run_no)
    return [
        Facts(
            **row, **_measures(measured.get(row["cluster_id"])), confidence=confident.get(row["cluster_id"])
        )
        for row in connection.execute(statement.order_by(clusters.c.cluster_id)).mappings()
    ]


def _said(summary_run_id: str | None) -> Select[Any]:
    """Why a summary run found no topic in a cluster: the one that is asked for, or else the one shown."""
    asked = summaries.c.summary_run_id == summary_run_id
    return (
        select(summaries.c.incoherent)
        .where(
            summaries.c.cluster_id == clusters.c.cluster_id,
            or_(asked, summaries.c.summary_run_id == clusters.c.summary_run_id),
        )
        .order_by(asked.desc())
        .limit(1)
    )


def _measures(row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return {}
    return {"cohesion": row["cohesion"], "centroid": np.frombuffer(row["centroid"], "<f4")}


def mean_confidence(connection: Connection, run_no: int) -> dict[int, float]:
    """Cluster id → mean confidence of the queries that are where the algorithm had put them.

    A condition on the rows instead of the CASE would have Postgres expect few of them, and sort.
    """
    statement = (
        select(memberships.c.cluster_id, func.avg(shown_confidence))
        .where(memberships.c.run_no == run_no)
        .group_by(memberships.c.cluster_id)
    )
    return {label: round(mean, 6) for label, mean in connection.execute(statement) if mean is not None}
