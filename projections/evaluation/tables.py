"""The tables of the read model. Texts are not in them: a case names its query, or the digest of its text."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from projections.base import read_model

tables = read_model("evaluation")

test_sets = Table(
    "test_sets",
    tables,
    Column("test_set", Text, primary_key=True),
    Column("description", Text),
    Column("versions", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("position", BigInteger, nullable=False),
)

versions = Table(
    "versions",
    tables,
    Column("test_set", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("dataset", Text, index=True),
    Column("cases", Integer, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("source", JSONB, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("errors", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
)

cases = Table(
    "cases",
    tables,
    Column("test_set", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("case_number", Integer, primary_key=True),
    Column("label", Text, nullable=False),
    Column("query_id", BigInteger),
    Column("text", LargeBinary),
    Column("gone", Boolean, nullable=False),
)
"""`gone`: the conversation was erased, or its data set was cleared."""
Index("cases_query", cases.c.query_id, postgresql_where=cases.c.query_id.is_not(None))

runs = Table(
    "runs",
    tables,
    Column("evaluation_run_id", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("template_id", Text, nullable=False, index=True),
    Column("template_number", Integer, nullable=False),
    Column("template_hash", Text, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("suggestion_id", Text, index=True),
    Column("model", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("test_set", Text, nullable=False, index=True),
    Column("test_set_version", Integer, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("cases", Integer, nullable=False),
    Column("answered", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("error", Text),
    Column("figures", JSONB(none_as_null=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("ended_at", DateTime(timezone=True)),
)

results = Table(
    "results",
    tables,
    Column("evaluation_run_id", Text, primary_key=True),
    Column("case_number", Integer, primary_key=True),
    Column("predicted", Text),
    Column("confidence", Float),
    Column("seconds", Float),
    Column("leaked", Boolean, nullable=False),
    Column("gone", Boolean, nullable=False),
    Column("error", Text),
    Column("reasoning", Text),
)

suggestions = Table(
    "suggestions",
    tables,
    Column("suggestion_id", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("evaluation_run_id", Text, nullable=False, index=True),
    Column("template_id", Text, nullable=False, index=True),
    Column("template_number", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("analysis", Text),
    Column("suggestions", JSONB, nullable=False),
    Column("priority_categories", JSONB, nullable=False),
    Column("confused", JSONB, nullable=False),
    Column("draft", JSONB(none_as_null=True)),
    Column("prompt", Text),
    Column("usage", JSONB(none_as_null=True)),
    Column("error", Text),
    Column("evaluated", JSONB, nullable=False),
    Column("adopted_number", Integer),
    Column("forced", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("decided_at", DateTime(timezone=True)),
    Column("decided_by", Text),
    Column("decision_reason", Text),
)
"""`evaluated`: ids of the runs that tried the draft."""
