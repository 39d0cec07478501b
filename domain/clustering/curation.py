"""What people may do to the clusters of a run: each edit is decided here, and is one event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from domain.clustering import edits
from domain.clustering.changes import Changes, Fields
from domain.clustering.cluster import (
    MAX_DESCRIPTION,
    MAX_FLAG,
    MAX_FLAGS,
    MAX_TITLE,
    Cluster,
    check_metadata,
    check_text,
)
from domain.clustering.history import Plan
from domain.clustering.partition import Partition
from domain.clustering.reversal import Reversible, named
from domain.errors import Conflict, Invalid, NotFound
from domain.values import ERASED, ORPHAN, Labels, QueryIds


class Curation(Reversible):
    """The part of a run that people edit. Decisions read the state and may refuse; events change it."""

    NOUN = "run"

    ClusterRenamed = edits.ClusterRenamed
    QueriesMoved = edits.QueriesMoved
    ClustersMerged = edits.ClustersMerged
    ClusterSplit = edits.ClusterSplit
    ClusterDeleted = edits.ClusterDeleted
    MetadataChanged = edits.MetadataChanged
    FlagsChanged = edits.FlagsChanged
    TitlesReleased = edits.TitlesReleased
    EditsUndone = edits.EditsUndone
    EditsRedone = edits.EditsRedone
    ProposalAccepted = edits.ProposalAccepted
    CarriedOver = edits.CarriedOver
    QueriesErased = edits.QueriesErased

    if TYPE_CHECKING:  # the library would make fields of these
        run_id: str
        dataset: str
        status: str
        partition: Partition
        clusters: dict[int, Cluster]
        removed: dict[int, Cluster]
        next_cluster_id: int
        extension: dict[str, Any] | None
        carried_from: list[list[Any]]

    # --- words

    def rename(self, cluster_id: int, title: str | None, description: str | None) -> Cluster:
        """Give a cluster another title or description; None keeps what is there. Returns what was before."""
        self.check_editable()
        if title is None and description is None:
            raise Invalid("give a title, a description or both")
        was = self.cluster(cluster_id)
        title = was.title if title is None else check_text("title", title, MAX_TITLE)
        if description is None:
            description = was.description
        else:
            check_text("description", description, MAX_DESCRIPTION)
        if (title, description) != (was.title, was.description):
            edited = {"title": was.title_edited, "description": was.description_edited}
            self.trigger_event(
                self.ClusterRenamed,
                cluster_id=cluster_id,
                was_title=was.title,
                title=title,
                was_description=was.description,
                description=description,
                was_edited=[name for name, by_person in edited.items() if by_person],
            )
        return was

    def annotate(self, cluster_id: int, metadata: Mapping[str, Any]) -> None:
        """Set `coherence_score`, `quality` or `notes`; None takes one away, what is not given stays."""
        self.check_editable()
        was = self.cluster(cluster_id).fields()
        now = {name: value for name, value in check_metadata(metadata).items() if value != was.get(name)}
        if now:
            old = {name: was.get(name) for name in now}
            self._edit(
                self.MetadataChanged, Changes(clusters={cluster_id: (old, now)}), cluster_id=cluster_id
            )

    def flag(self, cluster_id: int, add: Sequence[str], remove: Sequence[str] = ()) -> None:
        """Add and remove flags. One that is there, or is not, stays as it is."""
        self.check_editable()
        was = self.cluster(cluster_id).flags
        if both := set(add) & set(remove):
            raise Invalid(f"flags to be both added and removed: {', '.join(sorted(both))}")
        for one in add:
            check_text("flag", one, MAX_FLAG)
        kept = [one for one in was if one not in set(remove)]
        added = [one for one in dict.fromkeys(add) if one not in was]
        if len(kept) + len(added) > MAX_FLAGS:
            raise Invalid(f"cluster {cluster_id} would have {len(kept) + len(added)} flags of {MAX_FLAGS}")
        removed = [one for one in was if one not in kept]
        if added or removed:
            changes = Changes(clusters={cluster_id: ({"flags": list(was)}, {"flags": [*kept, *added]})})
            self._edit(self.FlagsChanged, changes, cluster_id=cluster_id, added=added, removed=removed)

    def release_titles(self, cluster_ids: Iterable[int], summary_run_id: str) -> None:
        """Show the words of a summary in place of those that people wrote on these clusters, as one edit."""
        self.check_editable()
        names = ("own_title", "own_description")
        own = {one: self.clusters[one].fields() for one in cluster_ids if one in self.clusters}
        was = {one: {name: said[name] for name in names if name in said} for one, said in own.items()}
        clusters = {one: (words, dict.fromkeys(words)) for one, words in was.items() if words}
        if clusters:
            self._edit(self.TitlesReleased, Changes(clusters=clusters), summary_run_id=summary_run_id)

    # --- members

    def move(self, query_ids: Sequence[int], cluster_id: int) -> tuple[dict[int, int], dict[int, str]]:
        """Put queries into a cluster, as one edit.

        Returns for each that is there its label before, and for each that cannot be moved the reason.
        """
        self.check_editable()
        self.target(cluster_id)
        wanted = list(dict.fromkeys(query_ids))
        failed = {one: f"query {one} is not part of run {self.run_id}" for one in self.unknown(wanted)}
        there = np.array(sorted(set(wanted) - set(failed)), np.int64)
        was = self.partition.labels_of(there)
        moving = was != cluster_id
        if moving.any():
            self.trigger_event(
                self.QueriesMoved,
                query_ids=there[moving].tolist(),
                was=was[moving].tolist(),
                cluster_id=cluster_id,
            )
        return dict(zip(there.tolist(), was.tolist(), strict=True)), failed

    def merge(
        self,
        source_ids: Sequence[int],
        target_id: int,
        title: str | None = None,
        description: str | None = None,
    ) -> int:
        """Put the members of the sources into the target; the sources cease to be. Returns how many moved."""
        self.check_editable()
        sources = sorted(set(source_ids))
        if not sources:
            raise Invalid("source_cluster_ids is empty: name the clusters to merge into the target")
        if target_id in sources:
            raise Invalid(f"cluster {target_id} cannot be merged into itself; leave it out of the sources")
        target = self.target(target_id)
        clusters = {one: (self.target(one).fields(), None) for one in sources}
        moving = np.isin(self.partition.labels, sources)
        ids, was = self.partition.query_ids[moving], self.partition.labels[moving]
        words = _words(target, title, description)
        changes = Changes.of(ids, was, target_id, {**clusters, **({target_id: words} if words else {})})
        self._edit(self.ClustersMerged, changes, source_cluster_ids=sources, target_cluster_id=target_id)
        return len(ids)

    def split(
        self, cluster_id: int, query_ids: Sequence[int], title: str, description: str | None
    ) -> tuple[int, int]:
        """Put some members into a new cluster. Returns its id, and how many moved."""
        self.check_editable()
        self.cluster(cluster_id)
        wanted = self._part_of(cluster_id, query_ids)
        new_id = self.next_cluster_id
        own = {"own_title": check_text("new_title", title, MAX_TITLE)}
        if description:
            own["own_description"] = check_text("new_description", description, MAX_DESCRIPTION)
        made: dict[int, Any] = {new_id: (None, own)}
        changes = Changes.of(wanted, np.full(len(wanted), cluster_id), new_id, made)
        self._edit(self.ClusterSplit, changes, cluster_id=cluster_id, new_cluster_id=new_id)
        return new_id, len(wanted)

    def _part_of(self, cluster_id: int, query_ids: Sequence[int]) -> list[int]:
        """These queries, each once, if they are some of the members and not all."""
        if not query_ids:
            raise Invalid("query_ids is empty: name the queries that the new cluster is to have")
        wanted = sorted(set(query_ids))
        absent = set(self.unknown(wanted))
        there = np.array([one for one in wanted if one not in absent], np.int64)
        elsewhere = there[self.partition.labels_of(there) != cluster_id]
        if strangers := sorted(absent.union(elsewhere.tolist())):
            raise Conflict(
                f"{len(strangers)} queries are not in cluster {cluster_id}: {named(strangers)}",
                [{"query_id": one, "detail": f"not in cluster {cluster_id}"} for one in strangers],
            )
        if len(wanted) == len(self.partition.members(cluster_id)):
            raise Conflict(f"these are all {len(wanted)} queries of cluster {cluster_id}; rename it instead")
        return wanted

    def delete(self, cluster_id: int, move_to: int | None) -> int:
        """Remove a cluster: its members become orphans or go to another. Returns how many they were."""
        self.check_editable()
        was = self.cluster(cluster_id).fields()
        if move_to == cluster_id:
            raise Invalid(f"cluster {cluster_id} is to be deleted; its queries cannot be moved to it")
        if move_to is not None:
            self.target(move_to)
        ids = self.partition.members(cluster_id)
        label = ORPHAN if move_to is None else move_to
        changes = Changes.of(ids, np.full(len(ids), cluster_id), label, {cluster_id: (was, None)})
        self._edit(self.ClusterDeleted, changes, cluster_id=cluster_id, move_to_cluster_id=move_to)
        return len(ids)

    def erase(self, query_ids: QueryIds) -> None:
        """Forget these queries, whose conversations were erased. Those that are not here are passed over.

        A run that is still growing notes them all the same: whoever brings the next chunk, or completes the
        run, meets a conflict and decides anew.
        """
        at, missing = self.partition.places(query_ids)
        there = at[self.partition.labels[at] != ERASED]
        expected = missing if self.is_growing() else []
        if len(there) or expected:
            ids = sorted({*self.partition.query_ids[there].tolist(), *expected})
            self.trigger_event(self.QueriesErased, query_ids=ids)

    def is_growing(self) -> bool:
        """Whether more queries are about to come."""
        return self.status == "pending" or self.extension is not None

    # --- taking back

    def _take_back(self, plan: Plan) -> None:
        self._edit(self.EditsRedone if plan.redo else self.EditsUndone, plan.changes, edits=plan.edits)

    def _from_here(self, changes: Changes) -> Changes:
        """The same changes, from the present state: what happened besides edits stays.

        Erased queries are left out; what a summary calls a cluster is kept; queries that an extension has put
        into a cluster that goes, go where most of the others go, also where people had moved them on.
        """
        gone = [one for one, (_, now) in changes.clusters.items() if now is None]
        left = self.partition.query_ids[np.isin(self.partition.labels, gone)]
        left = left[~np.isin(left, changes.query_ids)]
        ids = np.append(changes.query_ids, left)
        was, now = self.partition.labels_of(ids), np.append(changes.now, self.partition.labels_of(left))
        for one in self._lost(now, changes):
            now[now == one] = changes.usual_target(one)
        now[np.isin(now, self._lost(now, changes))] = ORPHAN
        moving = (was != ERASED) & (was != now)
        clusters = {one: self._state_from_here(one, *states) for one, states in changes.clusters.items()}
        return Changes.of(ids[moving], was[moving], now[moving], clusters)

    def _lost(self, labels: Labels, changes: Changes) -> list[int]:
        """Those of these clusters that there will not be, also where they come and go in the same changes."""
        after = dict.fromkeys(self.clusters, True)
        after.update({one: now is not None for one, (_, now) in changes.clusters.items()})
        return [one for one in np.unique(labels).tolist() if one >= 0 and not after.get(one)]

    def _state_from_here(self, cluster_id: int, was: Fields, now: Fields) -> tuple[Fields, Fields]:
        if now is None:
            was = self.clusters[cluster_id].fields()
        elif was is None:
            now = Cluster.of(now).named_as(self.removed[cluster_id]).fields()
        return was, now

    # --- questions

    def cluster(self, cluster_id: int) -> Cluster:
        try:
            return self.clusters[cluster_id]
        except KeyError:
            raise NotFound(f"run {self.run_id} has no cluster {cluster_id}") from None

    def target(self, cluster_id: int) -> Cluster:
        """A cluster that a request names beside the one it is about."""
        if cluster_id not in self.clusters:
            raise Conflict(f"run {self.run_id} has no cluster {cluster_id}", [{"cluster_id": cluster_id}])
        return self.clusters[cluster_id]

    def label_of(self, query_id: int) -> int:
        """The cluster of a query, or ORPHAN. Raises NotFound."""
        label = self.partition.cluster_of(query_id)
        if label is None or label == ERASED:
            raise NotFound(f"query {query_id} is not part of run {self.run_id}")
        return label

    def unknown(self, query_ids: Sequence[int]) -> list[int]:
        """Those of these queries that the run does not have, or has no more."""
        possible = [one for one in query_ids if 0 <= one < 2**63]
        at, missing = self.partition.places(possible)
        erased = self.partition.query_ids[at[self.partition.labels[at] == ERASED]].tolist()
        absent = {*missing, *erased, *(set(query_ids) - set(possible))}
        return [one for one in query_ids if one in absent]

    def check_editable(self) -> None:
        if self.status == "retired":
            raise NotFound(f"run {self.run_id} was cleared together with data set {self.dataset!r}")
        if self.status != "completed":
            raise Conflict(f"run {self.run_id} is {self.status}: only a completed run can be edited")

    def _edit(self, kind: type[edits.WithChanges], changes: Changes, **fields: Any) -> None:  # noqa: ANN401
        self.trigger_event(kind, moves=changes.moves(), clusters=changes.cluster_rows(), **fields)


def _words(
    target: Cluster, title: str | None, description: str | None
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What the target of a merge was called and is called from now on, where that is another."""
    now: dict[str, Any] = {}
    if title is not None and title != target.title:
        now["own_title"] = check_text("new_title", title, MAX_TITLE)
    if description is not None and description != target.description:
        now["own_description"] = check_text("new_description", description, MAX_DESCRIPTION)
    return ({name: getattr(target, name) for name in now}, now) if now else None
