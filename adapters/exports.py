"""Rows into the bytes of a file, a batch at a time: CSV, JSON, lines of JSON, Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

COLUMNS = (
    "query_id",
    "conversation_id",
    "dataset",
    "model",
    "language",
    "timestamp",
    "query_text",
    "cluster_id",
    "cluster_title",
    "confidence",
    "label",
    "domain",
    "metadata",
)
METADATA = COLUMNS.index("metadata")
TEXT = COLUMNS.index("query_text")

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is run as a formula by a spreadsheet."""

GROUP_ROWS = 50_000
GROUP_CHARACTERS = 64_000_000
"""A row group of Parquet, which is in memory as a whole, ends at whichever comes first."""

Row = Sequence[Any]
Batches = Iterable[Sequence[Row]]


def _csv(batches: Batches) -> Iterator[bytes]:
    """RFC 4180, UTF-8. Text that a spreadsheet would run gets an apostrophe before it."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for batch in batches:
        writer.writerows([_cell(value) for value in row] for row in batch)
        yield _taken(buffer)
    yield _taken(buffer)


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return value.isoformat() if isinstance(value, datetime) else value


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


def _json(batches: Batches) -> Iterator[bytes]:
    """One array."""
    before = b"[\n"
    for batch in filter(None, batches):
        yield before + b",\n".join(_object(row) for row in batch)
        before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[]\n"


def _jsonl(batches: Batches) -> Iterator[bytes]:
    for batch in batches:
        yield b"".join(_object(row) + b"\n" for row in batch)


def _object(row: Row) -> bytes:
    """Metadata is JSON already."""
    values = dict(zip(COLUMNS, row, strict=True))
    values["metadata"] = orjson.Fragment(row[METADATA])
    return orjson.dumps(values)


def _parquet(batches: Batches) -> Iterator[bytes]:
    """Row groups, each sent when it is written; metadata as the text of a JSON object."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"query_id": pa.int64(), "cluster_id": pa.int32(), "confidence": pa.float32()}
    kinds["timestamp"] = pa.timestamp("us", tz="UTC")
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for rows in _groups(batches):
            columns = zip(*rows, strict=True)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema), row_group_size=len(rows))
            yield sink.take()
    yield sink.take()


def _groups(batches: Batches) -> Iterator[list[Row]]:
    rows: list[Row] = []
    characters = 0
    for batch in batches:
        rows += batch
        characters += sum(len(row[TEXT]) + len(row[METADATA]) for row in batch)
        if len(rows) >= GROUP_ROWS or characters >= GROUP_CHARACTERS:
            yield rows
            rows, characters = [], 0
    if rows:
        yield rows


class _Sink(io.RawIOBase):
    """A file that is only ever written on: what is taken is forgotten."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401  (any buffer)
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


@dataclass(frozen=True)
class FileFormat:
    media_type: str
    encode: Callable[[Batches], Iterator[bytes]]


FORMATS = {
    "csv": FileFormat("text/csv; charset=utf-8", _csv),
    "json": FileFormat("application/json", _json),
    "jsonl": FileFormat("application/x-ndjson", _jsonl),
    "parquet": FileFormat("application/vnd.apache.parquet", _parquet),
}
