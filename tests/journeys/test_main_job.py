"""The main job, from a file to a rebuild that equals the live state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from tests.journeys.conftest import Server, jsonl, rows


def load(server: Server, path: Path, dataset: str) -> dict[str, object]:
    with path.open("rb") as body:
        answer = server.http.post(
            "/api/datasets/upload", files={"file": (path.name, body)}, data={"dataset": dataset}
        )
    assert answer.status_code == 202, answer.text
    job = answer.json()["job_id"]

    def ended(job_id: str) -> object:
        status = server.http.get("/api/datasets/status", params={"job_id": job_id})
        return status.status_code == 200 and status.json()["last_completed_job"]

    server.until(lambda: ended(f"{job}-embed"), "embedded")
    found = ended(job)
    assert isinstance(found, dict)
    return found


def clustered(server: Server, dataset: str, clusters: int = 4) -> str:
    answer = server.http.post("/api/clustering/kmeans", json={"n_clusters": clusters, "dataset": dataset})
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["run_id"]
    status = f"/api/clustering/runs/{run_id}/status"
    server.until(lambda: server.http.get(status).json()["status"] == "completed", "clustered")
    return run_id


def named(server: Server, run_id: str) -> str:
    answer = server.http.post("/api/summaries", json={"run_id": run_id, "alias": "first"})
    summary: str = answer.json()["data"]["summary_run_id"]
    server.until(
        lambda: server.http.get(f"/api/summaries/{summary}").json()["status"] == "completed", "named"
    )
    return summary


def measured_version(http: httpx.Client, run_id: str) -> int:
    return int(http.get(f"/api/curation/runs/{run_id}/select-bad-clusters").json()["measured_version"])


def test_from_a_file_to_a_rebuild_over_http(running: Server, tmp_path: Path) -> None:
    http = running.http
    bad = [{"conversation_id": "bad", "model": "m", "conversation": []}]
    job = load(running, jsonl(tmp_path / "chats.jsonl", [*rows(400), *bad]), "story")
    assert (job["imported"], job["rejected"], job["status"]) == (400, 1, "completed")
    assert "row 401" in str(job["errors"])

    run_id = clustered(running, "story")
    run = http.get(f"/api/clustering/runs/{run_id}")
    assert run.json()["num_clusters"] == 4
    assert run.json()["metrics"]["noise"]["count"] == 0

    named(running, run_id)
    clusters = http.get(f"/api/clustering/runs/{run_id}/clusters", params={"include_examples": 2}).json()
    assert [one["num_queries"] for one in clusters["items"]] == [100, 100, 100, 100]
    assert len({one["title"] for one in clusters["items"]}) == 4

    found = http.get(
        "/api/search", params={"text": "give me my money back", "run_id": run_id, "limit": 5}
    ).json()
    refunds = found["items"][0]["clusters"][0]["cluster_id"]
    assert "refund" in found["items"][0]["query"]["query_text"]

    renamed = http.post(
        f"/api/curation/clusters/{refunds}/rename",
        params={"run_id": run_id},
        json={"title": "Refunds", "reason": "what support calls it"},
        headers={"X-Actor": "ann", "If-Match": http.get(f"/api/clustering/runs/{run_id}").headers["ETag"]},
    )
    assert renamed.json()["new_title"] == "Refunds"
    query = http.get("/api/queries", params={"dataset": "story", "label": "weather", "limit": 1}).json()[
        "items"
    ][0]
    moved = http.post(
        f"/api/curation/queries/{query['id']}/move",
        params={"run_id": run_id},
        json={"to_cluster_id": refunds},
    )
    assert moved.json()["to_cluster_id"] == refunds
    position = int(moved.headers["X-Event-Position"])
    at = {"run_id": run_id, "min_position": position}
    history = http.get(f"/api/curation/clusters/{refunds}/history", params=at).json()["items"]
    assert [one["edit_type"] for one in history] == ["move", "rename"]
    assert (history[1]["editor"], history[1]["reason"]) == ("ann", "what support calls it")
    shown = f"/api/clustering/runs/{run_id}/clusters/{refunds}"
    assert http.get(shown, params={"min_position": position}).json()["cluster"]["num_queries"] == 101
    running.until(lambda: measured_version(http, run_id) >= moved.json()["version"], "measures follow")
    cluster = http.get(shown)

    def found_by_its_new_title() -> bool:
        hits = http.get("/api/search/clusters", params={"text": "Refunds", "run_id": run_id}).json()["items"]
        return bool(hits) and hits[0]["title"] == "Refunds"

    running.until(found_by_its_new_title, "cluster search follows the title")

    verified = http.post("/api/projections/all/verify").json()
    assert verified["equal"], verified
    assert http.post("/api/projections/all/rebuild").status_code == 200
    assert http.get(shown).json() == cluster.json()
    assert http.post("/api/projections/all/verify").json()["equal"]


def test_the_same_by_the_command_line(running: Server, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "chats.jsonl", rows(200))
    job = json.loads(running.cli("load", str(file), "--dataset", "typed", "--json"))
    assert job["imported"] == 200
    again = json.loads(running.cli("load", str(file), "--dataset", "typed", "--json"))
    assert (again["imported"], again["skipped"]) == (0, 200)
    run_id = running.cli("cluster", "kmeans", "--n-clusters", "4", "--dataset", "typed").strip()
    running.cli("summarize", run_id)
    clusters = json.loads(running.cli("list-clusters", run_id, "--json"))
    assert len(clusters["items"]) == 4
    first = str(clusters["items"][0]["cluster_id"])
    running.cli("edit", "rename-cluster", run_id, first, "--title", "Typed", "--reason", "by hand")
    history = json.loads(running.cli("edit", "history", run_id, "--cluster-id", first, "--json"))
    assert history["items"][0]["reason"] == "by hand"
    found = json.loads(running.cli("search", "weather tomorrow", "--run-id", run_id, "--json"))
    assert found["results"]
    exported = running.cli("export", run_id, "--format", "csv", "--output", "-")
    assert exported.count("\n") == 201
    assert json.loads(running.cli("projections", "verify", "datasets", "--json"))["equal"]
    wrong = running.run("edit", "rename-cluster", run_id, "99", "--title", "x")
    assert wrong.returncode == 1
    assert "no cluster 99" in wrong.stderr


def test_curated_by_the_command_line(running: Server, tmp_path: Path) -> None:
    """Of four clusters of 50, two become one, which is split; one is deleted; and most is taken back."""
    load(running, jsonl(tmp_path / "chats.jsonl", rows(200)), "curated")
    run_id = clustered(running, "curated")

    def edited(*arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(running.cli("edit", *arguments, "--json"))
        return answer

    def sizes() -> list[int]:
        found = running.http.get(f"/api/clustering/runs/{run_id}/clusters", params={"sort": "cluster_id"})
        return [one["num_queries"] for one in found.json()["items"]]

    at: dict[str, Any] = {"run_id": run_id, "cluster_id": 1, "limit": 20}
    some = running.http.get("/api/queries", params=at).json()["items"]
    ids = tmp_path / "ids.txt"
    ids.write_text("".join(f"{one['id']}\n" for one in some))
    merge = ("merge-clusters", run_id, "--target", "0", "--source", "1", "--new-title", "Both")
    merged = edited(*merge)["edit_id"]
    split = edited("split-cluster", run_id, "0", "--file", str(ids), "--new-title", "Some")["edit_id"]
    edited("delete-cluster", run_id, "2", "--orphan")
    assert sizes() == [80, 50, 20]
    orphan = json.loads(running.cli("edit", "orphaned", run_id, "--limit", "1", "--json"))["items"][0]
    assert orphan["orphan"]["assigned_to"] == 2
    edited("move-queries", run_id, str(orphan["query"]["id"]), "--to-cluster", "3")
    blocked = running.run("edit", "undo", str(merged))
    assert blocked.returncode == 1
    assert f"  {split} " in blocked.stderr
    assert "  --cascade: " in blocked.stderr
    undone = edited("undo", str(merged), "--cascade", "--reason", "too much in one")
    assert [one["edit_id"] for one in undone["edits"]] == [split, merged]
    edited("undo", "--last", "--run-id", run_id)
    assert sizes() == [50, 50, 50]
    assert f"takes back {split}, {merged}" in running.cli("edit", "history", run_id, "0")


def test_data_sets_side_by_side_and_clearing_one(running: Server, tmp_path: Path) -> None:
    http = running.http
    load(running, jsonl(tmp_path / "a.jsonl", rows(40)), "left")
    load(running, jsonl(tmp_path / "a.jsonl", rows(40)), "right")
    ids = {
        name: {one["id"] for one in http.get("/api/queries", params={"dataset": name}).json()["items"]}
        for name in ("left", "right")
    }
    assert len(ids["left"] | ids["right"]) == 80
    run_id = clustered(running, "left", 2)
    asked = http.delete("/api/datasets", params={"dataset": "left"}).json()
    wrong = http.delete("/api/datasets", params={"dataset": "left", "confirm_token": "0" * 16})
    assert wrong.status_code == 409
    token = {"dataset": "left", "confirm_token": asked["data"]["confirm_token"]}
    cleared = http.delete("/api/datasets", params=token)
    assert cleared.json()["data"] == {"dataset": "left", "queries": 40, "runs": 1}
    at = {"min_position": cleared.headers["X-Event-Position"]}
    assert http.get(f"/api/clustering/runs/{run_id}", params=at).status_code == 404
    assert http.get("/api/queries", params={"dataset": "left"}).json()["items"] == []
    assert len(http.get("/api/queries", params={"dataset": "right"}).json()["items"]) == 40
    kept = http.get("/api/events", params={"stream": "dataset/left"}).json()["items"]
    assert kept[-1]["type"] == "dataset.cleared"
    load(running, jsonl(tmp_path / "a.jsonl", rows(40)), "left")
    assert len(http.get("/api/queries", params={"dataset": "left"}).json()["items"]) == 40


def test_the_same_key_happens_once(running: Server, tmp_path: Path) -> None:
    http = running.http
    load(running, jsonl(tmp_path / "k.jsonl", rows(40)), "keyed")
    run_id = clustered(running, "keyed", 2)
    path = f"/api/curation/clusters/0/rename?run_id={run_id}"
    key = {"Idempotency-Key": "one-and-only"}
    first = http.post(path, json={"title": "Once"}, headers=key)
    again = http.post(path, json={"title": "Once"}, headers=key)
    other = http.post(path, json={"title": "Twice"}, headers=key)
    assert (first.json(), first.headers["X-Event-Position"]) == (
        again.json(),
        again.headers["X-Event-Position"],
    )
    assert other.status_code == 422
    assert other.json()["error"]["type"] == "Invalid"
    edits = http.get(f"/api/curation/runs/{run_id}/audit").json()
    assert edits["total"] == 1
