"""What is asked of classification runs and of single results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    ARRAY,
    Connection,
    Integer,
    Select,
    and_,
    any_,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
)

from projections.classification.tables import counts, results, runs
from projections.datasets import queries
from projections.queries.filters import QueryFilter, narrowed

Kind = Literal["labelled", "failed", "all"]

AT_ONCE = 500
"""Rows of a file that are in memory at a time."""


def list_runs(
    connection: Connection,
    limit: int,
    offset: int,
    *,
    run_id: str | None = None,
    **wanted: str | None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of runs, newest first, and how many there are. `run_id`: over clusters of this run.

    `wanted`: values of columns.
    """
    equal = [runs.c[name] == value for name, value in wanted.items() if value is not None]
    if run_id is not None:
        equal.append(runs.c.filters["run_id"].astext == run_id)
    where = and_(true(), *equal)
    total = connection.execute(select(func.count()).select_from(runs).where(where)).scalar_one()
    page = select(runs).where(where).order_by(runs.c.run_no.desc()).limit(limit).offset(offset)
    return [_with_progress(connection, dict(row)) for row in connection.execute(page).mappings()], total


def find_run(connection: Connection, classification_run_id: str) -> dict[str, Any] | None:
    statement = select(runs).where(runs.c.classification_run_id == classification_run_id)
    row = connection.execute(statement).mappings().first()
    return _with_progress(connection, dict(row)) if row else None


def _with_progress(connection: Connection, row: dict[str, Any]) -> dict[str, Any]:
    """`processed`: what has an answer or an error; while the job is at it, also what it has not recorded."""
    recorded = row["answered"] + row["failed"]
    if row["status"] in ("running", "cancelling"):
        progress = text("SELECT processed FROM ops.progress WHERE job_id = :id")
        told = connection.execute(progress, {"id": row["classification_run_id"]}).scalar() or 0
        recorded = max(recorded, min(told, row["total"] or 0))
    return {**row, "processed": recorded}


def latest_errors(connection: Connection, run_no: int, most: int) -> list[dict[str, Any]]:
    """`{query_id, error}` of those that failed last."""
    statement = (
        select(results.c.query_id, results.c.error)
        .where(results.c.run_no == run_no, results.c.label.is_(None))
        .order_by(results.c.position.desc(), results.c.query_id.desc())
        .limit(most)
    )
    return [dict(row) for row in connection.execute(statement).mappings()]


@dataclass(frozen=True)
class ResultFilter:
    """Results of a run with one of these labels, of queries that `queries` lets through.

    `position`: those that had been recorded by then.
    """

    run_no: int
    queries: QueryFilter
    kind: Kind = "labelled"
    labels: tuple[int, ...] | None = None
    position: int | None = None

    @property
    def has_counter(self) -> bool:
        of_all = self.queries == QueryFilter(dataset=self.queries.dataset)
        return of_all and self.kind == "labelled" and self.position is None


def list_results(
    connection: Connection, where: ResultFilter, limit: int, offset: int = 0, after: int | None = None
) -> list[dict[str, Any]]:
    """Rows of queries with `label` (its place), `confidence`, `reasoning`, `error` and `answered_at`.

    In ascending order of query id; `after`: one to go on behind.
    """
    columns = [results.c[name] for name in ("label", "confidence", "reasoning", "error", "position")]
    shown = select(queries, *columns, results.c.created_at.label("answered_at"))
    statement = _meant(shown, where).order_by(results.c.query_id).limit(limit).offset(offset)
    if after is not None:
        statement = statement.where(results.c.query_id > after)
    return [dict(row) for row in connection.execute(statement).mappings()]


def export_results(connection: Connection, where: ResultFilter) -> Iterator[Sequence[Any]]:
    """Batches of rows in order of query id, by a cursor of the server.

    Each: query_id, conversation_id, dataset, query_text, label (its place), confidence, reasoning, error.
    """
    columns = [queries.c[name] for name in ("query_id", "conversation_id", "dataset", "query_text")]
    columns += [results.c[name] for name in ("label", "confidence", "reasoning", "error")]
    statement = _meant(select(*columns), where).order_by(results.c.query_id)
    with connection.execute(statement, execution_options={"yield_per": AT_ONCE}) as rows:
        yield from rows.partitions()


def count_results(connection: Connection, where: ResultFilter) -> int:
    """Exact. How many results a label has is kept; anything else is counted."""
    if where.has_counter:
        kept = select(func.coalesce(func.sum(counts.c.results), 0)).where(counts.c.run_no == where.run_no)
        if where.labels is not None:
            kept = kept.where(counts.c.label == any_(literal(list(where.labels), ARRAY(Integer))))
        return int(connection.execute(kept).scalar_one())
    return int(connection.execute(_meant(select(func.count()), where)).scalar_one())


def _meant(statement: Select[Any], where: ResultFilter) -> Select[Any]:
    joined = results.join(queries, queries.c.query_id == results.c.query_id)
    statement = statement.select_from(joined).where(results.c.run_no == where.run_no)
    if where.kind != "all":
        labelled = results.c.label.is_not(None)
        statement = statement.where(labelled if where.kind == "labelled" else ~labelled)
    if where.labels is not None:
        statement = statement.where(_one_of(where.labels))
    if where.position is not None:
        statement = statement.where(results.c.position <= where.position)
    return narrowed(statement, where.queries)


def _one_of(labels: Sequence[int]) -> Any:  # noqa: ANN401
    """One as an equality, by which the index also gives the order."""
    if len(labels) == 1:
        return results.c.label == labels[0]
    return results.c.label == any_(literal(list(labels), ARRAY(Integer)))


class LabelOfVersion(NamedTuple):
    template_number: int
    label: str
    results: int


def results_of_template(connection: Connection, template_id: str) -> list[LabelOfVersion]:
    """How many results of all runs have each label of each version of a template."""
    label = runs.c.labels[counts.c.label + literal_column("1")]
    statement = (
        select(runs.c.template_number, label, func.sum(counts.c.results))
        .select_from(runs.join(counts, counts.c.run_no == runs.c.run_no))
        .where(runs.c.template_id == template_id)
        .group_by(runs.c.template_number, label)
    )
    return [LabelOfVersion(number, name, int(many)) for number, name, many in connection.execute(statement)]
