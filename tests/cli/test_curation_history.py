"""What was changed, from the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, page

RUN = "/api/curation/runs/run/audit"


def edit(edit_id: int, edit_type: str, details: dict[str, Any], **more: object) -> dict[str, Any]:
    """As the API has it; the version is the edit's id less 10."""
    return {
        "timestamp": "2026-01-01T00:00:00Z",
        "cluster_id": 3,
        "edit_type": edit_type,
        "editor": "ada",
        "reason": "clearer",
        "edit_id": edit_id,
        "position": edit_id,
        "run_id": "run",
        "version": edit_id - 10,
        "caused_by": None,
        "undone_by": None,
        "details": details,
        **more,
    }


def move(was: int, now: int, count: int) -> dict[str, Any]:
    return {"from": was, "to": now, "count": count, "query_ids": list(range(count))}


def cluster(cluster_id: int, was: dict[str, Any] | None, now: dict[str, Any] | None) -> dict[str, Any]:
    return {"cluster_id": cluster_id, "was": was, "now": now}


SOURCE = {"named_title": "Rebates", "named_description": "d", "summary_run_id": "s"}
RENAME = edit(4_021, "rename", {"was_title": None, "title": "b", "was_description": "d", "description": "d"})
MERGE = edit(
    4_022,
    "merge",
    {
        "queries_moved": 30,
        "moves": [move(1, 3, 10), move(-1, 3, 20)],
        "clusters": [cluster(1, SOURCE, None), cluster(3, {"own_title": None}, {"own_title": "Refunds"})],
    },
)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (RENAME, "(none) -> b"),
        (edit(5, "move", {"queries_moved": 1, "moves": [move(-2, 3, 1)]}), "1 query orphaned -> 3"),
        (MERGE, "30 queries 1, -1 -> 3; title (unedited) -> Refunds; gone: 1 (Rebates)"),
        (
            edit(
                6, "split", {"queries_moved": 2, "moves": [move(3, 9, 2)], "clusters": [cluster(9, None, {})]}
            ),
            "2 queries 3 -> 9; new: 9 ((no title))",
        ),
        (
            edit(7, "flags", {"clusters": [cluster(3, {"flags": ["a", "b"]}, {"flags": []})], "moves": []}),
            "flags a, b -> (none)",
        ),
        (
            edit(
                8, "metadata", {"clusters": [cluster(4, {"coherence_score": None}, {"coherence_score": 2})]}
            ),
            "cluster 4 coherence (none) -> 2",
        ),
        (
            edit(9, "undo", {"edits": [4_012, 2], "clusters": [cluster(1, None, SOURCE)], "moves": []}),
            "takes back 4022, 17; there again: 1 (Rebates)",
        ),
        (edit(9, "accept_proposal", {"edits": [4_012]}), "of 4022"),
    ],
)
def test_a_change_in_one_line(item: dict[str, Any], text: str, lmsys: Lmsys, api: Api) -> None:
    api.on("GET", RUN, page(MERGE, item))
    of = [{"edit_id": 17, "version": 2, "edit_type": "rename"}]  # not on the page
    api.on("GET", "/api/curation/edits/9", {"of": of})
    assert lmsys("edit", "audit", "run").stdout.splitlines()[2].split("clearer")[1].strip() == text


def test_the_history_of_a_cluster_and_of_a_run(lmsys: Lmsys, api: Api) -> None:
    undone = {**RENAME, "undone_by": 5_001}
    api.on("GET", "/api/curation/clusters/3/history", page(undone))
    api.on("GET", RUN, page(MERGE, undone))
    for words in (("--cluster-id", "3"), ("3",)):
        line = lmsys("edit", "history", "run", *words).stdout.splitlines()[1]
        assert line.split()[0] == "4021", "as it can be typed, without a comma"
        assert line.endswith("clearer  5001       (none) -> b")
    assert [one.query["run_id"] for one in api.asked] == ["run", "run"]
    assert len(lmsys("edit", "history", "run").stdout.splitlines()) == 3
    audit = lmsys("edit", "audit", "run", "--since", "2026-01-01T00:00:00Z", "--json")
    assert json.loads(audit.stdout)["items"] == [MERGE, undone]
    assert api.asked[-1].query["since"] == "2026-01-01T00:00:00Z"


def test_the_history_of_the_noise(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/curation/clusters/-1/history", page(MERGE))
    assert lmsys("edit", "history", "run", "-1").exit_code == 0


DETAIL = {
    "edit_id": 4_022,
    "run_id": "run",
    "version": 4_012,
    "edit_type": "merge",
    "state": "in force",
    "queries_moved": 30,
    "clusters_changed": [1, 3],
    "clusters_restored": [],
    "clusters_removed": [1],
    "moves": [{"from_cluster_id": 1, "to_cluster_id": -2, "query_ids": list(range(5_000, 5_030))}],
    "clusters": [cluster(1, SOURCE, None), cluster(3, {"own_title": None}, {"own_title": "Refunds"})],
    "of": [],
    "blockers": [{"edit_id": 4_030, "version": 4_020, "edit_type": "rename"}],
}
EVENT = {"position": 4_022, "recorded_at": "2026-01-01T00:00:00Z", "actor": "ada", "reason": "one\nthing"}


def test_an_edit_is_shown_with_what_it_changed_and_what_stands_in_the_way(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/curation/edits/4022", DETAIL)
    api.on("GET", "/api/events/4022", EVENT)
    told = lmsys("edit", "show", "4022")
    ids = ", ".join(str(one) for one in range(5_000, 5_010))
    assert [line.split("  ")[0].rstrip() for line in told.stdout.splitlines()] == [
        "edit 4022: merge in run, in force",
        "2026-01-01T00:00:00Z",
        "from",
        "1",
        "cluster_id",
        "",
        "",
    ]
    assert "  ada  one thing\n" in told.stdout
    assert f"orphaned       30  {ids} and 20 more\n" in told.stdout
    assert "1  title  Rebates     (no such cluster)\n" in told.stdout
    assert "3  title  (unedited)  Refunds\n" in told.stdout
    assert told.stderr.splitlines() == [
        "in the way of an undo, unless they go along (`lmsys edit undo 4022 --cascade`):",
        "  edit_id  version  edit_type",
        "  4030     4020     rename",
    ]
    assert json.loads(lmsys("edit", "show", "4022", "--json").stdout) == DETAIL


def test_an_undo_is_shown_with_the_edits_that_it_took_back(lmsys: Lmsys, api: Api) -> None:
    of = [{"edit_id": 4_022, "version": 4_012, "edit_type": "merge"}]
    undo = {**DETAIL, "edit_type": "undo", "state": "undone", "of": of, "moves": [], "clusters": []}
    api.on("GET", "/api/curation/edits/4040", {**undo, "edit_id": 4_040, "blockers": []})
    api.on("GET", "/api/events/4040", {**EVENT, "reason": None})
    told = lmsys("edit", "show", "4040")
    assert told.stdout.splitlines()[2:] == ["takes back 4022 (merge)"]
    assert told.stderr == ""
