"""Edits from the command line."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, page

RENAMED = {"old_title": "a", "new_title": "b", "old_description": None, "new_description": None}
EDIT = {
    "timestamp": "2026-01-01T00:00:00Z",
    "cluster_id": 3,
    "edit_type": "rename",
    "editor": "ada",
    "reason": "clearer",
    "details": {"was_title": None, "title": "b", "was_description": "d", "description": "d"},
}
MOVE = {**EDIT, "edit_type": "move", "details": {"query_ids": [7, 8], "was": [3, 1], "cluster_id": 2}}


def test_a_cluster_is_renamed_with_its_reason(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/clusters/3/rename", RENAMED)
    told = lmsys(
        "edit", "rename-cluster", "run", "3", "--title", "b", "--reason", "clearer", "--actor", "ada"
    )
    assert (told.exit_code, told.stdout) == (0, "cluster 3: a -> b\n")
    asked = api.asked[0]
    assert (asked.json, asked.query) == ({"title": "b", "reason": "clearer"}, {"run_id": "run"})
    assert asked.headers["x-actor"] == "ada"
    assert "if-match" not in asked.headers


@pytest.mark.parametrize(("version", "header"), [("12", '"12"'), ('"12"', '"12"'), ("*", "*")])
def test_an_edit_may_insist_on_a_version(version: str, header: str, lmsys: Lmsys, api: Api) -> None:
    api.fail("POST", "/api/curation/clusters/3/rename", 412, "run is at version 13, not 12; read it again")
    told = lmsys("edit", "rename-cluster", "run", "3", "--title", "b", "--if-match", version)
    assert told.exit_code == 1
    assert api.asked[0].headers["if-match"] == header


def test_a_query_is_moved_even_into_the_noise(lmsys: Lmsys, api: Api) -> None:
    answer = {"from_cluster_id": 3, "to_cluster_id": -1}
    api.on("POST", "/api/curation/queries/7/move", answer)
    assert (
        lmsys("edit", "move-query", "run", "7", "--to-cluster", "-1").stdout == "query 7: cluster 3 -> -1\n"
    )
    assert api.asked[0].json == {"to_cluster_id": -1}
    told = lmsys("edit", "move-query", "run", "7", "--to-cluster", "-1", "--json")
    assert json.loads(told.stdout) == answer


def test_a_query_is_shown_whole_and_harmless(lmsys: Lmsys, api: Api) -> None:
    query = {
        "id": 7,
        "conversation_id": "c7",
        "model": "m",
        "language": None,
        "query_text": "one\ntwo\x1b[2J",
    }
    clusters = [{"run_id": "run", "cluster_id": 3, "title": "Sorting"}]
    api.on("GET", "/api/curation/queries/7", {"query": query, "clusters": clusters})
    lines = lmsys("edit", "view-query", "7").stdout.splitlines()
    assert lines[1:] == ["run  cluster 3  Sorting", "one", "two [2J"]


def test_the_history_of_a_cluster_and_of_a_run(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/curation/clusters/3/history", page(EDIT))
    api.on("GET", "/api/curation/runs/run/audit", page(EDIT, MOVE))
    assert "clearer" in lmsys("edit", "history", "run", "--cluster-id", "3").stdout
    assert api.asked[0].query["run_id"] == "run"
    lines = lmsys("edit", "history", "run").stdout.splitlines()
    assert lines[1].endswith("clearer  (none) -> b")
    assert lines[2].endswith("clearer  2 from 1, 3 to 2")
    audit = lmsys("edit", "audit", "run", "--since", "2026-01-01T00:00:00Z", "--json")
    assert json.loads(audit.stdout)["items"] == [EDIT, MOVE]
    assert api.asked[-1].query["since"] == "2026-01-01T00:00:00Z"
