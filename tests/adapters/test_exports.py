"""Files as their readers read them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from adapters import exports
from adapters.exports import CLASSIFICATIONS, FORMATS, QUERIES

AT = datetime(2024, 2, 29, 23, 59, 58, 123456, tzinfo=UTC)
PLAIN = (7, "c7", "default", "gpt", None, AT, "hello", -1, None, 0.25, "x", None, '{"a": [1, "é"]}')
# What Postgres can hold: no NUL, no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def written(name: str, *batches: Sequence[Any]) -> bytes:
    return b"".join(FORMATS[name].encode(QUERIES, batches))


def row_with(text: str) -> tuple[Any, ...]:
    return (*PLAIN[:6], text, *PLAIN[7:])


def read_csv(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


@given(st.lists(st.lists(texts, max_size=3), max_size=4))
def test_csv_is_read_as_it_was_written(batches: list[list[str]]) -> None:
    lines = read_csv(written("csv", *[[row_with(text) for text in batch] for batch in batches]))
    assert lines[0] == list(QUERIES)
    assert [line[6].removeprefix("'") for line in lines[1:]] == [
        text.removeprefix("'") for batch in batches for text in batch
    ]
    assert all(not line[6].startswith(("=", "+", "-", "@", "\t", "\r")) for line in lines[1:])


@pytest.mark.parametrize("first", "=+-@\t\r")
def test_a_spreadsheet_is_given_no_formula(first: str) -> None:
    text = f"{first}cmd|' /C calc'!A0"
    row = (7, text, text, text, text, AT, text, -1, text, -0.5, text, text, "{}")
    cells = dict(zip(QUERIES, read_csv(written("csv", [row]))[1], strict=True))
    kept = {
        name: cells.pop(name) for name in ("query_id", "timestamp", "cluster_id", "confidence", "metadata")
    }
    assert set(cells.values()) == {f"'{text}"}
    assert kept["cluster_id"] == "-1"
    assert kept["confidence"] == "-0.5"


def test_csv_has_the_line_ends_and_quotes_of_its_standard() -> None:
    data = written("csv", [row_with('say "a",\nb')])
    assert data.startswith(b"query_id,conversation_id,")
    assert b'"say ""a"",\nb"' in data
    assert data.count(b"\r\n") == 2
    assert b"2024-02-29T23:59:58.123456+00:00" in data


@given(st.lists(st.lists(texts, max_size=3), max_size=4))
def test_json_is_one_array_of_objects(batches: list[list[str]]) -> None:
    rows = [[row_with(text) for text in batch] for batch in batches]
    objects = json.loads(written("json", *rows))
    assert [one["query_text"] for one in objects] == [text for batch in batches for text in batch]
    lines = written("jsonl", *rows).decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == objects
    assert lines[-1] == ""


def test_json_keeps_numbers_nothing_and_metadata() -> None:
    (one,) = json.loads(written("json", [PLAIN]))
    assert list(one) == list(QUERIES)
    assert one == {
        **dict(zip(QUERIES, PLAIN, strict=True)),
        "timestamp": AT.isoformat(),
        "metadata": {"a": [1, "é"]},
    }


def test_parquet_has_types_and_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "GROUP_ROWS", 5)
    rows = [row_with(f"text {number}") for number in range(12)]
    file = parquet.ParquetFile(io.BytesIO(written("parquet", rows[:4], rows[4:8], rows[8:])))
    assert file.metadata.num_rows == 12
    assert [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)] == [8, 4]
    table = file.read()
    assert table.column("query_text").to_pylist() == [f"text {number}" for number in range(12)]
    assert table.slice(0, 1).to_pylist()[0] == dict(zip(QUERIES, row_with("text 0"), strict=True))
    assert str(table.schema.field("timestamp").type) == "timestamp[us, tz=UTC]"


def test_long_texts_end_a_row_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "GROUP_CHARACTERS", 100)
    rows = [row_with("x" * 60) for _ in range(4)]
    file = parquet.ParquetFile(io.BytesIO(written("parquet", *[[row] for row in rows])))
    assert file.num_row_groups == 2


@pytest.mark.parametrize("name", ["json", "jsonl", "parquet", "csv"])
def test_a_file_may_have_no_rows(name: str) -> None:
    data = written(name)
    read: dict[str, Callable[[], Any]] = {
        "json": lambda: json.loads(data),
        "jsonl": lambda: data.splitlines(),
        "csv": lambda: read_csv(data)[1:],
        "parquet": lambda: parquet.read_table(io.BytesIO(data)).to_pylist(),
    }
    assert read[name]() == []


def test_classifications_keep_what_is_not_there() -> None:
    row = (7, "c7", "default", "hello", None, None, None, None, "no label", "run", "topics", 2, "local/x")
    expected = dict(zip(CLASSIFICATIONS, row, strict=True))
    written_by = {name: b"".join(FORMATS[name].encode(CLASSIFICATIONS, [[row]])) for name in FORMATS}
    assert json.loads(written_by["json"]) == [json.loads(written_by["jsonl"])] == [expected]
    table = parquet.read_table(io.BytesIO(written_by["parquet"]))
    assert table.to_pylist() == [expected]
    assert str(table.schema.field("confidence").type) == "float"
    header, line = read_csv(written_by["csv"])
    assert header == list(CLASSIFICATIONS)
    assert line == ["" if value is None else str(value) for value in row]


def test_bytes_come_while_rows_are_read() -> None:
    """Nothing is held back until the end, whatever the format: 1,000,000 rows must not be in memory."""
    taken = []

    def batches() -> Any:  # noqa: ANN401
        for number in range(3):
            taken.append(number)
            yield [PLAIN]

    for name in ("csv", "json", "jsonl"):
        taken.clear()
        chunks = FORMATS[name].encode(QUERIES, batches())
        assert next(chunks)
        assert taken == [0]
