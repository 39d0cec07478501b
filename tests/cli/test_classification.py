"""`lmsys classify runs ...`, in front of a server that answers as it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, Raw, page

RUNS = "/api/classification/runs"
ID = "classify-nearest-20251004-170442"
RUN: dict[str, Any] = {
    "classification_run_id": ID,
    "template_id": "topics",
    "template_number": 1,
    "provider": "local",
    "model": "nearest",
    "alias": None,
    "status": "pending",
    "mode": "sync",
    "total_queries": 1_200,
    "processed_queries": 1_200,
    "error_count": 7,
    "latest_errors": ["query 3: no label"],
    "metrics": {"calls": 12},
    "filters": {"dataset": "default"},
    "execution": {"mode": "sync"},
    "created_at": "2026-01-01T00:00:00Z",
}
DONE = {**RUN, "status": "completed"}


def started(api: Api, ended: dict[str, Any], *states: str) -> None:
    api.on("POST", RUNS, RUN)
    api.on("POST", f"{RUNS}/{ID}/resume", RUN)
    told = [{"run_id": ID, "status": one, "processed": 5, "total": 10} for one in (*states, ended["status"])]
    api.on("GET", f"{RUNS}/{ID}/status", *told)
    api.on("GET", f"{RUNS}/{ID}", ended)


def test_a_run_is_created_and_waited_for(lmsys: Lmsys, api: Api) -> None:
    started(api, DONE, "pending", "running")
    told = lmsys(
        *("classify", "runs", "create", "topics", "--run-id", "kmeans-1", "--cluster", "3", "--cluster", "4"),
        *("--where", "language = 'German'", "--sample", "100", "--seed", "1", "--concurrency", "2"),
    )
    assert (told.exit_code, told.stdout) == (0, f"{ID}\n")
    assert "1,193 queries labelled by local/nearest" in told.stderr
    assert f"7 failed: lmsys classify runs show {ID}" in told.stderr
    assert api.asked[0].json == {
        "template_id": "topics",
        "provider": "local",
        "model": "nearest",
        "filters": {
            "run_id": "kmeans-1",
            "cluster_ids": [3, 4],
            "sql_filter": "language = 'German'",
            "sample": 100,
            "seed": 1,
        },
        "execution": {"mode": "sync", "concurrency": 2},
    }


def test_without_waiting_the_id_is_told(lmsys: Lmsys, api: Api) -> None:
    started(api, DONE)
    told = lmsys("classify", "runs", "create", "topics", "--no-wait", "--json")
    assert json.loads(told.stdout)["classification_run_id"] == ID
    told = lmsys("classify", "runs", "create", "topics", "--batch", "--model", "openai/gpt-4o-mini")
    assert (told.stdout, api.asked[-1].json["execution"]) == (f"{ID}\n", {"mode": "batch"})
    assert api.asked[-1].json["model"] == "gpt-4o-mini"


def test_one_that_fails_or_is_cancelled_says_how_to_go_on(lmsys: Lmsys, api: Api) -> None:
    started(api, {**RUN, "status": "failed", "latest_errors": ["no key", "query 3: no label"]})
    told = lmsys("classify", "runs", "create", "topics")
    assert (told.exit_code, f"{ID} failed: no key" in told.stderr) == (1, True)
    assert told.stderr.index("query 3: no label") < told.stderr.index(f"lmsys classify runs resume {ID}")
    api.on("GET", f"{RUNS}/{ID}", {**RUN, "status": "cancelled"})
    told = lmsys("classify", "runs", "resume", ID, "--rpm", "60")
    assert api.of("POST")[-1].json == {"execution": {"rpm": 60}}
    assert told.exit_code == 1


def test_a_model_is_written_with_its_provider(lmsys: Lmsys, api: Api) -> None:
    told = lmsys("classify", "runs", "create", "topics", "--model", "nearest")
    assert (told.exit_code, api.asked) == (2, [])
    assert "provider/model" in told.stderr


def test_runs_are_listed_and_shown(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", RUNS, page(DONE))
    told = lmsys("classify", "runs", "list", "--template", "topics", "--status", "completed")
    assert ID in told.stdout
    assert (api.asked[0].query["template_id"], api.asked[0].query["status"]) == ("topics", "completed")
    api.on("GET", f"{RUNS}/{ID}", DONE)
    told = lmsys("classify", "runs", "show", ID)
    assert ("filters.dataset" in told.stdout, "query 3: no label" in told.stderr) == (True, True)
    api.on("GET", f"{RUNS}/{ID}/status", {"run_id": ID, "status": "running", "processed": 5, "total": 10})
    assert "running" in lmsys("classify", "runs", "status", ID).stdout
    api.on("POST", f"{RUNS}/{ID}/cancel", {"status": "cancelling", "data": {}})
    assert lmsys("classify", "runs", "cancel", ID).stdout == "cancelling\n"


def test_labels_are_counted(lmsys: Lmsys, api: Api) -> None:
    found = {"truth": "label", "compared": 10, "agreed": 9, "accuracy": 0.9}
    answer = {"label_distribution": {"refund": 3, "other": 1}, "query_count": 4, "agreement": found}
    api.on("GET", f"{RUNS}/{ID}/stats", answer)
    told = lmsys("classify", "runs", "stats", ID, "--truth", "label", "--current")
    assert ["refund", "3", "0.750"] in [line.split() for line in told.stdout.splitlines()]
    assert "9 of 10 as label in the metadata has them (90.0%)" in told.stderr
    assert api.asked[0].query == {"truth": "label", "vocabulary": "current"}


RESULT = {
    "query": {"id": 7, "query_text": "refund\nplease"},
    "label": "refund",
    "confidence": 0.5,
    "error": None,
}


def test_results_are_listed_by_label_or_by_cluster(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", f"{RUNS}/{ID}/results", page(RESULT, total=90))
    told = lmsys("classify", "runs", "results", ID, "--label", "refund", "--search", "please", "--limit", "1")
    assert told.stdout.splitlines()[1].split() == ["7", "refund", "0.500", "refund", "please"]
    assert "1 of 90" in told.stderr
    asked = api.asked[0].query
    assert (asked["label"], asked["query"], asked["limit"]) == ("refund", "please", "1")
    api.on("GET", f"{RUNS}/{ID}/clusters/-1", page(RESULT))
    told = lmsys("classify", "runs", "results", ID, "--cluster", "-1", "--clustering", "kmeans-1")
    assert (told.exit_code, api.asked[-1].query["clustering_run_id"]) == (0, "kmeans-1")
    told = lmsys("classify", "runs", "results", ID, "--cluster", "1", "--failed")
    assert told.exit_code == 2


def test_clusters_are_crossed_with_labels(lmsys: Lmsys, api: Api) -> None:
    rows = [
        {"cluster_id": 0, "counts": {"refund": 3, "other": 1}},
        {"cluster_id": -1, "counts": {"other": 2}},
    ]
    answer = {"clusters_to_labels": rows, "outside": 5, "clustering_run_id": "kmeans-1"}
    api.on("GET", f"{RUNS}/{ID}/pivot", answer)
    told = lmsys("classify", "runs", "pivot", ID, "--top", "1")
    lines = [line.split() for line in told.stdout.splitlines()]
    assert lines[1:] == [["0", "4", "0.750", "refund", "3"], ["-1", "2", "1.000", "other", "2"]]
    assert "5 results are of queries that kmeans-1 does not have" in told.stderr


def test_results_are_written_into_a_file(lmsys: Lmsys, api: Api, tmp_path: Path) -> None:
    promised = {"download_url": "/api/there?format=csv", "format": "csv", "row_count": 1_200}
    api.on("GET", f"{RUNS}/{ID}/export", promised)
    api.on("GET", "/api/there", Raw(b"query_id\r\n7\r\n"))
    assert lmsys("classify", "runs", "export", ID).stdout_bytes == b"query_id\r\n7\r\n"
    assert api.asked[0].query == {"format": "csv"}
    output = tmp_path / "out.parquet"
    told = lmsys("classify", "runs", "export", ID, "--format", "parquet", "--failed", "-o", str(output))
    assert (told.stdout, f"1,200 rows in {output}\n" in told.stderr) == ("", True)
    assert api.asked[2].query == {"format": "parquet", "kind": "failed"}
    assert output.read_bytes() == b"query_id\r\n7\r\n"
    found = lmsys("classify", "runs", "export", ID, "--label", "refund", "--search", "please", "--json")
    assert json.loads(found.stdout) == promised
    assert api.asked[-1].query == {"format": "csv", "label": "refund", "query": "please"}


def test_a_file_is_ingested(lmsys: Lmsys, api: Api) -> None:
    answer = {"status": "pending", "data": {"ingest_id": "ingest-v4"}}
    api.on("POST", f"{RUNS}/{ID}/ingest", answer)
    told = lmsys("classify", "runs", "ingest", ID, "out.jsonl")
    assert (told.stdout, api.asked[0].json) == ("ingest-v4\n", {"output_path": "out.jsonl"})
