"""Which query is in which cluster, as two arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from domain.values import ERASED, Labels, QueryIds, pack, unpack


class _Later(NamedTuple):
    """Other labels for some queries, that nobody has looked at yet. `size`: of these and all before."""

    before: _Later | None
    query_ids: QueryIds
    labels: Labels
    size: int


class Partition:
    """Query ids in ascending order and the cluster of each. Never changed in place: an edit makes another.

    1,000,000 queries are 8 MB of ids, which all versions share, and 4 MB of labels. An edit copies them only
    when somebody looks, so that a replay of many edits copies them once.
    """

    __slots__ = ("_state", "query_ids")

    def __init__(self, query_ids: QueryIds, labels: Labels) -> None:
        self.query_ids = query_ids
        self._state: tuple[Labels, _Later | None] = (labels, None)

    @property
    def labels(self) -> Labels:
        """Aligned with `query_ids`."""
        labels, later = self._state
        if later is not None:
            labels = labels.copy()
            for query_ids, now in _in_order(later):
                labels[self.places(query_ids)[0]] = now
            self._state = (labels, None)
        return labels

    @classmethod
    def empty(cls) -> Partition:
        return cls(np.empty(0, np.int64), np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.query_ids)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Partition)
            and np.array_equal(self.query_ids, other.query_ids)
            and np.array_equal(self.labels, other.labels)
        )

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Partition:
        return self

    def extended(self, query_ids: QueryIds, labels: Labels) -> Partition:
        """With more queries, whose ids are greater than all so far."""
        return Partition(np.concatenate([self.query_ids, query_ids]), np.concatenate([self.labels, labels]))

    def places(
        self, query_ids: Sequence[int] | QueryIds
    ) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[int]]:
        """Where these queries stand, and the ids of those that are not here."""
        wanted = np.asarray(query_ids, dtype=np.int64)
        at = np.searchsorted(self.query_ids, wanted)
        inside = at < len(self.query_ids)
        inside[inside] = self.query_ids[at[inside]] == wanted[inside]
        return at[inside], wanted[~inside].tolist()

    def among(self, query_ids: QueryIds) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Labels]:
        """Which of these ids are here, by their place in what is given, and the labels of those."""
        at, missing = self.places(query_ids)
        rows = np.flatnonzero(~np.isin(query_ids, missing)) if missing else np.arange(len(query_ids))
        return rows, cast(Labels, self.labels[at])

    def cluster_of(self, query_id: int) -> int | None:
        """None for a query that is not here, also for a number that no query can have."""
        if not 0 <= query_id < 2**63:
            return None
        at, missing = self.places([query_id])
        return None if missing else int(self.labels[at[0]])

    def labels_of(self, query_ids: Sequence[int] | QueryIds) -> Labels:
        """The labels of these queries, all of which are here."""
        return cast(Labels, self.labels[self.places(query_ids)[0]])

    def relabelled(self, query_ids: QueryIds, now: Labels) -> Partition:
        """With other labels for these queries, all of which are here."""
        labels, later = self._state
        count = len(query_ids) + (later.size if later else 0)
        if count > len(self.query_ids):  # more than the labels themselves would take
            labels, later, count = self.labels, None, len(query_ids)
        another = Partition(self.query_ids, labels)
        another._state = (labels, _Later(later, query_ids, now, count))
        return another

    def members(self, cluster_id: int) -> QueryIds:
        return cast(QueryIds, self.query_ids[self.labels == cluster_id])

    def sizes(self) -> dict[int, int]:
        """Label → how many queries have it; labels that none has are left out."""
        if not len(self.labels):
            return {}
        counts = np.bincount(self.labels - ERASED)
        labels = np.flatnonzero(counts)
        return dict(zip((labels + ERASED).tolist(), counts[labels].tolist(), strict=True))

    def packed(self) -> dict[str, str]:
        """As it stands in a snapshot."""
        return {"query_ids": pack(np.diff(self.query_ids, prepend=0)), "labels": pack(self.labels)}

    @classmethod
    def unpacked(cls, packed: dict[str, str]) -> Partition:
        return cls(
            np.cumsum(unpack(packed["query_ids"]), dtype=np.int64), unpack(packed["labels"]).astype(np.int32)
        )


def _in_order(later: _Later | None) -> list[tuple[QueryIds, Labels]]:
    """The oldest first."""
    found = []
    while later is not None:
        found.append((later.query_ids, later.labels))
        later = later.before
    return found[::-1]


def gini(sizes: NDArray[np.int64]) -> float | None:
    """0 when all clusters are of one size, towards 1 when one holds nearly all; None where none holds any."""
    total = sizes.sum()
    if not total:
        return None
    rank = np.arange(1, len(sizes) + 1)
    return float((2 * rank - len(sizes) - 1) @ np.sort(sizes) / (len(sizes) * total))
