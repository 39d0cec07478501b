"""Queries over HTTP: pages, filters, one query, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.browsing import Installation, project


def get(api: TestClient, path: str, status: int = 200, /, **params: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = api.get(path, params=params)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_page_of_queries(api: TestClient, made: Installation) -> None:
    page = get(api, "/api/queries", dataset="other", limit=5, page=2)
    of_other = sorted(key for key, row in made.rows.items() if row["dataset"] == "other")
    assert [one["id"] for one in page["items"]] == of_other[5:10]
    assert (page["total"], page["page"], page["pages"], page["limit"]) == (12, 2, 3, 5)
    first, loaded = page["items"][0], made.rows[of_other[5]]
    assert first["query_text"] == loaded["query"]
    assert first["metadata"] == loaded["metadata"]
    assert first["dataset"] == "other"


def test_the_cursor_leads_through_all(api: TestClient, made: Installation) -> None:
    seen: list[int] = []
    cursor: dict[str, Any] = {}
    while True:
        page = get(api, "/api/queries", run_id=made.run_id, limit=7, **cursor)
        seen += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == sorted(key for key, row in made.rows.items() if made.run_id in row["clusters"])
    assert page["total"] == len(seen) == 60
    assert get(api, "/api/queries", run_id=made.run_id, limit=60)["next_cursor"] is None


def test_filters_work_together(api: TestClient, made: Installation) -> None:
    asked = {"run_id": made.run_id, "cluster_id": 1, "model": "model-2", "label": "label0", "text": "number5"}
    ids = [one["id"] for one in get(api, "/api/queries", **asked)["items"]]
    assert ids == [
        key
        for key, row in made.rows.items()
        if row["clusters"].get(made.run_id) == 1
        and row["model"] == "model-2"
        and row["metadata"].get("label") == "label0"
        and "number5" in row["query"]
    ]


def test_a_time_without_a_zone_is_utc(api: TestClient) -> None:
    totals = [
        get(api, "/api/queries", since=since)["total"]
        for since in (
            "2024-01-02T00:00:00",
            "2024-01-02T00:00:00Z",
            "2024-01-02T02:00:00+02:00",
            "2024-01-02",
        )
    ]
    assert len(set(totals)) == 1
    assert 0 < totals[0] < get(api, "/api/queries")["total"]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"page": 0}, "page"),
        ({"cluster_id": 1}, "run_id"),
        ({"cluster_id": 2**31}, "cluster_id"),
        ({"since": "yesterday"}, "since"),
        ({"text": "a\0b"}, "text"),
        ({"model": "\0"}, "model"),
        ({"cursor": "!"}, "cursor"),
        ({"text": ""}, "text"),
    ],
)
def test_what_cannot_be_met_is_named(api: TestClient, params: dict[str, Any], named: str) -> None:
    problem = get(api, "/api/queries", 422, **params)
    assert named in problem["error"]["message"]


def test_what_is_not_there_is_named(api: TestClient, made: Installation) -> None:
    assert "'nobody'" in get(api, "/api/queries", 404, run_id="nobody")["detail"]
    assert "cluster 77" in get(api, "/api/queries", 404, run_id=made.run_id, cluster_id=77)["detail"]
    wrong = get(api, "/api/queries", 422, run_id=made.run_id, dataset="other")
    assert "'default'" in wrong["detail"]
    assert get(api, "/api/queries", dataset="nobody")["total"] == 0


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_time_are_no_error(api: TestClient, since: str) -> None:
    get(api, "/api/queries", since=since)


def test_one_query_with_its_conversation(api: TestClient, made: Installation) -> None:
    query_id = made.moved_to_noise
    found = get(api, f"/api/queries/{query_id}")
    assert found["turns"] == made.rows[query_id]["turns"]
    assert [(one["run_id"], one["cluster_id"]) for one in found["clusters"]] == [
        (made.small_run_id, 0),
        (made.run_id, -1),
    ]
    for missing in (10**9, 2**62):
        assert f"query {missing}" in get(api, f"/api/queries/{missing}", 404)["detail"]
    get(api, f"/api/queries/{2**63}", 422)


def test_what_was_erased_has_no_turns(api: TestClient, made: Installation) -> None:
    query_id = max(made.rows)
    with made.container.database.connection() as connection:
        connection.execute(
            "DELETE FROM log.contents WHERE sha256 ="
            " (SELECT content FROM log.conversations WHERE query_id = %s)",
            [query_id],
        )
    assert get(api, f"/api/queries/{query_id}")["turns"] == []


def test_the_view_of_a_query_for_its_curator(api: TestClient, made: Installation) -> None:
    query_id = made.moved_to_noise
    path = f"/api/curation/queries/{query_id}"
    found = get(api, path, run_id=made.run_id)
    assert found["query"]["id"] == query_id
    assert [one["cluster_id"] for one in found["clusters"]] == [-1]
    assert len(get(api, path)["clusters"]) == 2
    get(api, path, 404, run_id="nobody")
    get(api, "/api/curation/queries/999999999", 404)


def test_a_read_waits_for_its_position(api: TestClient, made: Installation) -> None:
    project(made.container)
    head = made.container.store.head()
    assert get(api, "/api/queries", min_position=head)["total"] > 0
