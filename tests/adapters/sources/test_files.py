"""Files of all containers, plain and packed, and folders of them."""

import csv
import gzip
import hashlib
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.sources import SOURCE_SUFFIXES, is_source, open_file
from commands.ports import BadRow, Conversation, ConversationSource
from domain.errors import Invalid, NotFound, Refused

ROWS: list[dict[str, object]] = [
    {"conversation_id": f"c{n}", "conversation": [{"role": "user", "content": f"q{n} ü"}]}
    for n in range(1, 4)
]


def lines(rows: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def table(rows: list[list[str]], separator: str = ",") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue().encode()


def parquet(rows: list[dict[str, object]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=2)
    return sink.getvalue()


def saved(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def queries(source: ConversationSource) -> list[str]:
    """The queries of a source whose rows are all good and numbered from 1 on."""
    rows = list(source.rows())
    assert [row.row for row in rows] == list(range(1, len(rows) + 1))
    assert [row for row in rows if isinstance(row, BadRow)] == []
    return [row.query for row in rows if isinstance(row, Conversation)]


CONTAINERS = {
    "rows.jsonl": lines(ROWS),
    "rows.ndjson": lines(ROWS).replace(b"\n", b"\r\n\r\n"),
    "rows.json": json.dumps(ROWS, indent=2).encode(),
    "line.json": json.dumps(ROWS).encode(),
    "lines.json": lines(ROWS),
    "array.jsonl": json.dumps(ROWS, indent=2).encode(),
    "array_by_lines.jsonl": b"[" + lines(ROWS).strip().replace(b"\n", b",\n") + b"]",
    "unsuffixed": json.dumps(ROWS).encode(),
    "bare": lines(ROWS),
    "rows.csv": table([["id", "text"], ["1", "q1 ü"], ["2", "q2 ü"], ["3", "q3 ü"]]),
    "excel.csv": table([["id", "text"], ["1", "q1 ü"], ["2", "q2 ü"], ["3", "q3 ü"]], ";"),
    "rows.tsv": table([["id", "text"], ["1", "q1 ü"], ["2", "q2 ü"], ["3", "q3 ü"]], "\t"),
    "table": table([["id", "text"], ["1", "q1 ü"], ["2", "q2 ü"], ["3", "q3 ü"]], "\t"),
}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
@pytest.mark.parametrize("packed", [False, True], ids=["bare", "gzip"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_of_any_container(tmp_path: Path, name: str, packed: bool, mark: bytes) -> None:
    data = mark + CONTAINERS[name]
    source = open_file(saved(tmp_path, name, gzip.compress(data) if packed else data))

    assert queries(source) == ["q1 ü", "q2 ü", "q3 ü"]
    assert source.name == name
    assert source.total is None


def test_gzip_is_told_by_its_bytes_and_may_have_several_members(tmp_path: Path) -> None:
    first, *others = ROWS
    members = gzip.compress(lines([first])) + gzip.compress(lines(others))
    assert len(queries(open_file(saved(tmp_path, "rows.jsonl", members)))) == 3


def test_a_parquet_file_with_nested_turns(tmp_path: Path) -> None:
    rows = [{**row, "turn": 1, "language": None, "openai_moderation": [{"flagged": False}]} for row in ROWS]
    source = open_file(saved(tmp_path, "rows.parquet", parquet(rows)))

    assert queries(source) == ["q1 ü", "q2 ü", "q3 ü"]
    assert source.total == 3
    read = next(source.rows())
    assert isinstance(read, Conversation)
    assert read.metadata == {"turn": 1, "openai_moderation": [{"flagged": False}]}
    assert (read.conversation_id, read.language) == ("c1", None)


def test_a_flat_parquet_file_with_values_that_json_has_no_form_for(tmp_path: Path) -> None:
    moment = datetime(2024, 1, 31, 10, 0, 0, 5, tzinfo=UTC)
    columns = {
        "prompt": pa.array(["a"]).dictionary_encode(),
        "timestamp": pa.array([1706695200_000_005_123], pa.timestamp("ns", "UTC")),
        "seen": pa.array([1706695200_000_005_123], pa.timestamp("ns", "UTC")),
        "price": pa.array([Decimal("1.50")]),
        "day": pa.array([moment.date()]),
        "score": pa.array([float("nan")]),
        "blob": pa.array([b"\xff"]),
    }
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path)

    (read,) = open_file(path).rows()

    assert isinstance(read, Conversation)
    assert (read.query, read.timestamp) == ("a", moment)
    assert read.metadata == {"seen": "2024-01-31T10:00:00.000005+00:00", "price": "1.50", "day": "2024-01-31"}


def test_a_parquet_row_with_invalid_utf_8_is_lost_alone(tmp_path: Path) -> None:
    buffers = pa.array([b"a", b"\xff", b"c"], pa.binary()).buffers()
    text = pa.StringArray.from_buffers(3, buffers[1], buffers[2])
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": text}), path)

    first, second, third = open_file(path).rows()

    assert second == BadRow(2, "holds text that is not valid UTF-8")
    assert (first.row, third.row) == (1, 3)
    assert isinstance(first, Conversation)
    assert isinstance(third, Conversation)


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x"])
@pytest.mark.parametrize("first", [b"[1]", b'[{"text": "a"}]', b"[]"])
def test_a_first_line_that_is_an_array_is_only_a_bad_row(tmp_path: Path, name: str, first: bytes) -> None:
    bad, good = open_file(saved(tmp_path, name, first + b'\n{"text": "a"}\n')).rows()
    assert bad == BadRow(1, "must be a JSON object, found a list")
    assert isinstance(good, Conversation)


def test_a_broken_first_line_that_begins_an_array_is_only_a_bad_row(tmp_path: Path) -> None:
    bad, good = open_file(saved(tmp_path, "x.jsonl", b'[{"text"\n{"text": "a"}\n')).rows()
    assert isinstance(bad, BadRow)
    assert isinstance(good, Conversation)


def test_csv_with_quoted_line_ends_and_separators(tmp_path: Path) -> None:
    rows = [["id", "text", "note"], ["1", 'a,\r\n"b"\n\nc', ""], ["2", "d", "e"]]
    first, second = open_file(saved(tmp_path, "x.csv", table(rows))).rows()

    assert isinstance(first, Conversation)
    assert isinstance(second, Conversation)
    assert (first.query, first.conversation_id, first.metadata) == ('a,\r\n"b"\n\nc', "1", {})
    assert second.metadata == {"note": "e"}


def test_a_csv_field_may_have_megabytes(tmp_path: Path) -> None:
    long = "line\n" * 500_000
    (row,) = open_file(saved(tmp_path, "x.csv", table([["text", "note"], ["a", long]]))).rows()
    assert isinstance(row, Conversation)
    assert row.metadata == {"note": long}


def test_bad_csv_rows_are_lost_alone(tmp_path: Path) -> None:
    data = b'text,note\na,1\nb\nc,1,2\n"d" e,1\n\xff,1\nf\x00,1\n,1\n\ng,1\n'
    rows = list(open_file(saved(tmp_path, "x.csv", data)).rows())

    assert [row.row for row in rows] == list(range(1, 9))
    assert [row.query for row in rows if isinstance(row, Conversation)] == ["a", "g"]
    assert [row.reason for row in rows if isinstance(row, BadRow)] == [
        "has 1 fields, the header has 2",
        "has 3 fields, the header has 2",
        "is not valid CSV: ',' expected after '\"' (is a quote not closed or not doubled?)",
        "field 'text' is not valid UTF-8",
        "field 'text' holds a NUL character",
        "field 'text' has an empty text for its query",
    ]


def test_a_quote_that_is_never_closed_takes_at_most_4_mib_with_it(tmp_path: Path) -> None:
    data = b'text,note\na,1\n"b,1\n' + b"c,1\n" * 1_100_000 + b"last,1\n"
    rows = list(open_file(saved(tmp_path, "x.csv", data)).rows())

    bad = [row for row in rows if isinstance(row, BadRow)]
    assert [row.row for row in bad] == [2]
    assert bad[0].reason.startswith("is not valid CSV: field larger than field limit")
    assert isinstance(rows[-1], Conversation)
    assert rows[-1].query == "last"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.csv", b"", "x.csv is empty"),
        (
            "x.csv",
            b"a,b\n1,2\n",
            "x.csv has none of the columns text, query, prompt, question, input: it has a, b",
        ),
        ("x.csv", b"text,a,a\n", "x.csv has more than one column 'a'"),
        ("x.csv", b'"text"x,a\n', "the first row of x.csv, which names its columns, is not valid CSV"),
        ("x.tsv", b"a\tb\n", "x.tsv has none of the columns"),
        ("x.parquet", parquet([{"a": 1}]), "x.parquet has none of the columns"),
        ("x.parquet", parquet([{"text": "a"}])[:-9], "x.parquet is cut off or no Parquet file"),
        ("x.parquet", b"", "x.parquet is cut off or no Parquet file"),
        ("x", parquet([{"text": "a"}])[:60], "x is cut off or no Parquet file"),
        (
            "x.parquet.gz",
            gzip.compress(parquet([{"text": "a"}])),
            "x.parquet.gz is cut off or no Parquet file",
        ),
        ("x", b"what is this", "x: its format cannot be told; name it"),
        ("x.csv", "text\na".encode("utf-16"), "x.csv is UTF-16: save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_at_all_is_invalid(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = saved(tmp_path, "upload", data)
    with pytest.raises(Invalid) as refusal:
        open_file(path, name=name)
    assert refusal.value.message.startswith(message)


def test_a_named_text_column_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"x.csv has no column 'utterance': it has text"):
        open_file(saved(tmp_path, "x.csv", b"text\na\n"), text_column="utterance")
    source = open_file(saved(tmp_path, "y.csv", b"text,utterance\na,b\n"), text_column="utterance")
    assert queries(source) == ["b"]
    (row,) = open_file(saved(tmp_path, "x.jsonl", b'{"text": "a"}'), text_column="utterance").rows()
    assert row == BadRow(1, "has no field 'utterance'")


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for data in (b"", b"\n \n", b"[]", b" [ ]\n"):
        assert queries(open_file(saved(tmp_path, "x.json", data))) == []


def test_a_path_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"^chats.jsonl does not exist$"):
        open_file(tmp_path / "chats.jsonl")


def test_a_path_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^chats cannot be read: File name too long$"):
        open_file(tmp_path / ("x" * 300), name="chats")


def test_the_format_given_outweighs_name_and_content(tmp_path: Path) -> None:
    path = saved(tmp_path, "x.jsonl", b'text\n"[1]"\n')
    assert queries(open_file(path, file_format="csv")) == ["[1]"]
    comma = saved(tmp_path, "y.csv", b"text\tnote,text\na\tb\n")
    with pytest.raises(Invalid, match=r"it has text, note,text"):
        open_file(comma, file_format="tsv", text_column="x")
    with pytest.raises(Invalid, match="format must be one of jsonl, json, csv, tsv, parquet, found 'xml'"):
        open_file(path, file_format="xml")


def test_the_name_given_tells_the_format_of_an_upload(tmp_path: Path) -> None:
    source = open_file(saved(tmp_path, "0a1b2c", b"text\n{\n"), name="chats.CSV")
    assert (source.name, queries(source)) == ("chats.CSV", ["{"])


def test_limit_bounds_rows_and_total(tmp_path: Path) -> None:
    path = saved(tmp_path, "x.parquet", parquet(ROWS))
    for limit, kept in ((0, []), (2, ["q1 ü", "q2 ü"]), (9, ["q1 ü", "q2 ü", "q3 ü"])):
        source = open_file(path, limit=limit)
        assert (queries(source), source.total) == (kept, len(kept))
    with pytest.raises(Invalid, match="limit must be 0 or more, found -1"):
        open_file(path, limit=-1)


def test_the_files_of_a_folder_are_numbered_through_in_order(tmp_path: Path) -> None:
    saved(tmp_path, "chats/b.jsonl", lines(ROWS[1:2]) + b'{"conversation": 3}\n{"a')
    saved(tmp_path, "chats/a.json.gz", gzip.compress(json.dumps(ROWS[:1]).encode()))
    saved(tmp_path, "chats/c/d.csv", b"text\nlast\n")
    saved(tmp_path, "chats/README.md", b"# no source")
    saved(tmp_path, "chats/.hidden/e.jsonl", lines(ROWS))
    saved(tmp_path, "chats/.f.jsonl", lines(ROWS))
    source = open_file(tmp_path / "chats")

    first, second, third, fourth, fifth = source.rows()

    assert source.name == "chats"
    assert [row.query for row in (first, second, fifth) if isinstance(row, Conversation)] == [
        "q1 ü",
        "q2 ü",
        "last",
    ]
    assert third == BadRow(
        3, "b.jsonl, row 2: field 'conversation' must be a list of turns, found the number 3"
    )
    assert isinstance(fourth, BadRow)
    assert fourth.reason.startswith("b.jsonl, row 3: breaks off at byte ")
    assert (fourth.row, fifth.row) == (4, 5)


def test_the_total_of_a_folder_is_known_if_it_is_of_each_file(tmp_path: Path) -> None:
    saved(tmp_path, "a.parquet", parquet(ROWS))
    saved(tmp_path, "b.parquet", parquet(ROWS))
    assert open_file(tmp_path).total == 6
    assert open_file(tmp_path, limit=4).total == 4
    saved(tmp_path, "c.jsonl", lines(ROWS))
    assert open_file(tmp_path).total is None


def test_a_folder_without_sources_is_invalid(tmp_path: Path) -> None:
    saved(tmp_path, "README.md", b"")
    with pytest.raises(Invalid, match=r"is a folder without a file whose name ends in \.jsonl"):
        open_file(tmp_path)


def test_the_fingerprint_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = gzip.compress(lines(ROWS))
    path = saved(tmp_path, "x/a.jsonl", data)
    assert open_file(path, limit=1).fingerprint == hashlib.sha256(data).hexdigest()

    folder = open_file(tmp_path / "x").fingerprint
    assert folder == open_file(tmp_path / "x").fingerprint
    path.rename(path.with_name("b.jsonl"))
    renamed = open_file(tmp_path / "x").fingerprint
    saved(tmp_path, "x/b.jsonl", data + b"\n")
    assert len({folder, renamed, open_file(tmp_path / "x").fingerprint}) == 3


def test_sources_are_listed_by_their_suffix() -> None:
    names = [f"a{suffix}" for suffix in SOURCE_SUFFIXES] + ["B.JSONL.GZ"]
    assert all(is_source(Path(name)) for name in names)
    assert not any(is_source(Path(name)) for name in ("a.parquet.gz", "a.md", "jsonl", ".a.jsonl", "a.gz"))
