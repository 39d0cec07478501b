"""Lines in both directions of one request: the answer begins before the question has ended.

Nothing is read before what was read is answered, and nothing is answered before what was answered is taken:
a client that reads slowly is read slowly, and no more than one block is held for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

NDJSON = "application/x-ndjson"

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """`number` counts from 1; `body` is None where the line is longer than is allowed."""

    number: int
    body: bytes | None


class LineReader:
    """Lines out of pieces. Of one that has not ended, no more is kept than shows that it is too long."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = b""
        self._number = 0

    def feed(self, piece: bytes, *, last: bool = False) -> list[Line]:
        """The lines that have ended; blank ones are counted, not given."""
        *ended, rest = (self._rest + piece).split(b"\n")
        if last:
            ended, rest = [*ended, rest], b""
        self._rest = rest[: self._longest + 1]
        return [line for line in map(self._line, ended) if line.body is None or line.body.strip()]

    def _line(self, body: bytes) -> Line:
        self._number += 1
        return Line(self._number, body if len(body) <= self._longest else None)


async def received(receive: Receive, longest: int, most: int) -> AsyncIterator[list[Line]]:
    """What has come of a body, as it comes, in blocks of at most so many lines, until the client is gone."""
    reader, more = LineReader(longest), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        lines = reader.feed(message.get("body", b""), last=not more)
        for start in range(0, len(lines), most):
            yield lines[start : start + most]


class LinesResponse(Response, Generic[T]):
    """`answer` makes the bytes for a block, in a thread. `done` is called at the end, however it comes.

    Starlette's own streaming response listens for a disconnect meanwhile, and loses the rest of the body.
    """

    media_type = NDJSON

    def __init__(
        self,
        blocks: Callable[[Receive], AsyncIterator[Sequence[T]]],
        answer: Callable[[Sequence[T]], bytes],
        done: Callable[[], None],
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._blocks, self._answer, self._done = blocks, answer, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for block in self._blocks(receive):
                body = await run_in_threadpool(self._answer, block)
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._done()
