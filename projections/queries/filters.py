"""Which queries are meant, as conditions on their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from operator import eq
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    any_,
    func,
    literal,
    literal_column,
)

from projections.clustering import memberships
from projections.datasets import label_value, queries, text_vector


@dataclass(frozen=True)
class QueryFilter:
    """All that is given must hold.

    `run_no` leaves members of that run, which belong to one `dataset`; `cluster_ids` those of these clusters
    of it. `since` is part of the time, `until` is not. `text` is what a search engine takes: words, "a
    phrase", or, -without.

    Of a run at a moment of the past: `query_ids` are the members of clusters in ascending order, `up_to` is
    the last that the run had, and `size` says how many these are.
    """

    dataset: str | None = None
    run_no: int | None = None
    cluster_ids: tuple[int, ...] | None = None
    model: str | None = None
    language: str | None = None
    label: str | None = None
    domain: str | None = None
    conversation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    query_ids: tuple[int, ...] | None = None
    up_to: int | None = None
    size: int | None = None

    @property
    def has_counter(self) -> bool:
        """Nothing is asked but data set, run and clusters, whose sizes are kept."""
        plain = replace(self, dataset=None, run_no=None, cluster_ids=None)
        return replace(plain, query_ids=None, up_to=None, size=None) == QueryFilter()


def narrowed(statement: Select[Any], where: QueryFilter) -> Select[Any]:
    """A selection from queries, narrowed to what the filter lets through."""
    if where.run_no is not None:
        statement = statement.join(memberships, memberships.c.query_id == queries.c.query_id)
        statement = statement.where(memberships.c.run_no == where.run_no)
        if where.cluster_ids is not None:
            statement = statement.where(_one_of(memberships.c.cluster_id, where.cluster_ids))
    elif where.dataset is not None:
        statement = statement.where(queries.c.dataset == where.dataset)
    return statement.where(*(_CONDITIONS[name](value) for name, value in _given(where)))


def _given(where: QueryFilter) -> Iterator[tuple[str, Any]]:
    values = ((name, getattr(where, name)) for name in _CONDITIONS)
    return ((name, value) for name, value in values if value is not None)


def among(query_ids: Sequence[int]) -> ColumnElement[bool]:
    """The query is one of these: one parameter, however many they are."""
    return queries.c.query_id == any_(literal(list(query_ids), ARRAY(BigInteger)))


SIMPLE: ColumnElement[Any] = literal_column("'simple'::regconfig")
"""The words of any language, as they stand."""


def matches(words: str) -> ColumnElement[bool]:
    return text_vector.bool_op("@@")(words_query(words))


def words_query(words: str) -> ColumnElement[Any]:
    """Never an error: what is no query of words matches nothing."""
    return func.websearch_to_tsquery(SIMPLE, words)


def metadata_text(name: str) -> ColumnElement[str]:
    """A field of the metadata, written as the expression index has it; `name` never comes from outside."""
    return queries.c.metadata.op("->>", return_type=Text())(literal_column(f"'{name}'"))


def _labelled(name: str, value: str) -> ColumnElement[bool]:
    return and_(queries.c.metadata.bool_op("?")(literal_column(f"'{name}'")), label_value(name) == value)


def _one_of(column: ColumnElement[Any], values: tuple[int, ...]) -> ColumnElement[bool]:
    """One value as an equality, by which an index also gives the order."""
    return column == (values[0] if len(values) == 1 else any_(literal(list(values), ARRAY(Integer))))


_CONDITIONS: Mapping[str, Callable[[Any], ColumnElement[bool]]] = {
    "query_ids": among,
    "up_to": lambda last: queries.c.query_id <= last,
    **{name: partial(eq, queries.c[name]) for name in ("model", "language", "conversation_id")},
    **{name: partial(_labelled, name) for name in ("label", "domain")},
    "since": lambda begin: queries.c.timestamp >= begin,
    "until": lambda end: queries.c.timestamp < end,
    "text": matches,
}
"""Fields of a filter that are conditions on the rows of queries."""
