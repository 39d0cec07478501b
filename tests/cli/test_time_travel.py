"""Moments on the command line: reads as of then, tags, differences."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, page

RUN = "kmeans-3"
QUERY = {"id": 7, "model": "m", "language": None, "query_text": "what"}
CLUSTER = {"cluster_id": 3, "title": "Sorting", "num_queries": 1, "description": None}
EXPORT = {"download_url": "/api/export/download", "format": "csv", "row_count": 2}
TAG = {"name": "v1", "position": 7, "time": "2026-01-01T00:00:00Z", "created_by": "ada"}


@pytest.mark.parametrize(
    ("words", "path", "answer"),
    [
        (["list-clusters", RUN], f"/api/clustering/runs/{RUN}/clusters", page(CLUSTER)),
        (
            ["inspect", RUN, "3"],
            f"/api/clustering/runs/{RUN}/clusters/3",
            {"cluster": CLUSTER, "queries": page(QUERY)},
        ),
        (["list", "--run-id", RUN], "/api/queries", page(QUERY)),
        (["list", "--run-id", RUN, "--all"], "/api/queries", page(QUERY)),
        (["export", RUN, "--json"], "/api/export", EXPORT),
        (["edit", "history", RUN], f"/api/curation/runs/{RUN}/audit", page()),
        (["edit", "history", RUN, "3"], "/api/curation/clusters/3/history", page()),
        (["edit", "audit", RUN], f"/api/curation/runs/{RUN}/audit", page()),
    ],
)
def test_reads_as_of_a_moment(
    lmsys: Lmsys, api: Api, words: list[str], path: str, answer: dict[str, Any]
) -> None:
    api.on("GET", path, answer)
    told = lmsys(*words, "--as-of", "v1")
    assert told.exit_code == 0, told.stderr
    assert api.asked[0].query["as_of"] == "v1"
    lmsys(*words)
    assert "as_of" not in api.asked[-1].query


def test_tags_are_set_listed_shown_and_removed(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/tags", {"name": "v1", "position": 7})
    api.on("GET", "/api/tags", page(TAG))
    api.on("GET", "/api/tags/v1", TAG)
    api.on("DELETE", "/api/tags/v1", {"status": "removed"})
    assert lmsys("tags", "add", "v1", "--at", "2026-01-01", "--reason", "shown").stdout == "7\n"
    assert api.asked[0].json == {"name": "v1", "at": "2026-01-01", "reason": "shown"}
    lmsys("tags", "add", "v1", "--position", "7")
    assert api.asked[-1].json == {"name": "v1", "position": 7}
    assert lmsys("tags", "list").stdout.splitlines()[1].split()[:2] == ["v1", "7"]
    assert json.loads(lmsys("tags", "show", "v1", "--json").stdout) == TAG
    assert lmsys("tags", "remove", "v1").stdout == "the tag v1 is removed\n"


def side(position: int) -> dict[str, Any]:
    of_run = {"run_id": RUN, "version": position, "num_clusters": 3, "num_queries": 1_200}
    return {"position": position, "time": "2026-01-01T00:00:00Z", **of_run}


def named(cluster_id: int, title: str | None) -> dict[str, Any]:
    return {"cluster_id": cluster_id, "title": title, "description": None, "num_queries": 5}


DIFF: dict[str, Any] = {
    "from": side(7),
    "to": side(9),
    "queries": {"shared": 1_200, "only_from": 0, "only_to": 3, "moved": 40},
    "adjusted_rand_index": 0.5,
    "adjusted_mutual_information": 0.25,
    "matched": False,
    "created": [named(4, "New")],
    "retired": [named(2, None)],
    "renamed": [
        {"cluster_id": 0, "to_cluster_id": 0, "was_title": None, "title": "a\x1b[2J"},
        {"cluster_id": 1, "to_cluster_id": 5, "was_title": "b", "title": "b"},
    ],
    "annotated": [
        {
            "cluster_id": 0,
            "to_cluster_id": 0,
            "was": {"flags": [], "quality": None},
            "now": {"flags": ["check"], "quality": "low"},
        }
    ],
    "merged": [
        {
            "from_clusters": [named(0, "a"), named(2, None)],
            "to_clusters": [named(0, "a")],
            "by": [8],
            "by_undoing": [],
        }
    ],
    "split": [
        {
            "from_clusters": [named(1, "b")],
            "to_clusters": [named(1, "b"), named(4, "New")],
            "by": [],
            "by_undoing": [6],
        }
    ],
    "flows": {
        "items": [
            {
                "from_cluster_id": -1,
                "to_cluster_id": 4,
                "count": 40,
                "from_title": None,
                "to_title": "New",
            }
        ],
        "other": {"flows": 2, "count": 3},
    },
}


def test_a_difference_in_words_and_as_a_table(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/curation/diff", DIFF)
    told = lmsys("diff", f"{RUN}@v1", RUN)
    assert api.asked[0].query == {"from": f"{RUN}@v1", "to": RUN, "limit": "20", "moved_only": "true"}
    assert told.stdout.splitlines() == [
        f"from  {RUN} at 7 (2026-01-01T00:00:00Z), version 7: 3 clusters, 1,200 queries",
        f"to    {RUN} at 9 (2026-01-01T00:00:00Z), version 9: 3 clusters, 1,200 queries",
        "queries: 1,200 on both sides, 40 of them moved",
        "queries: 3 only in to",
        "agreement: adjusted Rand index 0.500, adjusted mutual information 0.250",
        "clusters: too many on both sides to say which goes on as which",
        "renamed: cluster 0: (no title) -> a [2J",
        "renamed: cluster 1 -> 5: b, described anew",
        "created: 4 New, 5 queries",
        "retired: 2 (no title), 5 queries",
        "merged: 0 a, 2 (no title) -> 0 a (edit 8)",
        "split: 1 b -> 1 b, 4 New (undone: edit 6)",
        "annotated: cluster 0: flags (none) -> check; quality (none) -> low",
        "",
        "queries  from          to",
        "     40  -1 (noise)    4 New",
        "      3  2 more flows",
    ]
    lmsys("diff", RUN, RUN, "--all-flows", "--limit", "5")
    assert api.asked[-1].query == {"from": RUN, "to": RUN, "limit": "5"}
    assert json.loads(lmsys("diff", RUN, RUN, "--json").stdout) == DIFF


def test_the_queries_that_moved(lmsys: Lmsys, api: Api) -> None:
    moved = {"query_id": 7, "from_cluster_id": -2, "to_cluster_id": 4, "from_title": None, "to_title": "New"}
    gone = {**moved, "query_id": 8, "query": None}
    api.on("GET", "/api/curation/diff/queries", page({**moved, "query": QUERY}, gone))
    lines = lmsys("diff", f"{RUN}@7", RUN, "--queries", "10").stdout.splitlines()
    assert lines[1].split() == ["7", "-2", "(no", "cluster)", "4", "New", "what"]
    assert lines[2].split()[0] == "8"
    assert api.asked[0].query["limit"] == "10"
