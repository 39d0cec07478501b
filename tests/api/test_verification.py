"""A run is held against itself over HTTP."""

from __future__ import annotations

from fastapi.testclient import TestClient

from projections.search import QUERIES, alias_of
from tests.browsing import Installation


def test_a_run_is_ok_until_a_point_is_missing(made: Installation, api: TestClient) -> None:
    asked = {"run_id": made.run_id, "chroma_path": "/somewhere/else"}
    answer = api.post(f"/api/verify/runs/{made.run_id}", json=asked)
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["issues"]) == ("ok", [])
    assert answer.json()["embedding_space"]["provider"] == "words"
    index, alias = made.container.vectors, alias_of(QUERIES, made.embedder.space)
    assert index is not None
    first = min(made.rows)
    points = index.retrieve(alias, [first])
    index.delete(alias, [first])
    again = api.post(f"/api/verify/runs/{made.run_id}", json=asked).json()
    index.upsert(alias, points)
    assert (again["status"], again["issues"]) == (
        "mismatch",
        [f"queries of the run without a point: 1 ({first})"],
    )


def test_the_run_must_be_the_one_of_the_path(made: Installation, api: TestClient) -> None:
    answer = api.post(f"/api/verify/runs/{made.run_id}", json={"run_id": "another"})
    assert answer.status_code == 422
    assert "but the path names run" in answer.json()["error"]["message"]


def test_a_run_that_there_is_not_or_that_is_not_ready(made: Installation, api: TestClient) -> None:
    unknown = api.post("/api/verify/runs/nowhere", json={"run_id": "nowhere"})
    pending = api.post(f"/api/verify/runs/{made.pending_run_id}", json={"run_id": made.pending_run_id})
    assert (unknown.status_code, pending.status_code) == (404, 409)
