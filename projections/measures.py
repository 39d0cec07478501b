"""What the clusters of a run are like: size, cohesion, centroid, as they were last measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Connection,
    Double,
    Integer,
    LargeBinary,
    Table,
    Text,
    any_,
    delete,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from domain.clustering import ClusteringRun
from domain.measures import Measures
from projections.base import BATCH, ReadStore, Recorded, read_model

tables = read_model("measures")

measured_runs = Table(
    "runs",
    tables,
    Column("run_id", Text, primary_key=True),
    Column("run_version", Integer, nullable=False),
)
"""Every completed run; `run_version` is 0 where it has not been measured yet."""

measures = Table(
    "clusters",
    tables,
    Column("run_id", Text, primary_key=True),
    Column("cluster_id", Integer, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("cohesion", Double),
    Column("centroid", LargeBinary, nullable=False),
)
"""`centroid`: float32, little-endian, of length 1, or zeros where nothing was to be measured."""


class MeasuresProjection:
    name = "measures"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset(
        {ClusteringRun.Completed, Measures.ClustersMeasured, ClusteringRun.Retired}
    )

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            match one.event:
                case ClusteringRun.Completed():
                    store.execute(insert(measured_runs).values(run_id=one.name, run_version=0))
                case Measures.ClustersMeasured():
                    _measure(one, store)
                case ClusteringRun.Retired():
                    for table in (measures, measured_runs):
                        store.execute(delete(table).where(table.c.run_id == one.name))


def _measure(one: Recorded, store: ReadStore) -> None:
    """What was measured of a run that has been cleared meanwhile finds nothing to add to."""
    event = one.event
    newer = update(measured_runs).where(measured_runs.c.run_id == one.name)
    if not store.execute(newer.values(run_version=event.run_version)).rowcount:
        return
    replaced = [*event.gone, *(row["cluster_id"] for row in event.clusters)]
    some = any_(literal(replaced, ARRAY(Integer)))
    store.execute(delete(measures).where(measures.c.run_id == one.name, measures.c.cluster_id == some))
    address = bytes.fromhex(event.centroids)
    body = store.contents([address])[address]
    width = len(body) // max(len(event.clusters), 1)
    rows = (
        (one.name, row["cluster_id"], row["size"], row["cohesion"], body[at * width : (at + 1) * width])
        for at, row in enumerate(event.clusters)
    )
    store.copy(measures, rows)


# --- queries -------------------------------------------------------------------------------------


def cohesion_of(connection: Connection, run_id: str, cluster_ids: Sequence[int]) -> dict[int, float]:
    """Cluster id → cohesion, for those that have been measured."""
    here = (measures.c.run_id == run_id, measures.c.cluster_id.in_(list(cluster_ids)))
    rows = connection.execute(select(measures.c.cluster_id, measures.c.cohesion).where(*here))
    return {cluster_id: cohesion for cluster_id, cohesion in rows if cohesion is not None}


def measures_of(connection: Connection, run_id: str) -> list[dict[str, Any]]:
    """All that was measured of a run, in the order of the cluster ids."""
    statement = select(measures).where(measures.c.run_id == run_id).order_by(measures.c.cluster_id)
    return [dict(row) for row in connection.execute(statement).mappings()]


def measured_version(connection: Connection, run_id: str) -> int:
    """The version of the run at which it was last measured; 0 for never."""
    statement = select(measured_runs.c.run_version).where(measured_runs.c.run_id == run_id)
    return int(connection.execute(statement).scalar_one_or_none() or 0)
