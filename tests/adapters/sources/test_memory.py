"""Memory does not grow with the file, and what is too long is never held."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.sources import json_array, json_lines, open_file
from commands.ports import BadRow, Conversation

MIB = 1024 * 1024
ROW = json.dumps({"id": "i", "conversation": [{"role": "user", "content": "q" * 900}]}).encode()
ROWS = 20_000
"""Nearly 20 MB of rows."""


def peak(path: Path) -> tuple[int, int]:
    """How many rows there are, and how many bytes were held at most on the way."""
    source = open_file(path)
    tracemalloc.start()
    try:
        good = sum(isinstance(row, Conversation) for row in source.rows())
        return good, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv"])
def test_a_long_file_is_never_held(tmp_path: Path, name: str, packed: bool) -> None:
    data = {
        "x.jsonl": (ROW + b"\n") * ROWS,
        "x.json": b"[" + b",\n".join([ROW] * ROWS) + b"]",
        "x.csv": b"text\n" + (b"q" * 900 + b"\n") * ROWS,
    }[name]
    path = tmp_path / name
    path.write_bytes(gzip.compress(data, 1) if packed else data)

    good, held = peak(path)

    assert good == ROWS
    assert held < 8 * MIB


def test_one_long_row_group_of_parquet_is_never_held(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    texts = [f"{n:06}" + "q" * 900 for n in range(ROWS)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=ROWS, use_dictionary=False)
    before = pa.total_allocated_bytes()
    most = 0
    for row in open_file(path).rows():
        assert isinstance(row, Conversation)
        most = max(most, pa.total_allocated_bytes() - before) if row.row % 256 == 0 else most
    assert 0 < most < 8 * MIB


@pytest.mark.parametrize(
    ("name", "module", "begin", "between", "end", "what"),
    [
        ("x.jsonl", json_lines, b"", b"\n", b"\n", "a line"),
        ("x.json", json_array, b"[", b",", b"]", "an element"),
    ],
)
def test_a_row_that_is_too_long_is_passed_over(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    module: object,
    begin: bytes,
    between: bytes,
    end: bytes,
    what: str,
) -> None:
    monkeypatch.setattr(module, "MAX_RAW_BYTES", MIB)
    long = b'{"text": "' + b"a" * 30 * MIB + b'"}'
    path = tmp_path / name
    path.write_bytes(begin + between.join([ROW, long, ROW]) + end)
    size = len(long) + (between == b"\n")

    first, bad, last = open_file(path).rows()

    assert bad == BadRow(2, f"has {size:,} bytes, the limit for {what} is 1,048,576")
    assert isinstance(first, Conversation)
    assert isinstance(last, Conversation)
    assert peak(path)[1] < 8 * MIB


def test_a_line_of_more_than_64_mib_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "' + b"a" * 64 * MIB + b'"}\n' + ROW)
    bad, good = open_file(path).rows()
    assert bad == BadRow(1, "has 67,108,877 bytes, the limit for a line is 67,108,864")
    assert isinstance(good, Conversation)


def test_a_csv_line_that_is_too_long_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"text\na\n" + b"b" * 65 * MIB + b"\nc\n")
    first, bad, last = open_file(path).rows()
    assert bad == BadRow(2, "has a line of 68,157,441 bytes, the limit is 67,108,864")
    assert [row.query for row in (first, last) if isinstance(row, Conversation)] == ["a", "c"]


def test_an_array_that_breaks_off_in_an_element_that_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_array, "MAX_RAW_BYTES", MIB)
    path = tmp_path / "x.json"
    path.write_bytes(b"[" + ROW + b',{"text": "' + b"a" * 30 * MIB)
    good, long, end = open_file(path).rows()
    assert isinstance(good, Conversation)
    assert long == BadRow(2, "has 31,457,290 bytes, the limit for an element is 1,048,576")
    assert end == BadRow(3, f"breaks off at byte {path.stat().st_size} before row 3")
