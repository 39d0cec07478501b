"""Tables: clustering runs, their clusters, and which query is in which."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, REAL

from projections.base import read_model

tables = read_model("clustering")

runs = Table(
    "runs",
    tables,
    Column("run_id", Text, primary_key=True),
    Column("run_no", Integer, nullable=False, unique=True),
    Column("dataset", Text, nullable=False, index=True),
    Column("algorithm", Text, nullable=False),
    Column("description", Text),
    Column("status", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("embedding", JSONB, nullable=False),
    Column("space", JSONB),
    Column("metrics", JSONB),
    Column("last_query_id", BigInteger, nullable=False),
    Column("num_queries", BigInteger, nullable=False),
    Column("num_clusters", Integer),
    Column("error", Text),
    Column("version", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
)

clusters = Table(
    "clusters",
    tables,
    Column("run_no", Integer, primary_key=True),
    Column("cluster_id", Integer, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("title", Text),
    Column("description", Text),
    Column("title_edited", Boolean, nullable=False, server_default="false"),
    Column("description_edited", Boolean, nullable=False, server_default="false"),
    Column("summary_run_id", Text),
)

memberships = Table(
    "memberships",
    tables,
    Column("run_no", Integer, primary_key=True),
    Column("query_id", BigInteger, primary_key=True),
    Column("cluster_id", Integer, nullable=False),
    Column("confidence", REAL),
)
"""`run_no` is the position of the run's first event: short, and the same in every rebuild."""
Index("memberships_of_cluster", memberships.c.run_no, memberships.c.cluster_id, memberships.c.query_id)
Index("memberships_of_query", memberships.c.query_id)
