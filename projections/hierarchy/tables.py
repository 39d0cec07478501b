"""Tables: hierarchies, what is under what in them, and what people changed."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from projections.base import read_model

tables = read_model("hierarchy")

hierarchies = Table(
    "hierarchies",
    tables,
    Column("hierarchy_run_id", Text, primary_key=True),
    Column("run_id", Text, nullable=False, index=True),
    Column("summary_run_id", Text),
    Column("model", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("prompts", ARRAY(Text), nullable=False),
    Column("usage", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("levels", Integer),
    Column("unanswered", Integer, nullable=False),
    Column("error", Text),
    Column("run_version", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
)
"""`run_version`: of the run that it has followed so far. `unanswered`: questions without an answer."""

nodes = Table(
    "nodes",
    tables,
    Column("hierarchy_run_id", Text, primary_key=True),
    Column("cluster_id", Integer, primary_key=True),
    Column("parent_cluster_id", Integer),
    Column("level", Integer, nullable=False),
    Column("named_title", Text),
    Column("named_description", Text),
    Column("own_title", Text),
    Column("own_description", Text),
    Column("is_there", Boolean, nullable=False),
)
"""Clusters (level 0) and categories. A cluster that is no more keeps its place; `is_there` is false then."""

edits = Table(
    "edits",
    tables,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hierarchy_run_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("cluster_ids", ARRAY(Integer), nullable=False),
    Column("edit_type", Text, nullable=False),
    Column("editor", Text, nullable=False),
    Column("reason", Text),
    Column("timestamp", DateTime(timezone=True), nullable=False),
    Column("details", JSONB, nullable=False),
    Column("caused_by", Text),
    Column("undone_by", BigInteger),
)
"""As `curation.edits` has those of runs."""
Index("tree_edits_of_hierarchy", edits.c.hierarchy_run_id, edits.c.version, unique=True)
