"""What edits come to: sizes before and after, and the clusters that would be other than they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from domain.clustering.changes import Changes
from domain.clustering.cluster import Cluster
from domain.clustering.curation import Curation
from domain.clustering.partition import Partition, gini
from domain.values import NOISE, ORPHAN

SHOWN_CLUSTERS = 200
"""Clusters that an impact lists; all are counted."""

NOTES = ("coherence_score", "quality", "notes", "flags")


@dataclass(frozen=True)
class Standing:
    """A run at one moment: which query is in which cluster, and what the clusters are called."""

    partition: Partition
    clusters: Mapping[int, Cluster]
    sizes: Mapping[int, int]

    @classmethod
    def of(cls, run: Curation) -> Self:
        return cls(run.partition, dict(run.clusters), run.partition.sizes())

    def figures(self) -> dict[str, Any]:
        """Of the clusters other than noise: how many, their sizes, and how uneven these are (Gini)."""
        counts = np.array([self.sizes.get(one, 0) for one in self.clusters if one != NOISE], np.int64)
        some = len(counts) > 0
        return {
            "clusters": len(counts),
            "queries": int(counts.sum()),
            "noise": self.sizes.get(NOISE, 0),
            "orphans": self.sizes.get(ORPHAN, 0),
            "smallest": int(counts.min()) if some else None,
            "median": float(np.median(counts)) if some else None,
            "largest": int(counts.max()) if some else None,
            "gini": gini(counts),
        }


def impact(was: Standing, now: Standing, changes: Iterable[Changes]) -> dict[str, Any]:
    """What led from one to the other, fit for JSON. `changes`: all of them, one after the other."""
    whole = Changes.composed(changes)
    known = sorted(one for one in whole.touched if one in was.clusters or one in now.clusters)
    rows = [_row(one, was, now) for one in known]
    kinds = [kind for row in rows for kind in row["what"]]
    return {
        "queries_moved": len(whole.query_ids),
        "before": was.figures(),
        "after": now.figures(),
        "counts": {kind: kinds.count(kind) for kind in ("made", "removed", "renamed", "resized", "noted")},
        "clusters": [row for row in rows if row["what"]][:SHOWN_CLUSTERS],
    }


def _row(cluster_id: int, was: Standing, now: Standing) -> dict[str, Any]:
    old, new = was.clusters.get(cluster_id), now.clusters.get(cluster_id)
    before = was.sizes.get(cluster_id, 0) if old else None
    after = now.sizes.get(cluster_id, 0) if new else None
    return {
        "cluster_id": cluster_id,
        "what": [*_what(old, new), *(["resized"] if old and new and before != after else [])],
        "was_title": old.title if old else None,
        "title": new.title if new else None,
        "was_size": before,
        "size": after,
        "noted": _noted(old, new) if old and new else {},
    }


def _what(old: Cluster | None, new: Cluster | None) -> list[str]:
    if old is None or new is None:
        return ["made" if new else "removed"]
    renamed = (old.title, old.description) != (new.title, new.description)
    return [*(["renamed"] if renamed else []), *(["noted"] if _noted(old, new) else [])]


def _noted(old: Cluster, new: Cluster) -> dict[str, Any]:
    """Notes, flags and marks that are other than they were, as they are now."""
    values = {name: getattr(new, name) for name in NOTES if getattr(old, name) != getattr(new, name)}
    return {name: list(value) if name == "flags" else value for name, value in values.items()}
