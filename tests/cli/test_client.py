"""What every request has, and what is done when it does not go well."""

from __future__ import annotations

import io
import os
import socket
import tracemalloc
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

import cli.client
from cli.client import ApiError, Client, Failed, Unreachable
from domain.errors import Invalid
from tests.cli.stand_in import BROKEN, Api, Asked, Raw, page


@pytest.fixture
def client(api: Api) -> Iterator[Client]:
    made = Client(api.url, actor="ada", key="secret")
    yield made
    made.close()


def nothing(done: int | None, total: int | None = None) -> None:
    pass


def fields_of(asked: Asked) -> dict[str, bytes]:
    """The parts of a multipart body by their name."""
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + asked.body).get_payload()
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_request_says_who_asks(api: Api, client: Client) -> None:
    api.on("GET", "/api/datasets", page())
    client.get("/api/datasets", {"limit": 5, "page": None})
    assert api.asked[0].headers["x-actor"] == "ada"
    assert api.asked[0].headers["x-api-key"] == "secret"
    assert api.asked[0].query == {"limit": "5"}
    assert "idempotency-key" not in api.asked[0].headers


def test_every_command_has_a_key_of_its_own(api: Api, client: Client) -> None:
    api.on("POST", "/api/summaries", {})
    api.on("DELETE", "/api/datasets", {})
    client.post("/api/summaries", {"run_id": "r", "alias": None})
    client.post("/api/summaries", {"run_id": "r"})
    client.delete("/api/datasets", {})
    assert len({one.headers["idempotency-key"] for one in api.asked}) == 3
    assert api.asked[0].json == {"run_id": "r"}


@pytest.mark.parametrize("trouble", [BROKEN, Raw(status=503)])
def test_what_may_pass_is_tried_again_with_the_same_key(api: Api, client: Client, trouble: object) -> None:
    api.on("POST", "/api/summaries", trouble, trouble, {"status": "pending"})
    assert client.post("/api/summaries", {"run_id": "r"}) == {"status": "pending"}
    assert len(api.asked) == 3
    assert len({one.headers["idempotency-key"] for one in api.asked}) == 1


def test_there_is_an_end_to_trying(api: Api, client: Client) -> None:
    api.on("POST", "/api/summaries", BROKEN)
    with pytest.raises(Unreachable, match="broke off"):
        client.post("/api/summaries", {})
    assert len(api.asked) == cli.client.TRIES


@pytest.mark.parametrize("status", [400, 404, 409, 412, 422, 429, 500])
def test_an_answer_that_says_no_is_not_asked_for_again(api: Api, client: Client, status: int) -> None:
    api.fail("POST", "/api/summaries", status, "no such run")
    with pytest.raises(ApiError, match="no such run") as refused:
        client.post("/api/summaries", {})
    assert refused.value.status == status
    assert len(api.asked) == 1


def test_each_thing_that_is_wrong_is_named(api: Api, client: Client) -> None:
    errors = [{"field": "limit", "message": "too large"}, "and more"]
    api.fail("GET", "/api/queries", 422, "two things are wrong", errors=errors)
    with pytest.raises(ApiError) as refused:
        client.get("/api/queries")
    assert refused.value.details == ["limit: too large", "and more"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": "proxy says no"}', "proxy says no"),
        (b"<html>", "<html>"),
        (b"[1]", "1"),
        (b"", "Bad Gateway"),
    ],
)
def test_an_error_of_somebody_else_is_shown_as_it_is(
    api: Api, client: Client, body: bytes, said: str
) -> None:
    api.on("GET", "/api/queries", Raw(body, 502))
    with pytest.raises(ApiError, match=said):
        client.get("/api/queries")


def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable, match=f"no API at {url}: start it with `lmsys serve`"):
        Client(url).get("/api/queries")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://[::1"])
def test_what_is_no_url_is_said_so(url: str) -> None:
    with pytest.raises(Invalid, match="no URL"):
        Client(url)


