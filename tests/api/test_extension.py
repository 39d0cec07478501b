"""A run extended over HTTP: asked for, worked off, read back."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from commands.extension import run_extension
from domain.values import ORPHAN
from tests.browsing import Installation, cluster, conversation, load, project


class Growing:
    """A run of 12 queries in three clusters, and 6 more that were loaded since."""

    def __init__(self, api: TestClient, made: Installation, dataset: str) -> None:
        self.api = api
        self.made = made
        self.dataset = dataset
        ids = load(made, dataset, [conversation(n, n % 3) for n in range(12)])
        self.run_id = cluster(made, dataset, {one: n % 3 for n, one in enumerate(ids)})
        self.later = load(made, dataset, [conversation(300 + n, n % 3) for n in range(6)])
        project(made.container)
        self.path = f"/api/clustering/runs/{self.run_id}"

    def get(self, path: str, **params: Any) -> Any:  # noqa: ANN401
        answer = self.api.get(f"{self.path}{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def extend(self, body: Any = None, status: int = 202) -> dict[str, Any]:  # noqa: ANN401
        answer = self.api.post(f"{self.path}/extend", json=body)
        assert answer.status_code == status, answer.text
        if status == 202:
            assert answer.headers["Location"] == f"{self.path}/extensions"
        found: dict[str, Any] = answer.json()
        return found

    def work(self, extension_id: str) -> None:
        container = self.made.container
        needs = {name: container.needs[name] for name in ("contents", "embeddings", "embedders")}
        run_extension(
            self.run_id,
            extension_id,
            bus=container.bus,
            store=container.store,
            progress=lambda done, total: None,
            **needs,  # type: ignore[arg-type]
        )
        project(container)

    def clusters(self) -> dict[int, int]:
        return {one["cluster_id"]: one["num_queries"] for one in self.get("/clusters")["items"]}

    def cluster_of(self, query_id: int) -> list[int]:
        shown = self.api.get(f"/api/queries/{query_id}").json()
        return [one["cluster_id"] for one in shown["clusters"] if one["run_id"] == self.run_id]


@pytest.fixture
def growing(api: TestClient, made: Installation, dataset: str) -> Growing:
    return Growing(api, made, dataset)


def test_a_story_from_the_request_to_the_new_sizes(growing: Growing) -> None:
    renamed = growing.api.post(
        "/api/curation/clusters/0/rename", params={"run_id": growing.run_id}, json={"title": "Refunds"}
    )
    assert renamed.status_code == 200
    assert growing.clusters() == {0: 4, 1: 4, 2: 4}

    asked = growing.extend({"confidence_floor": 0.0})
    assert (asked["run_id"], asked["status"]) == (growing.run_id, "pending")
    (pending,) = growing.get("/extensions")["extensions"]
    assert (pending["status"], pending["added"]) == ("pending", None)
    assert "being extended already" in growing.extend(status=409)["error"]["message"]

    growing.work(asked["extension_id"])
    (done,) = growing.get("/extensions")["extensions"]
    assert (done["status"], done["added"], done["orphaned"]) == ("completed", 6, 0)
    assert (done["extension_id"], done["last_query_id"]) == (asked["extension_id"], growing.later[-1])
    assert growing.clusters() == {0: 6, 1: 6, 2: 6}
    assert growing.get("")["num_queries"] == 18
    assert [growing.cluster_of(one) for one in growing.later] == [[0], [1], [2]] * 2
    assert growing.get("/clusters/0")["cluster"]["title"] == "Refunds"
    assert "no queries were loaded" in growing.extend(status=409)["error"]["message"]


def test_what_is_too_uncertain_is_with_the_orphans(growing: Growing) -> None:
    growing.work(growing.extend({"confidence_floor": 1.0})["extension_id"])
    (done,) = growing.get("/extensions")["extensions"]
    assert (done["added"], done["orphaned"], done["confidence_floor"]) == (6, 6, 1.0)
    orphans = growing.api.get(f"/api/curation/runs/{growing.run_id}/orphaned").json()["items"]
    assert sorted(one["query"]["id"] for one in orphans) == growing.later
    moved = growing.api.post(
        f"/api/curation/queries/{growing.later[0]}/move",
        params={"run_id": growing.run_id},
        json={"to_cluster_id": 0},
    )
    assert moved.json()["from_cluster_id"] == ORPHAN
    assert growing.clusters()[0] == 5


@pytest.mark.parametrize("floor", [-0.1, 1.1, "much"])
def test_a_floor_that_will_not_do(growing: Growing, floor: object) -> None:
    assert "confidence_floor" in growing.extend({"confidence_floor": floor}, 422)["error"]["message"]


def test_a_run_that_is_not_there_or_not_done(growing: Growing) -> None:
    assert growing.api.post("/api/clustering/runs/nowhere/extend").status_code == 404
    assert growing.api.get("/api/clustering/runs/nowhere/extensions").status_code == 404
    pending = growing.made.pending_run_id
    assert growing.api.post(f"/api/clustering/runs/{pending}/extend").status_code == 409
