"""`python -m bench.hierarchy --file LABELLED.jsonl.gz`: do categories meet known domains?

Rows have text, label and domain. Clusters are those of k-means over their vectors; level 1 of the local
taxonomist is held against plain agglomerative clustering (scikit-learn, average linkage, cosine) of the same
centroids into as many groups, by purity and normalised mutual information over the rows. Then as many levels
as by default: how much of all queries the largest category of each has, and how well it meets the domains.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from adapters.embedder import make_embedder
from adapters.taxonomist import LocalTaxonomist
from bench.quality import labelled_rows
from commands.hierarchy import MERGE_RATIO, mean_direction, parents_of
from commands.ports import Child, Limits
from domain.hierarchy import FIRST_CATEGORY
from domain.measures import Tally

LIMITS = Limits()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hierarchy", description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="rows with text, label and domain")
    parser.add_argument("--clusters", type=int, default=150)
    parser.add_argument("--categories", type=int, default=10)
    parser.add_argument("--leave-out", default="oos", help="rows of this label are left out")
    given = parser.parse_args()
    rows = [row for row in labelled_rows(given.file) if row["label"] != given.leave_out]
    domains = [row["domain"] for row in rows]
    vectors = np.asarray(make_embedder("wordllama", "l2_supercat_256").embed([row["text"] for row in rows]))
    figures: dict[str, Any] = {"rows": len(rows), "domains": len({*domains})}
    for name, labels in (("k_means", _k_means(vectors, given.clusters)), ("labels", _codes(rows))):
        children = children_of(labels, vectors)
        ours, plain = level_one(children, given.categories), plainly(children, given.categories)
        figures[f"clusters_by_{name}"] = {
            "clusters": len(children),
            "local": quality([ours[one] for one in labels], domains),
            "plain_average_cosine": quality([plain[one] for one in labels], domains),
            "levels": levels(children, labels, domains),
        }
    print(json.dumps(figures, indent=2))  # noqa: T201


def children_of(labels: list[int], vectors: Any) -> list[Child]:  # noqa: ANN401
    sizes = Counter(labels)
    tally = Tally(sizes, vectors.shape[1])
    tally.add(np.array(labels, np.int32), vectors)
    centroids = zip(tally.cluster_ids.tolist(), tally.centroids(), strict=True)
    return [Child(one, str(one), "", sizes[one], vector) for one, vector in centroids]


def level_one(children: list[Child], categories: int) -> dict[int, int]:
    """Cluster → category; one that fits under none is a category of its own."""
    taxonomist = LocalTaxonomist()
    (proposed,) = taxonomist.propose(taxonomist.neighborhoods(children, categories, None), LIMITS)
    found = {child: at for at, one in enumerate(proposed.categories) for child in one.cluster_ids}
    counts = Counter(found.values())
    return {child: at if counts[at] > 1 else -1 - child for child, at in found.items()}


def levels(children: list[Child], labels: list[int], domains: list[str]) -> list[dict[str, float]]:
    """Of level 1 and 2 by the default ratio; what fits under none is a category of its own."""
    places = {one.cluster_id: one.cluster_id for one in children}
    found = []
    for first in (FIRST_CATEGORY, 2 * FIRST_CATEGORY):
        above = level_one(children, parents_of(len(children), MERGE_RATIO))
        groups: dict[int, list[Child]] = {}
        for one in children:
            groups.setdefault(above[one.cluster_id], []).append(one)
        joined = dict(enumerate(groups.values(), first))
        to = {one.cluster_id: name for name, group in joined.items() for one in group}
        places = {one: to[place] for one, place in places.items()}
        children = [
            Child(name, "", "", sum(one.size for one in group), mean_direction(group))
            for name, group in joined.items()
        ]
        largest = max(one.size for one in children) / len(labels)
        measured = quality([places[one] for one in labels], domains)
        found.append({**measured, "largest": round(largest, 4)})
    return found


def plainly(children: list[Child], categories: int) -> dict[int, int]:
    from sklearn.cluster import AgglomerativeClustering

    plain = AgglomerativeClustering(categories, metric="cosine", linkage="average")
    labels = plain.fit_predict(np.stack([one.vector for one in children])).tolist()
    return dict(zip((one.cluster_id for one in children), labels, strict=True))


def quality(found: list[int], domains: list[str]) -> dict[str, float]:
    from sklearn.metrics import normalized_mutual_info_score

    both = Counter(zip(found, domains, strict=True))
    best: Counter[int] = Counter()
    for (category, _), count in both.items():
        best[category] = max(best[category], count)
    nmi = normalized_mutual_info_score(domains, found)
    return {
        "categories": len({*found}),
        "purity": round(best.total() / len(found), 4),
        "nmi": round(float(nmi), 4),
    }


def _k_means(vectors: Any, count: int) -> list[int]:  # noqa: ANN401
    from sklearn.cluster import KMeans

    labels: list[int] = KMeans(count, n_init=1, random_state=0).fit_predict(vectors).tolist()
    return labels


def _codes(rows: list[dict[str, Any]]) -> list[int]:
    """The labels themselves as clusters: what is left is the arranging alone."""
    names = sorted({row["label"] for row in rows})
    return [names.index(row["label"]) for row in rows]


if __name__ == "__main__":
    main()
