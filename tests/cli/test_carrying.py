"""Curation carried over from the command line, and the lineage behind it."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, Asked

PAIR = {
    "old": 3,
    "new": 7,
    "overlap": 40,
    "share_of_old": 0.8,
    "share_of_new": 1.0,
    "jaccard": 0.8,
    "similarity": None,
    "score": 0.8,
}
LINKS = [
    {"kind": "continuation", "old": [3], "new": [7], "evidence": [PAIR]},
    {"kind": "split", "old": [3], "new": [7, 8], "evidence": [PAIR, {**PAIR, "new": 8}]},
    {"kind": "death", "old": [5], "new": [], "evidence": []},
]
RENAME = {"edit_id": 100, "version": 4, "edit_type": "rename"}
SPLIT = {"edit_id": 101, "version": 5, "edit_type": "split"}
DELETE = {"edit_id": 102, "version": 6, "edit_type": "delete"}
ANSWER: dict[str, Any] = {
    "edit_id": 500,
    "version": 9,
    "dry_run": False,
    "run_id": "new",
    "from_run_id": "old",
    "from_version": 6,
    "threshold": 0.3,
    "carried": [{**SPLIT, "new_version": 4}, {**SPLIT, "new_version": 5}],
    "already": [RENAME],
    "undecided": [{**DELETE, "reason": "it was deleted there; cluster 7 continues it here"}],
    "lineage": LINKS,
}
PATH = "/api/curation/runs/new/carry-over"
TOLD = """1 edit carried over, 1 so already, 1 needs a decision
clusters: 1 continued, 1 split, 0 merged, 0 new, 1 gone

carried over:
edit_id  edit_type  versions_here
    101  split      4, 5

so already:
edit_id  edit_type
    100  rename

needs a decision:
edit_id  edit_type  reason
    102  delete     it was deleted there; cluster 7 continues it here
"""


def test_edits_are_carried_over(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", PATH, ANSWER)
    told = lmsys("carry-over", "old", "new", "--threshold", "0.4", "--reason", "new run", "--if-match", "8")
    assert (told.exit_code, told.stdout) == (0, TOLD)
    assert told.stderr == "this is edit 500; to take all of it back: lmsys edit undo 500\n"
    assert api.asked[0].json == {"from_run_id": "old", "threshold": 0.4, "reason": "new run"}
    assert api.asked[0].headers["if-match"] == '"8"'
    assert json.loads(lmsys("carry-over", "old", "new", "--json").stdout) == ANSWER


def test_a_dry_run_says_so(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", PATH, {**ANSWER, "edit_id": None, "dry_run": True})
    told = lmsys("carry-over", "old", "new", "--dry-run")
    assert told.stdout == f"dry run: {TOLD}"
    assert told.stderr == ""
    assert api.asked[0].json == {"from_run_id": "old", "dry_run": True}


def test_where_all_is_so_nothing_is_to_be_undone(lmsys: Lmsys, api: Api) -> None:
    nothing: dict[str, Any] = {"edit_id": None, "carried": [], "undecided": []}
    api.on("POST", PATH, {**ANSWER, **nothing})
    told = lmsys("carry-over", "old", "new")
    assert told.stdout.startswith("0 edits carried over, 1 so already, 0 need a decision\n")
    assert "needs a decision:" not in told.stdout
    assert told.stderr == "nothing had to be changed\n"


def test_what_needs_a_decision_is_never_cut(lmsys: Lmsys, api: Api) -> None:
    many = [{**RENAME, "edit_id": one, "reason": "why"} for one in range(200, 230)]
    api.on("POST", PATH, {**ANSWER, "already": many, "undecided": many})
    lines = lmsys("carry-over", "old", "new").stdout.splitlines()
    assert lines.count("and 10 more") == 1
    assert sum(line.endswith("why") for line in lines) == 30


def test_a_refusal_is_told(lmsys: Lmsys, api: Api) -> None:
    api.fail("POST", PATH, 409, "run old is of data set 'a', run new of 'b'")
    told = lmsys("carry-over", "old", "new")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr == "lmsys: run old is of data set 'a', run new of 'b'\n"


def test_a_threshold_is_a_share(lmsys: Lmsys, api: Api) -> None:
    assert lmsys("carry-over", "old", "new", "--threshold", "2").exit_code == 2
    assert api.asked == []


# --- lineage

CARRIED = {
    "edit_id": 500,
    "timestamp": "2026-01-01T00:00:00Z",
    "from_run_id": "old",
    "from_version": 6,
    "threshold": 0.3,
    "carried": 1,
    "undecided": [],
    "links": LINKS,
}
OTHER = {**CARRIED, "edit_id": 400, "from_run_id": "older", "links": LINKS[:1]}


def lineages(api: Api, *found: dict[str, Any]) -> None:
    api.on("GET", "/api/curation/runs/new/lineage", {"run_id": "new", "carried_over": list(found)})


def test_links_are_shown_with_their_evidence(lmsys: Lmsys, api: Api) -> None:
    lineages(api, CARRIED, OTHER)
    told = lmsys("lineage", "new")
    assert [line.split() for line in told.stdout.splitlines()] == [
        ["kind", "old", "new", "overlap", "share_of_old", "share_of_new", "jaccard", "similarity", "score"],
        ["continuation", "3", "7", "40", "0.800", "1.000", "0.800", "0.800"],
        ["split", "3", "7", "40", "0.800", "1.000", "0.800", "0.800"],
        ["split", "3", "8", "40", "0.800", "1.000", "0.800", "0.800"],
        ["death", "5"],
    ]
    assert told.stderr == (
        "from old (threshold 0.3, edit 500): clusters: 1 continued, 1 split, 0 merged, 0 new, 1 gone\n"
    )


def test_links_of_a_kind_or_from_a_run(lmsys: Lmsys, api: Api) -> None:
    lineages(api, CARRIED, OTHER)
    told = lmsys("lineage", "new", "--kind", "split", "--kind", "death")
    assert [line.split()[0] for line in told.stdout.splitlines()[1:]] == ["split", "split", "death"]
    assert "1 continued" in told.stderr
    found = json.loads(lmsys("lineage", "new", "--from-run", "older", "--json").stdout)
    assert found == {"run_id": "new", "carried_over": [OTHER]}
    assert lmsys("lineage", "new", "--kind", "rebirth").exit_code == 2


def test_without_a_lineage_it_is_said_how_there_comes_to_be_one(lmsys: Lmsys, api: Api) -> None:
    lineages(api)
    told = lmsys("lineage", "new")
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr.startswith("nothing was carried over into new; lmsys carry-over FROM_RUN new")


def test_a_long_answer_is_waited_for(lmsys: Lmsys, api: Api) -> None:
    """The request is sent once more when the connection breaks, under the same key."""
    keys: list[str] = []

    def answered(asked: Asked) -> object:
        keys.append(asked.headers["idempotency-key"])
        return ANSWER

    api.on("POST", PATH, answered)
    assert lmsys("carry-over", "old", "new").exit_code == 0
    assert len(keys) == 1
