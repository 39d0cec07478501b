"""A run as it was at a moment, in rows of the same shape as those of the read model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from domain.clustering import Cluster, ClusteringRun
from domain.values import ERASED, NOISE, QueryIds

Outcome = ClusteringRun.Completed | ClusteringRun.Failed


@dataclass(frozen=True, eq=False)
class PastRun:
    """`run` is shared by all who read and never changed. `outcome`: how it had ended, if it had.

    What was erased since counts nowhere, also where it was still there at that moment.
    """

    run: ClusteringRun
    created_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None

    @cached_property
    def sizes(self) -> dict[int, int]:
        """Label → how many queries have it."""
        return self.run.partition.sizes()

    @property
    def assigned(self) -> int:
        """How many queries it had."""
        return sum(size for label, size in self.sizes.items() if label != ERASED)

    def row(self) -> dict[str, Any]:
        """As `find_run` has it. A run that had not ended is `pending`: how far its job was is not history."""
        run, outcome = self.run, self.outcome
        completed = run.status == "completed"
        return {
            "run_id": run.run_id,
            "dataset": run.dataset,
            "algorithm": run.algorithm,
            "description": run.description,
            "status": run.status,
            "parameters": getattr(outcome, "parameters", run.parameters),
            "space": run.space,
            "metrics": getattr(outcome, "metrics", None),
            "num_queries": self.assigned if completed else run.queries,
            "num_clusters": len(run.clusters.keys() - {NOISE}) if completed else None,
            "error": getattr(outcome, "error", None),
            "version": run.version,
            "created_at": self.created_at,
            "completed_at": self.ended_at,
            "processed": None,
            "total": None,
        }

    def members(self, label: int) -> QueryIds:
        """Query ids in ascending order."""
        return self.run.partition.members(label)

    def cluster_rows(self, titles: Mapping[int, Mapping[str, Any]] | None = None) -> list[dict[str, Any]]:
        """In order of cluster id. `titles`: a summary run's, which are shown where no person had written."""
        return [self.cluster_row(one, cluster, titles) for one, cluster in sorted(self.run.clusters.items())]

    def cluster_row(
        self, cluster_id: int, cluster: Cluster, titles: Mapping[int, Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        shown = {
            "title": cluster.title,
            "description": cluster.description,
            "summary_run_id": cluster.summary_run_id,
        }
        if titles and (theirs := titles.get(cluster_id)):
            shown["summary_run_id"] = theirs["summary_run_id"]
            shown["title"] = cluster.title if cluster.title_edited else theirs["title"]
            shown["description"] = (
                cluster.description if cluster.description_edited else theirs["description"]
            )
        return {
            "cluster_id": cluster_id,
            "size": self.sizes.get(cluster_id, 0),
            **shown,
            "title_edited": cluster.title_edited,
            "description_edited": cluster.description_edited,
            "coherence_score": cluster.coherence_score,
            "quality": cluster.quality,
            "notes": cluster.notes,
            "flags": list(cluster.flags),
        }
