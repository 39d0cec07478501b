"""What every request passes: who it is, what it may weigh, and what is noted of it."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.settings import Settings
from api.access import NEEDED, PUBLIC, holder
from api.errors import problem
from domain.base import Context, context

log = structlog.get_logger()

MUTATING = {"POST", "PUT", "PATCH", "DELETE"}
QUIET = {*PUBLIC, "/metrics"}
LONGEST_HEADER = 256
HASH = re.compile(r"[0-9a-f]{64}")
"""The ETag of what is told by its content, where that of others is a version."""
STREAMED = ("/api/predict/batch", "application/x-ndjson")
"""Path and type of the one body that has no bound but that of its lines, and is read as it is answered."""

seconds = Histogram(
    "lmsys_request_seconds", "Time of a request until its last byte", ["method", "route", "status"]
)
requests_failed = Counter("lmsys_requests_failed", "Requests answered with a 5xx", ["route"])


class TooLarge(Exception):
    """More bytes came than are allowed."""


class Requests:
    """ASGI middleware. The body of a command is read here once, bounded, so that its hash is known."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        now = _context(headers)
        watched = _Watched(scope, send, now.correlation_id or "")
        token = context.set(now)
        try:
            await self._guarded(scope, receive, watched, headers)
        finally:
            context.reset(token)
            watched.note()

    async def _guarded(self, scope: Scope, receive: Receive, send: _Watched, headers: Headers) -> None:
        fault = _fault(headers)
        if fault:
            await problem(400, "BadRequest", fault, instance=scope["path"])(scope, receive, send)
            return
        if self._settings.auth and scope["path"] not in PUBLIC:
            name = await holder(scope["app"].state.container, headers)
            if name is None:
                refusal = problem(
                    401,
                    "Unauthorized",
                    NEEDED,
                    instance=scope["path"],
                    headers={"WWW-Authenticate": "Bearer"},
                )
                await refusal(scope, receive, send)
                return
            context.set(replace(context.get(), actor=name, key_scope=name))
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if (scope["path"], kind) == STREAMED:
            await self.app(scope, receive, send)
            return
        upload = kind.startswith("multipart/")
        limit = self._settings.max_upload_bytes if upload else self._settings.max_body_bytes
        try:
            if int(headers.get("content-length") or 0) > limit:
                raise TooLarge
            receive = _bounded(receive, limit)
            if scope["method"] in MUTATING and not upload:
                body = await _read(receive)
                context.set(replace(context.get(), request_hash=request_hash(scope, body)))
                receive = _replay(body, receive)
            await self.app(scope, receive, send)
        except TooLarge:
            if not send.started:
                message = f"the body has more than the {limit} bytes that are allowed"
                answer = problem(413, "TooLarge", message, instance=scope["path"])
                await answer(scope, receive, send)


def request_hash(scope: Scope, body: bytes) -> str:
    """What makes two requests the same one: method, path, query and body."""
    head = b"\n".join([scope["method"].encode(), scope["raw_path"] or b"", scope["query_string"]])
    return hashlib.sha256(head + b"\n" + body).hexdigest()


def _context(headers: Headers) -> Context:
    seen = _etag(headers.get("if-match") or "")
    return Context(
        actor=headers.get("x-actor") or "anonymous",
        correlation_id=headers.get("x-correlation-id") or uuid4().hex,
        causation_id=headers.get("x-causation-id"),
        idempotency_key=headers.get("idempotency-key"),
        expected_version=int(seen) if seen.isdecimal() and not HASH.fullmatch(seen) else None,
        expected_hash=seen if HASH.fullmatch(seen) else None,
    )


def _etag(header: str) -> str:
    return header.strip().removeprefix("W/").strip('"')


def _fault(headers: Headers) -> str | None:
    for name in ("x-actor", "x-correlation-id", "x-causation-id", "idempotency-key"):
        value = headers.get(name)
        if value is not None and not (0 < len(value) <= LONGEST_HEADER and value.isprintable()):
            return f"header {name}: 1 to {LONGEST_HEADER} printable characters"
    match = headers.get("if-match")
    seen = _etag(match or "")
    if match is not None and match != "*" and not (seen.isdecimal() or HASH.fullmatch(seen)):
        return f"header if-match: {match!r} is no ETag of this API"
    length = headers.get("content-length")
    return f"header content-length: {length!r}" if length is not None and not length.isdecimal() else None


def _bounded(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise TooLarge
        return message

    return bounded


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


class _Watched:
    """Sends, and knows what was sent."""

    def __init__(self, scope: Scope, send: Callable[[Message], Awaitable[None]], correlation_id: str) -> None:
        self._scope = scope
        self._send = send
        self._correlation_id = correlation_id
        self._begun = time.perf_counter()
        self._status = 0
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._status = message["status"]
            extra = [(b"x-correlation-id", self._correlation_id.encode("latin-1", "replace"))]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await self._send(message)

    def note(self) -> None:
        route = getattr(self._scope.get("route"), "path", "unmatched")
        took = time.perf_counter() - self._begun
        method, status = self._scope["method"], self._status
        seconds.labels(method, route, str(status)).observe(took)
        if status >= 500:
            requests_failed.labels(route).inc()
        if self._scope["path"] not in QUIET:
            what: dict[str, Any] = {"method": method, "path": self._scope["path"], "status": status}
            log.info("RequestServed", **what, ms=round(took * 1000, 1), correlation_id=self._correlation_id)
