"""What carrying over begins with: runs without their edits, what was carried before, what people decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from domain.clustering import edits
from domain.clustering.changes import Changes
from domain.clustering.curation import Curation
from domain.clustering.partition import Partition
from domain.ids import IdSet
from domain.values import ERASED


@dataclass
class Earlier:
    """What was carried over from the same run before, and was not taken back as a whole.

    `made`: edit there → its likenesses here. `heirs`: what became of clusters besides the lineage.
    """

    made: dict[int, list[int]] = field(default_factory=dict)
    already: set[int] = field(default_factory=set)
    undecided: dict[int, str] = field(default_factory=dict)
    heirs: dict[int, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, carried: Iterable[edits.CarriedOver]) -> Self:
        """From events in their order."""
        found = cls()
        for one in carried:
            for settled in (*one.from_edits, *one.already):
                found.undecided.pop(settled, None)
            for old, new in zip(one.from_edits, one.edits, strict=True):
                found.made.setdefault(old, []).append(new)
            found.already.update(one.already)
            found.undecided.update({row["version"]: row["reason"] for row in one.undecided})
            found.heirs.update({old: new for old, new in one.heirs if old is not None})
        return found


def as_found(run: Curation, in_force: Mapping[int, edits.Edit]) -> tuple[Partition, list[int]]:
    """The partition before these edits, which are all of the run, and its clusters without the noise.

    What an extension has put into a cluster that people made goes where most of that cluster came from.
    """
    versions = sorted(in_force, reverse=True)
    undone = Changes.composed([in_force[one].changes().inverse() for one in versions])
    present = run.partition.labels_of(undone.query_ids)
    undone = undone.without(undone.query_ids[present == ERASED])
    gone = [one for one, (_, now) in undone.clusters.items() if now is None]
    left = run.partition.query_ids[np.isin(run.partition.labels, gone)]
    left = left[~np.isin(left, undone.query_ids)]
    to = [undone.usual_target(one) for one in run.partition.labels_of(left).tolist()]
    found = run.partition.relabelled(undone.query_ids, undone.now).relabelled(left, np.array(to, np.int32))
    back = {one for one, (was, _) in undone.clusters.items() if was is None}
    return found, sorted(one for one in {*run.clusters, *back} - {*gone} if one >= 0)


@dataclass(frozen=True)
class Held:
    """What people have decided in the newer run: fields of clusters, flags that they set, named queries."""

    fields: frozenset[tuple[int, str]]
    flags: frozenset[tuple[int, str]]
    queries: IdSet

    @classmethod
    def by(cls, own: Sequence[edits.Edit]) -> Held:
        named = [one for one in own if isinstance(one, edits.QueriesMoved | edits.ClusterSplit)]
        ids = [one.changes().query_ids for one in named]
        flags = [one for one in own if isinstance(one, edits.FlagsChanged)]
        return cls(
            frozenset(field for one in own for field in one.changes().fields),
            frozenset((one.cluster_id, flag) for one in flags for flag in one.added),
            IdSet().plus(np.unique(np.concatenate([np.empty(0, np.int64), *ids]))),
        )

    def names(self, cluster_id: int) -> list[str]:
        """The fields of a cluster that people have written."""
        return sorted(name for one, name in self.fields if one == cluster_id)

    def otherwise(self, run: Curation, cluster_id: int, new: Mapping[str, Any]) -> list[str]:
        """Those of these fields that people have written, and not like this."""
        now = vars(run.cluster(cluster_id))
        return [name for name in new if (cluster_id, name) in self.fields and now[name] != new[name]]


def overtaken(events: Mapping[int, edits.Edit], settled: Set[int], partition: Partition) -> set[int]:
    """Edits not settled, after which settled ones touched the same: made now, they would undo these.

    `partition`: one that has the queries of all of them.
    """
    found, moved = set[int](), np.zeros(len(partition), np.bool_)
    fields, touched, made = set[tuple[int, str]](), set[int](), set[int]()
    for version in sorted(events, reverse=True) if settled else ():
        changes = events[version].changes()
        at, _ = partition.places(changes.query_ids)
        if version in settled:
            fields |= changes.fields
            touched |= changes.touched
            made |= changes.made_or_removed
            moved[at] = True
        elif (
            changes.fields & fields
            or changes.made_or_removed & touched
            or changes.touched & made
            or moved[at].any()
        ):
            found.add(version)
    return found


def made_one(events: Iterable[edits.Edit]) -> dict[int, set[int]]:
    """Old cluster → all that were merged together with it in the end."""
    one: dict[int, set[int]] = {}
    for event in events:
        if isinstance(event, edits.ClustersMerged):
            olds = (event.target_cluster_id, *event.source_cluster_ids)
            together = {other for old in olds for other in one.get(old, {old})}
            one |= dict.fromkeys(together, together)
    return one
