"""Tables as text: CSV and TSV, whose first row names the columns."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from adapters.sources.formats import Shape, shape_of_columns
from adapters.sources.json_lines import broken_off, pass_over_line
from adapters.sources.records import MAX_RAW_BYTES, MAX_ROW_BYTES, Broken, Misfit, Records, encode
from adapters.sources.streams import MAX_BYTES, Stream
from domain.errors import Invalid

_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Table:
    """Quoted fields may hold line ends; a quote that is never closed takes with it what follows, up to 4 MiB.

    Without a `separator` it is the one of comma, semicolon and tab that the header has most of.
    """

    path: Path
    name: str
    separator: str | None = None
    max_bytes: int = MAX_BYTES
    total: None = None

    def shape(self, text_column: str | None) -> Shape:
        return shape_of_columns(self.name, self._columns, text_column)

    def records(self, skip: int) -> Records:
        row, cut = 0, False
        with Stream(self.path, self.max_bytes) as stream:
            lines = _Lines(stream)
            rows = _rows(stream, lines, self.separator)
            next(rows, None)
            for fields in rows:
                row += 1
                cut = lines.ended or not lines.whole
                if row > skip:
                    record = self._record(fields)
                    at_fault = cut and (stream.fault or isinstance(record, Broken))
                    yield broken_off(stream, f"in row {row}") if at_fault else record
            if stream.fault and not cut:
                row += 1
                if row > skip:
                    yield broken_off(stream, f"before row {row}")
        return row

    def _record(self, fields: list[str] | Broken) -> bytes | Broken:
        if isinstance(fields, Broken):
            return fields
        if len(fields) != len(self._columns):
            return Broken(f"has {len(fields)} fields, the header has {len(self._columns)}")
        return encode(dict(zip(self._columns, fields, strict=True)))

    @cached_property
    def _columns(self) -> list[str]:
        with Stream(self.path, self.max_bytes) as stream:
            header = next(_rows(stream, _Lines(stream), self.separator), None)
        if header is None:
            raise Invalid(f"{self.name} is empty: a first row with the names of its columns is required")
        if isinstance(header, Broken):
            raise Invalid(f"the first row of {self.name}, which names its columns, {header.reason}")
        columns = [column.strip() or f"column_{number}" for number, column in enumerate(header, 1)]
        if twice := [column for column, times in Counter(columns).items() if times > 1]:
            raise Invalid(f"{self.name} has more than one column {twice[0][:60]!r}: rename all but one")
        return columns


class _Lines:
    """Lines for the csv module. Bytes that are not UTF-8 become lone surrogates, which are refused later."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.whole = True
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(MAX_RAW_BYTES + 1)
        if not line:
            self.ended = True
            raise StopIteration
        self.whole = line.endswith(b"\n")
        if len(line) > MAX_RAW_BYTES and not self.whole:
            self.whole = True
            size = len(line) + pass_over_line(self._stream)
            raise Misfit(f"has a line of {size:,} bytes, the limit is {MAX_RAW_BYTES:,}")
        return line.decode("utf-8", "surrogateescape")


def _rows(stream: Stream, lines: _Lines, separator: str | None) -> Iterator[list[str] | Broken]:
    """Rows that are not blank, the header first. After a fault the csv module goes on with the next line."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    separator = separator or max(_SEPARATORS, key=_first_line(stream).count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        try:
            if fields := next(reader):
                yield fields
        except StopIteration:
            return
        except csv.Error as error:
            yield Broken(f"is not valid CSV: {error} (is a quote not closed or not doubled?)")
        except Misfit as misfit:
            yield Broken(str(misfit))


def _first_line(stream: Stream) -> str:
    return stream.peek().lstrip().partition(b"\n")[0].decode("utf-8", "replace")
