"""`python -m bench.continuity --file LABELLED.jsonl.gz`: which clusters carry over, where later queries go.

A cluster stands for the label that most of its queries have. It is continued rightly by one that stands for
the same label; a query is added rightly to a cluster that stands for its own.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from adapters.clusterer import LocalClusterer
from adapters.embedder import make_embedder
from adapters.matching import best_pairs
from bench.quality import labelled_rows
from commands.extension import nearest
from commands.ports import Clustering
from domain.clustering import Partition
from domain.clustering.lineage import match, neighbourhood
from domain.values import Labels, QueryIds, Vectors

FLOORS = (0.0, 0.02, 0.05, 0.1, 0.2)
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SEEDS = 5


class Data:
    """Rows with their vectors and labels; `kmeans` and `majority` are of some of them."""

    def __init__(self, vectors: Vectors, labels: np.ndarray[Any, Any]) -> None:
        self.vectors = vectors
        self.labels = labels
        self.count, self.dimension = vectors.shape

    def of(self, rows: QueryIds | np.ndarray[Any, Any]) -> Data:
        return Data(self.vectors[rows], self.labels[rows])

    def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
        for start in range(0, self.count, 10_000):
            part = self.vectors[start : start + 10_000]
            yield np.arange(start, start + len(part), dtype=np.int64), part

    def kmeans(self, clusters: int, seed: int) -> Clustering:
        given = {"n_clusters": clusters, "seed": seed}
        return LocalClusterer(1).cluster("kmeans", given, self, lambda done, total: None)

    def majority(self, found: Labels) -> dict[int, str]:
        """Cluster → the label that most of its members have."""
        return {
            int(one): Counter(self.labels[found == one].tolist()).most_common(1)[0][0]
            for one in np.unique(found)
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.continuity", description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="rows with text and label, gzip or plain")
    parser.add_argument("--clusters", type=int, default=150)
    parser.add_argument("--strange", default="oos", help="label of rows that belong to no cluster")
    given = parser.parse_args()
    rows = labelled_rows(given.file)
    texts, labels = [row["text"] for row in rows], np.array([row["label"] for row in rows])
    vectors = np.asarray(make_embedder("wordllama", "l2_supercat_256").embed(texts), np.float32)
    everything, strange = Data(vectors, labels), labels == given.strange
    data, strangers = everything.of(~strange), everything.of(strange)
    extended = [extension(data, strangers, given.clusters, seed) for seed in range(SEEDS)]
    carried = [continuation(data, given.clusters, seed) for seed in range(SEEDS)]
    print(json.dumps({"extension": mean(extended), "continuation": mean(carried)}, indent=2))  # noqa: T201


def extension(data: Data, strangers: Data, clusters: int, seed: int) -> dict[str, Any]:
    """A run of two thirds of the rows, extended by the others; beside it, all of them clustered anew."""
    order = np.random.default_rng(seed).permutation(data.count)
    first, later = np.sort(order[: data.count * 2 // 3]), np.sort(order[data.count * 2 // 3 :])
    run, everything = data.of(first).kmeans(clusters, seed), data.kmeans(clusters, seed)
    label_of, label_anew = data.of(first).majority(run.labels), data.majority(everything.labels)
    ids = np.array(sorted(label_of), np.int32)
    found, confidence = nearest(data.vectors[later], ids, run.centroids[ids])
    right = np.array([label_of[one] for one in found.tolist()]) == data.labels[later]
    anew = np.array([label_anew[one] for one in everything.labels[later].tolist()]) == data.labels[later]
    figures: dict[str, Any] = {"rows": data.count, "later": len(later), "right_clustered_anew": anew.mean()}
    for floor in FLOORS:
        sure = confidence >= floor
        figures[f"floor_{floor:g}"] = {
            "orphans": 1 - sure.mean(),
            "right_of_all": (right & sure).mean(),
            "right_of_assigned": right[sure].mean(),
            "orphans_that_were_right": right[~sure].mean() if floor else 0.0,
        }
        if strangers.count:
            _, doubt = nearest(strangers.vectors, ids, run.centroids[ids])
            figures[f"floor_{floor:g}"]["strangers_orphaned"] = (doubt < floor).mean()
    return figures


def continuation(data: Data, clusters: int, seed: int) -> dict[str, Any]:
    """From one run to others: of another seed, of other k, of more queries, of other queries."""
    everything = np.arange(data.count)
    order = np.random.default_rng(seed).permutation(data.count)
    part, half, other = np.sort(order[: data.count * 2 // 3]), *np.split(order[: data.count // 2 * 2], 2)
    pairs = {
        "same_queries": (everything, clusters, everything, clusters),
        "fewer_clusters": (everything, clusters, everything, clusters * 2 // 3),
        "more_clusters": (everything, clusters, everything, clusters * 3 // 2),
        "half_as_many_queries_again": (part, clusters, everything, clusters),
        "other_queries": (np.sort(half), clusters, np.sort(other), clusters),
    }
    return {name: _carried(data, *pair, seed) for name, pair in pairs.items()}


def _carried(
    data: Data, old: QueryIds, old_k: int, new: QueryIds, new_k: int, seed: int
) -> dict[str, dict[str, float]]:
    """By threshold: clusters continued, and rightly so; `score_…`: of the pairs that score from there on."""
    older, newer = data.of(old).kmeans(old_k, 2 * seed), data.of(new).kmeans(new_k, 2 * seed + 1)
    label_old, label_new = data.of(old).majority(older.labels), data.of(new).majority(newer.labels)
    ids = sorted(label_old), sorted(label_new)
    rows = older.centroids[ids[0]], newer.centroids[ids[1]]
    partitions = Partition(old.astype(np.int64), older.labels), Partition(new.astype(np.int64), newer.labels)
    figures: dict[str, dict[str, float]] = {}
    before = (0, 0)
    for threshold in sorted(THRESHOLDS, reverse=True):
        alike, apart = rows[0] @ rows[1].T, neighbourhood(*rows)
        lineage = match(*partitions, *ids, best_pairs, alike, threshold, apart)
        links = [(link.old[0], link.new[0]) for link in lineage.of_kind("continuation")]
        right = sum(label_old[one] == label_new[other] for one, other in links)
        more, more_right = len(links) - before[0], right - before[1]
        figures[f"threshold_{threshold:g}"] = {
            "continued": len(links) / len(ids[0]),
            "right_of_these": right / len(links),
            "right_of_those_that_it_adds": more_right / more if more else float("nan"),
        }
        before = len(links), right
    return figures


def mean(figures: list[Any]) -> Any:  # noqa: ANN401
    """The same tree, of means."""
    if isinstance(figures[0], dict):
        return {name: mean([one[name] for one in figures]) for name in figures[0]}
    return round(float(np.nanmean(figures)), 3)


if __name__ == "__main__":
    main()
