"""Measures follow edits by themselves, and the parts of a running installation agree about a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.journeys.conftest import Server, jsonl, rows
from tests.journeys.test_main_job import clustered, load, named


def test_measures_follow_an_edit_and_everything_agrees(running: Server, tmp_path: Path) -> None:
    load(running, jsonl(tmp_path / "chats.jsonl", rows(80)), "measured")
    run_id = clustered(running, "measured")
    named(running, run_id)

    def bad() -> dict[str, Any]:
        answer: dict[str, Any] = running.http.get(
            f"/api/curation/runs/{run_id}/select-bad-clusters", params={"min_size": 2}
        ).json()
        return answer

    def cohesion() -> dict[int, float]:
        found = running.http.get(f"/api/clustering/runs/{run_id}/clusters").json()["items"]
        return {one["cluster_id"]: one["cohesion"] for one in found}

    running.until(lambda: bad()["measured_version"] and not bad()["unmeasured"], "measured")
    before = cohesion()
    first, second = sorted(before)[:2]
    members = running.http.get(f"/api/clustering/runs/{run_id}/clusters/{first}").json()["queries"]["items"]
    edit = running.http.post(
        f"/api/curation/queries/move?run_id={run_id}",
        json={"query_ids": [one["id"] for one in members], "to_cluster_id": second},
    )
    version = edit.json()["version"]
    running.until(lambda: bad()["measured_version"] >= version, "measured anew")
    after = cohesion()
    assert after[first] is None
    assert after[second] < before[second]
    assert {one: after[one] for one in before if one not in (first, second)} == {
        one: before[one] for one in before if one not in (first, second)
    }
    assert [one["cluster_id"] for one in bad()["items"] if one["reasons"][0]["heuristic"] == "too_small"] == [
        first
    ]
    verified = json.loads(running.cli("verify", "sync", run_id, "--json"))
    assert (verified["status"], verified["issues"]) == ("ok", [])
    assert verified["sqlite_summary_count"] == verified["chroma_summary_count"] == 4
