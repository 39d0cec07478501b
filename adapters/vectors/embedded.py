"""The `VectorIndex` by the engine of Qdrant inside this process, its files under the home.

    <home>/vectors/lock                          held by the process that has the index open, with its id
    <home>/vectors/aliases.json                  alias → collection
    <home>/vectors/<collection>/collection.json  the dimension and the live shard
    <home>/vectors/<collection>/<number>/        a shard

Every call of the engine holds the GIL: a search without an index stops all other threads for 46 ms at
1,000,000 points of 256 dimensions, one with an index for 1 to 5 ms.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from adapters.vectors import files
from adapters.vectors.collection import MANIFEST, Collection
from adapters.vectors.points import NAME, checked_dimension, checked_name
from commands.ports import Hit, Point, PointFilter, PointId
from domain.errors import Conflict, NotFound, Unavailable
from domain.values import Vectors


class EmbeddedVectors:
    is_embedded = True

    def __init__(self, home: Path) -> None:
        self._folder = home / "vectors"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = _hold(self._folder / "lock")
        self._held = os.fstat(self._lock_file.fileno())
        self._catalogue = threading.RLock()
        self._opened: dict[str, Collection] = {}
        self._closed = False
        self._aliases: dict[str, str] = self._read_aliases()
        for folder in self._folders():
            Collection.sweep(folder)

    def _read_aliases(self) -> dict[str, str]:
        path = self._folder / "aliases.json"
        aliases: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return {alias: name for alias, name in aliases.items() if Collection.exists(self._folder / name)}

    def _write_aliases(self, aliases: dict[str, str]) -> None:
        files.replace(self._folder / "aliases.json", aliases)
        self._aliases = aliases

    def _folders(self) -> list[Path]:
        found = (entry for entry in self._folder.iterdir() if NAME.fullmatch(entry.name))
        return sorted(entry for entry in found if entry.is_dir())

    def _open(self, name: str) -> Collection:
        """The collection of this name or alias, opened at its first use (0.1 s)."""
        with self._catalogue:
            self._refuse_when_closed()
            name = self._aliases.get(name, name)
            if name not in self._opened:
                self._opened[name] = self._load(checked_name(name))
            return self._opened[name]

    def _load(self, name: str) -> Collection:
        with self._on_disk():
            if not Collection.exists(self._folder / name):
                raise NotFound(f"there is no collection {name!r} in the vector index")
            return Collection(self._folder / name)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable("the vector index has been closed")

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        """For what reads or changes the folder. Raises Unavailable where that cannot be used, or is not the
        one that was opened: a disk that is away for a while would be taken for an empty index."""
        self._refuse_when_closed()
        try:
            if not os.path.samestat(os.stat(self._folder / "lock"), self._held):
                raise Unavailable(f"{self._folder} is not the folder that was opened: put that back")
            yield
        except OSError as error:
            raise Unavailable(f"{self._folder} cannot be used: {error.strerror or error}") from error

    def create(
        self,
        collection: str,
        dimension: int,
        keyword_fields: Sequence[str],
        integer_fields: Sequence[str] = (),
    ) -> None:
        folder = self._folder / checked_name(collection)
        with self._catalogue, self._on_disk():
            if collection in self._aliases:
                raise Conflict(f"{collection!r} is an alias of {self._aliases[collection]!r} already")
            if not Collection.exists(folder):
                self._opened[collection] = Collection.create(
                    folder, checked_dimension(dimension), keyword_fields, integer_fields
                )
            elif (found := self._open(collection).dimension) != dimension:
                raise Conflict(f"the collection {collection!r} exists, with dimension {found}")

    def collections(self) -> list[str]:
        with self._on_disk():
            return [folder.name for folder in self._folders() if Collection.exists(folder)]

    def drop(self, collection: str) -> None:
        """Its aliases go with it. It need not open, so that a damaged one can be dropped."""
        folder = self._folder / checked_name(collection)
        with self._catalogue, self._on_disk():
            if not Collection.exists(folder):
                return
            kept = {alias: name for alias, name in self._aliases.items() if name != collection}
            if kept != self._aliases:
                self._write_aliases(kept)
            if opened := self._opened.pop(collection, None):
                with suppress(Unavailable):
                    opened.close()
            (folder / MANIFEST).unlink()
            files.sync(folder)
            shutil.rmtree(folder, ignore_errors=True)

    def alias(self, alias: str, collection: str) -> None:
        with self._catalogue, self._on_disk():
            if Collection.exists(self._folder / checked_name(alias)):
                raise Conflict(f"{alias!r} is a collection already, an alias needs a name of its own")
            if not Collection.exists(self._folder / checked_name(collection)):
                raise NotFound(f"there is no collection {collection!r} in the vector index")
            self._write_aliases({**self._aliases, alias: collection})

    def resolve(self, alias: str) -> str | None:
        return self._aliases.get(alias)

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        self._open(collection).upsert(points)

    def delete(self, collection: str, point_ids: Sequence[PointId]) -> None:
        self._open(collection).delete(point_ids)

    def delete_where(self, collection: str, where: PointFilter) -> None:
        self._open(collection).delete_where(where)

    def search(self, collection: str, vector: Vectors, limit: int, where: PointFilter) -> list[Hit]:
        return self._open(collection).search(vector, limit, where)

    def retrieve(self, collection: str, point_ids: Sequence[PointId]) -> list[Point]:
        return self._open(collection).retrieve(point_ids)

    def count(self, collection: str) -> int:
        return self._open(collection).count()

    def scroll(self, collection: str, batch: int) -> Iterable[list[Point]]:
        return self._open(collection).scroll(batch)

    def optimise(self, collection: str) -> None:
        self._open(collection).optimise()

    def info(self, collection: str) -> dict[str, int | None]:
        return self._open(collection).info()

    def close(self) -> None:
        with self._catalogue:
            self._closed = True
            for opened in self._opened.values():
                opened.close()
            self._opened = {}
            self._lock_file.close()


def _hold(path: Path) -> io.TextIOWrapper:
    """Two processes in one shard would damage it. The lock ends with the process, however that ends."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise Unavailable(
            f"the vector index in {path.parent} is open in another process (id {holder}): end that one, "
            "or let both use a Qdrant server (LMSYS_QDRANT_URL)"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
