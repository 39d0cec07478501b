"""The HTTP interface of a Qdrant server, so far as it is used here, over the client library's own local mode.

What the adapter sends is thus really put on the wire, and parsed and executed by the library.
"""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter
from qdrant_client import QdrantClient, models


class StandIn(ThreadingHTTPServer):
    """`answer_with` makes every call end with this status; `headers` are those of the last request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.client = QdrantClient(":memory:")
        self.turn = Lock()
        self.indexes: list[tuple[str, object]] = []
        self.answer_with: int | None = None
        self.headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


Kind = TypeVar("Kind")


def _read(body: bytes, kind: type[Kind]) -> Kind:
    return TypeAdapter(kind).validate_json(body)


def _create(server: StandIn, name: str, body: bytes) -> bool:
    return server.client.create_collection(name, vectors_config=_read(body, models.CreateCollection).vectors)


def _index(server: StandIn, name: str, body: bytes) -> dict[str, Any]:
    asked = _read(body, models.CreateFieldIndex)
    server.indexes.append((asked.field_name, asked.field_schema))
    return {"operation_id": 0, "status": "completed"}


def _aliases(server: StandIn, name: str, body: bytes) -> bool:
    actions = _read(body, models.ChangeAliasesOperation).actions
    return server.client.update_collection_aliases(change_aliases_operations=actions)


def _upsert(server: StandIn, name: str, body: bytes) -> BaseModel:
    return server.client.upsert(name, points=_read(body, models.PointsBatch).batch)


_SELECTOR: TypeAdapter[models.PointIdsList | models.FilterSelector] = TypeAdapter(
    models.PointIdsList | models.FilterSelector
)


def _delete(server: StandIn, name: str, body: bytes) -> BaseModel:
    return server.client.delete(name, points_selector=_SELECTOR.validate_json(body))


def _query(server: StandIn, name: str, body: bytes) -> BaseModel:
    asked = _read(body, models.QueryRequest)
    return server.client.query_points(
        name, query=asked.query, limit=asked.limit or 10, query_filter=asked.filter, with_payload=True
    )


def _retrieve(server: StandIn, name: str, body: bytes) -> list[dict[str, Any]]:
    asked = _read(body, models.PointRequest)
    found = server.client.retrieve(name, asked.ids, with_vectors=asked.with_vector or False)
    return [point.model_dump() for point in found]


def _scroll(server: StandIn, name: str, body: bytes) -> dict[str, Any]:
    asked = _read(body, models.ScrollRequest)
    points, after = server.client.scroll(
        name,
        limit=asked.limit or 10,
        offset=asked.offset,
        with_payload=True,
        with_vectors=asked.with_vector or False,
    )
    return {"points": [point.model_dump() for point in points], "next_page_offset": after}


ROUTES: list[tuple[str, str, Callable[[StandIn, str, bytes], Any]]] = [
    ("GET", "/collections", lambda server, name, body: server.client.get_collections()),
    ("GET", "/aliases", lambda server, name, body: server.client.get_aliases()),
    ("POST", "/collections/aliases", _aliases),
    ("GET", "/collections/(.+)/exists", lambda s, name, body: {"exists": s.client.collection_exists(name)}),
    ("PUT", "/collections/(.+)/index", _index),
    ("PUT", "/collections/(.+)/points", _upsert),
    ("POST", "/collections/([^/]+)/points", _retrieve),
    ("POST", "/collections/(.+)/points/delete", _delete),
    ("POST", "/collections/(.+)/points/query", _query),
    ("POST", "/collections/(.+)/points/scroll", _scroll),
    ("POST", "/collections/(.+)/points/count", lambda server, name, body: server.client.count(name)),
    ("GET", "/collections/([^/]+)", lambda server, name, body: server.client.get_collection(name)),
    ("PUT", "/collections/([^/]+)", _create),
    ("DELETE", "/collections/([^/]+)", lambda server, name, body: server.client.delete_collection(name)),
]


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.headers = {key.lower(): value for key, value in self.headers.items()}
        if self.server.answer_with:
            self._send(self.server.answer_with, {"status": {"error": "as the test wants it"}})
            return
        for method, pattern, answer in ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, self.path.partition("?")[0])):
                self._send(*self._executed(answer, (found.groups() or ("",))[0], body))
                return
        self._send(404, {"status": {"error": f"no route {self.command} {self.path}"}})

    do_GET = do_PUT = do_POST = do_DELETE = _serve

    def _executed(
        self, answer: Callable[[StandIn, str, bytes], Any], name: str, body: bytes
    ) -> tuple[int, dict[str, Any]]:
        """The library's local mode says ValueError for all that a server says with a status."""
        try:
            with self.server.turn:
                result = answer(self.server, name, body)
        except ValueError as error:
            return (404 if "not found" in str(error) else 400), {"status": {"error": str(error)}}
        plain = result.model_dump(mode="json") if hasattr(result, "model_dump") else result
        return 200, {"result": plain, "status": "ok", "time": 0.0}

    def _send(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
