"""Curation over HTTP: each operation, its dry run, what is refused and in which words, undo and redo."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.values import NOISE, ORPHAN
from tests.browsing import Installation, cluster, conversation, load, project, summarise

ANNA = {"X-Actor": "anna"}


class Desk:
    """A run of 8 queries in each of the clusters 0, 1, 2 and the noise, and who curates it."""

    def __init__(self, api: TestClient, run_id: str, clusters: dict[int, list[int]]) -> None:
        self.api = api
        self.run_id = run_id
        self.queries = clusters

    def post(self, path: str, body: Any = None, status: int = 200, /, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        """`params` and `headers` as the client takes them; an edit names the run."""
        params = {"run_id": self.run_id, **more.pop("params", {})}
        answer = self.api.post(f"/api/curation/{path}", json=body, params=params, **more)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str, status: int = 200, /, **params: Any) -> dict[str, Any]:  # noqa: ANN401
        answer = self.api.get(f"/api/{path}", params=params)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def shown(self) -> dict[int, tuple[str | None, int]]:
        """Cluster → title and size, as the list of clusters has it."""
        items = self.get(f"clustering/runs/{self.run_id}/clusters", limit=100)["items"]
        return {one["cluster_id"]: (one["title"], one["num_queries"]) for one in items}

    def run(self) -> dict[str, Any]:
        return self.get(f"clustering/runs/{self.run_id}")

    def history(self) -> list[dict[str, Any]]:
        return self.get(f"curation/runs/{self.run_id}/audit")["items"]  # type: ignore[no-any-return]

    def orphans(self) -> list[int]:
        items = self.get(f"curation/runs/{self.run_id}/orphaned", limit=100)["items"]
        return [one["query"]["id"] for one in items]


@pytest.fixture
def desk(api: TestClient, made: Installation, dataset: str) -> Desk:
    ids = load(made, dataset, [conversation(n, (0, 1, 2, NOISE)[n % 4]) for n in range(32)])
    run_id = cluster(made, dataset, {one: (0, 1, 2, NOISE)[n % 4] for n, one in enumerate(ids)})
    project(made.container)
    return Desk(api, run_id, {one: ids[at::4] for at, one in enumerate((0, 1, 2, NOISE))})


BEGIN = {NOISE: (None, 8), 0: (None, 8), 1: (None, 8), 2: (None, 8)}


# --- each operation


def test_a_query_is_moved_and_moved_back(desk: Desk) -> None:
    query = desk.queries[0][3]
    path = f"queries/{query}/move"
    moved = desk.post(path, {"to_cluster_id": 2, "reason": "it asks for rain"}, headers=ANNA)
    assert (moved["from_cluster_id"], moved["to_cluster_id"]) == (0, 2)
    (edit,) = desk.history()
    assert (edit["edit_id"], edit["editor"], edit["reason"]) == (moved["edit_id"], "anna", "it asks for rain")
    (there,) = [
        one for one in desk.get(f"curation/queries/{query}")["clusters"] if one["run_id"] == desk.run_id
    ]
    assert (there["cluster_id"], there["confidence_score"]) == (2, None)
    assert desk.shown()[0] == (None, 7)
    assert desk.post(path, {"to_cluster_id": 2})["edit_id"] is None
    desk.post(path, {"to_cluster_id": 0})
    assert desk.shown() == BEGIN


def test_many_queries_are_moved_as_one_edit(desk: Desk) -> None:
    wanted = [*desk.queries[0][:3], *desk.queries[NOISE][:2], 10**12]
    moved = desk.post("queries/move", {"query_ids": wanted, "to_cluster_id": 1})
    assert (moved["moved"], moved["failed"]) == (5, 1)
    (error,) = moved["errors"]
    assert (error["query_id"], str(10**12) in error["error"]) == (10**12, True)
    assert desk.shown() == {NOISE: (None, 6), 0: (None, 5), 1: (None, 13), 2: (None, 8)}
    (edit,) = desk.history()
    assert [(one["from"], one["to"], one["count"]) for one in edit["details"]["moves"]] == [
        (NOISE, 1, 2),
        (0, 1, 3),
    ]


def test_clusters_are_merged_and_the_sources_are_gone(desk: Desk, made: Installation) -> None:
    summarise(made, desk.run_id, "first")
    project(made.container)
    body = {"source_cluster_ids": [1, 2], "target_cluster_id": 0}
    dry = desk.post("clusters/0/merge", body, params={"dry_run": True})
    assert (dry["edit_id"], dry["dry_run"], dry["queries_moved"]) == (None, True, 16)
    assert len(desk.shown()) == 4
    merged = desk.post("clusters/0/merge", {**body, "new_title": "Everything"})
    assert (merged["queries_moved"], merged["new_title"]) == (16, "Everything")
    assert sorted(merged["suggested_title"].split(" / ")) == [
        "python loop function",
        "refund payment money",
        "weather rain sun",
    ]
    assert desk.shown() == {NOISE: ("odd old thing", 8), 0: ("Everything", 24)}
    assert desk.run()["num_clusters"] == 1
    desk.get(f"clustering/runs/{desk.run_id}/clusters/1", 404)
    before = [
        one["was"]["named_title"] for one in desk.history()[0]["details"]["clusters"] if one["now"] is None
    ]
    assert before == ["python loop function", "weather rain sun"]


def test_a_cluster_is_split_and_its_id_is_new_for_ever(desk: Desk) -> None:
    some = desk.queries[1][:3]
    body = {"query_ids": some, "new_title": "Loops", "new_description": ""}
    made = desk.post("clusters/1/split", body)
    assert (made["original_cluster_id"], made["new_cluster_id"], made["queries_moved"]) == (1, 3, 3)
    assert desk.shown() == {**BEGIN, 1: (None, 5), 3: ("Loops", 3)}
    detail = desk.get(f"clustering/runs/{desk.run_id}/clusters/3")
    assert [one["query"]["id"] if "query" in one else one["id"] for one in detail["queries"]["items"]] == some
    desk.post(f"edits/{made['edit_id']}/undo")
    assert desk.shown() == BEGIN
    assert desk.post("clusters/1/split", body)["new_cluster_id"] == 4


def test_a_cluster_is_deleted_and_its_orphans_find_a_home(desk: Desk) -> None:
    gone = desk.post("clusters/2/delete", {"orphan": True, "reason": "no topic"})
    assert (gone["query_count"], gone["status"], gone["moved_to"]) == (8, "orphaned", None)
    assert desk.orphans() == desk.queries[2]
    assert desk.run()["num_clusters"] == 2
    query = desk.queries[2][0]
    of_query = desk.get(f"curation/queries/{query}")["clusters"]
    assert [one["cluster_id"] for one in of_query if one["run_id"] == desk.run_id] == [ORPHAN]
    moved = desk.post(f"queries/{query}/move", {"to_cluster_id": 0})
    assert moved["from_cluster_id"] == ORPHAN
    assert desk.orphans() == desk.queries[2][1:]
    page = desk.get(f"curation/runs/{desk.run_id}/orphaned", limit=3)
    assert (page["total"], page["pages"]) == (7, 3)
    more = desk.get(f"curation/runs/{desk.run_id}/orphaned", limit=3, cursor=page["next_cursor"])
    assert [one["query"]["id"] for one in more["items"]] == desk.queries[2][4:7]
    assert {one["orphan"]["assigned_to"] for one in more["items"]} == {2}


def test_a_cluster_is_deleted_into_another(desk: Desk) -> None:
    gone = desk.post("clusters/2/delete", {"orphan": False, "move_to_cluster_id": 0})
    assert (gone["query_count"], gone["status"], gone["moved_to"]) == (8, "moved", 0)
    assert desk.shown() == {NOISE: (None, 8), 0: (None, 16), 1: (None, 8)}
    assert desk.orphans() == []


def test_notes_and_flags_are_set_and_taken_away(desk: Desk) -> None:
    noted = desk.post("clusters/0/metadata", {"coherence_score": 4, "quality": "low", "notes": "mixed"})
    assert (noted["status"], noted["data"]["quality"]) == ("ok", "low")
    desk.post("clusters/0/metadata", {"quality": None})
    assert desk.post("clusters/0/flags", {"flags": ["check", "odd"]})["data"]["flags"] == ["check", "odd"]
    again = desk.post("clusters/0/flags", {"flags": ["odd"], "remove": ["never"]})
    assert (again["status"], again["data"]["edit_id"]) == ("unchanged", None)
    desk.post("clusters/0/flags", {"flags": [], "remove": ["check"]})
    (shown,) = [
        one for one in desk.get(f"clustering/runs/{desk.run_id}/clusters")["items"] if one["cluster_id"] == 0
    ]
    notes = {one: shown[one] for one in ("coherence_score", "quality", "notes", "flags")}
    assert notes == {"coherence_score": 4, "quality": None, "notes": "mixed", "flags": ["odd"]}
    types = [one["edit_type"] for one in desk.get("curation/clusters/0/history", run_id=desk.run_id)["items"]]
    assert types == ["flags", "flags", "metadata", "metadata"]


def edits(desk: Desk) -> list[tuple[str, dict[str, Any]]]:
    """One request of each operation, each of which would change something."""
    return [
        (f"queries/{desk.queries[0][0]}/move", {"to_cluster_id": 1}),
        ("queries/move", {"query_ids": desk.queries[0], "to_cluster_id": 1}),
        ("clusters/0/rename", {"title": "Tax"}),
        ("clusters/0/merge", {"source_cluster_ids": [1], "target_cluster_id": 0}),
        ("clusters/0/split", {"query_ids": desk.queries[0][:1], "new_title": "x", "new_description": "y"}),
        ("clusters/0/delete", {"orphan": True}),
        ("clusters/0/metadata", {"quality": "low"}),
        ("clusters/0/flags", {"flags": ["odd"]}),
    ]


def test_a_dry_run_of_any_edit_changes_nothing(desk: Desk, made: Installation) -> None:
    head = made.container.store.head()
    for path, body in edits(desk):
        answer = desk.post(path, body, params={"dry_run": True})
        answer = answer.get("data") or answer
        assert (answer["edit_id"], answer["dry_run"]) == (None, True)
    assert made.container.store.head() == head
    assert (desk.shown(), desk.history()) == (BEGIN, [])


def test_an_edit_of_what_has_changed_since_is_refused(desk: Desk) -> None:
    seen = desk.api.get(f"/api/clustering/runs/{desk.run_id}").headers["ETag"]
    desk.post("clusters/2/rename", {"title": "Sky"})
    for path, body in edits(desk):
        refused = desk.post(path, body, 412, headers={"If-Match": seen})
        assert refused["error"]["type"] == "Stale"
        assert "read it again" in refused["error"]["message"]
    desk.post(f"runs/{desk.run_id}/undo", None, 412, headers={"If-Match": seen})
    assert [one["edit_type"] for one in desk.history()] == ["rename"]
    now = desk.api.get(f"/api/clustering/runs/{desk.run_id}").headers["ETag"]
    answer = desk.api.post(
        "/api/curation/clusters/2/rename",
        params={"run_id": desk.run_id},
        json={"title": "Skies"},
        headers={"If-Match": now},
    )
    assert answer.headers["ETag"] == f'"{int(now.strip(chr(34))) + 1}"'
    assert answer.headers["X-Event-Position"] == str(answer.json()["edit_id"])


def test_a_repeated_request_is_answered_as_before_and_done_once(desk: Desk) -> None:
    body = {"source_cluster_ids": [1], "target_cluster_id": 0}
    key = {"Idempotency-Key": f"merge-{desk.run_id}"}
    first = desk.post("clusters/0/merge", body, headers=key)
    assert desk.post("clusters/0/merge", body, headers=key) == first
    other = desk.post("clusters/0/merge", {**body, "source_cluster_ids": [2]}, 422, headers=key)
    assert "Idempotency-Key" in other["error"]["message"]
    undo = {"Idempotency-Key": f"undo-{desk.run_id}"}
    undone = desk.post(f"runs/{desk.run_id}/undo", None, headers=undo)
    assert desk.post(f"runs/{desk.run_id}/undo", None, headers=undo) == undone
    assert [one["edit_type"] for one in desk.history()] == ["undo", "merge"]


# --- what is refused


def test_what_is_refused_names_what_is_wrong(desk: Desk) -> None:
    foreign = desk.queries[1][:2]
    split = {"new_title": "x", "new_description": ""}
    cases: list[tuple[str, dict[str, Any], int, str]] = [
        ("queries/999999999/move", {"to_cluster_id": 1}, 404, "query 999999999 is not part of run"),
        (f"queries/{desk.queries[0][0]}/move", {"to_cluster_id": 9}, 409, "has no cluster 9"),
        ("queries/move", {"query_ids": [1], "to_cluster_id": 9}, 409, "has no cluster 9"),
        ("queries/move", {"query_ids": [2**70], "to_cluster_id": 1}, 422, "more than 64 bits"),
        ("queries/move", {"query_ids": ["a"], "to_cluster_id": 1}, 422, "/body/query_ids/0"),
        ("clusters/9/rename", {"title": "x"}, 404, "has no cluster 9"),
        ("clusters/0/rename", {}, 422, "give a title, a description or both"),
        ("clusters/0/merge", {"source_cluster_ids": [0], "target_cluster_id": 0}, 422, "into itself"),
        ("clusters/0/merge", {"source_cluster_ids": [], "target_cluster_id": 0}, 422, "source_cluster_ids"),
        ("clusters/0/merge", {"source_cluster_ids": [9], "target_cluster_id": 0}, 409, "has no cluster 9"),
        ("clusters/0/merge", {"source_cluster_ids": [1], "target_cluster_id": 2}, 422, "the path names"),
        ("clusters/0/split", {"query_ids": foreign, **split}, 409, f"cluster 0: {foreign[0]}, {foreign[1]}"),
        ("clusters/0/split", {"query_ids": [2**70], **split}, 409, f"cluster 0: {2**70}"),
        ("clusters/0/split", {"query_ids": [], **split}, 422, "query_ids is empty"),
        ("clusters/0/split", {"query_ids": desk.queries[0], **split}, 409, "these are all 8 queries"),
        ("clusters/9/split", {"query_ids": foreign, **split}, 404, "has no cluster 9"),
        ("clusters/0/delete", {"orphan": False}, 422, "give either orphan=true"),
        ("clusters/0/delete", {"orphan": True, "move_to_cluster_id": 1}, 422, "give either orphan=true"),
        ("clusters/0/delete", {"orphan": False, "move_to_cluster_id": 0}, 422, "is to be deleted"),
        ("clusters/0/delete", {"orphan": False, "move_to_cluster_id": 9}, 409, "has no cluster 9"),
        ("clusters/9/delete", {"orphan": True}, 404, "has no cluster 9"),
        ("clusters/0/metadata", {"coherence_score": 6}, 422, "/body/coherence_score"),
        ("clusters/0/metadata", {"notes": ""}, 422, "notes must not be empty"),
        ("clusters/9/metadata", {"notes": "x"}, 404, "has no cluster 9"),
        ("clusters/0/flags", {"flags": ["x"], "remove": ["x"]}, 422, "both added and removed: x"),
        ("clusters/9/flags", {"flags": ["x"]}, 404, "has no cluster 9"),
        ("edits/999999999/undo", {}, 404, "there is no edit 999999999"),
        ("edits/999999999/redo", {}, 404, "there is no edit 999999999"),
        (f"runs/{desk.run_id}/undo", {}, 409, "no edit in force"),
        (f"runs/{desk.run_id}/redo", {}, 409, "no undone edit"),
        ("runs/nowhere/undo", {}, 404, "nowhere"),
    ]
    for path, body, status, words in cases:
        refused = desk.post(path, body, status)
        assert words in refused["error"]["message"], (path, body)
        assert refused["detail"] == refused["error"]["message"]
    assert (desk.shown(), desk.history()) == (BEGIN, [])


def test_each_query_that_cannot_be_split_off_is_listed(desk: Desk) -> None:
    foreign = desk.queries[1]
    body = {"query_ids": [desk.queries[0][0], *foreign], "new_title": "x", "new_description": ""}
    refused = desk.post("clusters/0/split", body, 409)
    assert refused["errors"] == [{"query_id": one, "detail": "not in cluster 0"} for one in foreign]


def test_a_run_that_is_not_there_or_not_done_is_not_edited(desk: Desk, made: Installation) -> None:
    for path, body in edits(desk):
        desk.post(path, body, 404, params={"run_id": "nowhere"})
        refused = desk.post(path, body, 409, params={"run_id": made.pending_run_id})
        assert "is pending: only a completed run can be edited" in refused["error"]["message"]
        answer = desk.api.post(f"/api/curation/{path}", json=body)
        assert (answer.status_code, "run_id" in answer.json()["detail"]) == (422, True)


# --- undo and redo


def test_undo_names_what_stands_in_the_way_and_takes_it_along_when_asked(desk: Desk) -> None:
    split = {"query_ids": desk.queries[0][:2], "new_title": "New", "new_description": ""}
    first = desk.post("clusters/0/split", split)["edit_id"]
    second = desk.post("clusters/3/rename", {"title": "Newer"})["edit_id"]
    third = desk.post("clusters/1/rename", {"title": "Not concerned"})["edit_id"]
    path = f"edits/{first}/undo"
    refused = desk.post(path, None, 409)
    assert refused["error"]["type"] == "Conflict"
    assert f"{second} (rename)" in refused["detail"]
    assert [(one["edit_id"], one["edit_type"]) for one in refused["errors"]] == [(second, "rename")]
    dry = desk.post(path, None, params={"dry_run": True})
    assert ([one["edit_id"] for one in dry["blockers"]], dry["clusters_removed"]) == ([second], [3])
    assert 3 in desk.shown()
    done = desk.post(path, {"reason": "one topic after all"}, params={"cascade": True}, headers=ANNA)
    assert [one["edit_id"] for one in done["edits"]] == [second, first]
    assert (done["queries_moved"], done["clusters_removed"]) == (2, [3])
    assert desk.shown() == {**BEGIN, 1: ("Not concerned", 8)}
    undo, *rest = desk.history()
    assert (undo["edit_id"], undo["editor"], undo["reason"]) == (
        done["edit_id"],
        "anna",
        "one topic after all",
    )
    assert [(one["edit_id"], one["undone_by"]) for one in rest] == [
        (third, None),
        (second, undo["edit_id"]),
        (first, undo["edit_id"]),
    ]
    alone = desk.post(f"edits/{second}/redo", None, 409)
    assert [one["edit_id"] for one in alone["errors"]] == [first]
    desk.post(f"edits/{second}/redo", None, params={"cascade": True})
    assert desk.shown() == {**BEGIN, 0: (None, 6), 1: ("Not concerned", 8), 3: ("Newer", 2)}
    assert {one["undone_by"] for one in desk.history()} == {None}


def test_a_redo_is_refused_while_something_else_holds_the_place(desk: Desk) -> None:
    first = desk.post("clusters/0/rename", {"title": "One"})["edit_id"]
    desk.post(f"edits/{first}/undo")
    second = desk.post("clusters/0/rename", {"title": "Two"})["edit_id"]
    refused = desk.post(f"edits/{first}/redo", None, 409, params={"cascade": True})
    assert [one["edit_id"] for one in refused["errors"]] == [second]
    desk.post(f"edits/{second}/undo")
    desk.post(f"edits/{first}/redo")
    assert desk.shown()[0] == ("One", 8)


def test_undo_after_undo_leads_to_the_beginning_and_redo_after_redo_to_the_end(desk: Desk) -> None:
    for path, body in edits(desk)[:5]:
        desk.post(path, body)
    end = desk.shown()
    count = len(desk.history())
    for _ in range(count):
        desk.post(f"runs/{desk.run_id}/undo")
    assert desk.shown() == BEGIN
    for _ in range(count):
        desk.post(f"runs/{desk.run_id}/redo", {"reason": "it was right"})
    assert desk.shown() == end
    verified = desk.api.post("/api/projections/clustering/verify").json()
    assert verified["equal"], verified


def test_an_edit_is_shown_in_full(desk: Desk) -> None:
    wanted = desk.queries[2]
    edit = desk.post("clusters/2/delete", {"orphan": True})["edit_id"]
    back = desk.post(f"queries/{wanted[0]}/move", {"to_cluster_id": 0})["edit_id"]
    shown = desk.get(f"curation/edits/{edit}")
    assert (shown["edit_type"], shown["state"], shown["queries_moved"]) == ("delete", "in force", 8)
    assert shown["moves"] == [{"from_cluster_id": 2, "to_cluster_id": ORPHAN, "query_ids": wanted}]
    assert shown["clusters"] == [{"cluster_id": 2, "was": {}, "now": None}]
    assert [one["edit_id"] for one in shown["blockers"]] == [back]
    undo = desk.post(f"edits/{edit}/undo", None, params={"cascade": True})["edit_id"]
    assert desk.get(f"curation/edits/{edit}")["state"] == "undone"
    shown = desk.get(f"curation/edits/{undo}")
    assert (shown["edit_type"], [one["edit_id"] for one in shown["of"]]) == ("undo", [back, edit])
    desk.post(f"edits/{undo}/undo")
    assert desk.get(f"curation/edits/{undo}")["state"] == "undone"
    assert desk.orphans() == wanted[1:]
    desk.get("curation/edits/999999999", 404)
    desk.get("curation/edits/1", 404)


def test_the_history_of_a_cluster_leaves_out_what_did_not_touch_it(desk: Desk) -> None:
    desk.post("clusters/0/rename", {"title": "One"})
    since = desk.history()[0]["timestamp"]
    desk.post("clusters/0/merge", {"source_cluster_ids": [1], "target_cluster_id": 0})
    desk.post("clusters/2/flags", {"flags": ["odd"]})
    of = {
        one: [
            edit["edit_type"]
            for edit in desk.get(f"curation/clusters/{one}/history", run_id=desk.run_id)["items"]
        ]
        for one in (0, 1, 2)
    }
    assert of == {0: ["merge", "rename"], 1: ["merge"], 2: ["flags"]}
    page = desk.get(f"curation/runs/{desk.run_id}/audit", limit=2)
    assert (page["total"], len(page["items"])) == (3, 2)
    rest = desk.get(f"curation/runs/{desk.run_id}/audit", limit=2, cursor=page["next_cursor"])
    assert [one["edit_type"] for one in rest["items"]] == ["rename"]
    assert len(desk.get(f"curation/runs/{desk.run_id}/audit", since=since)["items"]) == 3
    desk.get("curation/runs/nowhere/audit", 404)
    desk.get("curation/runs/nowhere/orphaned", 404)
