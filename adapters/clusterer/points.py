"""The vectors of a source as unit rows: in blocks of one size, whatever chunks it has, and as samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from commands.ports import VectorSource
from domain.errors import Conflict, Invalid
from domain.values import QueryIds, Vectors


@dataclass(frozen=True)
class Sample:
    """Rows drawn at random, in the order of the source and without zero vectors.

    `positions` (m,) is where they stand in the source, `usable` how many of all its vectors are not zero.
    """

    positions: NDArray[np.int64]
    rows: Vectors
    usable: int


class Points:
    """Every pass reads the source anew; no more than a block and the rows asked for are held."""

    def __init__(self, source: VectorSource, chunk_size: int) -> None:
        self._source = source
        self._chunk_size = chunk_size
        self.count = source.count
        self.dimension = source.dimension

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """Position of the first row, and unit rows of shape (n, dimension). Zero vectors stay zero.

        Blocks of one size keep results independent of how the source is cut: products of matrices of another
        shape may differ in the last bit.
        """
        held: list[Vectors] = []
        start = waiting = 0
        for query_ids, chunk in self._source.chunks():
            held.append(self._unit(query_ids, chunk))
            waiting += len(chunk)
            if start + waiting > self.count:
                break
            while waiting >= self._chunk_size:
                rows = np.concatenate(held)
                yield start, rows[: self._chunk_size]
                held, start = [rows[self._chunk_size :]], start + self._chunk_size
                waiting -= self._chunk_size
        if start + waiting != self.count:
            read = "more" if start + waiting > self.count else f"only {start + waiting}"
            raise Conflict(
                f"the vectors changed while they were clustered: {self.count} were announced, "
                f"{read} were read; start the run again"
            )
        if waiting:
            yield start, np.concatenate(held)

    def sample(self, size: int, seed: int) -> Sample:
        """At most `size` rows, drawn without replacement; all rows when there are no more."""
        wanted = np.ones(self.count, dtype=bool)
        if size < self.count:
            wanted[:] = False
            wanted[np.random.default_rng(seed).choice(self.count, size, replace=False)] = True
        positions, kept, usable = [], [], 0
        for start, rows in self.blocks():
            nonzero = rows.any(axis=1)
            usable += int(nonzero.sum())
            taken = np.flatnonzero(nonzero & wanted[start : start + len(rows)])
            positions.append(start + taken)
            kept.append(rows[taken])
        return Sample(np.concatenate(positions), np.concatenate(kept), usable)

    def _unit(self, query_ids: QueryIds, chunk: Vectors) -> Vectors:
        if chunk.ndim != 2 or chunk.shape[1] != self.dimension:
            raise Invalid(f"vectors of shape {chunk.shape} in a source of {self.dimension} dimensions")
        lengths = np.sqrt(np.square(chunk, dtype=np.float64).sum(axis=1))
        if not np.isfinite(lengths).all():
            broken = int(query_ids[np.flatnonzero(~np.isfinite(lengths))[0]])
            raise Invalid(f"the vector of query {broken} has a value that is no number: embed it again")
        lengths[lengths == 0] = 1
        unit: Vectors = (chunk / lengths[:, None]).astype(np.float32)
        return unit
