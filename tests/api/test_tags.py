"""Tags over HTTP: a story, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests import stories
from tests.browsing import Installation


def listed(api: TestClient, made: Installation) -> list[tuple[str, int]]:
    stories.project(made.container)
    return [(one["name"], one["position"]) for one in api.get("/api/tags").json()["items"]]


def test_a_tag_from_its_making_to_its_second_life(made: Installation, api: TestClient) -> None:
    head = made.container.store.head()
    made_at = api.post(
        "/api/tags", json={"name": "v1", "reason": "shown to the team"}, headers={"X-Actor": "ada"}
    )
    assert (made_at.status_code, made_at.json()) == (201, {"name": "v1", "position": head})
    assert made_at.headers["Location"] == "/api/tags/v1"
    assert int(made_at.headers["X-Event-Position"]) == head + 1
    tag = api.get("/api/tags/v1").json()
    assert (tag["created_by"], tag["reason"]) == ("ada", "shown to the team")
    event = api.get(f"/api/events/{head}").json()
    assert tag["time"] == event["recorded_at"] < tag["created_at"]

    again = api.post("/api/tags", json={"name": "v1", "position": 3})
    assert again.status_code == 409
    assert f"at position {head}" in again.json()["detail"]
    timed = api.post("/api/tags", json={"name": "by-time", "at": event["recorded_at"]})
    assert timed.json()["position"] == head
    assert api.post("/api/tags", json={"name": "early", "position": 3}).status_code == 201
    assert listed(api, made) == [("by-time", head), ("v1", head), ("early", 3)]
    page = api.get("/api/tags", params={"limit": 1, "page": 3}).json()
    assert (page["items"][0]["name"], page["total"]) == ("early", 3)

    assert api.delete("/api/tags/v1").json()["status"] == "removed"
    assert api.get("/api/tags/v1").status_code == 404
    assert "it was removed" in api.delete("/api/tags/v1").json()["detail"]
    run = f"/api/clustering/runs/{made.run_id}"
    assert "it was removed" in api.get(run, params={"as_of": "v1"}).json()["detail"]
    assert api.post("/api/tags", json={"name": "v1", "position": 5}).json()["position"] == 5
    assert ("v1", 5) in listed(api, made)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"name": "12"}, 422, "begin with a letter"),
        ({"name": "2025-10-04"}, 422, "begin with a letter"),
        ({"name": "x" * 65}, 422, "name"),
        ({"name": "new", "position": 0}, 422, "position"),
        ({"name": "new", "position": 10**9}, 422, "position: 1000000000 is not in the log"),
        ({"name": "new", "position": 2**63}, 422, "position"),
        ({"name": "new", "position": 3, "at": "2025-10-04T17:04:42Z"}, 422, "position and at"),
        ({"name": "new", "at": "2999-10-04T17:04:42Z"}, 422, "in the future"),
        ({"name": "new", "at": "1999-10-04T17:04:42Z"}, 409, "no event yet"),
        ({"name": "new", "at": "soon"}, 422, "at"),
    ],
)
def test_what_is_no_tag(api: TestClient, body: dict[str, Any], status: int, words: str) -> None:
    answer = api.post("/api/tags", json=body)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert api.get("/api/tags/new").status_code == 404


def test_a_tag_that_never_was_is_not_removed(api: TestClient) -> None:
    assert api.delete("/api/tags/never").status_code == 404
    assert api.delete("/api/tags/7").status_code == 422
