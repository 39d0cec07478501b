"""Anthropic's Message Batches and OpenAI's files and batches, kept in memory, on the loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.protocols.server import KEY

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""A line of a batch as it was handed in, to what stands in the output beside its `custom_id`."""

STAMP = "2026-01-01T00:00:00Z"


class BatchServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Answer
        self.batches: dict[str, list[dict[str, Any]]] = {}
        self.cancelled: list[str] = []
        self.files: dict[str, bytes] = {}
        self.ended = True
        self.failing: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def output(self, batch_id: str) -> list[dict[str, Any]]:
        """In reverse: a provider promises no order."""
        return [
            {"custom_id": one["custom_id"], **self.answer(one)} for one in reversed(self.batches[batch_id])
        ]

    # --- Anthropic

    def message_batch(self, batch_id: str) -> dict[str, Any]:
        kinds = [one["result"]["type"] for one in self.output(batch_id)] if self.ended else []
        names = ("succeeded", "errored", "canceled", "expired")
        counts = {name: kinds.count(name) for name in names}
        return {
            "id": batch_id,
            "type": "message_batch",
            "processing_status": "ended" if self.ended else "in_progress",
            "request_counts": {"processing": len(self.batches[batch_id]) - len(kinds), **counts},
            "created_at": STAMP,
            "expires_at": STAMP,
            "results_url": f"{self.url}/v1/messages/batches/{batch_id}/results" if self.ended else None,
        }

    # --- OpenAI

    def batch(self, batch_id: str) -> dict[str, Any]:
        good, bad = self._sorted(batch_id)
        return {
            "id": batch_id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": "file-1",
            "status": "completed" if self.ended else "in_progress",
            "request_counts": {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)},
            "output_file_id": f"out-{batch_id}" if self.ended and good else None,
            "error_file_id": f"err-{batch_id}" if self.ended and bad else None,
        }

    def content(self, file_id: str) -> bytes:
        kind, _, batch_id = file_id.partition("-")
        lines = self._sorted(batch_id)[kind == "err"]
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    def _sorted(self, batch_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        lines = self.output(batch_id)
        return [one for one in lines if not one.get("error")], [one for one in lines if one.get("error")]


class _Handler(BaseHTTPRequestHandler):
    server: BatchServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if KEY not in (self.headers.get("x-api-key") or self.headers.get("authorization") or ""):
            self._send(401, {"error": {"type": "authentication_error", "message": "wrong key"}})
        elif self.server.failing:
            self._send(self.server.failing.pop(), {"error": {"type": "overloaded", "message": "later"}})
        else:
            self._answer(self.path, body)

    do_POST = do_GET

    def _answer(self, path: str, body: bytes) -> None:
        server, last = self.server, path.rsplit("/", 1)[-1]
        found = re.search(r"/batches/([^/]+)", path)
        batch_id = found[1] if found else f"b{len(server.batches) + 1}"
        anthropic = path.startswith("/v1/messages")
        show = server.message_batch if anthropic else server.batch
        if last == "results":
            self._send(200, b"".join(json.dumps(one).encode() + b"\n" for one in server.output(batch_id)))
        elif last == "content":
            self._send(200, server.content(path.split("/")[-2]))
        elif last == "files":
            server.files["file-1"] = self._uploaded(body)
            file = {"id": "file-1", "object": "file", "bytes": 1, "created_at": 0, "filename": "f"}
            self._send(200, {**file, "purpose": "batch", "status": "processed"})
        elif last == "batches":
            lines = server.files["file-1"].splitlines() if not anthropic else []
            requests = json.loads(body)["requests"] if anthropic else [json.loads(one) for one in lines]
            server.batches[batch_id] = requests
            self._send(200, show(batch_id))
        else:
            if last == "cancel":
                server.cancelled.append(batch_id)
            self._send(200, show(batch_id))

    def _uploaded(self, body: bytes) -> bytes:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = BytesParser().parsebytes(head + body).get_payload()
        (file,) = [part for part in parts if part.get_filename()]  # type: ignore[union-attr]
        return bytes(file.get_payload(decode=True))  # type: ignore[union-attr, arg-type]

    def _send(self, status: int, body: bytes | dict[str, Any]) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/binary" if isinstance(body, bytes) else "application/json"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Not to stderr."""


@contextmanager
def serving_batches() -> Iterator[BatchServer]:
    with BatchServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
