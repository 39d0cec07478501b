"""The events of edits. Each says in its own words what was done, and in `changes` what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from domain.base import Aggregate
from domain.clustering.changes import Changes
from domain.values import ERASED

if TYPE_CHECKING:
    from domain.clustering.curation import Curation


class Edit(Aggregate.Event):
    """One edit, whether of one query or of ten thousand."""

    KIND = ""

    def changes(self) -> Changes:
        raise TypeError(f"{type(self).__name__} does not say what it changed")

    def apply(self, run: Curation) -> None:
        changes = self.changes()
        gone = [one for one, (_, now) in changes.clusters.items() if now is None]
        run.removed.update((one, run.clusters[one]) for one in gone)
        run.partition = changes.apply(run.partition, run.clusters)
        for cluster_id in changes.clusters.keys() & run.clusters.keys():
            run.removed.pop(cluster_id, None)
            run.next_cluster_id = max(run.next_cluster_id, cluster_id + 1)
        self.enter(run)

    def enter(self, run: Curation) -> None:
        run.history.enter(self.originator_version)


class ClusterRenamed(Edit):
    """`was_edited`: which of title and description a person had written before."""

    TOPIC = "curation.cluster_renamed"
    KIND = "rename"
    cluster_id: int
    was_title: str | None
    title: str | None
    was_description: str | None
    description: str | None
    was_edited: list[str]
    class_version = 2

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Who had written the old words was not recorded: they count as a person's."""
        names = ("title", "description")
        state["was_edited"] = [name for name in names if state[f"was_{name}"] is not None]

    def changes(self) -> Changes:
        was: dict[str, Any] = {}
        now: dict[str, Any] = {}
        for name in ("title", "description"):
            old, new = getattr(self, f"was_{name}"), getattr(self, name)
            if old != new:
                was[f"own_{name}"] = old if name in self.was_edited else None
                now[f"own_{name}"] = new
        return Changes(clusters={self.cluster_id: (was, now)})


class QueriesMoved(Edit):
    """`was` says for each query the cluster that it came from."""

    TOPIC = "curation.queries_moved"
    KIND = "move"
    query_ids: list[int]
    was: list[int]
    cluster_id: int

    def changes(self) -> Changes:
        return Changes.of(self.query_ids, self.was, self.cluster_id)


class WithChanges(Edit):
    """`moves`: `{from, to, query_ids}`; `clusters`: `{cluster_id, was, now}`, null where there is none."""

    moves: list[dict[str, Any]]
    clusters: list[dict[str, Any]]

    def changes(self) -> Changes:
        return Changes.read(self.moves, self.clusters)


class ClustersMerged(WithChanges):
    """The members of the sources went to the target; what the sources were called stands in `clusters`."""

    TOPIC = "curation.clusters_merged"
    KIND = "merge"
    source_cluster_ids: list[int]
    target_cluster_id: int


class ClusterSplit(WithChanges):
    """Some members went to a new cluster, whose id was never used before."""

    TOPIC = "curation.cluster_split"
    KIND = "split"
    cluster_id: int
    new_cluster_id: int


class ClusterDeleted(WithChanges):
    """Its members became orphans, or went to another cluster."""

    TOPIC = "curation.cluster_deleted"
    KIND = "delete"
    cluster_id: int
    move_to_cluster_id: int | None


class MetadataChanged(WithChanges):
    """Notes on a cluster, its quality, its coherence (1 to 5)."""

    TOPIC = "curation.metadata_changed"
    KIND = "metadata"
    cluster_id: int


class FlagsChanged(WithChanges):
    TOPIC = "curation.flags_changed"
    KIND = "flags"
    cluster_id: int
    added: list[str]
    removed: list[str]


class TitlesReleased(WithChanges):
    """Words of people gave way to those of a summary run, because somebody asked for it."""

    TOPIC = "curation.titles_released"
    KIND = "release_titles"
    summary_run_id: str


class EditsUndone(WithChanges):
    """Edits taken back, by their versions in this stream: one compensating event for all of them."""

    TOPIC = "curation.edits_undone"
    KIND = "undo"
    edits: list[int]

    def enter(self, run: Curation) -> None:
        run.history.take_back(self.edits, self.originator_version)


class EditsRedone(WithChanges):
    """Edits that had been undone, done again."""

    TOPIC = "curation.edits_redone"
    KIND = "redo"
    edits: list[int]

    def enter(self, run: Curation) -> None:
        run.history.put_back(self.edits, self.originator_version)


class EditsGrouped(Edit):
    """Edits that were made together, and that one undo takes back together. By itself it changes nothing."""

    edits: list[int]

    def changes(self) -> Changes:
        return Changes()

    def enter(self, run: Curation) -> None:
        run.history.group(self.originator_version, self.edits)


class ProposalAccepted(EditsGrouped):
    TOPIC = "curation.proposal_accepted"
    KIND = "accept_proposal"
    proposal_id: str


class CarriedOver(EditsGrouped):
    """The edits of another run were made again in this one, where what they concerned lives on.

    `from_edits`: for each of `edits` its version in the other run; `already`: edits there that were so here
    without doing, be it not in full; `undecided`: those that could not be made again, or not in full, each
    with its version there and the reason. `lineage`: which clusters became which, with the evidence; `heirs`:
    pairs of a cluster there and the one that continues it here (null: none does), where that is not as in the
    lineage.
    """

    TOPIC = "curation.carried_over"
    KIND = "carry_over"
    from_run_id: str
    from_version: int
    from_edits: list[int]
    already: list[int]
    threshold: float
    lineage: list[dict[str, Any]]
    heirs: list[list[int | None]]
    undecided: list[dict[str, Any]]

    def enter(self, run: Curation) -> None:
        super().enter(run)
        run.carried_from.append([self.from_run_id, self.from_version])


class QueriesErased(Aggregate.Event):
    """The conversations of these queries were erased: they count in no cluster any more, for good.

    Some may not be here: a run that was still growing is told of all.
    """

    TOPIC = "clustering.queries_erased"
    query_ids: list[int]

    def apply(self, run: Curation) -> None:
        at, _ = run.partition.places(self.query_ids)
        ids = run.partition.query_ids[at]
        run.partition = run.partition.relabelled(ids, np.full(len(ids), ERASED, np.int32))
