"""Hierarchies from the command line: made, listed, shown as a tree, edited."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, page

NAME = "hier-run-20251004-180000"
A, B = 1_000_000_000, 1_000_000_001


def node(
    cluster_id: int, level: int, parent: int | None, title: str | None, *children: int
) -> dict[str, Any]:
    return {
        "cluster_id": cluster_id,
        "level": level,
        "parent_cluster_id": parent,
        "title": title,
        "children_ids": list(children),
        "num_queries": 1_000 + cluster_id % 7 if level else cluster_id,
        "num_clusters": len(children) or 1,
    }


NODES = [
    node(B, 2, None, "Life", A, 3),
    node(A, 1, B, "Food", 2, 1),
    node(2, 0, A, "Pasta\nsauce"),
    node(1, 0, A, None),
    node(3, 0, B, "Rain"),
    node(4, 0, None, "Odd"),
    node(5, 0, None, "Odder"),
]
TREE = {"hierarchy_run_id": NAME, "run_id": "run", "status": "completed", "version": 9, "nodes": NODES}


def started(api: Api) -> None:
    api.on("POST", "/api/hierarchy", {"hierarchy_run_id": NAME, "status": "pending"})


def ended(status: str = "completed", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"hierarchy_run_id": NAME, "status": status, "unanswered": 0, **more}


def test_the_clusters_of_a_run_are_arranged(lmsys: Lmsys, api: Api) -> None:
    started(api)
    api.on("GET", f"/api/hierarchy/{NAME}/status", ended("running"), ended())
    options = ("--target-levels", "3", "--merge-ratio", "0.2", "--neighborhood-size", "40")
    told = lmsys(
        "merge-clusters", "run", *options, "--summary-run-id", "s1", "--concurrency", "5", "--rpm", "9"
    )
    assert (told.exit_code, told.stdout) == (0, f"{NAME}\n")
    assert f"lmsys show-hierarchy {NAME}" in told.stderr
    assert api.asked[0].json == {
        "run_id": "run",
        "provider": "local",
        "model": "agglomerative",
        "target_levels": 3,
        "merge_ratio": 0.2,
        "neighborhood_size": 40,
        "summary_run_id": "s1",
        "concurrency": 5,
        "rpm": 9,
    }


def test_what_had_no_answer_is_told(lmsys: Lmsys, api: Api) -> None:
    started(api)
    api.on("GET", f"/api/hierarchy/{NAME}/status", ended(unanswered=2))
    assert "2 questions had no usable answer" in lmsys("merge-clusters", "run").stderr


def test_one_that_failed_is_a_failure(lmsys: Lmsys, api: Api) -> None:
    started(api)
    api.on("GET", f"/api/hierarchy/{NAME}/status", ended("failed", error="the key is wrong"))
    told = lmsys("merge-clusters", "run", "--model", "openai/gpt-4o-mini")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.endswith(
        f"lmsys: hierarchy {NAME} failed: the key is wrong; --resume {NAME} goes on with it\n"
    )


def test_a_cancelled_one_is_a_failure_that_can_be_gone_on_with(lmsys: Lmsys, api: Api) -> None:
    started(api)
    api.on("GET", f"/api/hierarchy/{NAME}/status", ended("cancelled"))
    told = lmsys("merge-clusters", "run")
    assert told.exit_code == 1
    assert f"was cancelled; --resume {NAME} goes on with it" in told.stderr


def test_one_is_cancelled_and_gone_on_with(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", f"/api/hierarchy/{NAME}/cancel", ended("cancelled"))
    assert lmsys("cancel-hierarchy", NAME).stdout == f"{NAME} is cancelled\n"
    api.on("POST", f"/api/hierarchy/{NAME}/resume", ended("pending"))
    api.on("GET", f"/api/hierarchy/{NAME}/status", ended())
    assert lmsys("merge-clusters", "--resume", NAME).stdout == f"{NAME}\n"


def test_a_run_or_what_to_go_on_with_is_named(lmsys: Lmsys) -> None:
    for wrong in ((), ("run", "--resume", NAME)):
        told = lmsys("merge-clusters", *wrong)
        assert (told.exit_code, "one of them" in told.stderr) == (2, True)


def test_a_model_without_a_provider_is_wrong_usage(lmsys: Lmsys) -> None:
    assert lmsys("merge-clusters", "run", "--model", "gpt").exit_code == 2


def test_hierarchies_are_listed(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/hierarchy", page({"hierarchy_run_id": NAME, "levels": 3}))
    assert NAME in lmsys("hierarchies", "run").stdout
    assert api.asked[0].query["run_id"] == "run"


def test_a_tree_is_shown(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", f"/api/hierarchy/{NAME}", TREE)
    told = lmsys("show-hierarchy", NAME)
    assert told.stderr == "untitled clusters: 1; to give them titles: lmsys summarize run\n"
    assert told.stdout.splitlines() == [
        f"Life (2 clusters, 1,000 queries) [{B}]",
        f"├── Food (2 clusters, 1,006 queries) [{A}]",
        "│   ├── Pasta sauce (2 queries) [2]",
        "│   └── untitled (1 query) [1]",
        "└── Rain (3 queries) [3]",
        "",
        "Odd (4 queries) [4]",
        "Odder (5 queries) [5]",
    ]
    assert json.loads(lmsys("show-hierarchy", NAME, "--json").stdout) == TREE


def test_as_much_of_a_tree_as_is_wanted(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", f"/api/hierarchy/{NAME}", TREE)
    told = lmsys("show-hierarchy", NAME, "--depth", "2", "--as-of", "v1").stdout
    assert "Food" in told
    assert "Pasta" not in told
    assert api.asked[0].query == {"as_of": "v1"}


def test_a_tree_that_is_not_there_yet(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", f"/api/hierarchy/{NAME}", {**TREE, "status": "running", "nodes": []})
    assert "is running: there is no tree yet" in lmsys("show-hierarchy", NAME).stderr


DONE = {"edit_id": 7, "version": 10, "dry_run": False}
EDITS = [
    (
        ("move-nodes", NAME, "1", "2", "--under", str(B), "--reason", "why"),
        f"/api/hierarchy/{NAME}/move",
        {"cluster_ids": [1, 2], "parent_cluster_id": B, "reason": "why"},
        {"moved": 2},
        f"2 nodes moved under {B}",
    ),
    (
        ("move-nodes", NAME, "1", "--to-top"),
        f"/api/hierarchy/{NAME}/move",
        {"cluster_ids": [1], "parent_cluster_id": None},
        {"moved": 1},
        "1 node moved to the top",
    ),
    (
        ("rename-category", NAME, str(A), "--title", "Cooking"),
        f"/api/hierarchy/{NAME}/categories/{A}/rename",
        {"title": "Cooking"},
        {"old_title": "Food", "new_title": "Cooking"},
        f"category {A}: Food -> Cooking",
    ),
    (
        ("add-category", NAME, "Mine", "1", "4", "--under", str(B)),
        f"/api/hierarchy/{NAME}/categories",
        {"title": "Mine", "children_ids": [1, 4], "parent_cluster_id": B},
        {"cluster_id": 1_000_000_002, "level": 1, "moved": 2},
        "category 1000000002 of level 1, 2 nodes under it",
    ),
    (
        ("remove-category", NAME, str(A), "--move-to", str(B)),
        f"/api/hierarchy/{NAME}/categories/{A}/remove",
        {"move_to_cluster_id": B},
        {"moved": 2, "moved_to": B},
        f"category {A} removed; 2 nodes went to {B}",
    ),
]


@pytest.mark.parametrize(("words", "path", "body", "answer", "told"), EDITS, ids=[one[0][0] for one in EDITS])
def test_a_tree_is_edited(
    lmsys: Lmsys,
    api: Api,
    words: tuple[str, ...],
    path: str,
    body: dict[str, Any],
    answer: dict[str, Any],
    told: str,
) -> None:
    api.on("POST", path, {**DONE, **answer})
    done = lmsys("edit", *words)
    assert (done.exit_code, done.stdout) == (0, f"{told}\n")
    assert api.asked[0].json == body
    assert "lmsys edit undo 7" in done.stderr


def test_a_node_goes_to_one_place(lmsys: Lmsys) -> None:
    assert lmsys("edit", "move-nodes", NAME, "1").exit_code == 2
    assert lmsys("edit", "move-nodes", NAME, "1", "--to-top", "--under", "5").exit_code == 2


def test_an_undo_of_an_edit_of_a_tree_says_what_it_did(lmsys: Lmsys, api: Api) -> None:
    effect = {"queries_moved": 0, "nodes_moved": 2, "clusters_changed": [1, 2, A]}
    none: dict[str, list[Any]] = {"clusters_restored": [], "clusters_removed": [], "blockers": []}
    edits = [{"edit_id": 7, "version": 10, "edit_type": "move_node"}]
    answer = {
        **DONE,
        "edit_id": 8,
        "run_id": "run",
        "hierarchy_run_id": NAME,
        "edits": edits,
        **effect,
        **none,
    }
    api.on("POST", "/api/curation/edits/7/undo", answer)
    assert lmsys("edit", "undo", "7").stdout.splitlines() == [
        "edit 7 undone",
        f"2 nodes moved; nodes touched: 1, 2, {A}",
    ]


def test_the_history_of_a_tree(lmsys: Lmsys, api: Api) -> None:
    record = {"edit_id": 7, "edit_type": "move_node", "editor": "ada", "reason": "why"}
    api.on("GET", f"/api/hierarchy/{NAME}/history", page(record))
    assert "move_node" in lmsys("edit", "tree-history", NAME).stdout
