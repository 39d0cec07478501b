"""The port `Selection` over the tables of queries and of members."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, select

from adapters.database import Database
from adapters.selection.expressions import condition
from commands.ports.selection import Filters
from domain.datasets import DEFAULT_DATASET
from domain.errors import Conflict, Invalid, NotFound, Unavailable
from domain.values import ORPHAN, QueryIds
from projections import clustering, datasets
from projections.base import reached
from projections.datasets import queries
from projections.exports import has_dataset
from projections.queries import QueryFilter, known_clusters, queries_by_id
from projections.queries.filters import narrowed

AT_ONCE = 20_000
LOOK_AGAIN_S = 0.05
TOLD = 5
"""Of the ids that are missing."""

_SAME = ("model", "language", "label", "domain", "conversation_id", "text")


class ReadModelSelection:
    """`patience_s`: how long it waits for read models that are behind."""

    def __init__(self, database: Database, patience_s: float = 5.0) -> None:
        self._database = database
        self._patience_s = patience_s

    def checked(self, filters: Filters) -> dict[str, Any]:
        with self._database.engine.connect() as connection:
            dataset = _dataset(connection, filters)
            if filters.get("query_ids") is not None:
                _check_queries(connection, dataset, filters["query_ids"])
            _statement(connection, {**filters, "dataset": dataset})
        return {**filters, "dataset": dataset}

    def select(self, filters: Filters, after: int) -> tuple[int, Iterator[QueryIds]]:
        deadline = time.monotonic() + self._patience_s
        while (seen := self._reached()) < after:
            if time.monotonic() > deadline:
                raise Unavailable(f"the read models have not reached position {after} yet")
            time.sleep(LOOK_AGAIN_S)
        return seen, self._select(filters)

    def _reached(self) -> int:
        with self._database.engine.connect() as connection:
            return reached(connection, datasets.tables, clustering.tables)

    def _select(self, filters: Filters) -> Iterator[QueryIds]:
        with self._database.engine.connect() as connection:
            statement = _statement(connection, filters).order_by(queries.c.query_id)
            with connection.execute(statement, execution_options={"yield_per": AT_ONCE}) as rows:
                for some in rows.scalars().partitions():
                    yield np.array(some, np.int64)


def _statement(connection: Connection, filters: Filters) -> Select[Any]:
    statement = narrowed(select(queries.c.query_id).select_from(queries), _filter(connection, filters))
    written = filters.get("sql_filter")
    return statement if written is None else statement.where(condition(written))


def _filter(connection: Connection, filters: Filters) -> QueryFilter:
    same: dict[str, Any] = {name: filters.get(name) for name in _SAME}
    ids = filters.get("query_ids")
    clusters = filters.get("cluster_ids")
    run = _run(connection, filters["run_id"]) if filters.get("run_id") is not None else None
    return QueryFilter(
        dataset=filters["dataset"],
        run_no=run["run_no"] if run else None,
        cluster_ids=tuple(clusters) if clusters is not None else None,
        query_ids=tuple(sorted(set(ids))) if ids is not None else None,
        since=_time("since", filters.get("since")),
        until=_time("until", filters.get("until")),
        **same,
    )


def _dataset(connection: Connection, filters: Filters) -> str:
    """The one that is named, the one of the run, or the default one."""
    named, clusters = filters.get("dataset"), filters.get("cluster_ids")
    if filters.get("run_id") is None:
        if clusters is not None:
            raise Invalid("filters.cluster_ids: clusters belong to a run; give run_id as well")
        dataset = named or DEFAULT_DATASET
        if not has_dataset(connection, dataset):
            raise NotFound(f"there is no data set {dataset!r}")
        return dataset
    run = _run(connection, filters["run_id"])
    if named not in (None, run["dataset"]):
        raise Invalid(f"filters.dataset: run {run['run_id']} is of {run['dataset']!r}, not of {named!r}")
    _check_clusters(connection, run, clusters or ())
    return str(run["dataset"])


def _run(connection: Connection, run_id: str) -> Mapping[str, Any]:
    run = clustering.find_run(connection, run_id)
    if run is None:
        raise NotFound(f"there is no clustering run {run_id!r}")
    if run["status"] != "completed":
        raise Conflict(f"clustering run {run_id} is {run['status']}: its queries are in no clusters yet")
    return run


def _check_clusters(connection: Connection, run: Mapping[str, Any], cluster_ids: Sequence[int]) -> None:
    wanted = set(cluster_ids) - {ORPHAN}
    missing = sorted(wanted - known_clusters(connection, run["run_no"], sorted(wanted)).keys())
    if missing:
        raise NotFound(f"run {run['run_id']} has no cluster {', '.join(map(str, missing))}")


def _check_queries(connection: Connection, dataset: str, query_ids: Sequence[int]) -> None:
    found = queries_by_id(connection, query_ids)
    here = {query_id for query_id, row in found.items() if row["dataset"] == dataset}
    if missing := sorted(set(query_ids) - here):
        told = ", ".join(map(str, missing[:TOLD])) + (", ..." if missing[TOLD:] else "")
        raise NotFound(f"filters.query_ids: data set {dataset!r} has no {told} ({len(missing):,} in all)")


def _time(name: str, written: str | None) -> datetime | None:
    if written is None:
        return None
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        raise Invalid(f"filters.{name}: {written!r} is no ISO 8601 time") from None
    if at.tzinfo is None:
        raise Invalid(f"filters.{name}: {written!r} has no time zone; add Z for UTC")
    return at
