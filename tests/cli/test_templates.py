"""Templates from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, page

PATH = "/api/templates"
ONE = f"{PATH}/support"
HASH = "ab" * 32
DETAIL = {
    "template_id": "support",
    "name": "Support",
    "version": "1.0",
    "number": 2,
    "template_hash": HASH,
    "labels": ["billing", "login"],
    "label_count": 2,
    "example_count": 0,
    "updated_at": "2025-10-04T17:04:42Z",
    "deleted": False,
    "yaml_content": "name: Support\nlabels:\n- billing\n- login\n",
}
VERSION = {
    "number": 2,
    "version": None,
    "labels": ["payment", "login"],
    "example_count": 1,
    "template_hash": HASH,
    "made_at": "2025-10-04T17:04:42Z",
    "made_by": "ada",
    "changes": [{"kind": "merge", "from": ["billing", "refund"], "to": ["payment"], "default": None}],
    "rolled_back_to": None,
    "reason": "one team",
}
MIGRATED = {
    "number": 3,
    "labels": ["payment", "login"],
    "changes": [{"kind": "rename", "from": ["billing"], "to": ["payment"], "default": None}],
    "undecided": ["refund"],
    "examples_left_out": 2,
    "results": {"billing": 1_200},
    "results_undecided": 1,
}


def run(lmsys: Lmsys, *words: str, **how: Any) -> Any:  # noqa: ANN401
    return lmsys("classify", "templates", *words, **how)


def test_templates_are_listed_and_shown(api: Api, lmsys: Lmsys) -> None:
    api.on("GET", PATH, page(DETAIL))
    api.on("GET", ONE, DETAIL)
    listed = run(lmsys, "list", "--label", "billing", "--deleted")
    assert listed.stdout.splitlines()[1].split()[:3] == ["support", "2", "1.0"]
    assert api.asked[0].query == {"limit": "1000", "page": "1", "label": "billing", "include_deleted": "true"}
    assert run(lmsys, "show", "support").stdout == DETAIL["yaml_content"]
    assert json.loads(run(lmsys, "show", "support", "--json").stdout) == DETAIL


def test_one_is_made_of_a_file_or_of_options(api: Api, lmsys: Lmsys, tmp_path: Path) -> None:
    api.on("POST", PATH, DETAIL)
    made = run(lmsys, "create", "-", "--reason", "new", given="name: Support\n")
    assert (made.stdout, made.stderr) == ("support\n", f"version 2, hash {HASH}\n")
    assert api.asked[-1].json == {"yaml_content": "name: Support\n", "reason": "new"}
    (tmp_path / "p").write_text("{text}")
    labels = ("--label", "a=what = a", "--label", "b")
    run(lmsys, "create", "--name", "S", *labels, "--prompt-file", str(tmp_path / "p"))
    wanted = [{"name": "a", "description": "what = a"}, {"name": "b"}]
    assert api.asked[-1].json == {"name": "S", "labels": wanted, "prompt": "{text}"}
    assert run(lmsys, "create").exit_code == 2
    assert "cannot be read" in run(lmsys, "create", str(tmp_path / "none")).stderr


def test_an_update_is_of_the_version_that_is_there(api: Api, lmsys: Lmsys) -> None:
    api.on("GET", ONE, DETAIL)
    api.on("PUT", ONE, DETAIL)
    assert run(lmsys, "update", "support", "--description", "x").exit_code == 0
    assert api.asked[-1].json == {"description": "x", "template_hash": HASH}
    run(lmsys, "update", "support", "--description", "x", "--if-match", "cd" * 32)
    assert api.asked[-1].json["template_hash"] == "cd" * 32


def test_versions_and_what_lies_between_them(api: Api, lmsys: Lmsys) -> None:
    api.on("GET", f"{ONE}/versions", page(VERSION, {**VERSION, "changes": None, "rolled_back_to": 1}))
    lines = run(lmsys, "versions", "support").stdout.splitlines()
    assert "merge billing, refund into payment" in lines[1]
    assert "rolled back to 1" in lines[2]
    between = {
        "from_number": 1,
        "to_number": 2,
        "same": False,
        "fields": {"name": {"before": "S", "after": "Support"}},
        "labels_added": ["payment"],
        "labels_removed": ["billing", "refund"],
        "labels_described": [{"name": "login", "before": "", "after": "Signing in"}],
        "examples_added": [],
        "examples_removed": [{"text": "twice\nover", "label": "billing"}],
        "prompt": "--- before\n+++ after",
        "answer_schema": "",
        "translations": {"billing": "payment", "refund": None, "login": "login"},
    }
    api.on("GET", f"{ONE}/diff", between)
    assert run(lmsys, "diff", "support", "1").stdout.splitlines() == [
        "version 1 -> 2",
        "name: S -> Support",
        "- label billing (now payment)",
        "- label refund (undecided)",
        "+ label payment",
        "~ label login: (none) -> Signing in",
        "- example billing: twice over",
        "prompt:",
        "--- before",
        "+++ after",
    ]
    assert api.asked[-1].query == {"from": "1"}


def test_back_and_away(api: Api, lmsys: Lmsys) -> None:
    api.on("POST", f"{ONE}/rollback", DETAIL)
    api.on("DELETE", ONE, {"status": "deleted", "data": {"number": 2}})
    assert run(lmsys, "rollback", "support", "1", "--if-match", HASH).stdout == "support\n"
    assert api.asked[-1].headers["if-match"] == f'"{HASH}"'
    assert "rollback support 2" in run(lmsys, "delete", "support", "--if-match", HASH).stderr
    assert api.asked[-1].headers["if-match"] == f'"{HASH}"'


def test_files_in_and_out(api: Api, lmsys: Lmsys, tmp_path: Path) -> None:
    api.on("GET", PATH, page(DETAIL, DETAIL))
    api.on("GET", ONE, DETAIL)
    assert run(lmsys, "export").exit_code == 2
    assert run(lmsys, "export", "support").stdout == DETAIL["yaml_content"]
    assert run(lmsys, "export", "--to", str(tmp_path / "out")).exit_code == 0
    assert (tmp_path / "out" / "support.yaml").read_text() == DETAIL["yaml_content"]
    taken = {"file": "a.yaml", "template_id": "support", "number": 1, "status": "created"}
    rejected = [{"file": "b.yaml", "line": 3, "reason": "it lacks {text}"}]
    api.on("POST", f"{PATH}/sync", {"status": "partly", "data": {"templates": [taken], "rejected": rejected}})
    (tmp_path / "out" / "b.yml").write_text("name: x")
    done = run(lmsys, "sync", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert "created" in done.stdout
    assert "b.yaml:3: it lacks {text}" in done.stderr
    assert "1 of 2 files were not taken" in done.stderr
    assert api.asked[-1].body.count(b'name="files"') == 2
    assert run(lmsys, "sync", str(tmp_path / "none")).exit_code == 2


def test_labels_are_migrated(api: Api, lmsys: Lmsys, tmp_path: Path) -> None:
    api.on("POST", f"{ONE}/labels/migrate", MIGRATED)
    (tmp_path / "more.json").write_text('[{"kind": "retire", "from": "a=b"}]')
    words = ("--rename", "billing=payment", "--merge", "a,b=c", "--split", "d=e,f", "--retire", "g")
    done = run(lmsys, "migrate", "support", *words, "--file", str(tmp_path / "more.json"), "--dry-run")
    assert api.asked[-1].json == {
        "changes": [
            {"kind": "retire", "from": "a=b"},
            {"kind": "rename", "from": "billing", "to": "payment"},
            {"kind": "merge", "from": ["a", "b"], "to": "c"},
            {"kind": "split", "from": "d", "to": ["e", "f"]},
            {"kind": "retire", "from": "g"},
        ],
        "dry_run": True,
    }
    assert done.stdout.splitlines()[2].split() == ["rename", "billing", "payment", "1,200"]
    assert done.stdout.splitlines()[0] == "dry run: version 3, labels: payment, login"
    assert done.stderr.splitlines() == [
        "a person must decide about: refund (1 result)",
        "left out: 2 examples",
    ]


@pytest.mark.parametrize("words", [(), ("--rename", "a"), ("--merge", "=b"), ("--file", "none.json")])
def test_what_is_no_migration(lmsys: Lmsys, words: tuple[str, ...]) -> None:
    assert run(lmsys, "migrate", "support", *words).exit_code == 2
