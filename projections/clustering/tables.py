"""Tables: clustering runs, their clusters, and which query is in which."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    case,
)
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
    Column("named_title", Text),
    Column("named_description", Text),
    Column("summary_run_id", Text),
    Column("own_title", Text),
    Column("own_description", Text),
    Column("title", Text, Computed("coalesce(own_title, named_title)")),
    Column("description", Text, Computed("coalesce(own_description, named_description)")),
    Column("title_edited", Boolean, Computed("own_title IS NOT NULL")),
    Column("description_edited", Boolean, Computed("own_description IS NOT NULL")),
    Column("coherence_score", Integer),
    Column("quality", Text),
    Column("notes", Text),
    Column("flags", ARRAY(Text), nullable=False, server_default="{}"),
)
"""`named_…` is a summary's, `own_…` a person's, which is shown before the other."""

memberships = Table(
    "memberships",
    tables,
    Column("run_no", Integer, primary_key=True),
    Column("query_id", BigInteger, primary_key=True),
    Column("cluster_id", Integer, nullable=False),
    Column("assigned_to", Integer, nullable=False),
    Column("confidence", REAL),
    postgresql_with={"autovacuum_vacuum_scale_factor": 0.02},  # dead rows make edits in bulk slow
)
"""`run_no` is the position of the run's first event: short, and the same in every rebuild.

`assigned_to` and `confidence` are what the algorithm found, and never change; `cluster_id` is where people
have the query now, ORPHAN where that is nowhere.
"""

extensions = Table(
    "extensions",
    tables,
    Column("run_no", Integer, primary_key=True),
    Column("extension_id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("after_query_id", BigInteger, nullable=False),
    Column("last_query_id", BigInteger, nullable=False),
    Column("confidence_floor", REAL, nullable=False),
    Column("added", BigInteger),
    Column("orphaned", BigInteger),
    Column("error", Text),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
)
"""When queries that were loaded later came to a run."""

shown_confidence = case((memberships.c.cluster_id == memberships.c.assigned_to, memberships.c.confidence))
"""How sure the algorithm was; nothing where a person put the query elsewhere."""

Index("memberships_of_cluster", memberships.c.run_no, memberships.c.cluster_id, memberships.c.query_id)
