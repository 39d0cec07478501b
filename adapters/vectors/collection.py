"""One collection of the embedded engine: its files, its one writer, its optimisation beside what is live."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from adapters.vectors import files
from adapters.vectors.points import (
    BATCH,
    checked_batch,
    checked_ids,
    checked_query,
    checked_vectors,
    matches_nothing,
)
from adapters.vectors.shard import Shard
from commands.ports import Hit, Point, PointFilter, PointId
from domain.errors import Conflict, Unavailable
from domain.values import Vectors

MANIFEST = "collection.json"
ROOT = Path(__file__).parents[2]
"""Where `adapters` can be imported from."""


class Collection:
    """A folder with `collection.json`, which names the dimension and the live shard, and that shard's folder.

    Any other shard in the folder is half-made or replaced. Any number of threads may read while one writes.
    """

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        self.folder = folder
        self.dimension: int = manifest["dimension"]
        self._shard: Shard | None = Shard.load(folder / manifest["shard"])
        self._writing = threading.Lock()
        self._optimising = threading.Lock()
        self._touched: set[PointId] | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(
        cls, folder: Path, dimension: int, keywords: Sequence[str], integers: Sequence[str]
    ) -> Collection:
        """It exists from the moment that its manifest does."""
        shutil.rmtree(folder, ignore_errors=True)
        try:
            Shard.create(folder / "1", dimension, keywords, integers).close()
            _write_manifest(folder, dimension, "1")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        files.sync(folder.parent)
        return cls(folder)

    @staticmethod
    def exists(folder: Path) -> bool:
        return (folder / MANIFEST).exists()

    @staticmethod
    def sweep(folder: Path) -> None:
        """Remove what a killed process left: all that is not the live shard, and all where there is none."""
        if Collection.exists(folder):
            files.sweep(folder, keep=(MANIFEST, json.loads((folder / MANIFEST).read_text())["shard"]))
        else:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _live(self) -> Shard:
        """To be read once per call: an optimised shard may take its place at any moment."""
        shard = self._shard
        if shard is None:
            raise Unavailable(f"the collection {self.folder.name!r} has been closed")
        return shard

    def upsert(self, points: Sequence[Point]) -> None:
        checked_ids(point.point_id for point in points)
        rows = checked_vectors(points, self.dimension)
        with self._change() as shard:
            self._note(point.point_id for point in points)
            shard.upsert(points, rows)

    def delete(self, point_ids: Sequence[PointId]) -> None:
        ids = checked_ids(point_ids)
        with self._change() as shard:
            self._note(ids)
            shard.delete(ids)

    def delete_where(self, where: PointFilter) -> None:
        checked_ids(where.ids or ())
        if matches_nothing(where):
            return
        with self._change() as shard:
            ids, after = shard.matching(where, None)
            while ids:
                self._note(ids)
                shard.delete(ids)
                ids, after = ([], None) if after is None else shard.matching(where, after)

    @contextmanager
    def _change(self) -> Iterator[Shard]:
        with self._writing:
            shard = self._live
            yield shard
            shard.flush()

    def _note(self, point_ids: Iterable[PointId]) -> None:
        """Only while optimising; before the change, which may fail after some of them."""
        if self._touched is not None:
            self._touched.update(point_ids)

    def search(self, vector: Vectors, limit: int, where: PointFilter) -> list[Hit]:
        query = checked_query(vector, limit, self.dimension)
        checked_ids(where.ids or ())
        return [] if matches_nothing(where) else self._live.search(query, limit, where)

    def retrieve(self, point_ids: Sequence[PointId]) -> list[Point]:
        ids, live = checked_ids(point_ids), self._live
        batches = (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
        return [point for batch in batches for point in live.retrieve(batch)]

    def count(self) -> int:
        return self._live.count()

    def scroll(self, batch: int) -> Iterator[list[Point]]:
        """Not a snapshot: a point written behind the reader is missed, one written before it is seen."""
        return self._pages(checked_batch(batch))

    def _pages(self, batch: int) -> Iterator[list[Point]]:
        points, after = self._live.page(None, batch)
        while points:
            yield points
            points, after = ([], None) if after is None else self._live.page(after, batch)

    def info(self) -> dict[str, int | None]:
        return {**self._live.info(), "bytes": files.bytes_on_disk(self.folder)}

    def close(self) -> None:
        """A search under way may raise `Unavailable`. An optimisation under way is given up."""
        with self._writing:
            shard, self._shard = self._shard, None
            if shard is not None:
                shard.close()
        if self._child is not None:
            self._child.kill()
        with self._optimising:
            pass

    def optimise(self) -> None:
        """Copy the shard, optimise the copy in another process, catch up, and put it in place.

        Writers wait while the shard is copied and during the last of the catching up (seconds at 1,000,000
        points), readers never. On any error the live shard stays. Raises `Conflict` when one is under way.
        """
        if not self._optimising.acquire(blocking=False):
            raise Conflict(f"the collection {self.folder.name!r} is being optimised already")
        try:
            self._replace_shard(self.folder / str(int(self._live.folder.name) + 1))
        finally:
            self._optimising.release()

    def _replace_shard(self, fresh: Path) -> None:
        try:
            self._copy(fresh)
            self._optimise_copy(fresh)
            self._swap(Shard.load(fresh))
        finally:
            with self._writing:
                self._touched = None
            self.sweep(self.folder)

    def _copy(self, target: Path) -> None:
        """From here on the ids of all that changes are kept; the files rest while no one writes."""
        with self._writing:
            self._live.flush()
            try:
                shutil.copytree(self._live.folder, target)
            except OSError as error:
                raise Unavailable(f"the shard {self._live.folder} cannot be copied: {error}") from error
            self._touched = set()

    def _optimise_copy(self, folder: Path) -> None:
        command = [sys.executable, "-m", "adapters.vectors.optimise", str(folder), str(os.getpid())]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as child:
            self._child = child
            if self._shard is None:
                child.kill()
            _, said = child.communicate()
        if child.returncode:
            reason = said.decode(errors="replace").strip()[-500:] or f"it ended with {child.returncode}"
            raise Unavailable(f"optimising the collection {self.folder.name!r} failed, try again: {reason}")

    def _swap(self, fresh: Shard) -> None:
        """Catch up twice: at length while others write, then briefly while they wait.

        Threads that still read the replaced shard keep it open by their reference, and its pages with it.
        """
        try:
            self._catch_up(fresh, self._take_touched())
            with self._writing:
                self._catch_up(fresh, self._touched or set())
                fresh.flush()
                _write_manifest(self.folder, self.dimension, fresh.folder.name)
                self._shard, self._touched = fresh, None
        except BaseException:
            fresh.close()
            raise

    def _take_touched(self) -> set[PointId]:
        with self._writing:
            touched, self._touched = self._touched or set(), set()
        return touched

    def _catch_up(self, fresh: Shard, touched: set[PointId]) -> None:
        """What the live shard has now goes over, what it has no more is deleted. Raises when closed."""
        live, ids = self._live, list(touched)
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            found = live.retrieve(batch)
            fresh.upsert(found, checked_vectors(found, self.dimension))
            fresh.delete([*set(batch).difference(point.point_id for point in found)])


def _write_manifest(folder: Path, dimension: int, shard: str) -> None:
    files.replace(folder / MANIFEST, {"dimension": dimension, "shard": shard})
