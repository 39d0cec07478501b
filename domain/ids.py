"""Sets of query ids, many of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.values import QueryIds


@dataclass(frozen=True, eq=False)
class IdSet:
    """Query ids that become more: a few sorted parts, each longer than the next, so that adding is cheap."""

    parts: tuple[QueryIds, ...] = ()

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def plus(self, query_ids: QueryIds) -> IdSet:
        parts = [*self.parts, np.sort(query_ids)]
        while len(parts) > 1 and len(parts[-1]) >= len(parts[-2]):
            parts[-2:] = [np.sort(np.concatenate(parts[-2:]), kind="stable")]
        return IdSet(tuple(parts))

    def minus(self, query_ids: QueryIds) -> IdSet:
        if not self.has(query_ids).any():
            return self
        return IdSet(tuple(np.setdiff1d(part, query_ids) for part in self.parts))

    def has(self, query_ids: QueryIds) -> NDArray[np.bool_]:
        """Whether it holds each of these."""
        held = np.zeros(len(query_ids), np.bool_)
        for part in self.parts:
            at = np.minimum(part.searchsorted(query_ids), len(part) - 1)
            held |= part[at] == query_ids if len(part) else False
        return held
