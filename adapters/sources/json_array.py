"""A JSON array of any length, cut into its elements without holding more than one of them.

The elements are cut apart here and parsed one by one, since a streaming parser stops for good at the first
element that it cannot parse (ijson: invalid UTF-8, a number of 20 digits) and mends silently what must be
refused (it makes `?` of a lone surrogate).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from adapters.sources.formats import Shape, detect
from adapters.sources.json_lines import broken_off
from adapters.sources.records import MAX_RAW_BYTES, Broken, Records
from adapters.sources.streams import MAX_BYTES, Stream

_CHUNK = 1024 * 1024

# Possessive, so that each byte is looked at once. Strings are passed over as a whole; within an element only
# brackets matter, between elements the comma too.
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_WITHIN = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+", re.DOTALL)
_BETWEEN = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+", re.DOTALL)
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)


@dataclass(frozen=True)
class JsonArray:
    """Elements of the outermost array. One that is not JSON is a broken record, the others are kept."""

    path: Path
    max_bytes: int = MAX_BYTES
    total: None = None

    def shape(self, text_column: str | None) -> Shape:
        return Shape(text_column, turns=False) if text_column else detect(self.records(0))

    def records(self, skip: int) -> Records:
        row = 0
        with Stream(self.path, self.max_bytes) as stream:
            for record in _elements(stream):
                row += 1
                if row > skip:
                    yield record
        return row


def _elements(stream: Stream) -> Iterator[bytes | Broken]:
    cutter, row = _Cutter(), 0
    for chunk in _chunks(stream):
        for element in cutter.feed(chunk):
            row += 1
            yield element
    if cutter.surplus:
        yield Broken(f"stands after the end of the array, which is the end of row {row}")
    elif stream.fault or not cutter.closed:
        yield from _tail(stream, cutter.held, row + 1)


def _tail(stream: Stream, held: _Held, row: int) -> Iterator[bytes | Broken]:
    """What stands behind the last comma of an array that is never closed."""
    element = held.take()
    if element and not _is_cut(element):
        yield element
        row, element = row + 1, b""
    yield broken_off(stream, f"in row {row}" if element else f"before row {row}")


def _is_cut(element: bytes | Broken) -> bool:
    if isinstance(element, Broken):
        return False
    try:
        orjson.loads(element)
    except orjson.JSONDecodeError:
        return True
    return False


def _chunks(stream: Stream) -> Iterator[bytes]:
    """Pieces of the stream; none ends between a backslash and what it escapes."""
    while chunk := stream.read(_CHUNK):
        if (len(chunk) - len(chunk.rstrip(b"\\"))) % 2:
            chunk += stream.read(1)
        yield chunk


class _Held:
    """The element that is being read, dropped once it is too long to be held."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_RAW_BYTES:
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def take(self) -> bytes | Broken:
        pieces, size = self._pieces, self._size
        self._pieces, self._size = [], 0
        if size > MAX_RAW_BYTES:
            return Broken(f"has {size:,} bytes, the limit for an element is {MAX_RAW_BYTES:,}")
        return b"".join(pieces).strip()


class _Cutter:
    """Follows strings and brackets across chunks. Brackets are only counted: parsing finds the rest."""

    def __init__(self) -> None:
        self.held = _Held()
        self.closed = False
        self.surplus = False
        self._depth = 0
        self._in_string = False

    def feed(self, chunk: bytes) -> Iterator[bytes | Broken]:
        if self.closed:
            self.surplus |= not chunk.isspace()
            return
        start = 0
        if self._depth == 0:
            start = chunk.find(b"[") + 1
            self._depth = 1 if start else 0
        for end in self._ends(chunk, start):
            self.held.add(chunk[start:end])
            element = self.held.take()
            start = end + 1
            if element or not self.closed:
                yield element
        if self.closed:
            self.surplus = bool(chunk[start:].strip())
        else:
            self.held.add(chunk[start:])

    def _ends(self, chunk: bytes, at: int) -> Iterator[int]:
        """Where the commas between elements stand, and the bracket that closes the array."""
        while (at := self._next_bracket(chunk, at)) < len(chunk):
            byte = chunk[at : at + 1]
            if byte in b"[{":
                self._depth += 1
            elif self._depth > 1:
                self._depth -= 1
            elif byte in b",]":
                self.closed = byte == b"]"
                yield at
                if self.closed:
                    return
            at += 1

    def _next_bracket(self, chunk: bytes, at: int) -> int:
        if self._in_string:
            rest = _REST_OF_STRING.match(chunk, at)
            if rest is None:
                return len(chunk)
            at, self._in_string = rest.end(), False
        plain = _BETWEEN if self._depth == 1 else _WITHIN
        found = plain.match(chunk, at)
        at = found.end() if found else at
        if chunk[at : at + 1] == b'"':
            self._in_string = True
            return len(chunk)
        return at
