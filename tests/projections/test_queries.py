"""Lists of queries: what the rows say is what a filter over the loaded conversations says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, text

from projections.clustering import find_run
from projections.datasets import queries
from projections.queries import (
    QueryFilter,
    clusters_of,
    count_queries,
    find_query,
    known_clusters,
    list_queries,
    queries_by_id,
)
from projections.queries.filters import narrowed
from tests.browsing import BEGIN, Installation

ANYTHING: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["model-0", "model-1", "model-2", "model-9"]),
    "language": st.sampled_from(["English", "German", "Greek"]),
    "label": st.sampled_from(["label0", "label1", "label4", "none"]),
    "domain": st.sampled_from(["domain0", "domain1"]),
    "conversation_id": st.sampled_from(["c3", "c101", "c999"]),
    "since": st.integers(-5, 90).map(lambda hours: BEGIN + timedelta(hours=hours)),
    "until": st.integers(-5, 90).map(lambda hours: BEGIN + timedelta(hours=hours)),
    "text": st.sampled_from(
        ["now", "number3", "NUMBER3 now", "refund", "nothing", "number3 or number4", "-now"]
    ),
}


def run_no(connection: Connection, run_id: str) -> int:
    run = find_run(connection, run_id)
    assert run is not None
    return int(run["run_no"])


def has_words(query: str, words: str) -> bool:
    said = query.lower().split()
    if words == "-now":
        return "now" not in said
    if " or " in words:
        return any(word in said for word in words.split(" or "))
    return all(word in said for word in words.lower().split())


def holds(row: dict[str, Any], name: str, value: Any) -> bool:  # noqa: ANN401
    if name in ("label", "domain"):
        return bool(row["metadata"].get(name) == value)
    if name == "text":
        return has_words(row["query"], value)
    if name in ("since", "until"):
        at: datetime | None = row["timestamp"]
        return at is not None and (at >= value if name == "since" else at < value)
    return bool(row[name] == value)


@given(
    filters=st.fixed_dictionaries({}, optional=ANYTHING),
    scope=st.sampled_from(["all", "default", "other", "run", "cluster", "clusters"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_filter_lets_through_what_it_says(
    made: Installation, connection: Connection, filters: dict[str, Any], scope: str
) -> None:
    expected = {
        key: row for key, row in made.rows.items() if all(holds(row, *one) for one in filters.items())
    }
    where = QueryFilter(**filters)
    if scope in ("default", "other"):
        where = QueryFilter(**filters, dataset=scope)
        expected = {key: row for key, row in expected.items() if row["dataset"] == scope}
    elif scope != "all":
        ids = {"run": None, "cluster": (1,), "clusters": (0, -1)}[scope]
        where = QueryFilter(
            **filters, dataset="default", run_no=run_no(connection, made.run_id), cluster_ids=ids
        )
        of_run = {key: row["clusters"].get(made.run_id) for key, row in expected.items()}
        expected = {key: row for key, row in expected.items() if of_run[key] in (ids or (0, 1, 2, -1))}
    found = list_queries(connection, where, 1_000)
    assert [row["query_id"] for row in found] == sorted(expected)
    assert count_queries(connection, where) == len(expected)


def test_a_row_is_the_conversation_that_was_loaded(made: Installation, connection: Connection) -> None:
    query_id, loaded = next(iter(made.rows.items()))
    row = find_query(connection, query_id)
    assert row is not None
    same = ("dataset", "conversation_id", "model", "language", "timestamp", "metadata")
    assert {name: row[name] for name in same} == {name: loaded[name] for name in same}
    assert row["query_text"] == loaded["query"]
    assert queries_by_id(connection, [query_id, 10**9]) == {query_id: row}
    assert find_query(connection, 10**9) is None


def test_pages_by_number_and_by_last_id_are_the_same(made: Installation, connection: Connection) -> None:
    where = QueryFilter(dataset="default", model="model-1")
    by_number = [row for at in range(0, 100, 7) for row in list_queries(connection, where, 7, at)]
    by_id: list[dict[str, Any]] = []
    while page := list_queries(connection, where, 7, after=by_id[-1]["query_id"] if by_id else None):
        by_id += page
    assert by_id == by_number
    assert len(by_id) == count_queries(connection, where) > 20


def test_sizes_that_are_kept_equal_what_is_counted(made: Installation, connection: Connection) -> None:
    number = run_no(connection, made.run_id)
    for where in (
        QueryFilter(),
        QueryFilter(dataset="other"),
        QueryFilter(run_no=number),
        QueryFilter(run_no=number, cluster_ids=(-1,)),
        QueryFilter(run_no=number, cluster_ids=(0, 2)),
    ):
        assert count_queries(connection, where) == len(list_queries(connection, where, 1_000)) > 0
    assert count_queries(connection, QueryFilter(dataset="no such")) == 0


def test_a_run_that_has_no_clusters_yet_is_counted(made: Installation, connection: Connection) -> None:
    where = QueryFilter(run_no=run_no(connection, made.pending_run_id))
    assert count_queries(connection, where) == 0
    assert list_queries(connection, where, 10) == []


def test_a_query_is_in_one_cluster_of_each_run(made: Installation, connection: Connection) -> None:
    query_id = made.moved_to_noise
    of_all = clusters_of(connection, [query_id, 10**9])
    assert [(one["run_id"], one["cluster_id"]) for one in of_all[query_id]] == [
        (made.small_run_id, 0),
        (made.run_id, -1),
    ]
    assert of_all[10**9] == []
    of_one = clusters_of(connection, [query_id], run_no(connection, made.run_id))[query_id]
    assert [one["title"] for one in of_one] == ["odd old thing"]
    kept = [key for key, row in made.rows.items() if row["clusters"].get(made.run_id) == 2]
    info = clusters_of(connection, kept[:1], run_no(connection, made.run_id))[kept[0]]
    expected = {"run_id": made.run_id, "cluster_id": 2, "title": "Rain and shine", "confidence_score": 0.875}
    assert info == [expected]


def test_clusters_of_a_run_have_their_title_and_size(made: Installation, connection: Connection) -> None:
    known = known_clusters(connection, run_no(connection, made.run_id), [2, -1, 77])
    assert known == {
        -1: {
            "cluster_id": -1,
            "title": "odd old thing",
            "description": "about odd old thing",
            "num_queries": 16,
        },
        2: {
            "cluster_id": 2,
            "title": "Rain and shine",
            "description": "about weather rain sun",
            "num_queries": 15,
        },
    }


@pytest.mark.parametrize(
    ("where", "index"),
    [
        (QueryFilter(text="refund"), "queries_text"),
        (QueryFilter(label="label1"), "queries_label"),
        (QueryFilter(domain="domain1"), "queries_domain"),
        (QueryFilter(conversation_id="c7"), "queries_conversation"),
        (QueryFilter(dataset="other"), "queries_of_dataset"),
        (QueryFilter(run_no=1, cluster_ids=(1,)), "memberships_of_cluster"),
    ],
)
def test_a_filter_is_written_as_its_index_is(made: Installation, where: QueryFilter, index: str) -> None:
    """The same condition in other words would read every row."""
    statement = narrowed(select(queries.c.query_id), where)
    written = statement.compile(made.container.database.engine, compile_kwargs={"literal_binds": True})
    with made.container.database.engine.connect() as own:
        own.execute(text("SET LOCAL enable_seqscan = off"))
        own.execute(text("SET LOCAL enable_sort = off"))
        plan = "\n".join(own.exec_driver_sql(f"EXPLAIN {written}").scalars())
    assert index in plan
