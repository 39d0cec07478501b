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
    "summarised": 3,
    "incoherent": 0,
    "failed": 0,
    "usage": {"calls": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0, "seconds": 0, "cached": 0},
}
USED = {"calls": 4, "input_tokens": 900, "output_tokens": 100, "cost_usd": 0.0021, "seconds": 2, "cached": 1}


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


def test_a_list_says_what_each_summary_run_took(lmsys: Lmsys, api: Api) -> None:
    runs = [{**SUMMARY, "usage": usage} for usage in (USED, {**USED, "cost_usd": None}, None)]
    api.on("GET", "/api/summaries", page(*runs))
    header, *rows = lmsys("summaries").stdout.splitlines()
    assert header.split()[-3:] == ["tokens", "cost_usd", "created_at"]
    assert [row.split()[5:-1] for row in rows] == [
        ["3", "0", "0", "1,000", "0.0021"],
        ["3", "0", "0", "1,000", "?"],
        ["3", "0", "0"],
    ]


def test_what_it_took_and_what_it_left_is_said(lmsys: Lmsys, api: Api) -> None:
    started(api)
    failures = [{"cluster_id": 7, "error": "the model said\nno"}]
    counts = {"summarised": 198, "incoherent": 4, "failed": 1, "usage": USED, "failures": failures}
    api.on("GET", "/api/summaries/summary-1", {**SUMMARY, **counts})
    told = lmsys("summarize", "run", "--model", "openai/gpt-4o-mini")
    assert (told.exit_code, told.stdout) == (0, "summary-1\n")
    assert (
        "198 clusters of run named by local/c-tf-idf; 4 incoherent; 1 failed; "
        "4 calls, 1 from memory, 1,000 tokens for $0.0021" in told.stderr
    )
    assert "cluster 7: the model said no" in told.stderr
    assert "lmsys summarize --resume summary-1 tries these again" in told.stderr


def test_a_price_that_is_unknown_is_not_made_up(lmsys: Lmsys, api: Api) -> None:
    started(api)
    api.on("GET", "/api/summaries/summary-1", {**SUMMARY, "usage": {**USED, "cost_usd": None}})
    assert "1,000 tokens at an unknown price" in lmsys("summarize", "run").stderr


def test_what_is_left_is_gone_on_with(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/summaries/summary-1/resume", {"status": "pending", "data": SUMMARY})
    api.on("GET", "/api/summaries/summary-1", SUMMARY)
    assert lmsys("summarize", "--resume", "summary-1").stdout == "summary-1\n"


def test_a_run_or_what_to_go_on_with_is_named(lmsys: Lmsys, api: Api) -> None:
    for wrong in ((), ("run", "--resume", "summary-1")):
        told = lmsys("summarize", *wrong)
        assert (told.exit_code, "one of them" in told.stderr) == (2, True)


def test_one_cluster_beside_what_is_shown(lmsys: Lmsys, api: Api) -> None:
    started(api)
    lmsys(
        "summarize", "run", "--cluster-id", "-1", "--seed", "7", "--no-show", "--replace-edited", "--no-wait"
    )
    body = api.asked[0].json
    assert (body["cluster_id"], body["seed"], body["show"], body["replace_edited"]) == (-1, 7, False, True)


def test_a_cancelled_one_is_a_failure_that_can_be_gone_on_with(lmsys: Lmsys, api: Api) -> None:
    started(api)
    api.on("GET", "/api/summaries/summary-1", {**SUMMARY, "status": "cancelled"})
    told = lmsys("summarize", "run")
    assert told.exit_code == 1
    assert "was cancelled; --resume summary-1 goes on with it" in told.stderr


def test_another_summary_run_is_shown_or_cancelled(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/summaries/summary-1/show", {"status": "completed", "data": SUMMARY})
    told = lmsys("show-summary", "summary-1", "--replace-edited", "--reason", "reads better")
    assert told.stdout == "run shows the titles of summary-1\n"
    assert api.asked[0].json == {"replace_edited": True, "reason": "reads better"}
    api.on("POST", "/api/summaries/summary-1/cancel", {"status": "cancelled", "data": SUMMARY})
    assert lmsys("cancel-summary", "summary-1").stdout == "summary-1 is cancelled\n"
