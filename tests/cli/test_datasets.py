"""Loading from the command line: what is sent, what is waited for, what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, page
from tests.cli.test_client import fields_of


def job(status: str, job_id: str = "upload-1", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "job_id": job_id,
        "job_type": "upload",
        "dataset": "default",
        "status": status,
        "processed": 3,
        "total": 3,
        "imported": 2,
        "skipped": 1,
        "rejected": 0,
        "rate": 1500.5,
        "errors": [],
        "error": None,
        **more,
    }


def status(one: dict[str, Any]) -> dict[str, Any]:
    ended = one["status"] in ("completed", "failed")
    return {"active_jobs": [] if ended else [one], "last_completed_job": one if ended else None}


def by_job(*jobs: dict[str, Any]) -> Any:  # noqa: ANN401
    """Answers of /status: the next state of the job that is asked for; 404 where there is none."""
    states = [dict(one) for one in jobs]

    def answer(asked: Any) -> Any:  # noqa: ANN401
        wanted = [one for one in states if one["job_id"] == asked.query["job_id"]]
        if not wanted:
            return {"active_jobs": [], "last_completed_job": None}
        if len(wanted) > 1:
            states.remove(wanted[0])
        return status(wanted[0])

    return answer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "chats.jsonl"
    made.write_text('{"query": "hello"}\n')
    return made


def test_a_file_is_uploaded_loaded_and_embedded(lmsys: Lmsys, api: Api, file: Path) -> None:
    api.on("POST", "/api/datasets/upload", job("pending"))
    embedding = [job("running", "upload-1-embed"), job("completed", "upload-1-embed", processed=2)]
    api.on("GET", "/api/datasets/status", by_job(job("running"), job("completed"), *embedding))
    told = lmsys("load", str(file), "--dataset", "mine", "--limit", "3", "--skip-existing", "--use-chroma")
    assert told.exit_code == 0
    assert told.stdout == "3 rows read (1,500 rows/s): 2 imported, 1 skipped, 0 rejected\n"
    assert "2 queries embedded" in told.stderr
    sent = fields_of(api.asked[0])
    assert sent.pop("file") == file.read_bytes()
    assert sent == {"dataset": b"mine", "limit": b"3", "skip_existing": b"true", "use_chroma": b"true"}


def test_rows_that_were_left_out_are_named_and_no_failure(lmsys: Lmsys, api: Api, file: Path) -> None:
    errors = [f"row {row}: no query" for row in range(1, 13)]
    api.on("POST", "/api/datasets/upload", job("pending"))
    api.on("GET", "/api/datasets/status", by_job(job("completed", rejected=40, errors=errors)))
    told = lmsys("load", str(file))
    assert told.exit_code == 0
    assert "row 1: no query" in told.stderr
    assert "row 11" not in told.stderr
    assert "and 30 more" in told.stderr
    assert "40 rows were left out" in told.stderr


def test_a_load_that_failed_is_a_failure(lmsys: Lmsys, api: Api, file: Path) -> None:
    api.on("POST", "/api/datasets/upload", job("pending"))
    api.on("GET", "/api/datasets/status", by_job(job("failed", error="not JSON at byte 7")))
    told = lmsys("load", str(file), "--json")
    assert told.exit_code == 1
    assert told.stderr.endswith("lmsys: job upload-1 failed: not JSON at byte 7\n")
    assert json.loads(told.stdout)["status"] == "failed"


def test_an_embedding_that_failed_is_a_failure(lmsys: Lmsys, api: Api, file: Path) -> None:
    failed = job("failed", "upload-1-embed", error="the key is wrong")
    api.on("POST", "/api/datasets/upload", job("pending"))
    api.on("GET", "/api/datasets/status", by_job(job("completed"), failed))
    told = lmsys("load", str(file))
    assert told.exit_code == 1
    assert "the key is wrong" in told.stderr


def test_json_has_both_jobs(lmsys: Lmsys, api: Api, file: Path) -> None:
    embedding = job("completed", "upload-1-embed")
    api.on("POST", "/api/datasets/upload", job("pending"))
    api.on("GET", "/api/datasets/status", by_job(job("completed"), embedding))
    assert json.loads(lmsys("load", str(file), "--json").stdout) == {
        **job("completed"),
        "embedding": embedding,
    }


def test_without_chroma_no_embedding_is_waited_for(lmsys: Lmsys, api: Api, file: Path) -> None:
    api.on("POST", "/api/datasets/upload", job("pending"))
    api.on("GET", "/api/datasets/status", by_job(job("completed")))
    lmsys("load", str(file), "--no-use-chroma")
    assert {one.query["job_id"] for one in api.of("GET")} == {"upload-1"}


def test_without_waiting_the_job_is_all_there_is(lmsys: Lmsys, api: Api, file: Path) -> None:
    api.on("POST", "/api/datasets/upload", job("pending"))
    assert lmsys("load", str(file), "--no-wait").stdout == "upload-1\n"
    assert json.loads(lmsys("load", str(file), "--no-wait", "--json").stdout) == job("pending")
    assert api.of("GET") == []


def test_stdin_can_be_loaded(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/datasets/upload", job("pending"))
    lmsys("load", "-", "--format", "jsonl", "--no-wait", given=b'{"query": "hello"}\n')
    assert fields_of(api.asked[0]) == {"format": b"jsonl", "file": b'{"query": "hello"}\n'}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ((), {}),
        (
            ("--hf-dataset", "a/b", "--limit", "5", "--no-use-streaming", "--text-column", "q"),
            {"hf_dataset": "a/b", "limit": 5, "use_streaming": False, "text_column": "q"},
        ),
        (
            ("--path", "x.csv", "--format", "csv", "--embedding-model", "p/m", "--embed-batch-size", "9"),
            {"path": "x.csv", "format": "csv", "embedding_model": "p/m", "embed_batch_size": 9},
        ),
    ],
)
def test_without_a_file_the_server_reads(
    words: tuple[str, ...], body: dict[str, Any], lmsys: Lmsys, api: Api
) -> None:
    api.on("POST", "/api/datasets/load", job("pending", "load-1"))
    assert lmsys("load", "--no-wait", *words).stdout == "load-1\n"
    assert api.asked[0].json == body


@pytest.mark.parametrize("word", ["backfill", "backfill-chroma"])
def test_what_has_no_vector_is_embedded(word: str, lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/datasets/backfill-chroma", job("pending", "backfill-1"))
    api.on("GET", "/api/datasets/status", by_job(job("completed", "backfill-1", processed=7)))
    told = lmsys(word, "--dataset", "mine", "--provider", "fastembed", "--model", "m")
    assert told.stdout == "7 queries embedded\n"
    assert api.asked[0].query == {"dataset": "mine", "provider": "fastembed", "model": "m"}


FIRST = {"status": "confirmation_required", "data": {"dataset": "mine", "queries": 3, "confirm_token": "t0k"}}


@pytest.mark.parametrize(("words", "given"), [(("--yes",), ""), ((), "mine\n")])
def test_a_data_set_is_cleared_in_two_steps(
    words: tuple[str, ...], given: str, lmsys: Lmsys, api: Api
) -> None:
    api.on("DELETE", "/api/datasets", FIRST, {"status": "cleared", "data": {"queries": 3}})
    told = lmsys("clear", "--dataset", "mine", *words, given=given)
    assert (told.exit_code, told.stdout) == (0, "data set 'mine' is cleared\n")
    assert [one.query for one in api.asked] == [
        {"dataset": "mine"},
        {"dataset": "mine", "confirm_token": "t0k"},
    ]


@pytest.mark.parametrize("given", ["other\n", ""])
def test_a_data_set_is_not_cleared_by_mistake(given: str, lmsys: Lmsys, api: Api) -> None:
    api.on("DELETE", "/api/datasets", FIRST)
    told = lmsys("clear", "--dataset", "mine", given=given)
    assert (told.exit_code, told.stdout) == (1, "")
    assert len(api.asked) == 1


def test_data_sets_are_listed(lmsys: Lmsys, api: Api) -> None:
    item = {"name": "mine", "queries": 94145, "created_at": "2026-01-01T00:00:00Z", "updated_at": None}
    api.on("GET", "/api/datasets", page(item))
    assert "94,145" in lmsys("datasets").stdout
    assert json.loads(lmsys("datasets", "--json").stdout)["items"] == [item]


def test_a_job_can_be_looked_at_and_waited_for_later(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/datasets/status", by_job(job("running"), job("running"), job("completed")))
    assert "running" in lmsys("jobs", "upload-1").stdout
    assert "3 rows read" in lmsys("jobs", "upload-1", "--wait").stdout


def test_a_job_that_is_unknown_is_not_waited_for(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/datasets/status", by_job())
    told = lmsys("jobs", "no-such", "--wait")
    assert (told.exit_code, told.stderr) == (1, "lmsys: there is no job 'no-such'\n")
