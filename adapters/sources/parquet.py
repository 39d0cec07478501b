"""Parquet files, nested lists of turns among their columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.sources.formats import Shape, shape_of_columns
from adapters.sources.records import Broken, Records, encode
from adapters.sources.streams import MAX_BYTES
from domain.errors import Invalid

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH = 256
_BUFFER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Parquet:
    """Rows by row group. What of a group cannot be read is one broken record for each of its rows."""

    path: Path
    name: str
    max_bytes: int = MAX_BYTES

    @cached_property
    def total(self) -> int:
        with self._open() as file:
            return int(file.metadata.num_rows)

    def shape(self, text_column: str | None) -> Shape:
        import pyarrow as pa

        with self._open() as file:
            schema = file.schema_arrow
        lists = {field.name for field in schema if pa.types.is_nested(field.type)}
        return shape_of_columns(self.name, schema.names, text_column, lists)

    def records(self, skip: int) -> Records:
        row, size = 0, 0
        with self._open() as file:
            for group in range(file.num_row_groups):
                meta = file.metadata.row_group(group)
                size += meta.total_byte_size
                if size > self.max_bytes:
                    row += 1
                    if row > skip:
                        yield Broken(
                            f"breaks off before row {row}: it holds over {self.max_bytes:,} bytes", True
                        )
                    break
                if row + meta.num_rows > skip:
                    yield from _group(file, group, meta.num_rows, max(0, skip - row))
                row += meta.num_rows
        return row

    def _open(self) -> pq.ParquetFile:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise Invalid(
                f"{self.name} is cut off or no Parquet file, nothing of it can be read: {str(error)[:200]}"
            ) from None


def _group(file: pq.ParquetFile, group: int, rows: int, skip: int) -> Iterator[bytes | Broken]:
    """The rows of a group behind the first `skip`; batches begin at its first row, whatever `skip` is."""
    import pyarrow as pa

    done = 0
    try:
        for batch in file.iter_batches(_BATCH, row_groups=[group], use_threads=False):
            before, done = done, done + len(batch)
            if done > skip:
                yield from _records(batch.slice(max(0, skip - before)))
    except (pa.ArrowException, OSError) as error:
        broken = Broken(f"cannot be read: row group {group + 1} is damaged ({str(error)[:200]})")
        yield from repeat(broken, rows - max(done, skip))


def _records(batch: pa.RecordBatch) -> Iterator[bytes | Broken]:
    """One by one if a text of the batch is not UTF-8, so that only its own row is lost."""
    batch = _without_nanoseconds(batch)
    try:
        rows = batch.to_pylist()
    except UnicodeDecodeError:
        if len(batch) == 1:
            yield Broken("holds text that is not valid UTF-8")
        else:
            for row in range(len(batch)):
                yield from _records(batch.slice(row, 1))
    else:
        yield from map(encode, rows)


def _without_nanoseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Timestamps as pandas writes them are finer than a datetime is."""
    import pyarrow as pa

    for index, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(index).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(index, field.name, column)
    return batch
