"""Runs, clusters and queries from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, Raw, page

RUN = "kmeans-2-20260101-000000"
STARTED = {"run_id": RUN, "status": "pending", "processed": None}
DONE = {
    "run_id": RUN,
    "dataset": "default",
    "algorithm": "kmeans",
    "status": "completed",
    "num_clusters": 2,
    "created_at": "2026-01-01T00:00:00Z",
    "completed_at": "2026-01-01T00:00:02.5+00:00",
    "metrics": {"noise": {"count": 3, "share": 0.25}},
    "latest_errors": None,
}


def finishes(api: Api, word: str, run: dict[str, Any]) -> None:
    api.on("POST", f"/api/clustering/{word}", STARTED)
    states = [STARTED, {**STARTED, "status": "running", "processed": 5}, {**STARTED, "status": run["status"]}]
    api.on("GET", f"/api/clustering/runs/{RUN}/status", *states)
    api.on("GET", f"/api/clustering/runs/{RUN}", run)


@pytest.mark.parametrize("words", [("cluster", "kmeans"), ("cluster",)])
def test_the_id_of_the_run_is_all_that_stdout_gets(words: tuple[str, ...], lmsys: Lmsys, api: Api) -> None:
    finishes(api, "kmeans", DONE)
    told = lmsys(*words, "--n-clusters", "2", "--engine", "sklearn", "--use-chroma", "--mb-batch-size", "64")
    assert (told.exit_code, told.stdout) == (0, f"{RUN}\n")
    assert f"{RUN}: 2 clusters, 25.0% noise, 2.5 s" in told.stderr
    assert api.asked[0].json == {
        "n_clusters": 2,
        "engine": "sklearn",
        "use_chroma": True,
        "mb_batch_size": 64,
    }


def test_json_is_the_run(lmsys: Lmsys, api: Api) -> None:
    finishes(api, "kmeans", DONE)
    assert json.loads(lmsys("cluster", "--json", "--n-clusters", "2").stdout) == DONE


def test_a_run_that_failed_is_a_failure(lmsys: Lmsys, api: Api) -> None:
    finishes(api, "hdbscan", {**DONE, "status": "failed", "latest_errors": ["too few points"]})
    told = lmsys("cluster", "hdbscan", "--min-cluster-size", "5", "--cluster-selection-epsilon", "0.1")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.endswith(f"lmsys: run {RUN} failed: too few points\n")
    assert api.asked[0].json == {"min_cluster_size": 5, "cluster_selection_epsilon": 0.1}


def test_without_waiting_nothing_is_looked_at(lmsys: Lmsys, api: Api) -> None:
    finishes(api, "kmeans", DONE)
    assert lmsys("cluster", "--n-clusters", "2", "--no-wait").stdout == f"{RUN}\n"
    assert api.of("GET") == []


def test_parameters_of_any_algorithm(lmsys: Lmsys, api: Api) -> None:
    finishes(api, "segment", DONE)
    words = ("--param", "linkage=ward", "--param", "n_clusters=5", "--param", "distance_threshold=null")
    lmsys("cluster", "segment", "--algorithm", "agglomerative", *words, "--no-wait")
    assert api.asked[0].json == {
        "algorithm": "agglomerative",
        "parameters": {"linkage": "ward", "n_clusters": 5, "distance_threshold": None},
    }


def test_the_newest_run(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/clustering/runs", page(DONE, {**DONE, "run_id": "older"}))
    told = lmsys("runs", "--latest", "--status", "completed")
    assert RUN in told.stdout
    assert "older" not in told.stdout
    assert api.asked[0].query == {"limit": "1", "page": "1", "status": "completed"}


def cluster(cluster_id: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "run_id": RUN,
        "cluster_id": cluster_id,
        "title": f"title {cluster_id}",
        "num_queries": 10,
        **more,
    }


def test_clusters_with_examples(lmsys: Lmsys, api: Api) -> None:
    found = page(cluster(0, representative_queries=["how do I\nsort a list?"]), cluster(1))
    api.on("GET", f"/api/clustering/runs/{RUN}/clusters", found)
    told = lmsys(
        "list-clusters", RUN, "--sort", "-size", "--alias", "v1", "--show-examples", "1", "--limit", "5"
    )
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["cluster_id", "0", "·", "1"]
    assert "how do I sort a list?" in told.stdout
    wanted = {"sort": "-size", "alias": "v1", "include_examples": "1", "limit": "5", "page": "1"}
    assert api.asked[0].query == wanted


def test_the_noise_can_be_inspected(lmsys: Lmsys, api: Api) -> None:
    query = {"id": 7, "model": "m", "language": None, "query_text": "what is\x1b[31m this"}
    answer = {"cluster": cluster(-1, title=None, description="d"), "queries": page(query)}
    api.on("GET", f"/api/clustering/runs/{RUN}/clusters/-1", answer)
    told = lmsys("inspect", RUN, "-1", "--show-queries", "5")
    assert told.exit_code == 0
    assert "(no title)" in told.stdout
    assert "what is [31m this" in told.stdout
    assert api.asked[0].query == {"limit": "5"}
    assert json.loads(lmsys("inspect", RUN, "-1", "--json").stdout) == answer


def query(query_id: int) -> dict[str, Any]:
    return {"id": query_id, "model": "m", "language": "English", "query_text": f"query {query_id}"}


def test_queries_are_listed_by_filters(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/queries", page(query(1), query(2)))
    filters = {"model": "m", "language": "English", "dataset": "d", "run_id": RUN, "cluster_id": "3"}
    filters |= {"label": "l", "domain": "x", "text": "sort", "since": "2026-01-01", "until": "2026-02-01"}
    words = [word for name, value in filters.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert "query 2" in lmsys("list", *words).stdout
    assert api.asked[0].query == {**filters, "limit": "50", "page": "1"}


def test_all_queries_come_line_by_line_and_page_by_page(lmsys: Lmsys, api: Api) -> None:
    first = {**page(query(1), query(2), next_cursor="abc"), "total": 3, "pages": 2}
    api.on("GET", "/api/queries", first, {**first, "items": [query(3)], "next_cursor": None})
    lines = lmsys("list", "--all").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2, 3]


EXPORT = {"download_url": "/api/exports/abc.csv", "format": "csv", "row_count": 2}


def test_an_export_goes_to_stdout_byte_by_byte(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/export", EXPORT)
    api.on("GET", "/api/exports/abc.csv", Raw("a,b\r\n1,é\r\n".encode()))
    assert lmsys("export", RUN).stdout_bytes == "a,b\r\n1,é\r\n".encode()
    assert api.asked[0].query == {"run_id": RUN, "format": "csv"}


def test_an_export_goes_into_a_file(lmsys: Lmsys, api: Api, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    api.on("GET", "/api/export", EXPORT)
    api.on("GET", "/api/exports/abc.csv", Raw(b"PAR1"))
    told = lmsys("export", "--dataset", "d", "--format", "parquet", "--output", str(output), "--json")
    assert output.read_bytes() == b"PAR1"
    assert json.loads(told.stdout) == {**EXPORT, "output": str(output)}
    assert api.asked[0].query == {"dataset": "d", "format": "parquet"}


def test_an_export_that_breaks_off_leaves_what_was_there(lmsys: Lmsys, api: Api, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("before")
    api.on("GET", "/api/export", EXPORT)
    api.on(
        "GET", "/api/exports/abc.csv", Raw(b"half", headers={"Content-Length": "9", "Connection": "close"})
    )
    told = lmsys("export", RUN, "-o", str(output))
    assert told.exit_code == 1
    assert "broke off" in told.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_text() == "before"


def test_where_an_export_can_be_fetched(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/export", EXPORT)
    assert json.loads(lmsys("export", RUN, "--json").stdout) == EXPORT
    assert len(api.asked) == 1
