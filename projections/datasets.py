"""Data sets and their queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Index,
    Table,
    Text,
    delete,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from domain.content import decode_content, decode_manifest
from domain.datasets import Dataset
from projections.base import ReadStore, Recorded, read_model

tables = read_model("datasets")

datasets = Table(
    "datasets",
    tables,
    Column("name", Text, primary_key=True),
    Column("queries", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

queries = Table(
    "queries",
    tables,
    Column("query_id", BigInteger, primary_key=True, autoincrement=False),
    Column("dataset", Text, nullable=False),
    Column("conversation_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("language", Text),
    Column("query_text", Text, nullable=False),
    Column("timestamp", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("metadata", JSONB, nullable=False),
)
MOST_INDEXED = 100_000
"""Characters of a query that full-text search knows: a megabyte of different words cannot be indexed."""

LABEL_LENGTH = 400
"""Characters of a label by which it is found: a longer value does not fit into an index."""

text_vector = func.to_tsvector(
    literal_column("'simple'::regconfig"),
    func.left(queries.c.query_text, literal_column(str(MOST_INDEXED))),
)


def label_value(name: str) -> ColumnElement[str]:
    """`label` or `domain` of the metadata as its index has it."""
    return func.left(queries.c.metadata[name].astext, literal_column(str(LABEL_LENGTH)))


Index("queries_of_dataset", queries.c.dataset, queries.c.query_id)
Index("queries_conversation", queries.c.conversation_id)
Index(
    "queries_timestamp",
    queries.c.timestamp,
    queries.c.query_id,
    postgresql_where=queries.c.timestamp.is_not(None),
)
Index("queries_text", text_vector, postgresql_using="gin", _table=queries)
for _name in ("label", "domain"):
    Index(
        f"queries_{_name}",
        label_value(_name),
        queries.c.query_id,
        postgresql_where=text(f"metadata ? '{_name}'"),
        _table=queries,
    )


class DatasetsProjection:
    name = "datasets"
    tables = tables
    batch = 20
    """An event may bring 10,000 rows."""
    handles: frozenset[type] = frozenset(
        {Dataset.Created, Dataset.ConversationsImported, Dataset.ConversationErased, Dataset.Cleared}
    )

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        imported: list[Recorded] = []
        for one in events:
            match one.event:
                case Dataset.Created():
                    values = {"name": one.name, "queries": 0}
                    moment = {"created_at": one.recorded_at, "updated_at": one.recorded_at}
                    store.execute(insert(datasets).values(values | moment))
                case Dataset.ConversationsImported() if one.event.manifest:
                    imported.append(one)
                case Dataset.ConversationErased() | Dataset.Cleared():
                    self._import(imported, store)
                    imported = []
                    self._remove(one, store)
        self._import(imported, store)

    def _import(self, batches: Sequence[Recorded], store: ReadStore) -> None:
        if not batches:
            return
        for one in batches:
            store.copy(queries, query_rows(one, store))
            store.execute(
                update(datasets)
                .where(datasets.c.name == one.name)
                .values(queries=datasets.c.queries + one.event.count, updated_at=one.recorded_at)
            )

    def _remove(self, one: Recorded, store: ReadStore) -> None:
        """How many there are left follows from the event: a rebuild has no row for what is erased later."""
        gone = queries.c.dataset == one.name
        if isinstance(one.event, Dataset.ConversationErased):
            gone = queries.c.query_id.in_(one.event.query_ids)
        left = update(datasets).where(datasets.c.name == one.name)
        count = {"queries": datasets.c.queries - one.event.queries, "updated_at": one.recorded_at}
        store.execute(delete(queries).where(gone))
        store.execute(left.values(count))


def query_rows(one: Recorded, store: ReadStore) -> Iterator[tuple[Any, ...]]:
    """Rows of `queries` for a batch. A conversation whose content was erased has none.

    All contents are fetched before the first row: the connection can do nothing else during a COPY.
    """
    manifest = bytes.fromhex(one.event.manifest)
    conversation_ids, digests = decode_manifest(store.contents([manifest])[manifest])
    contents = store.contents(digests)
    pairs = enumerate(zip(conversation_ids, digests, strict=True), one.event.first_query_id)
    return (
        _row(one, query_id, conversation_id, contents[sha256])
        for query_id, (conversation_id, sha256) in pairs
        if sha256 in contents
    )


def _row(one: Recorded, query_id: int, conversation_id: str, body: bytes) -> tuple[Any, ...]:
    content = decode_content(body)
    return (
        query_id,
        one.name,
        conversation_id,
        content.model,
        content.language,
        content.query,
        content.timestamp,
        one.recorded_at,
        orjson.dumps(content.metadata).decode(),
    )


# --- queries -------------------------------------------------------------------------------------


def list_datasets(connection: Connection, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """A page of data sets by name, and how many there are."""
    statement = select(datasets).order_by(datasets.c.name).limit(limit).offset(offset)
    total = connection.execute(select(func.count()).select_from(datasets)).scalar_one()
    return [dict(row) for row in connection.execute(statement).mappings()], total


def totals(connection: Connection, dataset: str | None) -> tuple[int, datetime | None]:
    """How many queries there are, and when that changed last."""
    statement = select(func.coalesce(func.sum(datasets.c.queries), 0), func.max(datasets.c.updated_at))
    if dataset is not None:
        statement = statement.where(datasets.c.name == dataset)
    records, updated = connection.execute(statement).one()
    return int(records), updated


def any_of(connection: Connection, query_ids: Sequence[int]) -> bool:
    """Whether one of these queries is there."""
    statement = select(queries.c.query_id).where(queries.c.query_id.in_(query_ids)).limit(1)
    return connection.execute(statement).first() is not None
