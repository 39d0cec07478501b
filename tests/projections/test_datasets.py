"""Queries as rows: what a conversation says of itself, and nothing after a clearing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters.bootstrap import Container
from commands.ports import BadRow
from projections.datasets import datasets, list_datasets, queries, totals
from tests.stories import (
    clear,
    conversation,
    import_rows,
    load,
    project,
    query_ids,
    request_load,
    rows,
)


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


def test_a_query_has_what_its_conversation_says(container: Container, dataset: str) -> None:
    said = datetime(2024, 2, 29, 12, tzinfo=UTC)
    row = conversation(
        1, "How? 🙂", "a", model="gpt-4o", language="en", timestamp=said, metadata={"label": "x", "n": [1]}
    )
    import_rows(container, request_load(container, dataset), [row], dataset)
    project(container)
    (shown,) = rows(container, queries, dataset=dataset)
    assert shown | {"created_at": None} == {
        "query_id": query_ids(container, dataset)[0],
        "dataset": dataset,
        "conversation_id": "a",
        "model": "gpt-4o",
        "language": "en",
        "query_text": "How? 🙂",
        "timestamp": said,
        "created_at": None,
        "metadata": {"label": "x", "n": [1]},
    }
    assert shown["created_at"] is not None


def test_a_conversation_that_says_little_has_little(container: Container, dataset: str) -> None:
    import_rows(container, request_load(container, dataset), [conversation(1, "how?", "a")], dataset)
    project(container)
    (shown,) = rows(container, queries, dataset=dataset)
    assert (shown["model"], shown["language"], shown["timestamp"], shown["metadata"]) == (
        "unknown",
        None,
        None,
        {},
    )


@pytest.mark.parametrize("batch", [1, 1_000])
def test_counts_follow_what_was_loaded(container: Container, dataset: str, batch: int) -> None:
    first = load(container, "one", "two", dataset=dataset)
    second = load(container, "three", dataset=dataset)
    project(container, batch)
    (row,) = rows(container, datasets, name=dataset)
    assert row["queries"] == 3
    assert row["updated_at"] > row["created_at"]
    assert [one["query_id"] for one in rows(container, queries, dataset=dataset)] == [*first, *second]


def test_a_batch_that_brought_nothing_changes_no_row(container: Container, dataset: str) -> None:
    load(container, "one", dataset=dataset)
    project(container)
    before = rows(container, datasets, name=dataset), rows(container, queries, dataset=dataset)
    import_rows(container, request_load(container, dataset), [BadRow(1, "bad")], dataset)
    project(container)
    assert (rows(container, datasets, name=dataset), rows(container, queries, dataset=dataset)) == before


@pytest.mark.parametrize("batch", [1, 1_000])
def test_clearing_removes_what_was_there_and_not_what_comes_after(
    container: Container, dataset: str, batch: int
) -> None:
    other = f"{dataset}-2"
    load(container, "one", "two", dataset=dataset)
    load(container, "three", dataset=other)
    clear(container, dataset)
    new = load(container, "four", dataset=dataset)
    project(container, batch)
    assert [one["query_id"] for one in rows(container, queries, dataset=dataset)] == new
    assert rows(container, datasets, name=dataset)[0]["queries"] == 1
    assert rows(container, datasets, name=other)[0]["queries"] == 1


def test_a_conversation_whose_content_was_erased_has_no_row(container: Container, dataset: str) -> None:
    kept, erased = load(container, "one", "two", dataset=dataset)
    with container.database.connection() as connection:
        connection.execute(
            "DELETE FROM log.contents WHERE sha256 IN"
            " (SELECT content FROM log.conversations WHERE query_id = %s)",
            [erased],
        )
    project(container)
    assert [one["query_id"] for one in rows(container, queries, dataset=dataset)] == [kept]


def test_pages_and_totals_are_by_name(container: Container, dataset: str) -> None:
    names = [f"0-{dataset}-{letter}" for letter in "ab"]
    for name in names:
        load(container, "one", "two", dataset=name)
    project(container)
    with container.database.engine.connect() as connection:
        page, total = list_datasets(connection, 1, 1)
        assert page[0]["name"] > names[0]
        everything = [row["name"] for row in list_datasets(connection, 1_000, 0)[0]]
        assert everything == sorted(everything)
        assert total == len(everything)
        records, updated = totals(connection, names[0])
        assert (records, updated) == (2, rows(container, datasets, name=names[0])[0]["updated_at"])
        assert totals(connection, "nowhere") == (0, None)
        assert totals(connection, None)[0] >= 4
