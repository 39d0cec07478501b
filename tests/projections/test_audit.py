"""The log as it is read: filtered, in pages, its packed numbers left out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from projections import audit
from projections.audit import EventFilter, find_event, head_of, list_events, shortened
from tests.browsing import Installation


@pytest.fixture(scope="module")
def log(connection: Connection) -> list[dict[str, Any]]:
    return list_events(connection, EventFilter(), 1_000, full=True).items


def test_all_events_stand_in_the_order_of_the_log(connection: Connection, log: list[dict[str, Any]]) -> None:
    assert [one["position"] for one in log] == list(range(1, head_of(connection) + 1))
    assert {one["actor"] for one in log} == {"ada"}
    moved = next(one for one in log if one["type"] == "curation.queries_moved")
    assert moved["command"] == "MoveQuery"
    assert moved["data"]["cluster_id"] == -1
    assert "timestamp" not in moved["data"]
    decided = datetime.fromisoformat(moved["time"])
    assert timedelta(0) <= moved["recorded_at"] - decided < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stream", "dataset/other"),
        ("stream", "dataset/"),
        ("stream", "data_et/"),
        ("stream", "dataset"),
        ("type", "dataset.created"),
        ("actor", "ada"),
        ("actor", "bob"),
        ("correlation_id", "first-load"),
    ],
)
def test_a_filter_leaves_what_it_says(
    connection: Connection, log: list[dict[str, Any]], name: str, value: str
) -> None:
    whole = name == "stream" and value.endswith("/")
    expected = [one for one in log if one[name] == value or (whole and one[name].startswith(value))]
    given: dict[str, Any] = {name: value}
    where = EventFilter(**given)
    assert list_events(connection, where, 1_000, full=True).items == expected


def test_times_are_those_of_recording(connection: Connection, log: list[dict[str, Any]]) -> None:
    middle = log[len(log) // 2]["recorded_at"]
    before = list_events(connection, EventFilter(until=middle), 1_000).items
    since = list_events(connection, EventFilter(since=middle), 1_000).items
    assert [one["position"] for one in [*before, *since]] == [one["position"] for one in log]
    assert since[0]["recorded_at"] == middle


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_follow_on_one_another(
    connection: Connection, log: list[dict[str, Any]], newest_first: bool
) -> None:
    where, seen, after = EventFilter(stream="dataset/"), [], None
    while True:
        page = list_events(connection, where, 3, after=after, newest_first=newest_first)
        assert page.head == len(log)
        seen += [one["position"] for one in page.items]
        if page.last is None:
            break
        assert len(page.items) == 3
        after = page.last
    expected = [one["position"] for one in log if one["stream"].startswith("dataset/")]
    assert seen == (expected[::-1] if newest_first else expected)


def test_a_page_ends_where_its_events_are_long(
    connection: Connection, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAGE_CHARACTERS", 300)
    page = list_events(connection, EventFilter(), 1_000)
    assert 0 < len(page.items) < len(log)
    assert page.last == page.items[-1]["position"]


def test_packed_numbers_are_shown_by_their_length(
    connection: Connection, log: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LONGEST_TEXT", 40)
    whole = next(one for one in log if one["type"] == "clustering.queries_assigned")
    cut = list_events(connection, EventFilter(), 1, after=whole["position"] - 1).items[0]
    packed = whole["data"]["query_ids"]
    assert cut["data"] == {**whole["data"], "query_ids": {"packed": len(packed)}} | {
        name: shortened(whole["data"][name]) for name in ("cluster_ids", "confidence")
    }
    assert find_event(connection, whole["position"]) == whole
    assert find_event(connection, 10**9) is None


def test_only_long_texts_are_cut() -> None:
    kept = {"a": [1, None, True, 2.5, "x" * 2_000], "b": {"c": "short"}}
    assert shortened(kept) == kept
    assert shortened({"a": [{"b": "x" * 2_001}]}) == {"a": [{"b": {"packed": 2_001}}]}


def test_a_page_of_nothing_has_no_next(made: Installation, connection: Connection) -> None:
    page = list_events(connection, EventFilter(type="no.such"), 10)
    assert (page.items, page.last, page.head) == ([], None, made.container.store.head())
