"""Tables: classification runs, their results, and how many results each label has."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL

from projections.base import read_model

tables = read_model("classification")

runs = Table(
    "runs",
    tables,
    Column("classification_run_id", Text, primary_key=True),
    Column("run_no", Integer, nullable=False, unique=True),
    Column("dataset", Text, nullable=False, index=True),
    Column("template_id", Text, nullable=False, index=True),
    Column("template_number", Integer, nullable=False),
    Column("template_hash", Text, nullable=False),
    Column("labels", ARRAY(Text), nullable=False),
    Column("model", Text, nullable=False),
    Column("alias", Text),
    Column("filters", JSONB, nullable=False),
    Column("execution", JSONB, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("total", BigInteger),
    Column("answered", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("batches", Integer, nullable=False),
    Column("prompt", Text),
    Column("calls", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_usd", Float),
    Column("call_seconds", Float, nullable=False),
    Column("cached", BigInteger, nullable=False),
    Column("error", Text),
    Column("version", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("completed_at", DateTime(timezone=True)),
)
"""`failed`: queries without a label that have an error. `batches`: those that a provider still works on.

`started_at`: when the present attempt began. `cost_usd` is null as soon as one price was not known.
"""

results = Table(
    "results",
    tables,
    Column("run_no", Integer, primary_key=True),
    Column("query_id", BigInteger, primary_key=True),
    Column("label", Integer),
    Column("confidence", REAL),
    Column("reasoning", Text),
    Column("error", Text),
    Column("position", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
"""`label`: its place in the labels of the run; null where there is an error in its stead. A label never
changes; an error goes when a later attempt has an answer. `position`: of the event that has it."""

counts = Table(
    "counts",
    tables,
    Column("run_no", Integer, primary_key=True),
    Column("label", Integer, primary_key=True),
    Column("results", BigInteger, nullable=False),
)

erased = Table("erased", tables, Column("query_id", BigInteger, primary_key=True))
"""Queries whose conversation was erased: an answer that comes afterwards is not shown."""

Index("results_of_label", results.c.run_no, results.c.label, results.c.query_id)
Index("results_of_query", results.c.query_id)
