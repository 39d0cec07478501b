"""How labels are distributed: in all, across clusters, and against labels that the data came with."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    FromClause,
    Integer,
    Text,
    case,
    cast,
    func,
    literal,
    select,
)

from domain.values import ERASED
from projections.classification.tables import counts, results, runs
from projections.clustering import PastRun, memberships
from projections.datasets import LABEL_LENGTH, label_value, queries

Truth = Literal["label", "domain"]


def label_counts(connection: Connection, run_no: int, position: int | None = None) -> dict[int, int]:
    """Place of a label → how many results have it; had it by a position."""
    kept = select(counts.c.label, counts.c.results).where(counts.c.run_no == run_no, counts.c.results > 0)
    if position is not None:
        by_then = (results.c.run_no == run_no, results.c.position <= position)
        kept = select(results.c.label, func.count()).where(*by_then, results.c.label.is_not(None))
        kept = kept.group_by(results.c.label)
    return {label: many for label, many in connection.execute(kept)}


class Crossed(NamedTuple):
    cluster_id: int
    label: int
    results: int


def cross(
    connection: Connection,
    run_no: int,
    clustering_run_no: int | None,
    past: PastRun | None = None,
    position: int | None = None,
) -> list[Crossed]:
    """How many results of each label each cluster has, in order; noise and orphans among the clusters.

    Queries that the clustering run does not have count nowhere. `past`: the clusters of that moment;
    `position`: results that had been recorded by then.
    """
    members = _past(past) if past is not None else _live(clustering_run_no)
    joined = results.join(members, members.c.query_id == results.c.query_id)
    keys = (members.c.cluster_id, results.c.label)
    statement = (
        select(*keys, func.count())
        .select_from(joined)
        .where(results.c.run_no == run_no, results.c.label.is_not(None))
        .group_by(*keys)
        .order_by(*keys)
    )
    if position is not None:
        statement = statement.where(results.c.position <= position)
    return [Crossed(*row) for row in connection.execute(statement)]


def _live(run_no: int | None) -> FromClause:
    columns = (memberships.c.query_id, memberships.c.cluster_id)
    return select(*columns).where(memberships.c.run_no == run_no).subquery("members")


def _past(past: PastRun) -> FromClause:
    """The partition as rows: two arrays that the database reads as one text each."""
    partition = past.run.partition
    there = partition.labels != ERASED
    arrays = (_array(partition.query_ids[there]), _array(partition.labels[there]))
    return func.unnest(*arrays).table_valued("query_id", "cluster_id").render_derived(name="members")


def _array(numbers: np.ndarray[Any, Any]) -> Any:  # noqa: ANN401
    kind = BigInteger if numbers.dtype.itemsize == 8 else Integer
    return cast(literal(f"{{{','.join(map(str, numbers.tolist()))}}}", Text), ARRAY(kind))


def agreement(connection: Connection, run_no: int, truth: Truth) -> tuple[int, int]:
    """Of how many results the query came with a label (or domain), and how many say the same."""
    named = runs.c.labels[results.c.label + 1]
    same = case((func.left(named, LABEL_LENGTH) == label_value(truth), 1), else_=0)
    statement = (
        select(func.count(), func.coalesce(func.sum(same), 0))
        .select_from(
            results.join(runs, runs.c.run_no == results.c.run_no).join(
                queries, queries.c.query_id == results.c.query_id
            )
        )
        .where(
            results.c.run_no == run_no,
            results.c.label.is_not(None),
            queries.c.metadata[truth].astext.is_not(None),
        )
    )
    compared, agreed = connection.execute(statement).one()
    return int(compared), int(agreed)
