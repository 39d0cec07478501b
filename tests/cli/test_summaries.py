"""Naming clusters from the command line."""

from __future__ import annotations

import json

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, page

SUMMARY = {
    "summary_run_id": "summary-1",
    "run_id": "run",
    "alias": "v1",
    "model": "local/c-tf-idf",
    "status": "completed",
    "created_at": "2026-01-01T00:00:00Z",
}


def started(api: Api) -> None:
    api.on("POST", "/api/summaries", {"status": "pending", "data": {"summary_run_id": "summary-1"}})


def test_a_run_is_summarised(lmsys: Lmsys, api: Api) -> None:
    started(api)
    api.on("GET", "/api/summaries/summary-1", {**SUMMARY, "status": "running"}, SUMMARY)
    told = lmsys(
        "summarize", "run", "--alias", "v1", "--max-queries", "20", "--concurrency", "4", "--rpm", "9"
    )
    assert (told.exit_code, told.stdout) == (0, "summary-1\n")
    assert api.asked[0].json == {
        "run_id": "run",
        "provider": "local",
        "model": "c-tf-idf",
        "alias": "v1",
        "max_queries": 20,
        "concurrency": 4,
        "rpm": 9,
    }


def test_a_model_may_have_a_slash_in_its_name(lmsys: Lmsys, api: Api) -> None:
    started(api)
    lmsys("summarize", "run", "--model", "openai-compatible/org/model", "--no-wait")
    assert api.asked[0].json == {"run_id": "run", "provider": "openai-compatible", "model": "org/model"}


def test_a_summary_that_failed_is_a_failure(lmsys: Lmsys, api: Api) -> None:
    started(api)
    api.on("GET", "/api/summaries/summary-1", {**SUMMARY, "status": "failed", "error": "the key is wrong"})
    told = lmsys("summarize", "run")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.endswith("lmsys: summary run summary-1 failed: the key is wrong\n")


def test_summary_runs_are_listed(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/summaries", page(SUMMARY))
    assert "summary-1" in lmsys("summaries", "run").stdout
    assert api.asked[0].query["run_id"] == "run"
    assert json.loads(lmsys("summaries", "--json").stdout)["items"] == [SUMMARY]
