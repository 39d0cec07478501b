"""What became of the clusters between two states: of one run at two moments, or of two runs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.clustering.cluster import Cluster
from domain.clustering.lineage import Lineage
from domain.clustering.partition import Partition
from domain.values import ERASED, Labels

WORDS = ("title", "description")
NOTES = ("coherence_score", "quality", "notes", "flags")


@dataclass(frozen=True)
class Changed:
    """A cluster that is on both sides, and the fields in which they differ."""

    cluster_id: int
    to_cluster_id: int
    was: dict[str, Any]
    now: dict[str, Any]


@dataclass(frozen=True)
class Reshaped:
    """Clusters that became others: several one, or one several.

    By these edits (ids), or because these were undone; of two runs nothing is known but the outcome.
    """

    from_cluster_ids: tuple[int, ...]
    to_cluster_ids: tuple[int, ...]
    by: tuple[int, ...] = ()
    by_undoing: tuple[int, ...] = ()


@dataclass(frozen=True)
class ClusterDifference:
    """`pairs`: cluster on the one side → the same on the other. `created` and `retired` are in no pair."""

    pairs: Mapping[int, int]
    created: tuple[int, ...]
    retired: tuple[int, ...]
    changed: tuple[Changed, ...]
    merged: tuple[Reshaped, ...] = field(default=())
    split: tuple[Reshaped, ...] = field(default=())


@dataclass(frozen=True)
class Edit:
    """A merge or a split as it stands in the log of a run: `one` is the target, or what was split."""

    version: int
    edit_id: int
    one: int
    others: tuple[int, ...]
    is_merge: bool


def of_one_run(
    before: Mapping[int, Cluster],
    after: Mapping[int, Cluster],
    in_force_before: Iterable[int],
    in_force_after: Iterable[int],
    edits: Iterable[Edit],
) -> ClusterDifference:
    """`in_force_…`: versions of the edits that were in force. Only merges and splits need be in `edits`.

    An edit that is in force before and not after was undone: a merge undone is a split, and the other way.
    """
    first, second = set(in_force_before), set(in_force_after)
    differing = [one for one in edits if (one.version in first) != (one.version in second)]
    undone = {one.edit_id for one in differing if one.version in first}
    joining = [one for one in differing if one.is_merge != (one.edit_id in undone)]
    parting = [one for one in differing if one.is_merge == (one.edit_id in undone)]
    merged = [
        Reshaped(tuple(sorted(many & before.keys())), (one,), *_told(ids, undone))
        for one, (many, ids) in _chained(joining, after).items()
        if one in after and len(many & before.keys()) > 1
    ]
    split = [
        Reshaped((one,), tuple(sorted(many & after.keys())), *_told(ids, undone))
        for one, (many, ids) in _chained(parting, before).items()
        if one in before and len(many & after.keys()) > 1
    ]
    return _difference({one: one for one in before if one in after}, before, after, merged, split)


def _told(edit_ids: set[int], undone: set[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(sorted(edit_ids - undone)), tuple(sorted(edit_ids & undone))


def _chained(edits: Sequence[Edit], known: Container[int]) -> dict[int, tuple[set[int], set[int]]]:
    """By the one cluster, followed until it is known: all that it was or became, and by which edits."""
    leads = {other: edit.one for edit in edits for other in edit.others}
    groups: dict[int, tuple[set[int], set[int]]] = {}
    for edit in edits:
        one = edit.one
        for _ in edits:
            if one in known or one not in leads:
                break
            one = leads[one]
        many, ids = groups.setdefault(one, (set(), set()))
        many |= {one, edit.one, *edit.others}
        ids.add(edit.edit_id)
    return groups


def of_two_runs(
    before: Mapping[int, Cluster], after: Mapping[int, Cluster], lineage: Lineage
) -> ClusterDifference:
    pairs = {link.old[0]: link.new[0] for link in lineage.of_kind("continuation")}
    merged = [Reshaped(link.old, link.new) for link in lineage.of_kind("merge")]
    split = [Reshaped(link.old, link.new) for link in lineage.of_kind("split")]
    return _difference(pairs, before, after, merged, split)


def _difference(
    pairs: Mapping[int, int],
    before: Mapping[int, Cluster],
    after: Mapping[int, Cluster],
    merged: Iterable[Reshaped],
    split: Iterable[Reshaped],
) -> ClusterDifference:
    continued = set(pairs.values())
    both = ((one, other, _fields(before[one], after[other])) for one, other in sorted(pairs.items()))
    return ClusterDifference(
        pairs,
        tuple(sorted(one for one in after if one >= 0 and one not in continued)),
        tuple(sorted(one for one in before if one >= 0 and one not in pairs)),
        tuple(Changed(one, other, *fields) for one, other, fields in both if fields[0]),
        tuple(merged),
        tuple(split),
    )


def _fields(was: Cluster, now: Cluster) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both with the fields that differ, as they are shown."""
    names = [name for name in (*WORDS, *NOTES) if getattr(was, name) != getattr(now, name)]
    return {name: getattr(was, name) for name in names}, {name: getattr(now, name) for name in names}


class Matching:
    """Labels of the one side as labels of the other: a cluster that goes on keeps its queries.

    One that does not go on gets a label that nothing has on the other side. Noise and orphans stay.
    """

    def __init__(self, pairs: Mapping[int, int], before: Labels, after: Labels) -> None:
        highest = int(before.max(initial=0))
        beyond = 1 + max([int(after.max(initial=0)), *pairs.values()])
        self._to = np.arange(ERASED, highest + 1, dtype=np.int32)
        self._to[-ERASED:] += beyond
        for one, other in pairs.items():
            if 0 <= one <= highest:
                self._to[one - ERASED] = other
        self._from = {int(to): one for one, to in enumerate(self._to.tolist(), ERASED)}

    def label(self, one: int) -> int:
        return int(self._to[one - ERASED]) if ERASED <= one < len(self._to) + ERASED else one

    def original(self, labels: Labels) -> list[int]:
        return [self._from[one] for one in labels.tolist()]

    def partition(self, before: Partition) -> Partition:
        return Partition(before.query_ids, self.goes(before.labels))

    def goes(self, labels: Labels) -> Labels:
        return self._to[labels - ERASED]
