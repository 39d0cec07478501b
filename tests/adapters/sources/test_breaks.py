"""Files that are cut off or damaged: what stands before the break is read, and the break is said."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sources import open_file
from commands.ports import BadRow, Conversation

TEXTS = ["first", 'sec"on]d', "thi\\rd {", "vierte ü\U0001f600", "last"]
ROWS: list[dict[str, object]] = [
    {"id": f"i{number}", "conversations": [{"from": "human", "value": text}]}
    for number, text in enumerate(TEXTS)
]
ARRAY = json.dumps(ROWS, indent=1, ensure_ascii=False).encode()
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
CSV = "id,text\n" + "".join(
    f'{number},"{text.replace(chr(34), chr(34) * 2)}"\n' for number, text in enumerate(TEXTS)
)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Conversation | BadRow]]:
    folder = tmp_path_factory.mktemp("breaks")

    def rows(data: bytes, name: str = "x.json", max_bytes: int = 10**9) -> list[Conversation | BadRow]:
        path = folder / name
        path.write_bytes(data)
        return list(open_file(path, max_bytes=max_bytes).rows())

    return rows


Read = Callable[..., list[Conversation | BadRow]]


def texts(rows: list[Conversation | BadRow]) -> list[str]:
    return [row.query for row in rows if isinstance(row, Conversation)]


@settings(deadline=None)
@given(cut=st.integers(1, len(ARRAY) - 1))
def test_an_array_cut_anywhere_keeps_its_complete_elements_and_says_where_it_breaks(
    read: Read, cut: int
) -> None:
    data = ARRAY[:cut]
    begun, kept = data.count(b"\n {"), data.count(b"\n }")

    rows = read(data)

    where = "in" if begun > kept else "before"
    assert texts(rows) == TEXTS[:kept]
    assert rows[kept:] == [BadRow(kept + 1, f"breaks off at byte {cut} {where} row {kept + 1}")]


@settings(deadline=None)
@given(cut=st.integers(1, len(LINES) - 1))
def test_lines_cut_anywhere_keep_their_complete_rows(read: Read, cut: int) -> None:
    data = LINES[:cut]
    rows = read(data, "x.jsonl")
    kept = data.count(b"\n") + data.endswith(b"}]}")

    assert texts(rows) == TEXTS[:kept]
    if data.endswith((b"\n", b"}]}")):
        assert len(rows) == kept
    else:
        assert rows[kept:] == [BadRow(kept + 1, f"breaks off at byte {cut} in row {kept + 1}")]


@settings(deadline=None)
@given(cut=st.integers(20, len(gzip.compress(LINES, mtime=0)) - 1))
def test_gzip_cut_anywhere_keeps_what_it_holds_whole_and_says_that_it_is_cut(read: Read, cut: int) -> None:
    packed = gzip.compress(LINES, mtime=0)[:cut]
    whole = zlib.decompressobj(wbits=31).decompress(packed)
    kept = whole.count(b"\n") + whole.endswith(b"}]}")

    rows = read(packed, "x.jsonl")

    assert texts(rows) == TEXTS[:kept]
    assert len(rows) == kept + 1
    assert isinstance(rows[-1], BadRow)
    where = "before" if whole.endswith((b"\n", b"}]}")) or not whole else "in"
    fault = f"breaks off at byte {len(whole)} {where} row {kept + 1}: the gzip data is cut off"
    assert rows[-1] == BadRow(kept + 1, fault)


def test_a_packed_array_cut_off(read: Read) -> None:
    packed = gzip.compress(ARRAY, 0)[:-200]
    rows = read(packed)
    assert texts(rows) == TEXTS[: len(rows) - 1]
    assert isinstance(rows[-1], BadRow)
    assert rows[-1].reason.endswith(f"in row {len(rows)}: the gzip data is cut off")


def test_a_packed_array_that_is_closed_before_the_damage(read: Read) -> None:
    rows = read(gzip.compress(ARRAY)[:-3])
    assert texts(rows) == TEXTS
    assert rows[5:] == [BadRow(6, f"breaks off at byte {len(ARRAY)} before row 6: the gzip data is cut off")]


def test_damaged_gzip_is_a_break(read: Read) -> None:
    packed = bytearray(gzip.compress(LINES))
    packed[-6] ^= 0xFF
    rows = read(bytes(packed), "x.jsonl")

    assert texts(rows) == TEXTS
    assert isinstance(rows[-1], BadRow)
    assert rows[-1].reason.startswith(
        f"breaks off at byte {len(LINES)} before row 6: the gzip data is damaged ("
    )

    assert texts(read(gzip.compress(LINES) + b"garbage", "x.jsonl")) == TEXTS
    assert len(read(gzip.compress(LINES) + b"garbage", "x.jsonl")) == 6
    assert len(read(gzip.compress(LINES) + bytes(100), "x.jsonl")) == 5


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_a_bomb_breaks_off_at_its_bound(read: Read, suffix: str) -> None:
    good = {"jsonl": b'{"text": "a"}\n', "json": b'[{"text": "a"},', "csv": b"text\na\n"}[suffix]
    filler = {"jsonl": b'{"text": "b"}\n', "json": b'{"text": "b"},', "csv": b"b\n"}[suffix]
    packed = gzip.compress(good + filler * 200_000)

    rows = read(packed, f"x.{suffix}", max_bytes=100_000)

    assert texts(rows)[:2] == ["a", "b"]
    assert isinstance(rows[-1], BadRow)
    assert rows[-1].reason.startswith("breaks off at byte 100000 ")
    assert rows[-1].reason.endswith("it holds more than 100,000 bytes")
    assert sum(isinstance(row, BadRow) for row in rows) == 1


def test_a_parquet_file_over_its_bound_breaks_off_before_the_group_that_passes_it(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": [f"{n} " * 100 for n in range(10)]}), path, row_group_size=4)
    size = pq.read_metadata(path).row_group(0).total_byte_size

    *good, last = open_file(path, max_bytes=size).rows()

    assert len(good) == 4
    assert last == BadRow(5, f"breaks off before row 5: it holds over {size:,} bytes")


def test_a_damaged_row_group_loses_its_own_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"text": [f"{n} " * 100 for n in range(12)]})
    pq.write_table(table, path, row_group_size=4, use_dictionary=False, compression="gzip")
    column = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.data_page_offset
    data[start + 20 : start + column.total_compressed_size] = bytes(column.total_compressed_size - 20)
    path.write_bytes(data)

    rows = list(open_file(path).rows())

    assert [row.row for row in rows] == list(range(1, 13))
    assert [row.row for row in rows if isinstance(row, BadRow)] == [5, 6, 7, 8]
    assert all("row group 2 is damaged" in row.reason for row in rows if isinstance(row, BadRow))
    assert list(open_file(path).rows(after=6)) == rows[6:]


def test_an_unclosed_array_of_whole_elements_breaks_off_before_the_next(read: Read) -> None:
    assert read(b'[{"text": "a"}, ')[1:] == [BadRow(2, "breaks off at byte 16 before row 2")]
    assert read(b'[{"text": "a"}')[1:] == [BadRow(2, "breaks off at byte 14 before row 2")]
    assert read(b"[") == [BadRow(1, "breaks off at byte 1 before row 1")]


@pytest.mark.parametrize("surplus", [b"[]", b"x" * 3_000_000])
def test_what_stands_after_the_end_of_an_array_is_reported(read: Read, surplus: bytes) -> None:
    first, last = read(b'[\n{"text": "a"}]\n' + surplus)
    assert isinstance(first, Conversation)
    assert last == BadRow(2, "stands after the end of the array, which is the end of row 1")


@pytest.mark.parametrize(
    "element",
    [
        b"",
        b"1 2",
        b"nul",
        b'{"text": "a",}',
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b'{"a": ]}',
        b"}",
        b'{"text": 123456789012345678901234567890}',
        b"[1, [2, {}]]",
        b'"a, ] \\" b"',
    ],
)
def test_a_bad_element_is_lost_alone(read: Read, element: bytes) -> None:
    first, bad, last = read(b'[{"text": "a"}, ' + element + b', {"text": "b"}]')
    assert texts([first, last]) == ["a", "b"]
    assert isinstance(bad, BadRow)
    assert (bad.row, last.row) == (2, 3)


@settings(deadline=None)
@given(cut=st.integers(len("id,text\n"), len(CSV.encode()) - 1))
def test_csv_cut_in_a_quoted_field_breaks_off(read: Read, cut: int) -> None:
    data = CSV.encode()[:cut]
    rows = read(data, "x.csv")
    whole = data.decode(errors="ignore").rpartition("\n")[0].count("\n")

    assert texts(rows)[:whole] == TEXTS[:whole]
    for row in rows[whole:]:
        assert row.row == whole + 1
        if isinstance(row, BadRow):
            assert row.reason == f"breaks off at byte {cut} in row {whole + 1}" or "empty text" in row.reason
        else:
            assert TEXTS[whole].startswith(row.query)


def test_packed_csv_cut_at_the_end_of_a_row_breaks_off_before_the_next(read: Read) -> None:
    rows = read(gzip.compress(b"text\none\ntwo\n", 0)[:-8], "x.csv")
    assert texts(rows) == ["one", "two"]
    assert rows[2:] == [BadRow(3, "breaks off at byte 13 before row 3: the gzip data is cut off")]


def test_packed_csv_that_is_cut_never_gives_half_a_text(read: Read) -> None:
    """Half a field without quotes is a field: only the end of the gzip data tells that it is cut."""
    rows = read(gzip.compress(b"id,text\n1,one\n2,two and three\n", 0)[:-12], "x.csv")
    assert texts(rows) == ["one"]
    assert isinstance(rows[-1], BadRow)
    assert rows[-1].reason.endswith("in row 2: the gzip data is cut off")
