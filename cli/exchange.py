"""A request whose answer is read while it is still being sent: httpx sends first and reads then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

PIECE = 65_536
AHEAD = 4
"""Pieces that are read before the connection takes them."""

LOOK_S = 1.0
"""Between looks at whether the connection is still there, while nothing comes."""

Refusal = Callable[[int, bytes], Exception]
"""What an answer of this status and with this body is raised as."""


async def exchange(
    url: str,
    headers: Mapping[str, str],
    params: Mapping[str, str],
    file: IO[bytes],
    took: Callable[[bytes], None],
    refusal: Refusal,
    *,
    connect_timeout: float,
    proxies: bool,
) -> None:
    """POST what a file holds as it can be read, and hand over each line of the answer as it comes.

    Raises aiohttp.ClientError where the connection fails.
    """
    import aiohttp

    # what the writing task meets is met by the reader too, who tells it
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)
    async with (
        aiohttp.ClientSession(timeout=timeout, trust_env=proxies, headers=headers) as session,
        session.post(url, params=params, data=_pieces(file)) as answer,
    ):
        if answer.status >= 400:
            raise refusal(answer.status, await answer.read())
        rest = b""
        while piece := await next_piece(answer):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                took(line)


async def next_piece(answer: aiohttp.ClientResponse) -> bytes:
    """What comes next of the answer, b"" at its end.

    A reader is not always told of a connection that is lost while something is written to it: look now and
    then whether it is still there.
    """
    from aiohttp import ServerDisconnectedError

    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                return await answer.content.readany()
        lost = answer.connection is None or answer.connection.transport is None
        if lost and not answer.content.is_eof():
            raise ServerDisconnectedError("the connection was lost while the request was being sent")


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Read in a thread that nobody waits for at the end: a terminal or a pipe may never give another byte."""
    loop, ready, room = (
        asyncio.get_running_loop(),
        asyncio.Queue[bytes | Exception](),
        threading.Semaphore(AHEAD),
    )

    def pump() -> None:
        piece: bytes | Exception = b"first"
        while isinstance(piece, bytes) and piece:
            room.acquire()
            piece = _read(file)
            with suppress(RuntimeError):  # the loop has ended: nobody wants any more
                loop.call_soon_threadsafe(ready.put_nowait, piece)

    threading.Thread(target=pump, daemon=True).start()
    while piece := await ready.get():
        if isinstance(piece, Exception):
            raise piece
        room.release()
        yield piece


def _read(file: IO[bytes]) -> bytes | Exception:
    """What is there, up to a piece; a file that can be read only by waiting for all of it is waited for."""
    try:
        piece: bytes = getattr(file, "read1", file.read)(PIECE)
    except (OSError, ValueError) as error:
        return error
    return piece
