"""`python -m bench.quality --file LABELLED.jsonl.gz`: how good clusters and names are, through the HTTP API.

Against plain scikit-learn on the same vectors, by normalised mutual information with the labels of the rows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from adapters.embedder import make_embedder
from bench.server import Server, running, wait_until
from bench.stages import cluster, load

STOP_WORDS_FROM = 3
"""Shorter words tell nothing of a label."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="rows with text and label, gzip or plain")
    parser.add_argument("--clusters", type=int, default=150)
    parser.add_argument("--leave-out", default="oos", help="rows of this label are left out")
    given = parser.parse_args()
    rows = [row for row in labelled_rows(given.file) if row["label"] != given.leave_out]
    with tempfile.TemporaryDirectory(prefix="lmsys-quality-") as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with running(Path(folder) / "home") as server:
            figures = measure(server, file, given.clusters)
    print(json.dumps(figures, indent=2))  # noqa: T201


def measure(server: Server, file: Path, clusters: int) -> dict[str, Any]:
    load(server, file)
    _, run_id = cluster(server, clusters)
    answer = server.client.post("/api/summaries", json={"run_id": run_id}).raise_for_status()
    summary = answer.json()["data"]["summary_run_id"]
    status = f"/api/summaries/{summary}"
    wait_until(lambda: server.client.get(status).json()["status"] == "completed", 600)
    export = server.client.get("/api/export", params={"run_id": run_id, "format": "jsonl"}).raise_for_status()
    lines = server.client.get(export.json()["download_url"]).raise_for_status().text.splitlines()
    members = [json.loads(line) for line in lines]
    ours = _nmi(members, [one["cluster_id"] for one in members])
    plain = _nmi(members, _plain(members, clusters))
    return {
        "rows": len(members),
        "clusters": clusters,
        "nmi": ours,
        "nmi_plain_scikit_learn": plain,
        "difference": round(ours - plain, 4),
        "titles_with_a_word_of_their_label": _telling(members),
    }


def labelled_rows(file: Path) -> list[dict[str, Any]]:
    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


def _nmi(members: list[dict[str, Any]], clusters: list[int]) -> float:
    from sklearn.metrics import normalized_mutual_info_score

    return round(float(normalized_mutual_info_score([one["label"] for one in members], clusters)), 4)


def _plain(members: list[dict[str, Any]], clusters: int) -> list[int]:
    """scikit-learn's KMeans on the same vectors: the mean figure would need several seeds; this is one."""
    from sklearn.cluster import KMeans

    embedder = make_embedder("wordllama", "l2_supercat_256")
    vectors = np.asarray(embedder.embed([one["query_text"] for one in members]))
    labels: list[int] = KMeans(clusters, n_init=1, random_state=0).fit_predict(vectors).tolist()
    return labels


def _telling(members: list[dict[str, Any]]) -> float:
    """Share of clusters whose title has one of the ten most telling words of their majority label."""
    terms: dict[str, Counter[str]] = {}
    everywhere: Counter[str] = Counter()
    for one in members:
        words = {word for word in one["query_text"].lower().split() if len(word) > STOP_WORDS_FROM}
        terms.setdefault(one["label"], Counter()).update(words)
        everywhere.update(words)
    top = {
        label: {
            word for word, _ in sorted(counts.items(), key=lambda w: -(w[1] ** 2) / everywhere[w[0]])[:10]
        }
        for label, counts in terms.items()
    }
    by_cluster: dict[int, list[dict[str, Any]]] = {}
    for one in members:
        by_cluster.setdefault(one["cluster_id"], []).append(one)
    hits = 0
    for found in by_cluster.values():
        label = Counter(one["label"] for one in found).most_common(1)[0][0]
        title = set((found[0]["cluster_title"] or "").lower().split())
        hits += bool(title & top[label])
    return round(hits / len(by_cluster), 3)


if __name__ == "__main__":
    main()
