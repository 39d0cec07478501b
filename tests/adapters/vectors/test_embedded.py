"""The embedded engine as a process lives with it: reopened, killed, held, damaged, shared by threads."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import qdrant_edge

from adapters.vectors import files, make_vectors
from adapters.vectors.collection import Collection
from adapters.vectors.embedded import EmbeddedVectors
from adapters.vectors.shard import Shard
from commands.ports import Point, PointFilter
from domain.errors import Invalid, NotFound, Unavailable
from domain.values import Vectors

ROOT = Path(__file__).parents[3]
ANY = PointFilter()

WRITER = """
import sys
from pathlib import Path
import numpy as np
from adapters.vectors.embedded import EmbeddedVectors
from commands.ports import Point
store = EmbeddedVectors(Path(sys.argv[1]))
store.create("queries", 16, ["model"], ["run"])
store.alias("live", "queries")
for run in range(1, 10_000):
    vector = np.full(16, 1, np.float32)
    vector[run % 16] = 100
    store.upsert("queries", [Point(number, vector, {"run": run}) for number in range(400)])
    store.upsert("queries", [Point(1000 + run, vector, {"run": run})])
    store.delete("queries", [1000 + run - 1])
    print(run, flush=True)
"""


KILLED_BEFORE_FLUSHING = """
import os, signal, sys
from pathlib import Path
import numpy as np
from adapters.vectors.embedded import EmbeddedVectors
from adapters.vectors.shard import Shard
from commands.ports import Point
store = EmbeddedVectors(Path(sys.argv[1]))
store.count("queries")
Shard.flush = lambda self: os.kill(os.getpid(), signal.SIGKILL)
store.upsert("queries", [Point(number, np.eye(16, dtype=np.float32)[3], {"run": 99}) for number in range(20)])
"""


def vectors(count: int, dimension: int = 16, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def fill(store: EmbeddedVectors, count: int = 20) -> None:
    store.create("queries", 16, ["model"], ["run"])
    store.upsert("queries", [Point(i, row, {"run": i}) for i, row in enumerate(vectors(count))])


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_everything_is_there_after_reopening(home: Path, embedded: EmbeddedVectors) -> None:
    fill(embedded)
    embedded.alias("live", "queries")
    embedded.delete("queries", [3])
    embedded.close()
    again = make_vectors(home, None, None)
    try:
        assert again.is_embedded
        assert again.collections() == ["queries"]
        assert again.resolve("live") == "queries"
        assert [p.point_id for page in again.scroll("live", 7) for p in page] == [0, 1, 2, *range(4, 20)]
        hits = again.search("live", vectors(20)[7], 1, PointFilter({"run": [7, 8]}))
        assert [(hit.point_id, hit.payload) for hit in hits] == [(7, {"run": 7})]
    finally:
        again.close()


def test_what_was_acknowledged_outlasts_a_kill(home: Path) -> None:
    writer = run(WRITER, home)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) == 25:
            writer.kill()
            break
    rest, said = writer.communicate(timeout=20)
    acknowledged = int(rest.split()[-1]) if rest.strip() else 25
    assert (writer.returncode, said) == (-signal.SIGKILL, "")
    store = EmbeddedVectors(home)
    try:
        points = {p.point_id: p for page in store.scroll("live", 1000) for p in page}
        assert set(range(400)) <= set(points)
        for number in range(400):
            at = points[number].payload["run"]
            assert at in (acknowledged, acknowledged + 1)
            assert int(points[number].vector.argmax()) == at % 16, "vector and payload are of one write"
        others = set(points) - set(range(400))
        assert others <= {1000 + acknowledged, 1000 + acknowledged + 1}
        assert others
        store.upsert("live", [Point(1, vectors(1)[0], {})])
    finally:
        store.close()


def test_a_write_cut_short_by_a_kill_is_never_half_of_a_point(home: Path, embedded: EmbeddedVectors) -> None:
    """Without a log of the engine the new vectors stayed beside the old payloads."""
    fill(embedded)
    embedded.close()
    killed = run(KILLED_BEFORE_FLUSHING, home)
    assert killed.communicate(timeout=20) == ("", "")
    assert killed.returncode == -signal.SIGKILL
    again = EmbeddedVectors(home)
    points = [point for page in again.scroll("queries", 100) for point in page]
    again.close()
    assert len(points) == 20
    assert {(int(point.vector.argmax()), point.payload["run"]) for point in points} == {(3, 99)}


def test_what_was_acknowledged_does_not_wait_in_the_log(home: Path, embedded: EmbeddedVectors) -> None:
    """The log is not synced at each write, so that after a power cut the segments alone must do."""
    fill(embedded)
    embedded.delete("queries", [4])
    left = home / "after the power cut"
    shutil.copytree(home / "vectors" / "queries" / "1", left, ignore=shutil.ignore_patterns("wal"))
    shard = Shard.load(left)
    assert [point.point_id for point in shard.page(None, 100)[0]] == [0, 1, 2, 3, *range(5, 20)]
    shard.close()


def test_one_process_at_a_time(home: Path, embedded: EmbeddedVectors) -> None:
    fill(embedded)
    code = "import sys; from pathlib import Path; from adapters.vectors import make_vectors\n"
    code += "from domain.errors import Unavailable\n"
    code += "try: make_vectors(Path(sys.argv[1]), None, None)\nexcept Unavailable as e: print(e)"
    said, error = run(code, home).communicate(timeout=20)
    assert error == ""
    assert f"is open in another process (id {os.getpid()})" in said
    assert "LMSYS_QDRANT_URL" in said
    with pytest.raises(Unavailable, match="is open in another process"):
        EmbeddedVectors(home)
    assert embedded.count("queries") == 20


def test_all_calls_on_a_closed_index_say_so(embedded: EmbeddedVectors) -> None:
    fill(embedded)
    embedded.close()
    embedded.close()
    for call in (
        lambda: embedded.create("more", 4, []),
        lambda: embedded.alias("live", "queries"),
        lambda: embedded.drop("queries"),
        lambda: embedded.collections(),
        lambda: embedded.search("queries", vectors(1)[0], 1, ANY),
        lambda: embedded.upsert("queries", []),
    ):
        with pytest.raises(Unavailable, match="has been closed"):
            call()


def nothing(vectors: Path) -> None:
    """The disk is not mounted."""


def a_file(vectors: Path) -> None:
    vectors.write_text("in its place")


def another_folder(vectors: Path) -> None:
    vectors.mkdir()
    (vectors / "lock").touch()


@pytest.mark.parametrize("instead", [nothing, a_file, another_folder])
def test_a_folder_that_is_away_is_unavailable_and_all_there_when_it_is_back(
    home: Path, embedded: EmbeddedVectors, instead: Callable[[Path], None]
) -> None:
    """Nothing new is made in its place, which would pass for the index."""
    vectors, away = home / "vectors", home / "away"
    row = np.eye(16, dtype=np.float32)[3]
    for name in ("queries", "unopened"):
        embedded.create(name, 16, [])
        embedded.upsert(name, [Point(1, row, {})])
    embedded.alias("live", "queries")
    embedded._opened.pop("unopened").close()
    vectors.rename(away)
    instead(vectors)
    calls: list[Callable[[], Any]] = [
        lambda: embedded.create("titles", 16, []),
        lambda: embedded.create("queries", 16, []),
        lambda: embedded.alias("live", "unopened"),
        lambda: embedded.drop("queries"),
        lambda: embedded.upsert("live", [Point(2, row, {})]),
        lambda: embedded.count("unopened"),
        embedded.collections,
    ]
    for call in calls:
        with pytest.raises(Unavailable):
            call()
    assert not (vectors / "queries").exists()
    if vectors.exists():
        shutil.rmtree(vectors) if vectors.is_dir() else vectors.unlink()
    away.rename(vectors)
    embedded.upsert("live", [Point(3, row, {})])
    assert embedded.collections() == ["queries", "unopened"]
    assert (embedded.count("live"), embedded.count("unopened")) == (3, 1)


def test_what_a_killed_process_left_is_removed_and_nothing_else(
    home: Path, embedded: EmbeddedVectors
) -> None:
    fill(embedded)
    embedded.alias("live", "queries")
    embedded.close()
    folder = home / "vectors"
    (folder / "queries" / "2" / "segments").mkdir(parents=True)
    (folder / "queries" / "collection.json.tmp").write_text("{")
    (folder / "half_made" / "1").mkdir(parents=True)
    (folder / "aliases.json").write_text(json.dumps({"live": "queries", "stale": "half_made"}))
    (folder / "not ours").mkdir()
    again = EmbeddedVectors(home)
    again.close()
    assert sorted(path.name for path in (folder / "queries").iterdir()) == ["1", "collection.json"]
    assert not (folder / "half_made").exists()
    assert (folder / "not ours").exists()
    assert (again.resolve("live"), again.resolve("stale")) == ("queries", None)


def test_a_damaged_collection_is_named_and_can_be_dropped(home: Path, embedded: EmbeddedVectors) -> None:
    fill(embedded)
    embedded.create("sound", 4, [])
    embedded.close()
    for file in (home / "vectors" / "queries" / "1").rglob("*.mappings"):
        file.write_bytes(b"\xff" * 64)
    again = EmbeddedVectors(home)
    try:
        with pytest.raises(Unavailable, match=r"opening .*/queries/1; .* drop the collection and rebuild"):
            again.count("queries")
        assert again.count("sound") == 0
        again.drop("queries")
        with pytest.raises(NotFound):
            again.count("queries")
    finally:
        again.close()


def test_a_collection_that_cannot_be_made_leaves_nothing(home: Path, embedded: EmbeddedVectors) -> None:
    with pytest.raises(Invalid, match="'a b' cannot be the name of a payload field"):
        embedded.create("queries", 16, ["a b"])
    assert embedded.collections() == []
    assert not (home / "vectors" / "queries").exists()
    fill(embedded)
    assert embedded.count("queries") == 20


def test_a_payload_that_is_not_json_refuses_the_whole_batch(embedded: EmbeddedVectors) -> None:
    fill(embedded)
    points = [Point(100 + i, vectors(1)[0], {"run": i}) for i in range(600)]
    points.append(Point(999, vectors(1)[0], {"when": object()}))
    with pytest.raises(Invalid, match="payload of point 999 is not JSON"):
        embedded.upsert("queries", points)
    assert embedded.count("queries") == 20


def test_a_filter_on_an_impossible_field_is_refused(embedded: EmbeddedVectors) -> None:
    fill(embedded)
    with pytest.raises(Invalid, match="cannot be the name of a payload field"):
        embedded.search("queries", vectors(1)[0], 1, PointFilter({'a"b': ["x"]}))


def test_a_panic_of_the_engine_reaches_the_caller_as_unavailable(tmp_path: Path) -> None:
    class PanicException(BaseException):
        """As pyo3 raises it: `except Exception` lets it pass."""

    class Panicking:
        def flush(self) -> None:
            raise PanicException("index out of bounds")

        def count(self, request: object) -> int:
            raise KeyboardInterrupt

    shard = Shard(cast("Any", Panicking()), tmp_path)
    with pytest.raises(Unavailable, match="failed while flushing to disk: index out of bounds"):
        shard.flush()
    with pytest.raises(KeyboardInterrupt):
        shard.count()


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "aliases.json"
    files.replace(path, {"live": "one"})

    def power_cut(descriptor: int) -> None:
        raise OSError("no power")

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(OSError, match="no power"):
        files.replace(path, {"live": "two"})
    assert json.loads(path.read_text()) == {"live": "one"}


def test_fields_are_indexed_by_their_kind(home: Path, embedded: EmbeddedVectors) -> None:
    fill(embedded)
    embedded.close()
    shard = qdrant_edge.EdgeShard.load(str(home / "vectors" / "queries" / "1"))
    found = {field: (index.data_type, index.points) for field, index in shard.info().payload_schema.items()}
    shard.close()
    kinds = qdrant_edge.PayloadSchemaType
    assert found == {"model": (kinds.Keyword, 0), "run": (kinds.Integer, 20)}


def test_many_threads_search_while_one_writes(embedded: EmbeddedVectors) -> None:
    fill(embedded, 200)
    rows = vectors(2200)

    def write() -> None:
        for start in range(200, 2200, 100):
            embedded.upsert("queries", [Point(i, rows[i], {"run": i}) for i in range(start, start + 100)])
            embedded.delete("queries", [start + 1])

    def search(turn: int) -> int:
        wanted = turn % 200
        hits = embedded.search("queries", rows[wanted], 3, ANY)
        assert hits[0].point_id == wanted
        assert all(hit.payload == {"run": hit.point_id} for hit in hits)
        return len(hits)

    with ThreadPoolExecutor(5) as pool:
        writing = pool.submit(write)
        assert set(pool.map(search, range(300))) == {3}
        writing.result()
    assert embedded.count("queries") == 2200 - 20


def test_threads_open_a_collection_once(
    home: Path, embedded: EmbeddedVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(embedded)
    embedded.close()
    opened: list[Path] = []
    load = Shard.load

    def note_and_load(folder: Path) -> Shard:
        opened.append(folder)
        return load(folder)

    monkeypatch.setattr(Shard, "load", note_and_load)
    again = EmbeddedVectors(home)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(again.count, ["queries"] * 8)) == {20}
        assert len(opened) == 1
    finally:
        again.close()


def test_a_collection_dropped_and_made_again_is_empty(embedded: EmbeddedVectors) -> None:
    fill(embedded)
    scroll = iter(embedded.scroll("queries", 5))
    assert len(next(iter(scroll))) == 5
    embedded.drop("queries")
    with pytest.raises(Unavailable, match="'queries' has been closed"):
        next(iter(scroll))
    fill(embedded, 3)
    assert embedded.count("queries") == 3


def test_sweeping_a_live_collection_keeps_it(home: Path, embedded: EmbeddedVectors) -> None:
    fill(embedded)
    Collection.sweep(home / "vectors" / "queries")
    assert embedded.count("queries") == 20
