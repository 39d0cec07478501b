"""The vector read model by Qdrant: embedded under the home, or a server or cluster at a URL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from commands.ports import VectorIndex


class VectorStore(VectorIndex, Protocol):
    """The port, and what those who run it need besides.

    `is_embedded`: the points belong to this process alone; other processes must ask it.
    Everywhere a collection is named, an alias may stand in its place, but for `drop`.
    """

    is_embedded: bool

    def create(
        self,
        collection: str,
        dimension: int,
        keyword_fields: Sequence[str],
        integer_fields: Sequence[str] = (),
    ) -> None:
        """`integer_fields` get an index for integers; a filter on a field without one reads every payload.

        Raises `Conflict` when the collection exists with another dimension, or an alias has its name.
        """

    def info(self, collection: str) -> dict[str, int | None]:
        """`points`, `indexed` (in an HNSW graph), `segments`, `bytes` on disk (None: a server does not say).

        The figures come from the engine's book-keeping, at little cost; `count` is the exact one.
        """

    def close(self) -> None:
        """Let go of everything; every later call raises. A second close is no error."""


def make_vectors(home: Path, url: str | None, api_key: str | None) -> VectorStore:
    """The server at `url`, else the engine under `home`/vectors, which one process can hold at a time.

    Raises `Unavailable` when another process holds it.
    """
    if url:
        from adapters.vectors.server import ServerVectors, connect

        return ServerVectors(connect(url, api_key))
    from adapters.vectors.embedded import EmbeddedVectors

    return EmbeddedVectors(home)
