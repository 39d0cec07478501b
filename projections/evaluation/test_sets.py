"""Reading test sets, and choosing labelled queries for one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Text, and_, cast, func, literal, select

from projections.datasets import label_value, queries
from projections.evaluation.tables import cases, test_sets, versions
from projections.queries.filters import QueryFilter, narrowed


def list_test_sets(connection: Connection, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """A page of test sets with their newest version, the last changed first, and how many there are."""
    total = connection.execute(select(func.count()).select_from(test_sets)).scalar_one()
    page = _newest().order_by(test_sets.c.position.desc()).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def _newest() -> Any:  # noqa: ANN401
    """Test sets, each with its newest version."""
    same = and_(versions.c.test_set == test_sets.c.test_set, versions.c.number == test_sets.c.versions)
    names = ("number", "hash", "dataset", "cases", "labels", "source", "rejected", "errors", "created_by")
    columns = [versions.c[name] for name in names]
    return select(test_sets, *columns).join_from(test_sets, versions, same)


def find_test_set(connection: Connection, test_set: str) -> dict[str, Any] | None:
    row = connection.execute(_newest().where(test_sets.c.test_set == test_set)).mappings().first()
    return dict(row) if row else None


def newest_test_set(connection: Connection) -> dict[str, Any] | None:
    row = connection.execute(_newest().order_by(test_sets.c.position.desc()).limit(1)).mappings().first()
    return dict(row) if row else None


def list_versions(connection: Connection, test_set: str) -> list[dict[str, Any]]:
    """All versions of a test set, the newest first."""
    statement = select(versions).where(versions.c.test_set == test_set).order_by(versions.c.number.desc())
    return [dict(row) for row in connection.execute(statement).mappings()]


def find_version(connection: Connection, test_set: str, number: int) -> dict[str, Any] | None:
    """A version, with `gone`: how many of its cases are not there any more."""
    statement = select(versions).where(versions.c.test_set == test_set, versions.c.number == number)
    row = connection.execute(statement).mappings().first()
    if row is None:
        return None
    mine = (cases.c.test_set == test_set, cases.c.number == number, cases.c.gone)
    gone = connection.execute(select(func.count()).select_from(cases).where(*mine)).scalar_one()
    return {**row, "gone": gone}


def list_cases(
    connection: Connection, test_set: str, number: int, limit: int, offset: int, label: str | None = None
) -> tuple[list[dict[str, Any]], int]:
    """A page of the cases of a version in their order, and how many there are."""
    where = [cases.c.test_set == test_set, cases.c.number == number]
    if label is not None:
        where.append(cases.c.label == label)
    total = connection.execute(select(func.count()).select_from(cases).where(*where)).scalar_one()
    page = select(cases).where(*where).order_by(cases.c.case_number).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def labelled_queries(
    connection: Connection, where: QueryFilter, field: str, per_label: int | None, seed: int, limit: int
) -> list[tuple[int, str]]:
    """Query id and value of a metadata field (`label` or `domain`), in the order of ids.

    `per_label`: so many of each value at most, drawn by a hash of seed and id. `limit`: rows at most.
    """
    value = label_value(field)
    lot = func.md5(literal(f"{seed}:") + cast(queries.c.query_id, Text))
    place = func.row_number().over(partition_by=value, order_by=(lot, queries.c.query_id))
    labelled = (queries.c.metadata.has_key(field), func.jsonb_typeof(queries.c.metadata[field]) == "string")
    chosen = narrowed(
        select(queries.c.query_id, value.label("value"), place.label("place")).where(*labelled), where
    ).subquery()
    statement = select(chosen.c.query_id, chosen.c.value).order_by(chosen.c.query_id).limit(limit)
    if per_label is not None:
        statement = statement.where(chosen.c.place <= per_label)
    return [(row[0], row[1]) for row in connection.execute(statement)]
