"""Files over HTTP: whole, named safely, and gone from memory as they are sent."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pyarrow import parquet

from api import exports
from projections import exports as exports_read
from tests.api.test_queries import get
from tests.browsing import Installation, conversation, load, project


def read(name: str, data: bytes) -> list[dict[str, Any]]:
    if name == "csv":
        return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    if name == "json":
        rows: list[dict[str, Any]] = json.loads(data)
        return rows
    if name == "jsonl":
        return [json.loads(line) for line in data.splitlines()]
    table: list[dict[str, Any]] = parquet.read_table(io.BytesIO(data)).to_pylist()
    return table


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("csv", "text/csv; charset=utf-8"),
        ("json", "application/json"),
        ("jsonl", "application/x-ndjson"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
def test_a_file_has_the_rows_that_were_promised(
    api: TestClient, made: Installation, name: str, media_type: str
) -> None:
    promised = get(api, "/api/export", run_id=made.run_id, cluster_id=1, format=name, model="model-1")
    assert promised["position"] == made.container.store.head()
    answer = api.get(promised["download_url"])
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="{made.run_id}.{name}"'
    assert answer.headers["x-event-position"] == str(promised["position"])
    rows = read(name, answer.content)
    expected = [
        key
        for key, row in made.rows.items()
        if row["clusters"].get(made.run_id) == 1 and row["model"] == "model-1"
    ]
    assert [int(row["query_id"]) for row in rows] == expected
    assert promised["row_count"] == len(expected) > 0
    assert {int(row["cluster_id"]) for row in rows} == {1}


def test_a_data_set_as_a_whole(api: TestClient, made: Installation) -> None:
    promised = get(api, "/api/export", dataset="other")
    assert (promised["format"], promised["row_count"]) == ("csv", 12)
    rows = read("csv", api.get(promised["download_url"]).content)
    assert len(rows) == 12
    assert {row["cluster_id"] for row in rows} == {""}


def test_formulas_and_names_are_made_harmless(api: TestClient, made: Installation) -> None:
    """Names of metadata never become columns."""
    bad = "=HYPERLINK(1) +dangerous"
    turns = [{"role": "user", "content": bad}]
    one = conversation(500, 0)
    metadata = {"=cmd": 1, "label": "@SUM(A1)", "query_id": 5}
    load(made, "formulas", [type(one)(**{**vars(one), "query": bad, "turns": turns, "metadata": metadata})])
    project(made.container)
    (row,) = read("csv", api.get("/api/export/download", params={"dataset": "formulas"}).content)
    assert row["query_text"] == f"'{bad}"
    assert row["label"] == "'@SUM(A1)"
    assert json.loads(row["metadata"]) == metadata
    assert len(row) == 13


@pytest.mark.parametrize("path", ["/api/export", "/api/export/download"])
@pytest.mark.parametrize(
    ("params", "status", "named"),
    [
        ({}, 422, "run_id"),
        ({"dataset": "default", "format": "xls"}, 422, "format"),
        ({"dataset": "nobody"}, 404, "'nobody'"),
        ({"run_id": "nobody"}, 404, "'nobody'"),
        ({"dataset": "default", "cluster_id": 1}, 422, "run_id"),
        ({"dataset": 'a"\r\nx: y'}, 404, "data set"),
    ],
)
def test_what_an_export_refuses(
    api: TestClient, path: str, params: dict[str, Any], status: int, named: str
) -> None:
    assert named in get(api, path, status, **params)["error"]["message"]


def test_a_name_cannot_break_out_of_its_header() -> None:
    assert exports._safe('a"b\r\nx: y/../é') == "a_b__x__y_..__"
    assert exports._safe("..") == "export"


def free_slots() -> int:
    taken = 0
    while exports._slots.acquire(blocking=False):
        taken += 1
    for _ in range(taken):
        exports._slots.release()
    return taken


def test_no_more_downloads_than_there_are_connections_for(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_slots", threading.BoundedSemaphore(1))
    with exports._slots:
        answer = api.get("/api/export/download", params={"dataset": "other"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert api.get("/api/export/download", params={"dataset": "other"}).status_code == 200
    assert api.get("/api/export/download", params={"dataset": "nobody"}).status_code == 404
    assert free_slots() == 1


def test_a_reader_who_goes_away_leaves_nothing_open(
    made: Installation, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is far larger than what a socket takes unread, and nothing is left to be collected."""
    kept, real = [], exports._body

    def body(*given: Any) -> Any:  # noqa: ANN401
        kept.append(real(*given))
        return kept[-1]

    monkeypatch.setattr(exports, "_body", body)
    monkeypatch.setattr(exports_read, "AT_ONCE", 2)
    long = "x" * 200_000
    one = vars(conversation(600, 0))
    rows = [{**one, "row": n + 1, "conversation_id": f"long{n}", "query": f"{n} {long}"} for n in range(60)]
    for row in rows:
        row["turns"] = [{"role": "user", "content": row["query"]}]
    load(made, "long", [type(conversation(0, 0))(**row) for row in rows])
    project(made.container)
    pool: Any = made.container.database.engine.pool
    before = pool.checkedout()
    params = {"dataset": "long", "format": "jsonl"}
    with httpx.stream("GET", f"{served}/api/export/download", params=params) as answer:
        assert next(answer.iter_bytes())
        assert pool.checkedout() == before + 1
        assert free_slots() == exports.AT_ONCE - 1
    deadline = time.monotonic() + 5
    while pool.checkedout() != before or free_slots() != exports.AT_ONCE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
