"""A real HTTP server on the loopback that answers as a test has told it, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BROKEN = object()
"""In place of an answer: the connection is closed without one."""


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.body)
        return body


@dataclass
class Raw:
    """An answer that is not JSON, or not 200."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Api:
    """The last of several answers to a request is given again and again."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    keeps_bodies: bool = True
    """Else no more than the length of a body is kept, as text."""
    _answers: dict[tuple[str, str], deque[object]] = field(default_factory=lambda: defaultdict(deque))

    def on(self, method: str, path: str, *answers: object) -> None:
        self._answers[method, path].extend(answers)

    def fail(self, method: str, path: str, status: int, message: str, **more: object) -> None:
        body = {"title": "No", "status": status, "error": {"type": "No", "message": message}, **more}
        self.on(method, path, Raw(json.dumps(body).encode(), status))

    def answer(self, asked: Asked) -> object:
        self.asked.append(asked)
        answers = self._answers.get((asked.method, asked.path))
        if not answers:
            return Raw(b'{"detail": "no such path in this test"}', 404)
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        return answer(asked) if callable(answer) else answer

    def of(self, method: str) -> list[Asked]:
        return [one for one in self.asked if one.method == method]


class Handler(BaseHTTPRequestHandler):
    api: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        at = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(at.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.api.answer(Asked(self.command, at.path, query, headers, self._body(headers)))
        if answer is BROKEN:
            self.close_connection = True
            return
        raw = answer if isinstance(answer, Raw) else Raw(json.dumps(answer).encode())
        self.send_response(raw.status)
        for name, value in {"Content-Length": str(len(raw.body)), **raw.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw.body)

    do_POST = do_PUT = do_DELETE = do_GET

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._sized(int(headers.get("content-length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _sized(self, length: int) -> bytes:
        if self.api.keeps_bodies:
            return self.rfile.read(length)
        left = length
        while left:
            left -= len(self.rfile.read(min(left, 65_536)))
        return str(length).encode()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served() -> Iterator[Api]:
    told = Api("")
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (Handler,), {"api": told})) as server:
        server.daemon_threads = True
        told.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def page(*items: object, **more: object) -> dict[str, Any]:
    return {"items": list(items), "total": len(items), "page": 1, "pages": 1, "limit": 50, **more}
