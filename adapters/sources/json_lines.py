"""One JSON value per line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from adapters.sources.formats import Shape, detect
from adapters.sources.records import MAX_RAW_BYTES, Broken, Records
from adapters.sources.streams import MAX_BYTES, Stream

_NEWLINE = 10
_PIECE = 1024 * 1024


@dataclass(frozen=True)
class JsonLines:
    """Blank lines are no rows. A last line that has no end and is no JSON is where the file breaks off."""

    path: Path
    max_bytes: int = MAX_BYTES
    total: None = None

    def shape(self, text_column: str | None) -> Shape:
        return Shape(text_column, turns=False) if text_column else detect(self.records(0))

    def records(self, skip: int) -> Records:
        row = 0
        with Stream(self.path, self.max_bytes) as stream:
            record: bytes | Broken = b""
            while line := stream.readline(MAX_RAW_BYTES + 1):
                if line.isspace():
                    continue
                row += 1
                record = line if line[-1] == _NEWLINE else _unterminated(stream, line, row)
                if row > skip:
                    yield record
            if stream.fault and not (isinstance(record, Broken) and record.breaks):
                row += 1
                if row > skip:
                    yield broken_off(stream, f"before row {row}")
        return row


def broken_off(stream: Stream, where: str) -> Broken:
    """A stream at its end that should not be there."""
    fault = f": {stream.fault}" if stream.fault else ""
    return Broken(f"breaks off at byte {stream.size} {where}{fault}", breaks=True)


def _unterminated(stream: Stream, line: bytes, row: int) -> bytes | Broken:
    if len(line) > MAX_RAW_BYTES:
        size = len(line) + pass_over_line(stream)
        return Broken(f"has {size:,} bytes, the limit for a line is {MAX_RAW_BYTES:,}")
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return broken_off(stream, f"in row {row}")
    return line


def pass_over_line(stream: Stream) -> int:
    size = 0
    while piece := stream.readline(_PIECE):
        size += len(piece)
        if piece[-1] == _NEWLINE:
            break
    return size
