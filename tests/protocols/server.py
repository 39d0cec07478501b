"""An HTTP server that answers as a provider would, and fails as one."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

KEY = "sk-very-secret-0123456789"


@dataclass(frozen=True)
class Asked:
    """One question as a server heard it. `complaint` is what it was told about its answer before."""

    at: float
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    system: str = ""
    text: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    complaint: str | None = None

    @property
    def model(self) -> str:
        return str(self.body["model"])


@dataclass(frozen=True)
class Status:
    """An answer that is no success."""

    status: int
    message: str = "so it is"
    retry_after: float | str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Refusal:
    """The model will not."""


@dataclass(frozen=True)
class TooLong:
    """The model was stopped in the middle."""


@dataclass(frozen=True)
class Hang:
    """Nothing, until the server goes down."""


@dataclass(frozen=True)
class CutOff:
    """The right answer but for so many bytes at the end, and then the connection is gone."""

    bytes: int = 10


@dataclass(frozen=True)
class Words:
    """Words in place of an object, JSON or not."""

    words: str


Said = dict[str, Any] | Status | Refusal | TooLong | Hang | CutOff | Words


class Wrong(Exception):
    """A request that breaks the protocol's rules: its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = Status(status, message)


class Dialect(Protocol):
    """How one provider puts it."""

    def hear(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Asked:
        """Raises Wrong."""

    def say(self, asked: Asked, said: dict[str, Any] | Refusal | TooLong | Words) -> dict[str, Any]: ...

    def error(self, status: Status) -> dict[str, Any]: ...


class ProtocolServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dialect = dialect
        self.answer: Callable[[Asked], Said]
        self.script: deque[Said] = deque()
        self.asked: list[Asked] = []
        self.reset()
        self._at_once = 0
        self._lock = threading.Lock()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def busy(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        yield
        with self._lock:
            self._at_once -= 1

    def reset(self) -> None:
        """As it was before anybody asked, for a test that shares it."""
        self.answer = lambda asked: simplest(asked.schema)
        self.script.clear()
        self.asked.clear()
        self.delay_s = 0.0
        self.most_at_once = 0

    def next(self, asked: Asked) -> Said:
        with self._lock:
            self.asked.append(asked)
            if self.script:
                return self.script.popleft()
        return self.answer(asked)


class _Handler(BaseHTTPRequestHandler):
    server: ProtocolServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        with self.server.busy():
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                asked = self.server.dialect.hear(self.path, headers, body)
                said = self.server.next(asked)
            except Wrong as error:
                self._error(error.status)
                return
            if self.server.delay_s:
                time.sleep(self.server.delay_s)
            self._say(asked, said)

    def _say(self, asked: Asked, said: Said) -> None:
        match said:
            case Status():
                self._error(said)
            case Hang():
                self.server.released.wait(20)
                self.close_connection = True
            case CutOff():
                self._send(200, self.server.dialect.say(asked, simplest(asked.schema)), cut=said.bytes)
            case _:
                self._send(200, self.server.dialect.say(asked, said))

    def _error(self, status: Status) -> None:
        after = {} if status.retry_after is None else {"Retry-After": str(status.retry_after)}
        self._send(status.status, self.server.dialect.error(status), after)

    def _send(
        self, status: int, body: object, headers: Mapping[str, str] | None = None, cut: int = 0
    ) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) - cut])
        self.wfile.flush()
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Not to stderr."""


@contextmanager
def serving(dialect: Dialect) -> Iterator[ProtocolServer]:
    server = ProtocolServer(dialect)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def simplest(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """A value that fits, for schemas of the usual kind."""
    if "const" in schema or "enum" in schema:
        return schema.get("const", *schema.get("enum", [])[:1])
    if "anyOf" in schema:
        return simplest(schema["anyOf"][0])
    kind = schema.get("type", "object")
    if kind == "object":
        wanted = schema.get("required", schema.get("properties", {}))
        return {name: simplest(schema["properties"][name]) for name in wanted}
    if kind == "array":
        return [simplest(schema["items"])] * schema.get("minItems", 0)
    simple = {"string": "a word", "boolean": True, "null": None}
    return simple[kind] if kind in simple else schema.get("minimum", 0)


def bearer(headers: Mapping[str, str]) -> None:
    if headers.get("authorization") != f"Bearer {KEY}":
        raise Wrong(401, f"Incorrect API key provided: {headers.get('authorization')}")


def counted(words: str) -> int:
    """As many tokens as words."""
    return len(words.split())
