"""Lines out of pieces, however they are cut, and never more read than was answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive

from api.lines import Line, LineReader, LinesResponse, received

LONGEST = 8


def read(pieces: Sequence[bytes]) -> list[Line]:
    reader = LineReader(LONGEST)
    lines = [line for piece in pieces for line in reader.feed(piece)]
    return lines + reader.feed(b"", last=True)


def cut(body: bytes, at: Sequence[int]) -> list[bytes]:
    places = sorted(one % (len(body) + 1) for one in at)
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


@given(st.lists(st.binary(max_size=3 * LONGEST)), st.lists(st.integers(0, 1_000)))
def test_lines_do_not_depend_on_how_they_are_cut(parts: list[bytes], at: list[int]) -> None:
    body = b"\n".join(parts)
    expected = [
        Line(number, line if len(line) <= LONGEST else None)
        for number, line in enumerate(body.split(b"\n"), 1)
        if len(line) > LONGEST or line.strip()
    ]
    assert read(cut(body, at)) == expected


def test_of_a_line_without_end_little_is_kept() -> None:
    reader = LineReader(LONGEST)
    for _ in range(100):
        assert reader.feed(b"x" * 1_000) == []
    assert reader.feed(b"\nshort\n") == [Line(1, None), Line(2, b"short")]
    assert len(reader._rest) <= LONGEST + 1


def messages(*pieces: bytes) -> list[Message]:
    last = len(pieces) - 1
    return [{"type": "http.request", "body": one, "more_body": n < last} for n, one in enumerate(pieces)]


class Conversation:
    """Both ends of a connection, and the order of what happens at them."""

    def __init__(self, *incoming: Message) -> None:
        self.incoming = list(incoming)
        self.happened: list[str] = []
        self.sent = b""

    async def receive(self) -> Message:
        self.happened.append("read")
        return self.incoming.pop(0)

    async def send(self, message: Message) -> None:
        self.happened.append("sent" if message.get("body") else "-")
        self.sent += message.get("body", b"")

    def run(self, most: int = 10) -> int:
        """How often it was said that the end has come."""
        ends: list[None] = []

        async def blocks(receive: Receive) -> AsyncIterator[Sequence[Line]]:
            async for block in received(receive, LONGEST, most):
                yield block

        response = LinesResponse(blocks, shout, partial(ends.append, None))
        asyncio.run(response({"type": "http"}, self.receive, self.send))
        return len(ends)


def shout(lines: Sequence[Line]) -> bytes:
    return b"".join((line.body or b"?").upper() + b"\n" for line in lines)


def test_nothing_is_read_before_what_was_read_is_answered() -> None:
    one = Conversation(*messages(b"a\nb", b"c\n", b"d\ne"))
    assert one.run() == 1
    assert one.sent == b"A\nBC\nD\nE\n"
    assert one.happened == ["-", "read", "sent", "read", "sent", "read", "sent", "-"]


def test_blocks_are_no_larger_than_is_allowed() -> None:
    one = Conversation(*messages(b"a\nb\nc\nd\ne\n"))
    one.run(most=2)
    assert (one.happened.count("sent"), one.sent) == (3, b"A\nB\nC\nD\nE\n")


def test_it_ends_where_the_client_is_gone() -> None:
    one = Conversation(*messages(b"a\n", b"")[:1], {"type": "http.disconnect"})
    assert (one.run(), one.sent) == (1, b"A\n")


def test_the_answer_has_no_length_and_says_what_it_is() -> None:
    response = LinesResponse[Line](lambda receive: received(receive, 1, 1), shout, lambda: None)
    assert response.raw_headers == [(b"content-type", b"application/x-ndjson")]
