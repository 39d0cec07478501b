"""Rows into the bytes of a file, a batch at a time: CSV, JSON, lines of JSON, Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

Kind = Literal["text", "int32", "int64", "float", "time", "json"]
Columns = Mapping[str, Kind]
"""Of each row in this order. `json`: what is JSON already, as text."""

QUERIES: Columns = {
    "query_id": "int64",
    "conversation_id": "text",
    "dataset": "text",
    "model": "text",
    "language": "text",
    "timestamp": "time",
    "query_text": "text",
    "cluster_id": "int32",
    "cluster_title": "text",
    "confidence": "float",
    "label": "text",
    "domain": "text",
    "metadata": "json",
}

CLASSIFICATIONS: Columns = {
    "query_id": "int64",
    "conversation_id": "text",
    "dataset": "text",
    "query_text": "text",
    "label": "text",
    "current_label": "text",
    "confidence": "float",
    "reasoning": "text",
    "error": "text",
    "classification_run_id": "text",
    "template_id": "text",
    "template_number": "int32",
    "model": "text",
}
"""`label` as it was given, and what has become of it in the newest version of the template."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is run as a formula by a spreadsheet."""

GROUP_ROWS = 50_000
GROUP_CHARACTERS = 64_000_000
"""A row group of Parquet, which is in memory as a whole, ends at whichever comes first."""

Row = Sequence[Any]
Batches = Iterable[Sequence[Row]]


def _csv(columns: Columns, batches: Batches) -> Iterator[bytes]:
    """RFC 4180, UTF-8. Text that a spreadsheet would run gets an apostrophe before it."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
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


def _json(columns: Columns, batches: Batches) -> Iterator[bytes]:
    """One array."""
    before = b"[\n"
    for rows in _objects(columns, batches):
        yield before + b",\n".join(rows)
        before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[]\n"


def _jsonl(columns: Columns, batches: Batches) -> Iterator[bytes]:
    for rows in _objects(columns, batches):
        yield b"".join(row + b"\n" for row in rows)


def _objects(columns: Columns, batches: Batches) -> Iterator[list[bytes]]:
    """Batches that have rows, each row as an object."""
    encoded = [name for name, kind in columns.items() if kind == "json"]
    for batch in filter(None, batches):
        rows = [dict(zip(columns, row, strict=True)) for row in batch]
        for name in encoded:
            for values in rows:
                values[name] = orjson.Fragment(values[name])
        yield [orjson.dumps(values) for values in rows]


def _parquet(columns: Columns, batches: Batches) -> Iterator[bytes]:
    """Row groups, each sent when it is written; what is JSON as its text."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"int32": pa.int32(), "int64": pa.int64(), "float": pa.float32()}
    kinds["time"] = pa.timestamp("us", tz="UTC")
    schema = pa.schema([(name, kinds.get(kind, pa.string())) for name, kind in columns.items()])
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for rows in _groups(batches):
            by_column = zip(*rows, strict=True)
            arrays = [pa.array(values, kind) for values, kind in zip(by_column, schema.types, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema), row_group_size=len(rows))
            yield sink.take()
    yield sink.take()


def _groups(batches: Batches) -> Iterator[list[Row]]:
    rows: list[Row] = []
    characters = 0
    for batch in batches:
        rows += batch
        characters += sum(len(value) for row in batch for value in row if isinstance(value, str))
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
    encode: Callable[[Columns, Batches], Iterator[bytes]]


FORMATS = {
    "csv": FileFormat("text/csv; charset=utf-8", _csv),
    "json": FileFormat("application/json", _json),
    "jsonl": FileFormat("application/x-ndjson", _jsonl),
    "parquet": FileFormat("application/vnd.apache.parquet", _parquet),
}
