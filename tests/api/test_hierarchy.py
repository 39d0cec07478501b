"""Hierarchies over HTTP: the request, the tree, edits with undo, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.hierarchy import FIRST_CATEGORY as A
from tests import stories
from tests.arranging import arrange, cleared, run_of_six, work
from tests.browsing import Installation

B, C, D = A + 1, A + 2, A + 3


@pytest.fixture
def run_id(made: Installation, dataset: str) -> str:
    found = run_of_six(made, dataset)
    stories.project(made.container)
    return found


@pytest.fixture
def hierarchy(made: Installation, run_id: str) -> str:
    name = arrange(made.container, run_id, target_levels=2).name
    stories.project(made.container)
    return name


def tree(api: TestClient, hierarchy: str, **params: Any) -> dict[int, dict[str, Any]]:  # noqa: ANN401
    answer = api.get(f"/api/hierarchy/{hierarchy}", params=params)
    assert answer.status_code == 200, answer.text
    return {one["cluster_id"]: one for one in answer.json()["nodes"]}


def test_a_hierarchy_from_the_request_to_the_tree(made: Installation, api: TestClient, run_id: str) -> None:
    asked = {"run_id": run_id, "target_levels": 2, "merge_ratio": 0.5}
    started = api.post("/api/hierarchy", json=asked)
    assert started.status_code == 202
    name = started.json()["hierarchy_run_id"]
    assert name.startswith(f"hier-{run_id}-")
    assert started.headers["Location"] == f"/api/hierarchy/{name}/status"
    assert api.get(f"/api/hierarchy/{name}/status").json()["status"] == "pending"
    assert tree(api, name) == {}
    work(made.container, "arrange", hierarchy_run_id=name)
    stories.project(made.container)
    assert api.get(f"/api/hierarchy/{name}/status").json()["status"] == "completed"
    (listed,) = api.get("/api/hierarchy", params={"run_id": run_id}).json()["items"]
    assert listed == api.get(f"/api/hierarchy/{name}/info").json()
    assert (listed["hierarchy_run_id"], listed["model"], listed["levels"]) == (name, "local/agglomerative", 2)
    assert listed["parameters"] == {"target_levels": 2, "merge_ratio": 0.5}
    nodes = tree(api, name)
    assert {one: node["children_ids"] for one, node in nodes.items() if node["level"]} == {
        A: [0, 3],
        B: [1, 4],
        C: [2, 5],
    }
    assert nodes[3] == {
        "hierarchy_run_id": name,
        "run_id": run_id,
        "cluster_id": 3,
        "parent_cluster_id": A,
        "level": 0,
        "children_ids": [],
        "title": None,
        "description": None,
        "num_queries": 4,
        "num_clusters": 1,
        "title_edited": False,
        "description_edited": False,
    }
    assert (nodes[A]["num_queries"], nodes[A]["num_clusters"], nodes[A]["parent_cluster_id"]) == (8, 2, None)


def test_they_are_listed_page_by_page_newest_first(
    made: Installation, api: TestClient, run_id: str, hierarchy: str
) -> None:
    second = arrange(made.container, run_id).name
    stories.project(made.container)

    def listed(**params: Any) -> tuple[list[str], int]:  # noqa: ANN401
        page = api.get("/api/hierarchy", params=params).json()
        return [one["hierarchy_run_id"] for one in page["items"]], page["total"]

    assert listed(run_id=run_id) == ([second, hierarchy], 2)
    assert listed(run_id=run_id, limit=1, page=2) == ([hierarchy], 2)
    assert listed(run_id=run_id, status="pending") == ([], 0)


def test_edits_of_the_tree_show_at_once_and_are_undone(api: TestClient, hierarchy: str) -> None:
    path = f"/api/hierarchy/{hierarchy}"
    version = api.get(path).headers["ETag"]
    moved = api.post(
        f"{path}/move",
        json={"cluster_ids": [0], "parent_cluster_id": B, "reason": "it is code"},
        headers={"X-Actor": "ada", "If-Match": version},
    )
    assert (moved.status_code, moved.json()["moved"]) == (200, 1)
    assert tree(api, hierarchy)[0]["parent_cluster_id"] == B
    assert api.get(path).headers["ETag"] == moved.headers["ETag"] == f'"{moved.json()["version"]}"'
    edit_id = moved.json()["edit_id"]
    (record,) = api.get(f"{path}/history").json()["items"]
    assert (record["edit_id"], record["editor"], record["reason"]) == (edit_id, "ada", "it is code")
    assert (record["edit_type"], record["undone_by"]) == ("move_node", None)
    shown = api.get(f"/api/curation/edits/{edit_id}").json()
    assert (shown["hierarchy_run_id"], shown["state"], shown["nodes_moved"]) == (hierarchy, "in force", 1)
    undone = api.post(f"/api/curation/edits/{edit_id}/undo", json={"reason": "no, it is not"}).json()
    assert (undone["hierarchy_run_id"], undone["nodes_moved"]) == (hierarchy, 1)
    assert tree(api, hierarchy)[0]["parent_cluster_id"] == A
    assert api.get(f"{path}/history").json()["items"][1]["undone_by"] == undone["edit_id"]
    api.post(f"/api/curation/edits/{edit_id}/redo")
    assert tree(api, hierarchy)[0]["parent_cluster_id"] == B
    assert api.get(f"{path}/history").json()["items"][2]["undone_by"] is None


def test_categories_are_made_renamed_and_removed(api: TestClient, hierarchy: str) -> None:
    path = f"/api/hierarchy/{hierarchy}/categories"
    made = api.post(path, json={"title": "Work", "children_ids": [A, 1], "description": "all of it"}).json()
    assert (made["cluster_id"], made["level"], made["moved"]) == (D, 2, 2)
    nodes = tree(api, hierarchy)
    assert (nodes[D]["title"], nodes[D]["title_edited"], nodes[D]["num_queries"]) == ("Work", True, 12)
    renamed = api.post(f"{path}/{A}/rename", json={"title": "Money"}).json()
    assert renamed["new_title"] == "Money"
    assert tree(api, hierarchy)[A]["title"] == "Money"
    would = api.post(f"{path}/{D}/remove", params={"dry_run": True}).json()
    assert (would["moved"], would["dry_run"]) == (2, True)
    removed = api.post(f"{path}/{D}/remove", json={"move_to_cluster_id": None}).json()
    assert D not in tree(api, hierarchy)
    blocked = api.post(f"/api/curation/edits/{made['edit_id']}/undo")
    assert blocked.status_code == 409
    assert [one["edit_id"] for one in blocked.json()["errors"]] == [removed["edit_id"]]
    api.post(f"/api/curation/edits/{made['edit_id']}/undo", params={"cascade": True})
    assert tree(api, hierarchy)[1]["parent_cluster_id"] == B
    assert tree(api, hierarchy)[A]["title"] == "Money"


def test_one_is_cancelled_and_gone_on_with(made: Installation, api: TestClient, run_id: str) -> None:
    asked = {"run_id": run_id, "target_levels": 2, "merge_ratio": 0.5}
    name = api.post("/api/hierarchy", json=asked).json()["hierarchy_run_id"]
    path = f"/api/hierarchy/{name}"
    assert api.post(f"{path}/resume").status_code == 409
    assert api.post(f"{path}/cancel").json()["status"] == "cancelled"
    work(made.container, "arrange", hierarchy_run_id=name)
    stories.project(made.container)
    assert api.get(f"{path}/status").json()["status"] == "cancelled"
    resumed = api.post(f"{path}/resume")
    assert (resumed.status_code, resumed.headers["Location"]) == (202, f"{path}/status")
    work(made.container, "arrange", hierarchy_run_id=name)
    stories.project(made.container)
    assert api.get(f"{path}/status").json()["status"] == "completed"
    assert api.post(f"{path}/cancel").status_code == 409


def test_counts_follow_what_people_do_to_the_clusters(
    made: Installation, api: TestClient, run_id: str, hierarchy: str
) -> None:
    merge = {"source_cluster_ids": [3], "target_cluster_id": 1}
    merged = api.post("/api/curation/clusters/1/merge", params={"run_id": run_id}, json=merge).json()
    before = tree(api, hierarchy)
    assert 3 not in before, "also before the hierarchy has followed"
    assert (before[A]["num_queries"], before[B]["num_queries"]) == (4, 12)
    work(made.container, "follow", run_id=run_id)
    stories.project(made.container)
    assert tree(api, hierarchy) == before
    api.post(f"/api/curation/edits/{merged['edit_id']}/undo")
    work(made.container, "follow", run_id=run_id)
    stories.project(made.container)
    assert tree(api, hierarchy)[A]["children_ids"] == [0, 3]


def test_a_tree_is_read_as_it_was(made: Installation, api: TestClient, run_id: str, hierarchy: str) -> None:
    then, position = tree(api, hierarchy), made.container.store.head()
    api.post(f"/api/hierarchy/{hierarchy}/categories/{A}/remove")
    delete = {"orphan": True}
    api.post("/api/curation/clusters/5/delete", params={"run_id": run_id}, json=delete)
    work(made.container, "follow", run_id=run_id)
    stories.project(made.container)
    assert tree(api, hierarchy) != then
    assert tree(api, hierarchy, as_of=position) == then
    early = api.get(f"/api/hierarchy/{hierarchy}", params={"as_of": 1})
    assert (early.status_code, "there was no hierarchy" in early.json()["detail"]) == (404, True)


def test_those_of_a_cleared_run_are_gone(
    made: Installation, api: TestClient, dataset: str, hierarchy: str
) -> None:
    cleared(made.container, dataset)
    stories.project(made.container)
    for path in ("", "/info", "/status", "/history"):
        assert api.get(f"/api/hierarchy/{hierarchy}{path}").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("", {"run_id": "nowhere"}, 404, "nowhere"),
        ("", {"run_id": "x", "target_levels": 1}, 422, "target_levels"),
        ("", {"run_id": "x", "merge_ratio": 1.5}, 422, "merge_ratio"),
        ("", {"run_id": "x", "neighborhood_size": 1}, 422, "neighborhood_size"),
        ("/nowhere/move", {"cluster_ids": [1], "parent_cluster_id": None}, 404, "nowhere"),
        ("/{}/move", {"cluster_ids": [1]}, 422, "parent_cluster_id"),
        ("/{}/move", {"cluster_ids": [], "parent_cluster_id": None}, 422, "cluster_ids is empty"),
        ("/{}/move", {"cluster_ids": [A], "parent_cluster_id": B}, 409, "higher level"),
        ("/{}/move", {"cluster_ids": [99], "parent_cluster_id": B}, 409, "no node 99"),
        ("/{}/categories/7/rename", {"title": "x"}, 404, "no category 7"),
        ("/{}/categories/0/rename", {"title": "x"}, 409, "rename it there"),
        ("/{}/categories", {"title": ""}, 422, "title"),
        ("/{}/categories", {"title": "x", "level": 99}, 422, "level"),
        ("/{}/categories/99/remove", None, 404, "no category 99"),
    ],
)
def test_what_cannot_be_done_is_refused(
    api: TestClient, hierarchy: str, path: str, body: dict[str, Any] | None, status: int, words: str
) -> None:
    answer = api.post(f"/api/hierarchy{path.format(hierarchy)}", json=body)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


def test_a_stale_edit_is_refused(api: TestClient, hierarchy: str) -> None:
    body = {"cluster_ids": [0], "parent_cluster_id": None}
    answer = api.post(f"/api/hierarchy/{hierarchy}/move", json=body, headers={"If-Match": '"1"'})
    assert answer.status_code == 412
