"""Labels at once, from the command line."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest

from cli import exchange
from cli.client import Client, Unreachable
from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, Raw

ANSWER = {
    "label": "refund",
    "reasoning": "nearest to refund",
    "confidence": 0.91,
    "model": "local/nearest",
    "template_hash": "ab",
}
GOOD = {"id": "1", "label": "refund"}
BAD = {"id": "", "label": "", "error": "JSON is malformed", "line": 2}


def lines(*rows: dict[str, object]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_one_text_is_labelled(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/predict", ANSWER)
    told = lmsys("classify", "single", "my money back", "--template", "support")
    assert (told.exit_code, told.stdout) == (0, "refund\n")
    assert told.stderr == "local/nearest 0.91: nearest to refund\n"
    assert api.asked[0].json == {"template_id": "support", "text": "my money back"}
    assert json.loads(lmsys("classify", "single", "x", "--template", "support", "--json").stdout) == ANSWER


def test_text_and_template_come_from_where_they_are(lmsys: Lmsys, api: Api, tmp_path: Path) -> None:
    api.on("POST", "/api/predict", ANSWER)
    (tmp_path / "t.yaml").write_text("name: t\n")
    file = str(tmp_path / "t.yaml")
    lmsys("classify", "single", "-", "--template-file", file, "--model", "openai/gpt", given="two\nlines\n")
    assert api.asked[0].json == {"template_yaml": "name: t\n", "text": "two\nlines\n", "model": "openai/gpt"}


def test_a_file_goes_through_line_by_line(lmsys: Lmsys, api: Api, tmp_path: Path) -> None:
    api.on("POST", "/api/predict/batch", Raw(lines(GOOD, GOOD)))
    sent = lines({"id": "1", "text": "a"}, {"id": "2", "text": "b"})
    (tmp_path / "texts.jsonl").write_bytes(sent)
    told = lmsys("classify", "batch", str(tmp_path / "texts.jsonl"), "--template", "support")
    assert (told.exit_code, told.stdout_bytes) == (0, lines(GOOD, GOOD))
    asked = api.asked[0]
    assert (asked.body, asked.query) == (sent, {"template_id": "support"})
    assert asked.headers["content-type"] == "application/x-ndjson"


def test_a_line_without_a_label_makes_it_fail_at_the_end(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/predict/batch", Raw(lines(GOOD, BAD, GOOD)))
    told = lmsys("classify", "batch", "-", "--template", "support", given=b"{}\n")
    assert (told.exit_code, told.stdout_bytes) == (1, lines(GOOD, BAD, GOOD))
    assert told.stderr.endswith("lmsys: 1 of 3 lines got no label; see their `error`\n")


def test_what_the_api_refuses_is_told(lmsys: Lmsys, api: Api) -> None:
    api.fail("POST", "/api/predict/batch", 404, "there is no template 'x'")
    told = lmsys("classify", "batch", "-", "--template", "x", given=b"{}\n")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.endswith("lmsys: there is no template 'x'\n")


def test_a_file_that_is_not_there_is_named(lmsys: Lmsys) -> None:
    told = lmsys("classify", "batch", "/none/such", "--template", "x")
    assert (told.exit_code, told.stderr) == (1, "lmsys: /none/such: No such file or directory\n")


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that answers each piece of a body when it has come, and the second by going away."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_echo, args=(server,))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=10)
        assert not thread.is_alive()


def _echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as incoming:
        while incoming.readline().strip():
            pass
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        size = int(incoming.readline(), 16)
        piece = incoming.read(size)
        incoming.readline()
        connection.sendall(f"{size:x}\r\n".encode() + piece + b"\r\n")
        incoming.readline()


class Waiting(io.RawIOBase):
    """Gives its second line when the first one has been answered, and never before."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self._left = [b"one\n", b"two\n"]

    def read(self, size: int = -1) -> bytes:
        if len(self._left) == 1:
            assert self.answered.wait(timeout=10)
        return self._left.pop(0) if self._left else b""


def test_answers_come_while_lines_are_still_sent(echo: str) -> None:
    file, taken = Waiting(), list[bytes]()

    def take(line: bytes) -> None:
        taken.append(line)
        file.answered.set()

    with pytest.raises(Unreachable, match="broke off"):
        Client(echo).exchange("/", {}, file, take)  # type: ignore[arg-type]
    assert taken == [b"one"]


class Connected:
    """An answer whose connection is lost: what of it has come, and whether that is all."""

    connection = None

    def __init__(self, loop: asyncio.AbstractEventLoop, come: bytes, whole: bool) -> None:
        self.content = aiohttp.StreamReader(Mock(), limit=1_000, loop=loop)
        if come:
            self.content.feed_data(come)
        if whole:
            loop.call_later(0.05, self.content.feed_eof)


@pytest.mark.parametrize("whole", [True, False])
def test_a_reader_who_was_told_of_nothing_notices_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setattr(exchange, "LOOK_S", 0.2)

    async def read() -> list[bytes]:
        answer: Any = Connected(asyncio.get_running_loop(), b"one", whole)
        return [await exchange.next_piece(answer), await exchange.next_piece(answer)]

    if whole:
        assert asyncio.run(read()) == [b"one", b""]
        return
    with pytest.raises(aiohttp.ServerDisconnectedError, match="lost while the request was being sent"):
        asyncio.run(read())


def test_a_server_that_is_not_there_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(Unreachable, match="lmsys serve"):
        Client(url).exchange("/", {}, io.BytesIO(b"x\n"), lambda line: None)
