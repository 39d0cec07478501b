"""What is asked about the quality of clusters, of the read models that know of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from domain.quality import Facts
from projections.clustering import clusters, memberships, shown_confidence
from projections.measures import measures_of


def facts_of(connection: Connection, run_id: str, run_no: int, *, confidence: bool) -> list[Facts]:
    """All clusters of a run. `confidence`: also its mean, for which every membership is read."""
    measured = {one["cluster_id"]: one for one in measures_of(connection, run_id)}
    confident = mean_confidence(connection, run_no) if confidence else {}
    names = ("cluster_id", "size", "coherence_score", "quality", "flags")
    statement = select(*(clusters.c[name] for name in names)).where(clusters.c.run_no == run_no)
    return [
        Facts(
            **row, **_measures(measured.get(row["cluster_id"])), confidence=confident.get(row["cluster_id"])
        )
        for row in connection.execute(statement.order_by(clusters.c.cluster_id)).mappings()
    ]


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
