"""Search from the command line, in the JSON that the specification has."""

from __future__ import annotations

import json

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, page

CLUSTER = {"cluster_id": 3, "title": "Sorting", "description": "Lists in order", "num_queries": 40}
HIT = {
    "query": {
        "id": 7,
        "conversation_id": "c7",
        "model": "gpt-4",
        "query_text": "how do I\nsort " + "very " * 60 + "long lists?",
        "language": "English",
        "created_at": "2026-01-01T00:00:00Z",
    },
    "clusters": [
        {"run_id": "other", "cluster_id": 9, "title": "x", "confidence_score": 0.1},
        {"run_id": "run", "cluster_id": 3, "title": "Sorting", "confidence_score": 0.9},
    ],
    "distance": 0.25,
    "score": 0.75,
}
FOUND = page(
    HIT,
    applied_clusters=[{**CLUSTER, "run_id": "run", "distance": 0.1}],
    facets={
        "clusters": [{"cluster_id": 3, "count": 5, "meta": {"title": "Sorting"}}],
        "language": [{"key": "English", "count": 4}],
        "model": [],
    },
)


def test_queries_in_the_shape_of_the_specification(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/search", FOUND)
    told = lmsys("search", "sort", "--run-id", "run", "--json")
    answer = json.loads(told.stdout)
    snippet = answer["results"][0].pop("snippet")
    assert snippet.startswith("how do I sort very")
    assert len(snippet) <= 200
    assert answer == {
        "text": "sort",
        "run_id": "run",
        "applied_clusters": [{**CLUSTER, "distance": 0.1}],
        "results": [
            {"query_id": 7, "distance": 0.25, "model": "gpt-4", "language": "English", "cluster_id": 3}
        ],
        "facets": {
            "clusters": [{"cluster_id": 3, "count": 5, "meta": {"title": "Sorting"}}],
            "language": [{"key": "English", "count": 4}],
            "model": [],
        },
    }


def test_without_a_run_a_query_is_in_no_cluster(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/search", page(HIT))
    answer = json.loads(lmsys("search", "sort", "--json").stdout)
    assert answer["results"][0]["cluster_id"] is None
    assert answer["facets"] == {"clusters": [], "language": [], "model": []}


def test_all_that_narrows_a_search_is_passed_on(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/search", FOUND)
    options = {
        "run-id": "run",
        "within-clusters": "vector databases",
        "top-clusters": "5",
        "cluster-ids": "1,2",
        "mode": "fulltext",
        "dataset": "d",
        "language": "English",
        "model": "m",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    lmsys("search", "sort", *words, "--n-results", "9", "--facets", "language, model", "--by", "cluster")
    assert api.asked[0].query == {
        "text": "sort",
        "limit": "9",
        "facets": "language,model,cluster",
        **{name.replace("-", "_"): value for name, value in options.items()},
    }


def test_hits_by_eye(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/search", FOUND)
    told = lmsys("search", "sort", "--run-id", "run", "--facets", "cluster,language")
    assert told.stdout.splitlines()[1].split()[:3] == ["7", "0.250", "3"]
    assert "language English: 4" in told.stderr


def test_hits_grouped_by_cluster(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/search", FOUND)
    lines = lmsys("search", "sort", "--run-id", "run", "--by", "cluster").stdout.splitlines()
    assert [line.split() for line in lines] == [["cluster_id", "count", "title"], ["3", "5", "Sorting"]]


def test_clusters_in_the_shape_of_the_specification(lmsys: Lmsys, api: Api) -> None:
    api.on(
        "GET", "/api/search/clusters", page({**CLUSTER, "run_id": "run", "distance": 0.2, "summary": None})
    )
    words = ("--run-id", "run", "--top-k", "20", "--alias", "v1", "--json")
    answer = json.loads(lmsys("search-cluster", "order", *words).stdout)
    assert answer == {"text": "order", "run_id": "run", "results": [{**CLUSTER, "distance": 0.2}]}
    assert api.asked[0].query == {"text": "order", "run_id": "run", "limit": "20", "alias": "v1"}


def test_search_can_look_for_clusters(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/search/clusters", page({**CLUSTER, "distance": 0.2}))
    told = lmsys("search", "order", "--search-type", "clusters")
    assert "Sorting" in told.stdout
