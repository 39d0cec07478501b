"""Rows of a file: each query once, with its cluster in the run."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Connection

from projections import clustering, datasets, exports
from projections.base import reached
from projections.clustering import find_run
from projections.queries import QueryFilter, count_queries
from tests.browsing import Installation


def test_rows_of_a_run_have_their_cluster(made: Installation, connection: Connection) -> None:
    run = find_run(connection, made.run_id)
    assert run is not None
    rows = [
        row for batch in exports.export_rows(connection, QueryFilter(run_no=run["run_no"])) for row in batch
    ]
    members = {key: row for key, row in made.rows.items() if made.run_id in row["clusters"]}
    assert [row[0] for row in rows] == sorted(members)
    loaded = members[rows[2][0]]
    assert rows[2][1:7] == (
        loaded["conversation_id"],
        "default",
        loaded["model"],
        loaded["language"],
        loaded["timestamp"],
        loaded["query"],
    )
    assert rows[2][7:10] == (2, "Rain and shine", 0.875)
    assert rows[2][10:12] == (loaded["metadata"]["label"], loaded["metadata"]["domain"])
    assert json.loads(rows[2][12]) == loaded["metadata"]
    expected = {key: row["clusters"][made.run_id] for key, row in members.items()}
    assert {row[0]: row[7] for row in rows} == expected


def test_rows_of_a_data_set_have_none(
    made: Installation, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches, so that a large one is never in memory."""
    monkeypatch.setattr(exports, "AT_ONCE", 5)
    where = QueryFilter(dataset="other", model="model-1")
    batches = list(exports.export_rows(connection, QueryFilter(dataset="other")))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    rows = [row for batch in exports.export_rows(connection, where) for row in batch]
    assert [row[7:10] for row in rows] == [(None, None, None)] * count_queries(connection, where)


def test_the_position_is_that_of_the_rows(made: Installation, connection: Connection) -> None:
    assert reached(connection, datasets.tables, clustering.tables) == made.container.store.head() > 0
    assert exports.has_dataset(connection, "other")
    assert not exports.has_dataset(connection, "no such")
