"""Edits from the command line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.curation import making
from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, Asked, page

MADE = {"edit_id": 12, "version": 7, "dry_run": False}
RENAMED = {**MADE, "old_title": "a", "new_title": "b", "old_description": None, "new_description": None}
MOVED = {**MADE, "moved": 3, "failed": 0, "errors": []}
MERGED = {
    **MADE,
    "source_cluster_ids": [1, 2],
    "target_cluster_id": 3,
    "queries_moved": 1,
    "new_title": "Refunds",
    "suggested_title": "Refunds / Rebates",
}
SPLIT = {**MADE, "original_cluster_id": 3, "new_cluster_id": 9, "queries_moved": 2}
DELETED = {**MADE, "query_count": 1_500, "status": "orphaned", "moved_to": None}
BACK = "this is edit 12; to take it back: lmsys edit undo 12\n"


def test_a_cluster_is_renamed_with_its_reason(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/clusters/3/rename", RENAMED)
    told = lmsys(
        "edit", "rename-cluster", "run", "3", "--title", "b", "--reason", "clearer", "--actor", "ada"
    )
    assert (told.exit_code, told.stdout, told.stderr) == (0, "cluster 3: a -> b\n", BACK)
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


def test_what_changes_nothing_is_no_edit(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/clusters/3/rename", {**RENAMED, "edit_id": None})
    told = lmsys("edit", "rename-cluster", "run", "3", "--description", "d")
    assert (told.stdout, told.stderr) == ("cluster 3 is described anew\n", "nothing had to be changed\n")


def test_a_query_is_moved_even_into_the_noise(lmsys: Lmsys, api: Api) -> None:
    answer = {**MADE, "from_cluster_id": 3, "to_cluster_id": -1}
    api.on("POST", "/api/curation/queries/7/move", answer, answer, {**answer, "from_cluster_id": -2})
    assert (
        lmsys("edit", "move-query", "run", "7", "--to-cluster", "-1").stdout == "query 7: cluster 3 -> -1\n"
    )
    assert api.asked[0].json == {"to_cluster_id": -1}
    told = lmsys("edit", "move-query", "run", "7", "--to-cluster", "-1", "--json")
    assert (json.loads(told.stdout), told.stderr) == (answer, "")
    assert "query 7: orphaned ->" in lmsys("edit", "move-query", "run", "7", "--to-cluster", "-1").stdout


# --- many queries

IDS = "/api/curation/queries/move"


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("7", "8", "9"), None),
        (("7,8", "9"), None),
        (("--query-ids", "7,8", "--query-ids", "9"), None),
        (("7", "--query-ids", "8, 9"), None),
        (("--file", "-"), b"7\n\n 8\r\n9"),
        (("--file", "FILE"), b"\xef\xbb\xbf7\n8\n9\n"),
    ],
)
def test_queries_are_named_in_several_ways(
    words: tuple[str, ...], given: bytes | None, lmsys: Lmsys, api: Api, tmp_path: Path
) -> None:
    file = tmp_path / "ids.txt"
    file.write_bytes(given or b"")
    api.on("POST", IDS, MOVED)
    named = [str(file) if word == "FILE" else word for word in words]
    told = lmsys("edit", "move-queries", "run", *named, "--to-cluster", "4", given=given)
    assert (told.exit_code, told.stdout) == (0, "3 queries -> cluster 4\n")
    assert api.asked[0].json == {"query_ids": [7, 8, 9], "to_cluster_id": 4}
    assert api.asked[0].query == {"run_id": "run"}


@pytest.mark.parametrize(
    ("words", "given", "complaint"),
    [
        ((), None, "name the queries by their ids or by --file"),
        (("7", "--file", "-"), b"8", "name the queries by their ids or by --file"),
        (("seven",), None, "'seven' is no id"),
        (("--query-ids", "-7"), None, "'-7' is no id"),
        (("7" * 20,), None, "is no id"),
        (("--file", "-"), b"7\nx8\n", "-, line 2: 'x8' is no id"),
        (("--file", "-"), b"\n", "- names no query"),
        (("--file", "-"), b"\xff\xfe", "is no text of ids"),
        (("--file", "missing.txt"), None, "missing.txt cannot be read: No such file"),
    ],
)
def test_queries_that_are_named_wrongly_are_not_sent(
    words: tuple[str, ...], given: bytes | None, complaint: str, lmsys: Lmsys, api: Api
) -> None:
    told = lmsys("edit", "move-queries", "run", *words, "--to-cluster", "4", given=given)
    assert (told.exit_code, api.asked) == (2, [])
    assert complaint in told.stderr


def test_what_cannot_be_moved_is_told_query_by_query(lmsys: Lmsys, api: Api) -> None:
    errors = [{"query_id": one, "error": f"query {one} is not part of run"} for one in range(50, 62)]
    api.on("POST", IDS, {**MOVED, "moved": 1, "failed": 12, "errors": errors})
    told = lmsys("edit", "move-queries", "run", "7", "--to-cluster", "4")
    assert (told.exit_code, told.stdout) == (1, "1 query -> cluster 4, 12 failed\n")
    assert "  50: query 50 is not part of run\n" in told.stderr
    assert told.stderr.endswith("  and 2 more; --json lists all\n")
    told = lmsys("edit", "move-queries", "run", "7", "--to-cluster", "4", "--json")
    assert (told.exit_code, json.loads(told.stdout)["errors"]) == (1, errors)


# --- clusters


def test_clusters_are_merged(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/clusters/3/merge", MERGED)
    words = ("--target", "3", "--source", "1,-1", "--source", "2", "--new-title", "Refunds")
    told = lmsys("edit", "merge-clusters", "--run-id", "run", *words, "--reason", "one thing")
    assert (told.exit_code, told.stdout) == (0, "1, 2 merged into 3, Refunds: 1 query moved\n")
    assert api.asked[0].query == {"run_id": "run"}
    assert api.asked[0].json == {
        "source_cluster_ids": [1, -1, 2],
        "target_cluster_id": 3,
        "new_title": "Refunds",
        "reason": "one thing",
    }
    told = lmsys("edit", "merge-clusters", "run", "--target", "3", "--source", "1")
    assert told.stdout.endswith("; suggested: Refunds / Rebates\n")


def test_a_cluster_is_split_by_a_list_in_a_file(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/clusters/3/split", SPLIT)
    told = lmsys("edit", "split-cluster", "run", "3", "--file", "-", "--new-title", "Rebates", given="7\n8\n")
    assert told.stdout == "2 queries of cluster 3 -> new cluster 9, Rebates\n"
    assert api.asked[0].json == {"query_ids": [7, 8], "new_title": "Rebates", "new_description": ""}


@pytest.mark.parametrize(
    ("words", "body", "text"),
    [
        (("--orphan",), {"orphan": True}, "its 1,500 queries are in no cluster now"),
        (("--move-to", "-1"), {"orphan": False, "move_to_cluster_id": -1}, "its 1,500 queries -> cluster -1"),
    ],
)
def test_a_cluster_is_deleted(
    words: tuple[str, ...], body: dict[str, Any], text: str, lmsys: Lmsys, api: Api
) -> None:
    api.on("POST", "/api/curation/clusters/3/delete", DELETED)
    told = lmsys("edit", "delete-cluster", "run", "3", *words)
    assert (told.stdout, told.stderr) == (f"cluster 3 deleted: {text}\n", BACK)
    assert api.asked[0].json == body


NOTED = {"coherence_score": 4, "quality": None, "notes": "mixed\x1b[2J", "flags": ["review"]}
OPERATION = {"status": "ok", "message": None, "data": {**MADE, **NOTED}}


def test_notes_are_set_and_cleared(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/clusters/3/metadata", OPERATION)
    words = ("--coherence", "4", "--notes", "mixed", "--clear", "quality")
    told = lmsys("edit", "tag-cluster", "run", "3", *words)
    assert told.stdout == "cluster 3: coherence 4 of 5; flags review; notes: mixed [2J\n"
    assert told.stderr == BACK
    assert api.asked[0].json == {"coherence_score": 4, "notes": "mixed", "quality": None}
    lmsys("edit", "tag-cluster", "run", "3", "--quality", "high", "--clear", "coherence", "--clear", "notes")
    assert api.asked[1].json == {"coherence_score": None, "notes": None, "quality": "high"}


def test_flags_are_set_and_taken_away(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/clusters/3/flags", OPERATION)
    words = ("--flag", "review", "--flag", "money, large", "--remove", "done")
    assert lmsys("edit", "flag-cluster", "run", "3", *words).exit_code == 0
    assert api.asked[0].json == {"flags": ["review", "money, large"], "remove": ["done"]}


def test_the_notes_on_a_cluster_are_inspected(lmsys: Lmsys, api: Api) -> None:
    cluster = {**NOTED, "cluster_id": 3, "title": "t", "notes": None, "quality": "low"}
    api.on("GET", "/api/clustering/runs/run/clusters/3", {"cluster": cluster, "queries": page()})
    assert (
        lmsys("inspect", "run", "3").stdout.splitlines()[1] == "coherence 4 of 5; quality low; flags review"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("rename-cluster", "run", "3"),
        ("merge-clusters", "--target", "3", "--source", "1"),
        ("merge-clusters", "run", "--run-id", "run", "--target", "3", "--source", "1"),
        ("merge-clusters", "run", "--target", "3", "--source", "1,two"),
        ("merge-clusters", "run", "--target", "3", "--source", "-2"),
        ("delete-cluster", "run", "3"),
        ("delete-cluster", "run", "3", "--orphan", "--move-to", "4"),
        ("split-cluster", "run", "3", "--new-title", "x"),
        ("tag-cluster", "run", "3"),
        ("tag-cluster", "run", "3", "--coherence", "6"),
        ("tag-cluster", "run", "3", "--quality", "superb"),
        ("tag-cluster", "run", "3", "--notes", "n", "--clear", "notes"),
        ("flag-cluster", "run", "3"),
        ("history", "run", "3", "--cluster-id", "3"),
        ("undo",),
        ("undo", "--last"),
        ("undo", "12", "--last", "--run-id", "run"),
        ("redo", "--run-id", "run"),
    ],
)
def test_half_a_command_is_not_sent(words: tuple[str, ...], lmsys: Lmsys, api: Api) -> None:
    assert lmsys("edit", *words).exit_code == 2
    assert api.asked == []


# --- before it is done

EDITS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "merge": (
        "/api/curation/clusters/3/merge",
        MERGED,
        ("merge-clusters", "run", "--target", "3", "--source", "1"),
    ),
    "split": (
        "/api/curation/clusters/3/split",
        SPLIT,
        ("split-cluster", "run", "3", "--new-title", "x", "--query-ids", "7"),
    ),
    "delete": ("/api/curation/clusters/3/delete", DELETED, ("delete-cluster", "run", "3", "--orphan")),
    "move": (IDS, MOVED, ("move-queries", "run", "7", "--to-cluster", "4")),
}
destroying = pytest.mark.parametrize("name", list(EDITS))


@destroying
def test_a_dry_run_is_asked_for_and_said(name: str, lmsys: Lmsys, api: Api) -> None:
    path, answer, words = EDITS[name]
    would = {**answer, "edit_id": None, "dry_run": True}
    api.on("POST", path, would)
    told = lmsys("edit", *words, "--dry-run")
    assert told.stdout.startswith("dry run: ")
    assert told.stderr == ""
    assert json.loads(lmsys("edit", *words, "--dry-run", "--json").stdout) == would
    assert [one.query["dry_run"] for one in api.asked] == ["true", "true"]


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_is_a_terminal", lambda: True)


def by_dry_run(answer: dict[str, Any]) -> Callable[[Asked], dict[str, Any]]:
    return lambda asked: {**answer, "edit_id": None, "dry_run": True} if "dry_run" in asked.query else answer


@destroying
@pytest.mark.usefixtures("at_a_terminal")
def test_who_sits_at_a_terminal_is_shown_it_and_asked(name: str, lmsys: Lmsys, api: Api) -> None:
    path, answer, words = EDITS[name]
    api.on("POST", path, by_dry_run(answer))
    told = lmsys("edit", *words, given="yes\n")
    assert told.exit_code == 0
    assert told.stderr == f"about to be done: {told.stdout}Type yes to go on:\n{BACK}"
    assert [one.query.get("dry_run") for one in api.asked] == ["true", None]
    assert api.asked[1].headers["if-match"] == '"7"', "what was agreed to, or nothing"
    assert "if-match" not in api.asked[0].headers


@destroying
@pytest.mark.parametrize("given", ["no\n", "", "y\n"])
@pytest.mark.usefixtures("at_a_terminal")
def test_without_a_yes_nothing_is_done(name: str, given: str, lmsys: Lmsys, api: Api) -> None:
    path, answer, words = EDITS[name]
    api.on("POST", path, by_dry_run(answer))
    told = lmsys("edit", *words, given=given)
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.endswith("lmsys: that is not 'yes'; nothing was changed\n")
    assert [one.query.get("dry_run") for one in api.asked] == ["true"]


@destroying
@pytest.mark.parametrize("option", ["--yes", "--json"])
@pytest.mark.usefixtures("at_a_terminal")
def test_a_yes_beforehand_or_a_program_is_not_asked(name: str, option: str, lmsys: Lmsys, api: Api) -> None:
    path, answer, words = EDITS[name]
    api.on("POST", path, answer)
    assert lmsys("edit", *words, option).exit_code == 0
    assert [one.query.get("dry_run") for one in api.asked] == [None]


@pytest.mark.parametrize(("typed", "status"), [(b"yes\n", 0), (b"n\n", 1)])
def test_a_real_terminal_is_asked(typed: bytes, status: int, api: Api) -> None:
    path, answer, words = EDITS["merge"]
    api.on("POST", path, by_dry_run(answer))
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "edit", *words],
        env={**os.environ, "LMSYS_API_URL": api.url},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=False,
        timeout=60,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == status
    assert [one.query.get("dry_run") for one in api.asked] == (["true", None] if status == 0 else ["true"])


@pytest.mark.usefixtures("at_a_terminal")
def test_what_destroys_nothing_is_not_asked_about(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/curation/clusters/3/rename", RENAMED)
    assert lmsys("edit", "rename-cluster", "run", "3", "--title", "b").exit_code == 0
    assert len(api.asked) == 1


# --- queries


def test_a_query_is_shown_whole_and_harmless(lmsys: Lmsys, api: Api) -> None:
    query = {
        "id": 7,
        "conversation_id": "c7",
        "model": "m",
        "language": None,
        "query_text": "one\ntwo\x1b[2J",
    }
    clusters = [
        {"run_id": "run", "cluster_id": 3, "title": "Sorting"},
        {"run_id": "old", "cluster_id": -2, "title": None},
    ]
    api.on("GET", "/api/curation/queries/7", {"query": query, "clusters": clusters})
    lines = lmsys("edit", "view-query", "7").stdout.splitlines()
    assert lines[1:] == ["run  cluster 3  Sorting", "old  orphaned", "one", "two [2J"]


def test_orphans_are_listed_with_ids_that_can_be_used(lmsys: Lmsys, api: Api) -> None:
    query = {"id": 13_509, "model": "m", "language": "English", "query_text": "where is\nit?"}
    orphan = {"orphan": {"run_id": "run", "query_id": 13_509, "assigned_to": 4}, "query": query}
    api.on("GET", "/api/curation/runs/run/orphaned", page(orphan))
    lines = lmsys("edit", "orphaned", "run", "--limit", "5").stdout.splitlines()
    assert lines[1].split() == ["13509", "4", "m", "English", "where", "is", "it?"]
    assert api.asked[0].query["limit"] == "5"
    assert json.loads(lmsys("edit", "orphaned", "run", "--json").stdout)["items"] == [orphan]
