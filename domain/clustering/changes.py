"""What edits did, in one form for all of them: so one fold applies, one inverse undoes, one rule compares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from domain.clustering.cluster import Cluster
from domain.clustering.partition import Partition
from domain.ids import IdSet
from domain.values import NOISE, ORPHAN, Labels, QueryIds

Fields = Mapping[str, Any] | None
"""Fields of a cluster by name; None where there is no such cluster."""

_NO_IDS: QueryIds = np.empty(0, np.int64)
_NO_LABELS: Labels = np.empty(0, np.int32)


@dataclass(frozen=True)
class Changes:
    """Queries that went from a label to another, and clusters that went from a state to another.

    `query_ids` are in ascending order, each once; `was` and `now` are their labels. `clusters` has by id what
    was and what is: the fields that changed, or all of them where the cluster came to be or ceased to be.
    """

    query_ids: QueryIds = field(default_factory=lambda: _NO_IDS)
    was: Labels = field(default_factory=lambda: _NO_LABELS)
    now: Labels = field(default_factory=lambda: _NO_LABELS)
    clusters: Mapping[int, tuple[Fields, Fields]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        query_ids: Sequence[int] | QueryIds = (),
        was: Sequence[int] | Labels = (),
        now: int | Labels = 0,
        clusters: Mapping[int, tuple[Fields, Fields]] | None = None,
    ) -> Changes:
        """From ids in any order; `now` may be one label for all."""
        ids = np.asarray(query_ids, np.int64)
        order = np.argsort(ids, kind="stable")
        labels = np.broadcast_to(np.asarray(now, np.int32), ids.shape)
        return cls(ids[order], np.asarray(was, np.int32)[order], labels[order], clusters or {})

    def __bool__(self) -> bool:
        return bool(len(self.query_ids) or self.clusters)

    def apply(self, partition: Partition, clusters: MutableMapping[int, Cluster]) -> Partition:
        """Change the clusters in place; returns the partition that follows."""
        for cluster_id, (was, now) in self.clusters.items():
            if now is None:
                del clusters[cluster_id]
            elif was is None:
                clusters[cluster_id] = Cluster.of(now)
            else:
                clusters[cluster_id] = clusters[cluster_id].with_fields(now)
        return partition.relabelled(self.query_ids, self.now) if len(self.query_ids) else partition

    def inverse(self) -> Changes:
        clusters = {one: (now, was) for one, (was, now) in self.clusters.items()}
        return Changes(self.query_ids, self.now, self.was, clusters)

    def usual_target(self, cluster_id: int) -> int:
        """Where most queries of a cluster went that stays; ORPHAN where none did."""
        gone = [one for one, (_, now) in self.clusters.items() if now is None]
        went = self.now[(self.was == cluster_id) & ~np.isin(self.now, gone)]
        labels, counts = np.unique(went, return_counts=True)
        return int(labels[counts.argmax()]) if len(labels) else ORPHAN

    def without(self, query_ids: QueryIds) -> Changes:
        """Leaving out these queries."""
        kept = ~np.isin(self.query_ids, query_ids)
        return Changes(self.query_ids[kept], self.was[kept], self.now[kept], self.clusters)

    @classmethod
    def composed(cls, one_after_the_other: Iterable[Changes]) -> Changes:
        """All of these as one; what comes back to where it was is left out."""
        parts = list(one_after_the_other)
        if len(parts) == 1:
            return parts[0]
        clusters: dict[int, tuple[Fields, Fields]] = {}
        for part in parts:
            for cluster_id, (was, now) in part.clusters.items():
                before = clusters.get(cluster_id)
                clusters[cluster_id] = _joined(before, (was, now)) if before else (was, now)
        left = {one: kept for one, (was, now) in clusters.items() if (kept := _differing(was, now))}
        return cls(*_composed_moves(parts), left)

    # --- as it stands in events

    def moves(self) -> list[dict[str, Any]]:
        """`{from, to, query_ids}`, in order of from and to."""
        return [{"from": was, "to": now, "query_ids": ids.tolist()} for was, now, ids in self.grouped_moves()]

    def grouped_moves(self) -> Iterator[tuple[int, int, QueryIds]]:
        """(from, to, query ids) for each pair of labels."""
        order = np.lexsort((self.query_ids, self.now, self.was))
        was, now, ids = self.was[order], self.now[order], self.query_ids[order]
        starts = np.flatnonzero((np.diff(was) != 0) | (np.diff(now) != 0)) + 1
        for group in np.split(np.arange(len(ids)), starts) if len(ids) else ():
            yield int(was[group[0]]), int(now[group[0]]), ids[group]

    def cluster_rows(self) -> list[dict[str, Any]]:
        return [
            {"cluster_id": cluster_id, "was": was and dict(was), "now": now and dict(now)}
            for cluster_id, (was, now) in sorted(self.clusters.items())
        ]

    @classmethod
    def read(cls, moves: Sequence[Mapping[str, Any]], clusters: Sequence[Mapping[str, Any]]) -> Changes:
        """What `moves` and `cluster_rows` wrote."""
        counts = [len(one["query_ids"]) for one in moves]
        ids = [query_id for one in moves for query_id in one["query_ids"]]
        was, now = (np.repeat([one[name] for one in moves], counts) for name in ("from", "to"))
        states = {one["cluster_id"]: (one["was"], one["now"]) for one in clusters}
        return cls.of(ids, was.astype(np.int32), now.astype(np.int32), states)

    # --- what an edit touched

    @cached_property
    def made_or_removed(self) -> frozenset[int]:
        """Clusters that came to be or ceased to be."""
        return frozenset(one for one, (was, now) in self.clusters.items() if was is None or now is None)

    @cached_property
    def regrouped(self) -> frozenset[int]:
        """Clusters that queries left or entered, or that came to be or ceased to be."""
        return self.made_or_removed | frozenset(np.union1d(self.was, self.now).tolist())

    @cached_property
    def touched(self) -> frozenset[int]:
        """Clusters that changed, or that queries left or entered."""
        labels = np.union1d(self.was, self.now)
        return frozenset(self.clusters) | frozenset(labels[labels >= NOISE].tolist())

    @cached_property
    def fields(self) -> frozenset[tuple[int, str]]:
        """(cluster, field) of what was written on clusters."""
        changed = {one: {*(was or ()), *(now or ())} for one, (was, now) in self.clusters.items()}
        return frozenset((one, name) for one, names in changed.items() for name in names)

    def meets(self, other: Changes) -> bool:
        """Whether both touched the same query or field, or one the cluster that the other made or removed."""
        return bool(
            self.fields & other.fields
            or self.made_or_removed & other.touched
            or other.made_or_removed & self.touched
            or _share(self.query_ids, other.query_ids)
        )


def _share(some: QueryIds, others: QueryIds) -> bool:
    """Whether two ascending arrays have an id in common."""
    few, many = sorted((some, others), key=len)
    if not len(few) or few[0] > many[-1] or few[-1] < many[0]:
        return False
    return bool(IdSet((many,)).has(few).any())


def _composed_moves(parts: Sequence[Changes]) -> tuple[QueryIds, Labels, Labels]:
    """Each query from its first label to its last."""
    ids = np.concatenate([_NO_IDS, *(part.query_ids for part in parts)])
    was = np.concatenate([_NO_LABELS, *(part.was for part in parts)])
    now = np.concatenate([_NO_LABELS, *(part.now for part in parts)])
    distinct, first = np.unique(ids, return_index=True)
    last = len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1]
    moved = was[first] != now[last]
    return distinct[moved], was[first][moved], now[last][moved]


def _joined(first: tuple[Fields, Fields], second: tuple[Fields, Fields]) -> tuple[Fields, Fields]:
    (was, between), (between_too, now) = first, second
    if was is not None:
        was = {**(between_too or {}), **was} if between is not None else was
    if now is not None:
        now = {**(between or {}), **now} if between_too is not None else now
    return was, now


def _differing(was: Fields, now: Fields) -> tuple[Fields, Fields] | None:
    """Only the fields that differ; None for no difference at all."""
    if was is None and now is None:
        return None
    if was is None or now is None:
        return was, now
    names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    return (
        ({name: was.get(name) for name in names}, {name: now.get(name) for name in names}) if names else None
    )
