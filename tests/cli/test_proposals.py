"""Proposals from the command line: from a file, looked at as tables, decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, Raw

RUN = "/api/curation/runs/run/proposals"
ONE = "/api/curation/proposals/p1"
RENAME = {"type": "rename", "cluster_id": 2, "title": "Weather", "reason": "all ask for it"}
MERGE = {"type": "merge", "source_cluster_ids": [1], "target_cluster_id": 0}
FIGURES = {
    "clusters": 3,
    "queries": 24,
    "noise": 8,
    "orphans": 0,
    "smallest": 8,
    "median": 8.0,
    "largest": 8,
    "gini": 0.0,
}
IMPACT = {
    "queries_moved": 8,
    "before": FIGURES,
    "after": {**FIGURES, "clusters": 2, "largest": 16, "gini": 1 / 6},
    "counts": {"made": 0, "removed": 1, "renamed": 1, "resized": 1, "noted": 1},
    "clusters": [
        {
            "cluster_id": 1,
            "what": ["removed"],
            "was_title": "Cards",
            "title": None,
            "was_size": 8,
            "size": None,
            "noted": {},
        },
        {
            "cluster_id": 2,
            "what": ["renamed", "noted"],
            "was_title": None,
            "title": "Weather",
            "was_size": 8,
            "size": 8,
            "noted": {"flags": ["review"], "quality": "low"},
        },
    ],
    "edits": [
        {
            "index": 0,
            "edit_type": "merge",
            "can_be_made": True,
            "refusal": None,
            "queries_moved": 8,
            "clusters_changed": [0, 1],
            "touched_since": 0,
            "touched_by": [],
        },
        {
            "index": 1,
            "edit_type": "rename",
            "can_be_made": True,
            "refusal": None,
            "queries_moved": 0,
            "clusters_changed": [2],
            "touched_since": 1,
            "touched_by": [{"edit_id": 90, "version": 9, "edit_type": "rename"}],
        },
    ],
}
MADE = {
    "proposal_id": "p1",
    "run_id": "run",
    "status": "pending",
    "version": 7,
    "dry_run": False,
    "impact": IMPACT,
}
IN_WORDS = "8 queries moved; clusters: 1 removed, 1 renamed, 1 resized, 1 noted; gini 0.000 -> 0.167"
PENDING = {
    **MADE,
    "title": "Tidy up",
    "reason": "near each other",
    "source": "nightly check",
    "proposed_by": "agent",
    "proposed_at": "2025-10-04T17:04:42Z",
    "edit_count": 2,
    "decided_by": None,
    "decided_at": None,
    "decision_reason": None,
    "edits": [MERGE, RENAME],
}
CONFLICT = {
    "index": 1,
    "edit_type": "rename",
    "can_be_made": True,
    "reason": "edited since by others",
    "edits": [{"edit_id": 90, "version": 9, "edit_type": "rename"}],
}
ACCEPTED = {**MADE, "status": "accepted", "edit_id": 95, "edits_made": 2, "conflicts": []}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("edits.json", json.dumps({"edits": [MERGE, RENAME], "reason": "so"})),
        ("edits.json", "\ufeff" + json.dumps([MERGE, RENAME])),
        (
            "edits.yaml",
            "- {type: merge, source_cluster_ids: [1], target_cluster_id: 0}\n"
            "- type: rename\n  cluster_id: 2\n  title: Weather\n  reason: all ask for it\n",
        ),
    ],
)
def test_edits_are_read_from_a_file(lmsys: Lmsys, api: Api, tmp_path: Path, name: str, text: str) -> None:
    api.on("POST", RUN, MADE)
    file = tmp_path / name
    file.write_text(text)
    told = lmsys(
        "proposals", "create", "run", str(file), "--reason", "so", "--title", "Tidy", "--if-match", "7"
    )
    assert (told.exit_code, told.stdout) == (0, f"p1: {IN_WORDS}\n")
    assert told.stderr == "to look at it: lmsys proposals show p1\n"
    assert api.asked[0].json == {"edits": [MERGE, RENAME], "reason": "so", "title": "Tidy"}
    assert api.asked[0].headers["if-match"] == '"7"'


def test_edits_are_read_from_standard_input(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", RUN, {**MADE, "proposal_id": None, "dry_run": True})
    text = "{edits: [{type: rename, cluster_id: 2, title: 2025-10-04}], reason: so}"
    told = lmsys("proposals", "create", "run", "-", "--dry-run", given=text)
    assert (told.stdout, told.stderr) == (f"dry run: {IN_WORDS}\n", "")
    assert api.asked[0].query == {"dry_run": "True"} or api.asked[0].query == {"dry_run": "true"}
    assert api.asked[0].json["edits"][0]["title"] == "2025-10-04"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "is neither JSON nor YAML"),
        ("just words", "holds no edits"),
        ("{reason: so}", "holds no edits"),
        ("[]", "say why"),
    ],
)
def test_a_file_without_edits_is_refused(
    lmsys: Lmsys, api: Api, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "edits.yaml"
    file.write_text(text)
    told = lmsys("proposals", "create", "run", str(file))
    assert told.exit_code == 2
    assert words in told.stderr
    assert api.asked == []


def test_a_file_that_is_not_there_is_refused(lmsys: Lmsys) -> None:
    told = lmsys("proposals", "create", "run", "nowhere.json", "--reason", "so")
    assert (told.exit_code, "nowhere.json cannot be read" in told.stderr) == (2, True)


def test_edits_that_cannot_be_made_are_named(lmsys: Lmsys, api: Api) -> None:
    errors = [{"index": 3, "detail": "run run has no cluster 9"}]
    api.fail("POST", RUN, 409, "1 of the edits cannot be made", errors=errors)
    told = lmsys("proposals", "create", "run", "-", "--reason", "so", given="[{type: rename}]")
    assert told.exit_code == 1
    assert told.stderr == "lmsys: 1 of the edits cannot be made\n  edit 3: run run has no cluster 9\n"


def test_heuristics_suggest(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/runs/run/select-bad-clusters/proposals", MADE)
    told = lmsys("proposals", "suggest", "run", "--heuristic", "overlap", "--heuristic", "too_small")
    assert told.stdout == f"p1: {IN_WORDS}\n"
    assert api.asked[0].query == {"heuristics": "overlap"}  # the stand-in shows the first of two
    assert lmsys("proposals", "suggest", "run", "--heuristic", "ugly").exit_code == 2


def test_the_list_is_a_table(lmsys: Lmsys, api: Api) -> None:
    page = {"items": [PENDING], "total": 1, "page": 1, "pages": 1, "limit": 50, "next_cursor": None}
    api.on("GET", RUN, page)
    lines = lmsys("proposals", "list", "run", "--status", "pending").stdout.splitlines()
    assert lines[0].split()[:3] == ["proposal_id", "status", "edit_count"]
    assert lines[1].split()[:4] == ["p1", "pending", "2", "agent"]
    assert api.asked[0].query["status"] == "pending"


def test_a_proposal_is_shown_with_what_it_would_come_to(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", ONE, PENDING)
    told = lmsys("proposals", "show", "p1")
    assert told.stdout.splitlines() == [
        "p1  pending  Tidy up",
        "run run, proposed by agent (nightly check) at 2025-10-04T17:04:42Z: near each other",
        IN_WORDS,
        "",
        "run     clusters  queries  noise  orphans  smallest  median  largest   gini",
        "before         3       24      8        0         8   8.000        8  0.000",
        "after          2       24      8        0         8   8.000       16  0.167",
        "",
        "cluster_id  what           was_size  size  title",
        "         1  removed               8        Cards",
        "         2  renamed,noted         8     8  (no title) -> Weather; flags: review; quality: low",
        "",
        "index  edit    clusters  moved  conflict                   reason",
        "    0  merge   0, 1          8",
        "    1  rename  2             0  edited since: 90 (rename)  all ask for it",
    ]
    assert told.stderr == "to decide: lmsys proposals accept p1 --if-match 7\n"
    assert json.loads(lmsys("proposals", "show", "p1", "--json").stdout) == PENDING


def test_a_decided_one_says_by_whom_and_why(lmsys: Lmsys, api: Api) -> None:
    refused = {**IMPACT["edits"][0], "can_be_made": False, "refusal": "run run has no cluster 1"}  # type: ignore[index]
    decided: dict[str, Any] = {
        **PENDING,
        "status": "rejected",
        "source": None,
        "decided_by": "anna",
        "decided_at": "2025-10-05T09:00:00Z",
        "decision_reason": "two topics",
        "impact": {**IMPACT, "queries_moved": 1, "after": {**FIGURES, "gini": None}, "edits": [refused]},
    }
    api.on("GET", ONE, decided)
    told = lmsys("proposals", "show", "p1")
    assert "rejected by anna at 2025-10-05T09:00:00Z: two topics" in told.stdout
    assert "1 query moved" in told.stdout
    assert "gini 0.000 -> (none)" in told.stdout
    assert "run run has no cluster 1" in told.stdout.splitlines()[-1]
    assert told.stderr == ""


def test_an_acceptance_says_what_takes_it_back(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", f"{ONE}/accept", ACCEPTED)
    told = lmsys("proposals", "accept", "p1", "--only", "0,1", "--reason", "yes", "--if-match", "7")
    assert told.stdout == f"accepted: 2 edits; {IN_WORDS}\n"
    assert told.stderr == "this is edit 95; to take it back: lmsys edit undo 95\n"
    assert api.asked[0].json == {"only": [0, 1], "reason": "yes"}
    assert api.asked[0].headers["if-match"] == '"7"'


def test_conflicts_are_listed_edit_by_edit(lmsys: Lmsys, api: Api) -> None:
    body = {"status": 409, "error": {"type": "Conflict", "message": "others have"}, "errors": [CONFLICT]}
    api.on("POST", f"{ONE}/accept", Raw(json.dumps(body).encode(), 409))
    told = lmsys("proposals", "accept", "p1")
    line = "edit 1 (rename): edited since by others: 90 (rename)"
    assert (told.exit_code, told.stderr) == (1, f"lmsys: others have\n  {line}\n")


def test_a_dry_run_and_a_forced_one_show_the_conflicts_too(lmsys: Lmsys, api: Api) -> None:
    dry = {**ACCEPTED, "status": "pending", "edit_id": None, "conflicts": [CONFLICT], "dry_run": True}
    api.on("POST", f"{ONE}/accept", dry)
    told = lmsys("proposals", "accept", "p1", "--dry-run", "--force")
    assert told.stdout == f"dry run: 2 edits; {IN_WORDS}\n"
    assert told.stderr == "edit 1 (rename): edited since by others: 90 (rename)\n"
    assert {name.lower() for name in api.asked[0].query} == {"dry_run", "force"}


def test_a_rejection_needs_a_reason(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", f"{ONE}/reject", {**MADE, "status": "rejected"})
    assert lmsys("proposals", "reject", "p1").exit_code == 2
    assert lmsys("proposals", "reject", "p1", "--reason", "two topics").stdout == "p1 is rejected\n"
    assert api.asked[0].json == {"reason": "two topics"}
