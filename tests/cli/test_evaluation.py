"""Evaluation from the command line: files sent, runs waited for, figures as tables, pictures into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, Raw, page

RUNS = "/api/evaluation/runs"
AVERAGE = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "f1_interval": [0.4, 0.6]}
BLOCK = {
    "cases": 4,
    "correct": 2,
    "errors": 1,
    "accuracy": 0.5,
    "accuracy_interval": [0.25, 0.75],
    "macro": AVERAGE,
    "weighted": AVERAGE,
    "classes": [
        {"label": "ORDER", "support": 3, "predicted": 2, "correct": 2, **AVERAGE},
        {
            "label": "NONE",
            "support": 0,
            "predicted": 1,
            "correct": 0,
            "precision": 0.0,
            "recall": None,
            "f1": 0.0,
            "f1_interval": None,
        },
    ],
    "confusion": {"labels": ["ORDER", "NONE"], "cells": [[0, 0, 2], [0, 1, 1], [0, 2, 1]]},
}
FIGURES = {
    "headline": BLOCK,
    "with_leaked": {**BLOCK, "cases": 5, "correct": 3},
    "counts": {"cases": 6, "answered": 5, "errors": 1, "leaked": 1, "gone": 1},
    "not_allowed": ["INVOICE"],
    "seconds": {"mean": 0.2, "p50": 0.1, "p95": 0.9},
    "usage": {"cost_usd": 0.25},
}
RUN: dict[str, Any] = {
    "evaluation_run_id": "e1",
    "template_id": "support",
    "template_number": 2,
    "suggestion_id": None,
    "test_set": "cases",
    "test_set_version": 1,
    "model": "local/nearest",
    "status": "completed",
    "cases": 6,
    "answered": 5,
    "error": None,
    "accuracy": 0.5,
    "macro_f1": 0.5,
    "cost_usd": 0.25,
    "figures": FIGURES,
}
FROZEN = {
    "test_set": "cases",
    "number": 1,
    "hash": "ab" * 32,
    "cases": 3,
    "labels": {"ORDER": 2, "REFUND": 1},
    "rejected": 1,
    "errors": [{"row": 4, "reason": "repeats row 1"}],
}


def test_cases_of_a_file_are_sent_and_bad_rows_told(lmsys: Lmsys, api: Api, tmp_path: Path) -> None:
    api.on("POST", "/api/evaluation/test-sets/upload", FROZEN)
    file = tmp_path / "cases.csv"
    file.write_text("text,label\nhello,ORDER\n")
    told = lmsys("evaluate", "test-sets", "create", "cases", str(file), "--per-label", "18")
    assert (told.exit_code, told.stdout) == (0, "cases v1  abababababab  3 cases, 2 labels\n")
    assert "  row 4: repeats row 1\n1 rows were left out\n" in told.stderr
    sent = api.asked[0].body
    assert b'filename="cases.csv"' in sent
    assert b'name="per_label"\r\n\r\n18' in sent
    assert lmsys("evaluate", "test-sets", "create", "cases", str(tmp_path)).exit_code == 2


def test_labelled_queries_are_asked_for_by_a_filter(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/evaluation/test-sets", FROZEN)
    lmsys("evaluate", "test-sets", "from-queries", "cases", "--dataset", "d", "--truth", "domain")
    assert api.asked[0].json == {"test_set": "cases", "filters": {"dataset": "d"}, "truth": "domain"}


def test_a_run_is_waited_for(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", RUNS, {"evaluation_run_id": "e1", "status": "pending"})
    api.on("GET", f"{RUNS}/e1", {**RUN, "status": "running", "figures": None}, RUN)
    told = lmsys("evaluate", "run", "support", "--test-set", "cases", "--rpm", "60")
    assert (told.exit_code, told.stdout) == (0, "e1\n")
    words = "accuracy 50.0% (25.0% to 75.0%), 2 of 4; macro F1 0.500; 1 error; 1 leaked; 1 gone"
    assert words in told.stderr
    assert api.asked[0].json == {
        "template_id": "support",
        "test_set": "cases",
        "model": "local/nearest",
        "rpm": 60,
    }


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_run_that_did_not_end_well_is_a_failure(lmsys: Lmsys, api: Api, status: str) -> None:
    api.on("POST", RUNS, {"evaluation_run_id": "e1", "status": "pending"})
    api.on("GET", f"{RUNS}/e1", {**RUN, "status": status, "error": "rate limit"})
    told = lmsys("evaluate", "run", "support", "--test-set", "cases")
    assert told.exit_code == 1
    assert f"e1 {status}: rate limit; 5 of 6 cases are done" in told.stderr
    assert "lmsys evaluate resume e1" in told.stderr


def test_a_run_is_shown_by_label(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", f"{RUNS}/e1", RUN)
    told = lmsys("evaluate", "show", "e1").stdout
    assert told.startswith("e1  completed: support:v2 by local/nearest on cases:v1\naccuracy 50.0%")
    assert "100.00 ms a case (p95 900.00), 0.2500 USD" in told
    assert "with those that are examples: 3 of 5 right" in told
    assert "labels that the template has not: INVOICE" in told
    assert "0.400-0.600" in told
    assert "macro: precision 0.500, recall 0.500, F1 0.500 0.400-0.600" in told


def test_a_matrix_is_a_table(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", f"{RUNS}/e1", RUN)
    lines = lmsys("evaluate", "matrix", "e1").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["expected", "ORDER", "NONE", "(error)"],
        ["ORDER", "2", "1", "1"],
    ]


def test_a_picture_goes_into_a_file(lmsys: Lmsys, api: Api, tmp_path: Path) -> None:
    api.on("GET", f"{RUNS}/e1/plot", Raw(b"<svg/>"))
    out = tmp_path / "matrix.svg"
    assert lmsys("evaluate", "plot", "e1", "--out", str(out)).stdout == f"{out}\n"
    assert out.read_bytes() == b"<svg/>"
    assert api.asked[0].query == {"kind": "confusion", "format": "svg", "with_leaked": "false"}
    assert lmsys("evaluate", "plot", "e1", "--out", "matrix.pdf").exit_code == 2


def test_a_picture_that_is_refused_leaves_no_file(lmsys: Lmsys, api: Api, tmp_path: Path) -> None:
    api.fail("GET", f"{RUNS}/e1/plot", 409, "it has no figures yet")
    out = tmp_path / "matrix.png"
    told = lmsys("evaluate", "plot", "e1", "--out", str(out))
    assert (told.exit_code, out.exists()) == (1, False)
    assert "it has no figures yet" in told.stderr


COMPARED = {
    "cases": 100,
    "left_out": 3,
    "both_right": 80,
    "broken": 2,
    "fixed": 8,
    "both_wrong": 10,
    "accuracy_before": 0.82,
    "accuracy_after": 0.88,
    "difference": 0.06,
    "difference_interval": [0.0, 0.12],
    "p_value": 0.109375,
    "classes": [
        {
            "label": "A",
            "support": 10,
            "fixed": 8,
            "broken": 2,
            "recall_before": 0.2,
            "recall_after": 0.8,
        },
        {
            "label": "B",
            "support": 90,
            "fixed": 0,
            "broken": 0,
            "recall_before": 0.9,
            "recall_after": 0.9,
        },
    ],
}


def test_two_runs_are_compared_in_words_and_by_label(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/evaluation/compare", COMPARED)
    lines = lmsys("evaluate", "compare", "e1", "e2").stdout.splitlines()
    assert lines[0] == "100 cases: 8 fixed, 2 broken, 80 both right, 10 both wrong"
    assert lines[1].startswith("3 were left out")
    assert lines[2] == ("accuracy 82.0% -> 88.0%: +6.0 points (+0.0 to +12.0); McNemar p = 0.1094")
    assert [line.split()[0] for line in lines[3:]] == ["label", "A"]


def test_cases_of_one_outcome_are_listed(lmsys: Lmsys, api: Api) -> None:
    case = {
        "test_id": 7,
        "expected": "A",
        "predicted_before": "B",
        "predicted_after": "A",
        "leaked": False,
        "text": "two shoes",
    }
    api.on("GET", "/api/evaluation/compare/cases", page(case))
    told = lmsys("evaluate", "compare", "e1", "e2", "--cases", "fixed").stdout
    assert "two shoes" in told
    assert api.asked[0].query["outcome"] == "fixed"


SUGGESTION: dict[str, Any] = {
    "suggestion_id": "s1",
    "status": "draft",
    "model": "local/confusion",
    "template_id": "support",
    "template_number": 2,
    "analysis": "91.4 % are right.",
    "suggestions": ["Tell A from B."],
    "error": None,
    "draft": {
        "descriptions": {"A": "Also about: fee."},
        "examples": [{"label": "A", "text": "the fee"}],
        "prompt": None,
    },
}


def test_a_suggestion_is_waited_for_and_shown(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", f"{RUNS}/e1/suggest", {"suggestion_id": "s1", "status": "pending"})
    pending = {**SUGGESTION, "status": "pending", "draft": None}
    api.on("GET", "/api/evaluation/suggestions/s1", pending, SUGGESTION)
    told = lmsys("evaluate", "suggest", "e1", "--examples-per-label", "2")
    assert told.exit_code == 0
    assert api.asked[0].json == {"model": "local/confusion", "examples_per_label": 2}
    assert told.stdout.splitlines()[:3] == [
        "s1  draft, by local/confusion, for support v2",
        "91.4 % are right.",
        "- Tell A from B.",
    ]
    assert "the fee" in told.stdout
    assert "to try it: lmsys evaluate try s1" in told.stderr


def test_a_suggestion_that_failed_says_why(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", f"{RUNS}/e1/suggest", {"suggestion_id": "s1", "status": "pending"})
    api.on("GET", "/api/evaluation/suggestions/s1", {**SUGGESTION, "status": "failed", "error": "no key"})
    told = lmsys("evaluate", "suggest", "e1")
    assert (told.exit_code, "s1 failed: no key" in told.stderr) == (1, True)


def test_a_draft_is_adopted_with_force_and_a_reason(lmsys: Lmsys, api: Api) -> None:
    data = {"template_id": "support", "template_number": 3}
    api.on("POST", "/api/evaluation/suggestions/s1/adopt", {"status": "adopted", "data": data})
    told = lmsys("evaluate", "adopt", "s1", "--force", "--reason", "now")
    assert (told.exit_code, told.stdout) == (0, "support has version 3\n")
    assert api.asked[0].json == {"force": True, "reason": "now"}
