"""Each edit of an older run on a newer one: made again, found to be so, or put aside with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.clustering import edits
from domain.clustering.carrying.before import Earlier, Held, made_one, overtaken
from domain.clustering.curation import Curation
from domain.clustering.lineage import MOST, Lineage, Link
from domain.clustering.partition import Partition
from domain.errors import Conflict, DomainError
from domain.values import ERASED, NOISE, ORPHAN, QueryIds

LARGELY = 0.7
"""A cluster that consists of a split-off part to more than this share is that part."""


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

    `older`: the partition of the older run before its edits. `here`: the edits in force in the newer one.
    What people have written or named there is not overwritten; what was carried over `earlier` is not carried
    again. `heir` leads from a cluster of the older run, also one that a split made, to the one that
    continues it.
    """

    run: Curation
    older: Partition
    lineage: Lineage
    here: Mapping[int, edits.Edit] = field(default_factory=dict)
    earlier: Earlier = field(default_factory=Earlier)
    heir: dict[int, int] = field(default_factory=dict)
    made: list[Made] = field(default_factory=list)
    already: list[int] = field(default_factory=list)
    undecided: list[Undecided] = field(default_factory=list)

    def __post_init__(self) -> None:
        continued = {link.old[0]: link.new[0] for link in self.lineage.of_kind("continuation")}
        self._known = {**continued, **self.earlier.heirs}
        self.heir = {old: new for old, new in self._known.items() if new is not None}
        self._merge: dict[int, Link] = {old: one for one in self.lineage.of_kind("merge") for old in one.old}
        self._split = {one.old[0]: one for one in self.lineage.of_kind("split")}
        carried = {new for news in self.earlier.made.values() for new in news}
        self._held = Held.by([self.here[one] for one in sorted(self.here) if one not in carried])
        merges = [one for _, one in sorted(self.here.items()) if isinstance(one, edits.ClustersMerged)]
        self._into = {old: one.target_cluster_id for one in merges for old in one.source_cluster_ids}
        self._one: dict[int, set[int]] = {}
        self._unsplit = {old for old, new in self.earlier.heirs.items() if new is None}
        self._gone: set[int] = set()
        self._recalled: set[int] = set()
        self._adopted: set[int] = set()

    def carry(self, events: Mapping[int, edits.Edit]) -> None:
        """Each edit is made again, found to be so already, or put aside with the reason."""
        self._one = made_one(events.values())
        splits = [one for one in events.values() if isinstance(one, edits.ClusterSplit)]
        self._unsplit.update(one.new_cluster_id for one in splits)
        settled = self.earlier.made.keys() | self.earlier.already
        late = overtaken(events, settled, self.older)
        for version in sorted(events):
            if version in settled | late:
                self._recall(version)
            else:
                self._try(version, events[version])
            changes = events[version].changes()
            at, _ = self.older.places(changes.query_ids)
            known = np.isin(changes.query_ids, self.older.query_ids[at])
            self.older = self.older.relabelled(changes.query_ids[known], changes.now[known])
        for version in sorted(self.earlier.made.keys() - events.keys()):
            if any(new in self.here for new in self.earlier.made[version]):
                reason = "it was carried over before and has been undone there since; it still stands here"
                self.undecided.append(Undecided(version, reason))

    def heirs(self) -> list[list[int | None]]:
        """What became of clusters besides the lineage and what was known, as `Earlier` wants it back."""
        olds = sorted({*self.heir, *self._known})
        return [[old, new] for old in olds if (new := self.heir.get(old)) != self._known.get(old)]

    def _recall(self, version: int) -> None:
        """Carried over before: what people have done to it here since is theirs to decide."""
        if any(new not in self.here for new in self.earlier.made.get(version, ())):
            self.undecided.append(
                Undecided(version, "it was carried over before and undone in this run since")
            )
        elif version in self.earlier.undecided:
            self.undecided.append(Undecided(version, self.earlier.undecided[version]))
        elif version in self.earlier.made or version in self.earlier.already:
            self.already.append(version)
            self._recalled.add(version)
        else:
            self.undecided.append(
                Undecided(version, "what came after it and touched the same was carried before")
            )

    def found_so(self) -> list[int]:
        """Edits that are so in the newer run though nobody carried them over, be it not in full."""
        return sorted({*self.already, *self._adopted} - self._recalled - {one.old for one in self.made})

    def _try(self, version: int, event: edits.Edit) -> None:
        before = len(self.run.pending_events)
        try:
            reason = self._again(event)
        except DomainError as error:
            reason = error.message
        if reason:
            self.undecided.append(Undecided(version, reason))
        new = self.run.pending_events[before:]
        self.made += [Made(version, one.originator_version) for one in new]
        if not new and not reason:
            self.already.append(version)

    def _again(self, event: Any) -> str | None:  # noqa: ANN401
        for kind, make in MAKERS.items():
            if isinstance(event, kind):
                return make(self, event)
        return f"an edit of the kind {event.KIND} is not carried over"

    # --- each kind of edit; what is returned, or raised, is why it needs a person

    def rename(self, event: edits.ClusterRenamed) -> str | None:
        cluster_id = self._heir(event.cluster_id)
        _, now = event.changes().clusters[event.cluster_id]
        return self._write(cluster_id, now or {})

    def annotate(self, event: edits.MetadataChanged) -> str | None:
        cluster_id = self._heir(event.cluster_id)
        _, now = event.changes().clusters[event.cluster_id]
        held = self._held.otherwise(self.run, cluster_id, now or {})
        self.run.annotate(cluster_id, {name: one for name, one in (now or {}).items() if name not in held})
        return _written(cluster_id, held)

    def flag(self, event: edits.FlagsChanged) -> str | None:
        """A flag that people of the newer run have set is not taken away."""
        cluster_id = self._heir(event.cluster_id)
        flags = self.run.cluster(cluster_id).flags
        held = [one for one in event.removed if one in flags and (cluster_id, one) in self._held.flags]
        self.run.flag(cluster_id, event.added, [one for one in event.removed if one not in held])
        return f"in this run, people set {', '.join(held)} on cluster {cluster_id}" if held else None

    def move(self, event: edits.QueriesMoved) -> str | None:
        """What the target was made one with here is good enough: that is where most of it is."""
        target = self._whereabouts(event.cluster_id)
        if target is None:
            raise self._lost(event.cluster_id)
        ids = np.array(event.query_ids, np.int64)
        free, why = self._free(ids, at=target)
        if len(free):
            self.run.move(free.tolist(), target)
        return why

    def merge(self, event: edits.ClustersMerged) -> str | None:
        olds = event.source_cluster_ids
        for old in (event.target_cluster_id, *olds):
            self._have_as_one(old)
        target = self._heir(event.target_cluster_id)
        sources, left = self._sources(olds, target)
        _, words = event.changes().clusters.get(event.target_cluster_id, (None, None))
        given, why = self._given(target, words or {})
        if sources:
            self.run.merge(sorted(sources), target, given.get("title"), given.get("description"))
            self._into |= dict.fromkeys(sources, target)
        elif given:
            self.run.rename(target, given.get("title"), given.get("description"))
        self._gone.update(olds)
        return "; ".join([*left, *([why] if why else [])]) or None

    def _sources(self, olds: Sequence[int], target: int) -> tuple[set[int], list[str]]:
        """The clusters here that are to go into the target, and why others are not."""
        sources, left = set[int](), list[str]()
        for old in olds:
            if self._whereabouts(old) == target:
                continue  # the newer run has them as one
            try:
                source = self._heir(old)
            except Conflict as lost:
                left.append(lost.message)
            else:
                if names := self._held.names(source):
                    left.append(str(_written(source, names)))
                else:
                    sources.add(source)
        return sources, left

    def split(self, event: edits.ClusterSplit) -> str | None:
        """Split again where most of the part is in one cluster; where that is the part already: name it."""
        changes = event.changes()
        _, words = changes.clusters[event.new_cluster_id]
        free, why = self._free(changes.query_ids)
        if not len(free):
            raise Conflict(str(why))
        home, taken = self._home(free)
        reasons = [why] if why else []
        if len(taken) < len(free):
            spread = len(free) - len(taken)
            reasons.append(f"{spread} of its {len(changes.query_ids)} queries are not with the others here")
        if self._is_apart(event, home, taken):
            reasons += self._adopt(event, home, words or {})
        else:
            title, description = ((words or {}).get(f"own_{name}") for name in ("title", "description"))
            new_id, _ = self.run.split(home, taken.tolist(), str(title), description)
            self.heir[event.new_cluster_id] = new_id
        return "; ".join(reasons) or None

    def _home(self, queries: QueryIds) -> tuple[int, QueryIds]:
        """The cluster here that has most of them, and which these are."""
        labels = self.run.partition.labels_of(queries)
        clusters, counts = np.unique(labels, return_counts=True)
        home = int(clusters[counts.argmax()])
        if home <= ORPHAN or counts.max() <= MOST * len(queries):
            raise Conflict(f"its {len(queries)} queries are spread over {len(clusters)} clusters of this run")
        return home, queries[labels == home]

    def _is_apart(self, event: edits.ClusterSplit, home: int, taken: QueryIds) -> bool:
        """Whether the part is this cluster, and most of what it was split from is elsewhere."""
        if len(taken) <= LARGELY * len(self.run.partition.members(home)):
            return False
        whole = self.older.members(event.cluster_id)
        rest = whole[~np.isin(whole, event.changes().query_ids)]
        at, _ = self.run.partition.places(rest)
        labels = self.run.partition.labels[at]
        return bool((labels == home).sum() <= MOST * (labels != ERASED).sum())

    def _adopt(self, event: edits.ClusterSplit, home: int, words: Mapping[str, Any]) -> list[str]:
        """Let this cluster be the new one, which it stays. It cannot continue two."""
        others = [old for old, new in self.heir.items() if new == home and old not in self._gone]
        if strangers := [old for old in others if old != event.cluster_id]:
            raise Conflict(f"most of it is cluster {home} here, which continues cluster {strangers[0]}")
        for old in others:
            del self.heir[old]
            self._unsplit.add(old)
        self.heir[event.new_cluster_id] = home
        self._adopted.add(event.originator_version)
        why = [f"cluster {home} continued cluster {old}, of which it is the part split off" for old in others]
        return [*why, *([held] if (held := self._write(home, words)) else [])]

    def delete(self, event: edits.ClusterDeleted) -> str | None:
        """No cluster is deleted unasked. One that nothing continues is gone already."""
        old = event.cluster_id
        if (there := self._whereabouts(old)) is None:
            names = [str(one) for one in self._split[old].new] if old in self._split else []
            return f"it was deleted there; it is in clusters {', '.join(names)} here" if names else None
        self._gone.add(old)
        continues = there in (NOISE, self.heir.get(old))
        how = "continues it here" if continues else "has most of it here, together with others"
        return f"it was deleted there; cluster {there} {how}, and no cluster is deleted unasked"

    # --- what lives on, and what is free to be changed

    def _heir(self, old: int) -> int:
        """The cluster that takes over the edits of an old one. Raises Conflict: why there is none."""
        if old == NOISE and old in self.run.clusters:
            return old
        if (found := self.heir.get(old)) in self.run.clusters:
            return int(found or 0)
        raise self._lost(old)

    def _lost(self, old: int) -> Conflict:
        if old == NOISE:
            return Conflict("this run has no noise")
        if (found := self.heir.get(old)) is not None:
            became = f"merged into cluster {self._into[found]}" if found in self._into else "deleted"
            return Conflict(f"cluster {found}, which continues cluster {old}, was {became} in this run")
        if old in self._unsplit:
            return Conflict(f"the split that concerns cluster {old} was not carried over as it was")
        if old in self._merge:
            into = self._merge[old].new[0]
            return Conflict(f"cluster {old} became part of cluster {into}, together with others")
        if old in self._split:
            became = ", ".join(map(str, self._split[old].new))
            return Conflict(f"cluster {old} was split into clusters {became}")
        return Conflict(f"no cluster of this run continues cluster {old}")

    def _whereabouts(self, old: int) -> int | None:
        """Where most of an old cluster is here, also if others are there as well."""
        merged = self._merge[old].new[0] if old in self._merge else None
        return self._present(old if old == NOISE else self.heir.get(old, merged))

    def _present(self, cluster_id: int | None) -> int | None:
        """Where it has been merged into in the end."""
        while cluster_id is not None and cluster_id not in self.run.clusters:
            cluster_id = self._into.get(cluster_id)
        return cluster_id

    def _have_as_one(self, old: int) -> None:
        """What people made one there, and what is one here as well without anything else, has one heir."""
        together = self._one.get(old, set())
        link = self._merge.get(old)
        if link and {*link.old} <= together:
            for one in link.old:
                self.heir.setdefault(one, link.new[0])
        there = self._present(self.heir.get(old))
        parts = {there, *(one for one in self._into if self._present(one) == there)}
        heirs = {one: self.heir[one] for one in together if one in self.heir}
        if there is not None and parts <= {*heirs.values()}:
            self.heir |= {one: there for one, heir in heirs.items() if heir in parts}

    def _free(self, query_ids: QueryIds, at: int | None = None) -> tuple[QueryIds, str | None]:
        """Those that are here and that nobody has moved here, except to where they are wanted."""
        absent = self.run.unknown(query_ids.tolist())
        there = query_ids[~np.isin(query_ids, absent)]
        held = self._held.queries.has(there)
        if at is not None:
            held &= self.run.partition.labels_of(there) != at
        reasons = [
            f"{len(absent)} of {len(query_ids)} queries are not in this run" if absent else "",
            f"{held.sum()} of {len(query_ids)} were moved in this run by people" if held.any() else "",
        ]
        return there[~held], "; ".join(one for one in reasons if one) or None

    def _given(self, cluster_id: int, words: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
        """Title and description, except what people have written here, and which of them they have."""
        held = self._held.otherwise(self.run, cluster_id, words)
        given = {name.removeprefix("own_"): text for name, text in words.items() if text and name not in held}
        return given, _written(cluster_id, held)

    def _write(self, cluster_id: int, words: Mapping[str, Any]) -> str | None:
        given, why = self._given(cluster_id, words)
        if given:
            self.run.rename(cluster_id, given.get("title"), given.get("description"))
        return why


def _written(cluster_id: int, names: Sequence[str]) -> str | None:
    if not names:
        return None
    shown = " and ".join(name.removeprefix("own_").replace("_", " ") for name in names)
    return f"in this run, people have written the {shown} of cluster {cluster_id}"


MAKERS: dict[type[edits.Edit], Callable[[CarryOver, Any], str | None]] = {
    edits.ClusterRenamed: CarryOver.rename,
    edits.MetadataChanged: CarryOver.annotate,
    edits.FlagsChanged: CarryOver.flag,
    edits.QueriesMoved: CarryOver.move,
    edits.ClustersMerged: CarryOver.merge,
    edits.ClusterSplit: CarryOver.split,
    edits.ClusterDeleted: CarryOver.delete,
}
