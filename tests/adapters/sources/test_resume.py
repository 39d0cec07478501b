"""Invariants of every container: numbers do not depend on where reading starts, and no row stops another."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sources import json_array, open_file
from commands.ports import BadRow, Conversation

Save = Callable[[str, bytes], Path]

GOOD = b'{"conversation_id": "c", "conversation": [{"role": "user", "content": "q"}]}'
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["conversation", "messages", "text", "role", "content", "id", "model", "timestamp"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
LINE = (
    st.just(GOOD)
    | JSON.map(orjson.dumps)
    | JSON.map(lambda value: json.dumps({"text": value}).encode())
    | st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b""))
)


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Save:
    folder = tmp_path_factory.mktemp("resume")

    def saved(name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return saved


def assert_same_from_anywhere(path: Path, limit: int | None = None) -> None:
    full = list(open_file(path, limit=limit).rows())
    assert [row.row for row in full] == list(range(1, len(full) + 1))
    for after in range(len(full) + 3):
        assert list(open_file(path, limit=limit).rows(after)) == full[after:]


@settings(deadline=None)
@given(lines=st.lists(LINE, max_size=8), ended=st.booleans(), packed=st.booleans())
def test_lines_resume_anywhere(save: Save, lines: list[bytes], ended: bool, packed: bool) -> None:
    data = b"\n".join(lines) + b"\n" * ended
    assert_same_from_anywhere(save("x.jsonl", gzip.compress(data)[:-4] if packed else data))


@settings(deadline=None)
@given(lines=st.lists(LINE, max_size=8), cut=st.integers(0, 40))
def test_arrays_resume_anywhere(save: Save, lines: list[bytes], cut: int) -> None:
    data = b"[" + b",\n".join(lines) + b"]"
    assert_same_from_anywhere(save("x.json", data[: len(data) - cut] if cut < len(data) else data))


@settings(deadline=None)
@given(data=st.binary(max_size=60) | st.text('a1,"\n\r', max_size=60).map(str.encode), packed=st.booleans())
def test_tables_resume_anywhere(save: Save, data: bytes, packed: bool) -> None:
    data = b"text,note\n" + data
    assert_same_from_anywhere(save("x.csv", gzip.compress(data)[:-4] if packed else data))


@pytest.mark.parametrize("rows_per_group", [1, 300, 1000])
def test_parquet_resumes_anywhere(tmp_path: Path, rows_per_group: int) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"text": [f"t{n}" if n % 7 else "" for n in range(700)]}),
        path,
        row_group_size=rows_per_group,
    )
    full = list(open_file(path).rows())
    assert [row.row for row in full if isinstance(row, BadRow)] == list(range(1, 701, 7))
    for after in (0, 1, 255, 256, 257, 299, 300, 301, 512, 699, 700, 701):
        assert list(open_file(path).rows(after)) == full[after:]


@given(
    first=st.lists(LINE, max_size=4),
    second=st.lists(LINE, max_size=4),
    limit=st.none() | st.integers(0, 8),
)
@settings(max_examples=50, deadline=None)
def test_folders_resume_anywhere(
    tmp_path_factory: pytest.TempPathFactory, first: list[bytes], second: list[bytes], limit: int | None
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    (folder / "a.jsonl").write_bytes(b"\n".join(first))
    (folder / "b.json").write_bytes(b"[" + b",".join(second))
    pq.write_table(pa.table({"text": ["p", "q"]}), folder / "c.parquet")
    assert_same_from_anywhere(folder, limit)


@settings(deadline=None)
@given(lines=st.lists(LINE, max_size=8))
def test_good_lines_are_kept_whatever_stands_beside_them(save: Save, lines: list[bytes]) -> None:
    beside = [line for line in lines if line.strip()]
    data = b"".join(line + b"\n" + GOOD + b"\n" for line in beside)
    rows = list(open_file(save("y.jsonl", GOOD + b"\n" + data)).rows())

    assert [row.row for row in rows] == list(range(1, 2 * len(beside) + 2))
    assert [row.query for row in rows[::2] if isinstance(row, Conversation)] == ["q"] * (len(beside) + 1)


@settings(deadline=None)
@given(values=st.lists(JSON, max_size=6), indent=st.none() | st.integers(0, 2), chunk=st.integers(1, 9))
def test_an_array_is_cut_where_json_says_wherever_chunks_end(
    save: Save, values: list[object], indent: int | None, chunk: int
) -> None:
    path = save("z.json", json.dumps(values, indent=indent).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_CHUNK", chunk)
        records = list(json_array.JsonArray(path).records(0))
    assert [orjson.loads(record) for record in records if isinstance(record, bytes)] == values


@settings(deadline=None)
@given(text=st.text('\\"[]{},a', max_size=40), chunk=st.integers(1, 5))
def test_brackets_commas_and_escapes_in_a_text_cut_nothing(save: Save, text: str, chunk: int) -> None:
    path = save("t.json", json.dumps([{"text": text}, [text], text]).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_CHUNK", chunk)
        records = list(json_array.JsonArray(path).records(0))
    assert [orjson.loads(record) for record in records if isinstance(record, bytes)] == [
        {"text": text},
        [text],
        text,
    ]