def test_no_proxy_stands_before_this_machine(
    api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    api.on("GET", "/api/queries", page())
    assert client.get("/api/queries") == page()


# --- lists


def test_pages_by_number_become_one(api: Api, client: Client) -> None:
    first = {**page(1, 2), "total": 3, "pages": 2}
    api.on("GET", "/api/x", {**first, "next_cursor": None}, {**first, "items": [3], "next_cursor": None})
    assert client.pages("/api/x", None)["items"] == [1, 2, 3]
    assert [one.query["page"] for one in api.asked] == ["1", "2"]


def test_a_cursor_goes_before_the_number(api: Api, client: Client) -> None:
    first = {**page(1, 2), "total": 99, "pages": 9}
    api.on("GET", "/api/x", {**first, "next_cursor": "abc"}, {**first, "items": [3], "next_cursor": None})
    assert client.pages("/api/x", None, {"run_id": "r"})["items"] == [1, 2, 3]
    assert [one.query.get("cursor") for one in api.asked] == [None, "abc"]
    assert {one.query["run_id"] for one in api.asked} == {"r"}


def test_no_more_than_the_limit_is_asked_for(api: Api, client: Client) -> None:
    api.on("GET", "/api/x", {**page(*range(5)), "total": 99, "pages": 20, "next_cursor": "abc"})
    found = client.pages("/api/x", 3)
    assert found == {"items": [0, 1, 2], "total": 99, "page": 1, "pages": 1, "limit": 3}
    assert [one.query["limit"] for one in api.asked] == ["3"]


# --- files


def test_an_upload_is_sent_with_its_fields(api: Api, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"query": "caf\xc3\xa9"}\n')
    api.on("POST", "/up", {"job_id": "j"})
    told: list[Any] = []
    with file.open("rb") as opened:
        given = {"dataset": "d", "limit": 5, "use_chroma": False, "format": None}
        client.upload("/up", "a.jsonl", opened, given, lambda done, total=None: told.append((done, total)))
    assert fields_of(api.asked[0]) == {
        "dataset": b"d",
        "limit": b"5",
        "use_chroma": b"false",
        "file": file.read_bytes(),
    }
    assert told[-1] == (file.stat().st_size, file.stat().st_size)


def test_an_upload_that_broke_off_is_sent_again_as_a_whole(api: Api, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(os.urandom(300_000))
    api.on("POST", "/up", BROKEN, {"job_id": "j"})
    with file.open("rb") as opened:
        assert client.upload("/up", "a", opened, {}, nothing) == {"job_id": "j"}
    assert [fields_of(one)["file"] for one in api.asked] == [file.read_bytes()] * 2
    assert len({one.headers["idempotency-key"] for one in api.asked}) == 1


def test_an_upload_is_never_in_memory_as_a_whole(api: Api, client: Client, tmp_path: Path) -> None:
    size = 64 * 1024**2
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(size)
    api.keeps_bodies = False
    api.on("POST", "/up", {})
    tracemalloc.start()
    try:
        with file.open("rb") as opened:
            client.upload("/up", "large", opened, {}, nothing)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert int(api.asked[0].body) > size
    assert peak < size / 10


def test_a_pipe_is_sent_once_and_without_a_length(api: Api, client: Client) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"line\n" * 1_000)
    os.close(writing)
    api.on("POST", "/up", BROKEN)
    with open(reading, "rb") as pipe, pytest.raises(Unreachable):
        client.upload("/up", "stdin", pipe, {}, nothing)
    assert len(api.asked) == 1
    assert api.asked[0].headers["transfer-encoding"] == "chunked"
    assert fields_of(api.asked[0])["file"] == b"line\n" * 1_000


def test_a_download_is_written_as_it_comes(api: Api, client: Client) -> None:
    api.on("GET", "/api/exports/1", Raw(b"a,b\n" * 10_000))
    target = io.BytesIO()
    client.download("/api/exports/1", target)
    assert target.getvalue() == b"a,b\n" * 10_000


def test_a_download_that_is_refused_says_why(api: Api, client: Client) -> None:
    api.fail("GET", "/api/exports/1", 404, "it is gone")
    with pytest.raises(ApiError, match="it is gone"):
        client.download("/api/exports/1", io.BytesIO())


def test_server_sent_events_are_read(api: Api, client: Client) -> None:
    first = b': hello\r\n\r\nid: 7\r\nevent: x\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
    stream = first + b"id: 8\r\ndata: 2\r\n\r\ndata: cut"
    api.on("GET", "/api/events", Raw(stream))
    found = list(client.server_sent("/api/events", "6", {"type": "t"}))
    assert found == [("7", '{"a":\n1}'), ("8", "2")]
    assert api.asked[0].headers["last-event-id"] == "6"
    assert api.asked[0].headers["accept"] == "text/event-stream"


# --- waiting


def test_a_job_is_waited_for_through_a_restart(api: Api, client: Client) -> None:
    api.on("GET", "/job", {"status": "running"}, *[BROKEN] * 5, Raw(status=404), {"status": "completed"})
    assert client.wait("job", lambda: client.get("/job"), None, "lmsys jobs") == {"status": "completed"}


def test_patience_has_an_end(api: Api, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.client, "PATIENCE_S", 0.05)
    api.on("GET", "/job", BROKEN)
    with pytest.raises(Unreachable):
        client.wait("job", lambda: client.get("/job"), None, "lmsys jobs")


def test_an_error_that_stays_is_not_waited_for(api: Api, client: Client) -> None:
    api.fail("GET", "/job", 401, "an API key is needed")
    with pytest.raises(ApiError, match="key"):
        client.wait("job", lambda: client.get("/job"), None, "lmsys jobs")
    assert len(api.asked) == 1


def test_after_the_timeout_the_way_back_is_named(api: Api, client: Client) -> None:
    api.on("GET", "/job", {"status": "running", "processed": 5})
    with pytest.raises(Failed, match=r"not done after 0.05 s; the work goes on: lmsys jobs j"):
        client.wait("job", lambda: client.get("/job"), 0.05, "lmsys jobs j")


def test_an_interruption_ends_the_waiting_alone(client: Client) -> None:
    def interrupted() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(Failed, match="the work goes on: lmsys jobs j"):
        client.wait("job", interrupted, None, "lmsys jobs j")
