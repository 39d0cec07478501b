"""Undo and redo from the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.curation import making
from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, Asked, Raw

MERGE = {"edit_id": 4_022, "version": 12, "edit_type": "merge"}
SPLIT = {"edit_id": 4_030, "version": 20, "edit_type": "split"}
RENAME = {"edit_id": 41_000, "version": 21, "edit_type": "rename"}
UNDONE = {
    "edit_id": 5_000,
    "version": 22,
    "dry_run": False,
    "run_id": "run",
    "edits": [MERGE],
    "blockers": [],
    "queries_moved": 413,
    "clusters_changed": [7, 35],
    "clusters_restored": [7],
    "clusters_removed": [],
}
TOGETHER = {**UNDONE, "edits": [RENAME, SPLIT, MERGE], "blockers": [RENAME, SPLIT], "clusters_removed": [41]}
EFFECT = "413 queries moved; clusters touched: 7, 35; there again: 7"
BACK = "this is edit 5000; to take it back: lmsys edit undo 5000\n"
ONE = "/api/curation/edits/4022/undo"


def refused(message: str, *errors: dict[str, Any], status: int = 409) -> Raw:
    body = {"status": status, "error": {"type": "Conflict", "message": message}, "errors": list(errors)}
    return Raw(json.dumps(body).encode(), status)


def test_an_edit_is_taken_back(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", ONE, UNDONE)
    told = lmsys("edit", "undo", "4022", "--reason", "by mistake", "--if-match", "21", "--run-id", "run")
    assert (told.exit_code, told.stdout) == (0, f"edit 4022 undone\n{EFFECT}\n")
    assert told.stderr == BACK
    asked = api.asked[0]
    assert (asked.json, asked.query) == ({"reason": "by mistake"}, {"run_id": "run"})
    assert asked.headers["if-match"] == '"21"'
    assert json.loads(lmsys("edit", "undo", "4022", "--json").stdout) == UNDONE


@pytest.mark.parametrize(("word", "done"), [("undo", "undone"), ("redo", "done again")])
def test_the_last_one_of_a_run(word: str, done: str, lmsys: Lmsys, api: Api) -> None:
    api.on("POST", f"/api/curation/runs/run/{word}", UNDONE)
    told = lmsys("edit", word, "--last", "--run-id", "run")
    assert told.stdout == f"{done}: 4022 (merge)\n{EFFECT}\n"
    assert api.asked[0].query == {}


def test_an_undo_of_an_undo_does_not_call_undone_what_it_puts_back(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/edits/5000/undo", UNDONE)
    told = lmsys("edit", "undo", "5000")
    assert told.stdout.startswith("edit 5000 undone; it was about 4022 (merge)\n")


def test_with_cascade_the_others_go_along(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", ONE, TOGETHER)
    told = lmsys("edit", "undo", "4022", "--cascade")
    assert told.stdout == (
        f"edit 4022 undone together with 41000 (rename), 4030 (split)\n{EFFECT}; gone: 41\n"
    )
    assert api.asked[0].query == {"cascade": "true"}


def unless_cascade(asked: Asked) -> object:
    if "cascade" in asked.query or "dry_run" in asked.query:
        return {**TOGETHER, "edit_id": None, "dry_run": True}
    return refused("2 edits came later: undo these first, or cascade", RENAME, SPLIT)


TABLE = [
    "  edit_id  version  edit_type",
    "  41000    21       rename",
    "  4030     20       split",
    f"  --cascade: they are undone as well; {EFFECT}; gone: 41",
]


def test_what_stands_in_the_way_is_a_table_with_the_way_out(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", ONE, unless_cascade)
    told = lmsys("edit", "undo", "4022")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.splitlines() == [
        "lmsys: 2 edits came later: undo these first, or cascade",
        *TABLE,
    ]
    assert [one.query for one in api.asked] == [{}, {"cascade": "true", "dry_run": "true"}]


def test_a_dry_run_of_what_would_be_refused_says_both(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", ONE, unless_cascade)
    told = lmsys("edit", "undo", "4022", "--dry-run")
    assert told.exit_code == 1
    assert told.stdout.startswith("dry run: edit 4022 undone together with 41000 (rename), 4030 (split)\n")
    assert told.stderr.splitlines() == [
        "lmsys: it cannot be undone alone: 2 edits stand in the way",
        *TABLE,
    ]
    told = lmsys("edit", "undo", "4022", "--dry-run", "--json")
    assert (told.exit_code, json.loads(told.stdout)["blockers"]) == (1, [RENAME, SPLIT])
    assert lmsys("edit", "undo", "4022", "--dry-run", "--cascade").exit_code == 0


def test_cascade_is_not_recommended_where_it_would_not_help(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/edits/4022/redo", refused("came since: undo these first", RENAME))
    told = lmsys("edit", "redo", "4022")
    assert told.exit_code == 1
    assert "41000" in told.stderr
    assert "--cascade" not in told.stderr


def test_of_very_many_the_first_are_shown(lmsys: Lmsys, api: Api) -> None:
    many = [{**RENAME, "edit_id": one} for one in range(100, 130)]
    api.on("POST", ONE, refused("30 edits came later", *many))
    lines = lmsys("edit", "undo", "4022", "--cascade").stderr.splitlines()
    assert lines[-2:] == ["  119      21       rename", "  and 10 more"]
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        refused("edit 4022 belongs to another run"),
        refused("cluster 41 would go, but has queries", {"query_id": 7}),
        refused("run is at version 22, not 21", {"edit_id": 1}, status=412),
    ],
)
def test_other_refusals_stay_as_they_are(answer: Raw, lmsys: Lmsys, api: Api) -> None:
    api.on("POST", ONE, answer)
    told = lmsys("edit", "undo", "4022")
    assert told.exit_code == 1
    assert told.stderr.startswith(f"lmsys: {json.loads(answer.body)['error']['message']}\n")
    assert "edit_id" not in told.stderr
    assert len(api.asked) == 1


@pytest.mark.parametrize("word", ["undo", "redo"])
def test_an_undo_is_shown_before_and_agreed_to(
    word: str, lmsys: Lmsys, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_is_a_terminal", lambda: True)
    api.on("POST", f"/api/curation/runs/run/{word}", {**UNDONE, "dry_run": True, "version": 21}, UNDONE)
    told = lmsys("edit", word, "--last", "--run-id", "run", given="yes\n")
    assert told.exit_code == 0
    assert told.stderr.startswith("about to be done: ")
    assert [one.query for one in api.asked] == [{"dry_run": "true"}, {}]
    assert api.asked[1].headers["if-match"] == '"21"', "not an edit that came in between"


def test_nobody_is_asked_about_what_would_be_refused(
    lmsys: Lmsys, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_is_a_terminal", lambda: True)
    api.on("POST", ONE, unless_cascade)
    told = lmsys("edit", "undo", "4022", given="yes\n")
    assert told.exit_code == 1
    assert told.stderr.splitlines()[1:] == TABLE
    assert [one.query for one in api.asked] == [{"dry_run": "true"}]
