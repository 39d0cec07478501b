"""A hub on loopback: the part of the protocol of the Hugging Face hub that reading a data set needs."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40
TOKEN = "hf_good"
Repositories = Mapping[str, Mapping[str, bytes]]


class Handler(BaseHTTPRequestHandler):
    """Repositories `owner/gated` want a token; a file whose content is empty cannot be had just now."""

    protocol_version = "HTTP/1.1"
    repositories: Repositories

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        match = re.fullmatch(r"(?:/api)?/datasets/(\w+/\w+)(?:/(resolve|revision|tree)/(\w+)/?(.*))?", path)
        files = self.repositories.get(match[1]) if match else None
        if match is None or files is None:
            return self._answer(401, {"X-Error-Code": "RepoNotFound"})
        sent = self.headers.get("Authorization")
        if match[1] == "owner/gated" and sent != f"Bearer {TOKEN}" and match[2] == "resolve":
            return self._answer(403 if sent else 401, {"X-Error-Code": "GatedRepo"})
        if match[2] == "resolve":
            return self._file(files.get(match[4]))
        if match[2] == "tree":
            return self._json(list(tree(files, match[4], "recursive=true" in self.path)))
        return self._json({"id": match[1], "sha": COMMIT, "private": False, "tags": [], "siblings": []})

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _file(self, data: bytes | None) -> None:
        headers = {"X-Repo-Commit": COMMIT}
        if data is None:
            return self._answer(404, headers | {"X-Error-Code": "EntryNotFound"})
        if not data:
            return self._answer(503, headers)
        headers |= {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return self._answer(200, headers, data)
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return self._answer(206, headers, data[first : last + 1])

    def _json(self, value: Any) -> None:  # noqa: ANN401
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def tree(files: Mapping[str, bytes], folder: str, recursive: bool) -> Iterator[dict[str, object]]:
    """The entries of a folder as the hub lists them."""
    inside = [path for path in files if path.startswith(f"{folder}/" if folder else "")]
    for path in inside:
        depth = path.removeprefix(f"{folder}/" if folder else "").count("/")
        if recursive or depth == 0:
            yield {"type": "file", "oid": "0" * 40, "size": len(files[path]) or 9, "path": path}
    for name in sorted({os.path.dirname(path) for path in inside} - {"", folder}):
        yield {"type": "directory", "oid": "0" * 40, "size": 0, "path": name}


@contextmanager
def serving(repositories: Repositories) -> Iterator[str]:
    """The address of a hub with these repositories."""
    handler = type("Repositories", (Handler,), {"repositories": repositories})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
