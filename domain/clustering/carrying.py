"""The edits of one run made again on another, where what they concerned lives on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.base import DomainError
from domain.clustering import edits
from domain.clustering.changes import Changes
from domain.clustering.curation import Curation
from domain.clustering.lineage import THRESHOLD, Lineage
from domain.values import ORPHAN


@dataclass(frozen=True)
class Made:
    """An edit of the older run (by its version there) and its likeness in the newer one."""

    old: int
    new: int


@dataclass(frozen=True)
class Undecided:
    """An edit of the older run that was not made again, or not in full, and why."""

    old: int
    reason: str


@dataclass
class CarryOver:
    """Makes the edits of an older run on a newer one, in their order.

    `heir` leads from a cluster of the older run to the one that continues it; what is made on the way (the
    new cluster of a split) joins it. What people have already written in the newer run is not overwritten:
    `held` is what the edits in force there have changed.
    """

    run: Curation
    lineage: Lineage
    held: Changes
    heir: dict[int, int] = field(default_factory=dict)
    made: list[Made] = field(default_factory=list)
    already: list[int] = field(default_factory=list)
    undecided: list[Undecided] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.heir = {link.old[0]: link.new[0] for link in self.lineage.of_kind("continuation")}
        self._merged = {old: link.new[0] for link in self.lineage.of_kind("merge") for old in link.old}
        """Into which cluster of the newer run most of an old one went, together with others."""

    def carry(self, events: Mapping[int, edits.Edit]) -> None:
        """Each edit is made again, found to be so already, or put aside with the reason."""
        for version in sorted(events):
            before = len(self.run.pending_events)
            try:
                reason = self._again(events[version])
            except DomainError as error:
                reason = error.message
            if reason is not None:
                self.undecided.append(Undecided(version, reason))
            new = self.run.pending_events[before:]
            self.made += [Made(version, one.originator_version) for one in new]
            if not new and reason is None:
                self.already.append(version)

    def _again(self, event: Any) -> str | None:  # noqa: ANN401
        for kind, make in _MAKERS.items():
            if isinstance(event, kind):
                return make(self, event)
        return f"a {event.KIND} is not carried over"

    # --- each kind of edit; what is returned is why it needs a person

    def rename(self, event: edits.ClusterRenamed) -> str | None:
        cluster_id, lost = self._heir(event.cluster_id)
        if cluster_id is None:
            return lost
        _, now = event.changes().clusters[event.cluster_id]
        new = {name.removeprefix("own_"): text for name, text in (now or {}).items()}
        held = [name for name in new if (cluster_id, f"own_{name}") in self.held.fields]
        given = {name: text for name, text in new.items() if name not in held}
        if given:
            self.run.rename(cluster_id, given.get("title"), given.get("description"))
        return _held(cluster_id, held)

    def annotate(self, event: edits.MetadataChanged) -> str | None:
        cluster_id, lost = self._heir(event.cluster_id)
        if cluster_id is None:
            return lost
        _, now = event.changes().clusters[event.cluster_id]
        held = [name for name in now or () if (cluster_id, name) in self.held.fields]
        self.run.annotate(cluster_id, {k: v for k, v in (now or {}).items() if k not in held})
        return _held(cluster_id, held)

    def flag(self, event: edits.FlagsChanged) -> str | None:
        cluster_id, lost = self._heir(event.cluster_id)
        if cluster_id is None:
            return lost
        self.run.flag(cluster_id, event.added, event.removed)
        return None

    def move(self, event: edits.QueriesMoved) -> str | None:
        target, lost = self._heir(event.cluster_id)
        if target is None:
            return lost
        absent = set(self.run.unknown(event.query_ids))
        there = np.array([one for one in event.query_ids if one not in absent], np.int64)
        free = there[~np.isin(there, self.held.query_ids)]
        if len(free):
            self.run.move(free.tolist(), target)
        if len(free) == len(event.query_ids):
            return None
        parts = [
            f"{len(absent)} of {len(event.query_ids)} queries are not in this run" if absent else "",
            f"{len(there) - len(free)} were moved in this run already" if len(free) < len(there) else "",
        ]
        return "; ".join(part for part in parts if part)

    def merge(self, event: edits.ClustersMerged) -> str | None:
        target, lost = self._heir(event.target_cluster_id)
        if target is None:
            return lost
        sources: set[int] = set()
        left: list[str] = []
        for old in event.source_cluster_ids:
            source, why = self._heir(old)
            if source is None and self._merged.get(old) == target:
                continue  # the newer run has them as one already
            if source is None:
                left.append(str(why))
            elif source != target:
                sources.add(source)
        words = self._words(event, target)
        if sources:
            self.run.merge(sorted(sources), target, **words)
        elif words:
            self.run.rename(target, words.get("title"), words.get("description"))
        self.heir.update({old: target for old in event.source_cluster_ids})
        return "; ".join(left) or None

    def _words(self, event: edits.ClustersMerged, target: int) -> dict[str, str]:
        """What the merged cluster was called then, unless people call it something here."""
        _, now = event.changes().clusters.get(event.target_cluster_id, (None, None))
        return {
            name.removeprefix("own_"): text
            for name, text in (now or {}).items()
            if text is not None and (target, name) not in self.held.fields
        }

    def split(self, event: edits.ClusterSplit) -> str | None:
        """Split again where most of what was taken out is in one cluster; as one already: only the words."""
        changes = event.changes()
        _, made = changes.clusters[event.new_cluster_id]
        title, description = (str((made or {}).get(f"own_{name}") or "") for name in ("title", "description"))
        absent = set(self.run.unknown(changes.query_ids.tolist()))
        there = changes.query_ids[~np.isin(changes.query_ids, list(absent))]
        there = there[~np.isin(there, self.held.query_ids)]
        if not len(there):
            return "none of the queries of the new cluster are in this run, or free to be moved"
        labels = self.run.partition.labels_of(there)
        clusters, counts = np.unique(labels, return_counts=True)
        home = int(clusters[counts.argmax()])
        if home <= ORPHAN or counts.max() <= len(there) / 2:
            return f"its {len(there)} queries are spread over {len(clusters)} clusters of this run"
        members = self.run.partition.members(home)
        taken = there[labels == home]
        if len(taken) > (1 - THRESHOLD) * len(members):
            self.heir[event.new_cluster_id] = home
            if (home, "own_title") not in self.held.fields:
                self.run.rename(home, title, description or None)
            return None
        new_id, _ = self.run.split(home, taken.tolist(), title, description or None)
        self.heir[event.new_cluster_id] = new_id
        return None

    def delete(self, event: edits.ClusterDeleted) -> str | None:
        cluster_id, lost = self._heir(event.cluster_id)
        self.heir.pop(event.cluster_id, None)
        if cluster_id is None:
            return None if event.cluster_id not in self._merged else lost
        return (
            f"it was deleted there; cluster {cluster_id} continues it here, and no cluster is deleted unasked"
        )

    def _heir(self, old: int) -> tuple[int | None, str | None]:
        """The cluster that takes over the edits of an old one, or why there is none."""
        if old in self.heir:
            found = self.heir[old]
            return (found, None) if found in self.run.clusters else (None, f"cluster {found} is gone")
        if old in self._merged:
            return None, f"cluster {old} became part of cluster {self._merged[old]}, together with others"
        split = [link.new for link in self.lineage.of_kind("split") if old in link.old]
        if split:
            return None, f"cluster {old} was split into clusters {', '.join(map(str, split[0]))}"
        return None, f"no cluster of this run continues cluster {old}"


def _held(cluster_id: int, names: Sequence[str]) -> str | None:
    if not names:
        return None
    return f"the {' and '.join(names)} of cluster {cluster_id} was written in this run already"


_MAKERS: dict[type[edits.Edit], Callable[[CarryOver, Any], str | None]] = {
    edits.ClusterRenamed: CarryOver.rename,
    edits.MetadataChanged: CarryOver.annotate,
    edits.FlagsChanged: CarryOver.flag,
    edits.QueriesMoved: CarryOver.move,
    edits.ClustersMerged: CarryOver.merge,
    edits.ClusterSplit: CarryOver.split,
    edits.ClusterDeleted: CarryOver.delete,
}
