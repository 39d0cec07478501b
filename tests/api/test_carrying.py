"""Curation carried to another run over HTTP: tried, done, read back, undone."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.browsing import Installation, cluster, conversation, load, project


class Pair:
    """Two runs of the same 24 queries, whose clusters have other numbers in the newer one."""

    def __init__(self, api: TestClient, made: Installation, dataset: str) -> None:
        self.api = api
        self.ids = load(made, dataset, [conversation(n, n % 3) for n in range(24)])
        self.older = cluster(made, dataset, {one: n % 3 for n, one in enumerate(self.ids)})
        self.newer = cluster(made, dataset, {one: (n + 1) % 3 for n, one in enumerate(self.ids)})
        project(made.container)

    def post(self, path: str, body: Any, status: int = 200, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        answer = self.api.post(f"/api/curation/{path}", json=body, **more)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def edit(self, path: str, body: Any) -> int:  # noqa: ANN401
        return int(self.post(path, body, params={"run_id": self.older})["edit_id"])

    def carry(self, status: int = 200, /, **body: Any) -> dict[str, Any]:  # noqa: ANN401
        return self.post(f"runs/{self.newer}/carry-over", {"from_run_id": self.older, **body}, status)

    def get(self, path: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401
        answer = self.api.get(f"/api/{path}", params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def titles(self) -> dict[int, str | None]:
        items = self.get(f"clustering/runs/{self.newer}/clusters")["items"]
        return {one["cluster_id"]: one["title"] for one in items}


@pytest.fixture
def pair(api: TestClient, made: Installation, dataset: str) -> Pair:
    return Pair(api, made, dataset)


def test_a_story_from_a_try_to_its_undo(pair: Pair) -> None:
    renamed = pair.edit("clusters/0/rename", {"title": "Refunds", "reason": "as support says"})
    gone = pair.edit("clusters/2/delete", {"orphan": True})

    would = pair.carry(dry_run=True)
    assert (would["edit_id"], would["dry_run"], pair.titles()[1]) == (None, True, None)
    assert pair.get(f"curation/runs/{pair.newer}/lineage")["carried_over"] == []

    done = pair.carry(reason="the new run is better")
    assert [(one["edit_id"], one["edit_type"]) for one in done["carried"]] == [(renamed, "rename")]
    assert done["undecided"] == [
        {
            "edit_id": gone,
            "version": done["from_version"],
            "edit_type": "delete",
            "reason": "it was deleted there; cluster 0 continues it here, and no cluster is deleted unasked",
        }
    ]
    assert pair.titles() == {0: None, 1: "Refunds", 2: None}
    history = pair.get(f"curation/runs/{pair.newer}/audit")["items"]
    assert [(one["edit_type"], one["caused_by"]) for one in history][1] == ("rename", str(renamed))
    assert {one["reason"] for one in history} == {"the new run is better"}

    (kept,) = pair.get(f"curation/runs/{pair.newer}/lineage")["carried_over"]
    assert (kept["edit_id"], kept["carried"], kept["from_run_id"]) == (done["edit_id"], 1, pair.older)
    assert kept["undecided"] == done["undecided"]
    assert kept["links"] == done["lineage"]
    assert kept["links"][0]["evidence"][0] == {
        "old": 0,
        "new": 1,
        "overlap": 8,
        "share_of_old": 1.0,
        "share_of_new": 1.0,
        "jaccard": 1.0,
        "similarity": 0.0,
        "score": 1.0,
    }

    again = pair.carry()
    assert (again["edit_id"], again["carried"], len(again["already"])) == (None, [], 1)
    undone = pair.post(f"edits/{done['edit_id']}/undo", {})
    assert {one["edit_type"] for one in undone["edits"]} == {"rename", "carry_over"}
    assert pair.titles() == {0: None, 1: None, 2: None}


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"threshold": 0}, 422, "threshold"),
        ({"threshold": 1.01}, 422, "threshold"),
        ({"from_run_id": "nowhere"}, 404, "nowhere"),
        ({"from_run_id": None}, 422, "from_run_id"),
    ],
)
def test_what_is_refused(pair: Pair, body: dict[str, Any], status: int, named: str) -> None:
    assert named in pair.carry(status, **body)["error"]["message"]


def test_runs_that_do_not_go_together(pair: Pair, made: Installation) -> None:
    assert "own edits" in pair.carry(422, from_run_id=pair.newer)["error"]["message"]
    assert "within a data set" in pair.carry(409, from_run_id=made.run_id)["error"]["message"]


def test_a_run_that_has_moved_on_is_not_carried_into(pair: Pair) -> None:
    path, body = f"runs/{pair.newer}/carry-over", {"from_run_id": pair.older}
    pair.post(path, body, 412, headers={"If-Match": '"1"'})


def test_the_lineage_of_no_run(pair: Pair) -> None:
    assert pair.api.get("/api/curation/runs/nowhere/lineage").status_code == 404
