"""The HNSW index is built beside the live shard, in another process, and nothing of meanwhile is lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from adapters.vectors.collection import Collection
from adapters.vectors.embedded import EmbeddedVectors
from adapters.vectors.shard import Shard
from commands.ports import Point, PointFilter
from domain.errors import Conflict, NotFound, Unavailable

ROOT = Path(__file__).parents[3]
ANY = PointFilter()
DIMENSION, COUNT = 1024, 2800
"""Just over the 10 MB below which the engine builds no index."""

ROWS = np.random.default_rng(1).standard_normal((COUNT + 1200, DIMENSION)).astype(np.float32)

OPTIMISER = """
import sys, threading, time
from pathlib import Path
from adapters.vectors.embedded import EmbeddedVectors
store = EmbeddedVectors(Path(sys.argv[1]))
threading.Thread(target=store.optimise, args=("queries",), daemon=True).start()
while store._open("queries")._child is None:
    time.sleep(0.001)
print(store._open("queries")._child.pid, flush=True)
time.sleep(60)
"""


def points(numbers: range, run: int = 0) -> list[Point]:
    return [Point(number, ROWS[number], {"run": run}) for number in numbers]


@pytest.fixture
def filled(embedded: EmbeddedVectors) -> EmbeddedVectors:
    embedded.create("queries", DIMENSION, [], ["run"])
    embedded.upsert("queries", points(range(COUNT)))
    return embedded


def contents(store: EmbeddedVectors) -> dict[object, object]:
    return {p.point_id: p.payload["run"] for page in store.scroll("queries", 1000) for p in page}


def shards(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "vectors" / "queries").iterdir())


def meanwhile(monkeypatch: pytest.MonkeyPatch, deed: Callable[[], None]) -> None:
    """Do it after the shard was copied and optimised and before the swap."""
    build = Collection._optimise_copy

    def build_and_do(self: Collection, folder: Path) -> None:
        build(self, folder)
        deed()

    monkeypatch.setattr(Collection, "_optimise_copy", build_and_do)


def test_the_index_is_built_and_finds_the_same(home: Path, filled: EmbeddedVectors) -> None:
    assert filled.info("queries")["indexed"] == 0
    before = [filled.search("queries", ROWS[i], 1, ANY) for i in range(20)]
    filled.optimise("queries")
    assert filled.info("queries")["indexed"] == filled.info("queries")["points"] == COUNT
    assert [hits[0].point_id for hits in before] == list(range(20))
    after = [filled.search("queries", ROWS[i], 1, ANY) for i in range(20)]
    assert [hits[0].point_id for hits in after] == list(range(20))
    assert [hits[0].score for hits in after] == pytest.approx([hits[0].score for hits in before], abs=1e-5)
    assert shards(home) == ["2", "collection.json"]
    filled.close()
    again = EmbeddedVectors(home)
    assert again.info("queries")["indexed"] == again.count("queries") == COUNT
    again.close()


def test_writes_in_the_meantime_are_caught_up(
    filled: EmbeddedVectors, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    def write() -> None:
        filled.upsert("queries", points(range(COUNT, COUNT + 700), run=1))
        filled.upsert("queries", points(range(100), run=2))
        filled.delete("queries", [*range(50, 60), COUNT + 1])
        filled.delete_where("queries", PointFilter({"run": [0]}, ids=range(190, 210)))

    meanwhile(monkeypatch, write)
    filled.optimise("queries")
    expected = dict.fromkeys(range(COUNT), 0) | dict.fromkeys(range(COUNT, COUNT + 700), 1)
    expected |= dict.fromkeys(range(100), 2)
    for gone in (*range(50, 60), *range(190, 210), COUNT + 1):
        del expected[gone]
    assert contents(filled) == expected
    assert filled.count("queries") == len(expected)
    hits = filled.search("queries", ROWS[COUNT + 5], 1, PointFilter({"run": [1]}))
    assert hits[0].point_id == COUNT + 5
    filled.close()
    again = EmbeddedVectors(home)
    assert contents(again) == expected
    again.close()


def test_a_write_between_the_two_rounds_of_catching_up_is_not_lost(
    filled: EmbeddedVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: filled.upsert("queries", points(range(3), run=1)))
    catch_up, rounds = Collection._catch_up, []

    def catch_up_and_write(self: Collection, fresh: Shard, touched: set[int | str]) -> None:
        catch_up(self, fresh, touched)
        rounds.append(touched)
        if len(rounds) == 1:
            filled.upsert("queries", points(range(1), run=2))
            filled.delete("queries", [1])

    monkeypatch.setattr(Collection, "_catch_up", catch_up_and_write)
    filled.optimise("queries")
    assert rounds == [{0, 1, 2}, {0, 1}]
    found = contents(filled)
    assert (found[0], found.get(1), found[2], found[3]) == (2, None, 1, 0)


def test_searching_and_writing_go_on(filled: EmbeddedVectors) -> None:
    optimising = Thread(target=filled.optimise, args=("queries",))
    optimising.start()
    number = COUNT
    while optimising.is_alive():
        filled.upsert("queries", points(range(number, number + 1), run=1))
        assert filled.search("queries", ROWS[number], 1, ANY)[0].point_id == number
        assert filled.search("queries", ROWS[7], 1, PointFilter(ids=[7]))[0].point_id == 7
        number = min(number + 1, COUNT + 1199)
    optimising.join()
    assert number > COUNT + 5
    assert (filled.info("queries")["indexed"] or 0) >= COUNT
    assert set(contents(filled)) >= {*range(number)}


def test_one_optimisation_at_a_time(filled: EmbeddedVectors, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals: list[Conflict] = []

    def again() -> None:
        with pytest.raises(Conflict, match="'queries' is being optimised already") as refused:
            filled.optimise("queries")
        refusals.append(refused.value)

    meanwhile(monkeypatch, again)
    filled.optimise("queries")
    assert len(refusals) == 1
    monkeypatch.undo()
    filled.optimise("queries")


def test_a_failure_leaves_the_live_shard(
    filled: EmbeddedVectors, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Unavailable, match=r"optimising the collection 'queries' failed"):
        filled.optimise("queries")
    assert shards(home) == ["1", "collection.json"]
    filled.upsert("queries", points(range(COUNT, COUNT + 1)))
    assert filled.count("queries") == COUNT + 1
    monkeypatch.undo()
    filled.optimise("queries")
    assert filled.count("queries") == COUNT + 1


def test_a_full_disk_leaves_the_live_shard(
    filled: EmbeddedVectors, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(Unavailable, match=r"cannot be copied: .*No space left"):
        filled.optimise("queries")
    assert shards(home) == ["1", "collection.json"]
    assert filled.count("queries") == COUNT


def test_closing_gives_the_optimisation_up(filled: EmbeddedVectors, home: Path) -> None:
    failures: list[BaseException] = []

    def optimise() -> None:
        try:
            filled.optimise("queries")
        except Unavailable as error:
            failures.append(error)

    optimising = Thread(target=optimise)
    live = filled._open("queries")
    optimising.start()
    while live._child is None:
        time.sleep(0.001)
    filled.close()
    assert shards(home) == ["1", "collection.json"]
    optimising.join(5)
    assert len(failures) == 1
    again = EmbeddedVectors(home)
    assert again.count("queries") == COUNT
    again.close()


def test_closing_just_before_the_process_starts_ends_it_too(
    filled: EmbeddedVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, closing, copy = filled._open("queries"), Thread(target=filled.close), Collection._copy

    def copy_and_close(self: Collection, target: Path) -> None:
        copy(self, target)
        closing.start()
        while live._shard is not None:
            time.sleep(0.001)

    monkeypatch.setattr(Collection, "_copy", copy_and_close)
    with pytest.raises(Unavailable, match="ended with -9"):
        filled.optimise("queries")
    closing.join()


def test_dropping_during_an_optimisation_leaves_nothing(
    filled: EmbeddedVectors, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropping = Thread(target=filled.drop, args=("queries",))
    live = filled._open("queries")

    def drop() -> None:
        dropping.start()
        while live._shard is not None:
            time.sleep(0.001)

    meanwhile(monkeypatch, drop)
    with pytest.raises(Unavailable, match="'queries' has been closed"):
        filled.optimise("queries")
    dropping.join()
    assert not (home / "vectors" / "queries").exists()
    with pytest.raises(NotFound):
        filled.count("queries")


def gone(process: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True


def wait_until_gone(process: int) -> bool:
    deadline = time.monotonic() + 10
    while not gone(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    return gone(process)


def test_killed_in_the_middle_nothing_is_lost_or_left(filled: EmbeddedVectors, home: Path) -> None:
    filled.close()
    parent = subprocess.Popen(
        [sys.executable, "-c", OPTIMISER, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    assert wait_until_gone(child), "the child went on building for nobody"
    assert shards(home) == ["1", "2", "collection.json"]
    again = EmbeddedVectors(home)
    assert shards(home) == ["1", "collection.json"]
    assert again.count("queries") == COUNT
    assert again.search("queries", ROWS[5], 1, ANY)[0].point_id == 5
    again.close()


def test_the_process_ends_with_its_parent() -> None:
    child = "from adapters.vectors.optimise import end_with; import os, sys, time\n"
    child += "end_with(os.getppid()); print(os.getpid(), flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    process = int(parent.stdout.readline())
    assert not gone(process)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(process)


def test_the_process_does_not_work_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "adapters.vectors.optimise", str(tmp_path), "1"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "the parent process 1 is gone" in ended.stderr
