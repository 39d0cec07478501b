"""k-means, by either engine."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from adapters.clusterer import LocalClusterer
from domain.errors import Invalid
from domain.values import QueryIds, Vectors
from tests.adapters.clusterer_points import Rows, blobs, cluster, nmi

ENGINES = pytest.mark.parametrize("engine", ["faiss", "sklearn"])


@ENGINES
def test_every_point_is_with_its_nearest_centroid(engine: str) -> None:
    rows, _ = blobs([100] * 8, spread=0.3)
    found = cluster(rows, "kmeans", n_clusters=12, engine=engine)
    similarity = rows.astype(np.float64) @ found.centroids.T.astype(np.float64)
    own = similarity[np.arange(len(rows)), found.labels]
    assert (own >= similarity.max(axis=1) - 1e-6).all()


@ENGINES
def test_it_is_no_worse_than_plain_k_means(engine: str) -> None:
    rows, truth = blobs([40, 50, 60, 70, 80] * 6, dimension=64, spread=0.115, seed=8)
    plain = [KMeans(30, n_init=1, random_state=seed).fit(rows).labels_ for seed in range(3)]
    reference = np.mean([normalized_mutual_info_score(truth, labels) for labels in plain])
    ours = [nmi(truth, cluster(rows, "kmeans", n_clusters=30, engine=engine, seed=s)) for s in range(3)]
    assert 0.5 < reference < 0.999
    assert np.mean(ours) >= reference - 0.01


@ENGINES
def test_a_sample_trains_and_all_are_assigned(engine: str) -> None:
    rows, truth = blobs([900, 600, 300])
    found = cluster(rows, "kmeans", n_clusters=3, engine=engine, points_per_centroid=40)
    assert nmi(truth, found) > 0.97
    assert found.parameters["reduction"] == {"training_sample": {"points": 120, "of": 1800}}


def test_never_more_than_the_sample_and_a_block_are_held() -> None:
    class Endless(Rows):
        """Makes its chunks as they are asked for."""

        def __init__(self) -> None:
            super().__init__(np.zeros((1, 256), np.float32), announced=60_000)

        def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
            for start in range(0, self.count, 2_000):
                part = np.random.default_rng(start).standard_normal((2_000, 256), dtype=np.float32)
                yield np.arange(start, start + 2_000, dtype=np.int64), part

    given = {"n_clusters": 10, "points_per_centroid": 100, "chunk_size": 2_000}
    LocalClusterer(1).cluster(
        "kmeans", given, Rows(blobs([50])[0]), lambda done, total: None
    ) if False else None
    tracemalloc.start()
    LocalClusterer(1).cluster("kmeans", given, Endless(), lambda done, total: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60_000 * 256 * 4 / 2


@ENGINES
def test_fewer_different_points_than_clusters_give_fewer_clusters(engine: str) -> None:
    rows = np.repeat(np.eye(3, 8, dtype=np.float32), 20, axis=0)
    found = cluster(rows, "kmeans", n_clusters=5, engine=engine)
    assert found.metrics["clusters"] == 3
    assert found.metrics["requested_clusters"] == 5
    assert found.metrics["inertia"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("given", [{"n_clusters": 11}, {"n_clusters": 11, "points_per_centroid": 1}])
def test_more_clusters_than_points_are_invalid(given: dict[str, int]) -> None:
    rows, _ = blobs([12])
    rows[:2] = 0
    with pytest.raises(Invalid, match="n_clusters is 11, but there are only 10 vectors") as refused:
        cluster(rows, "kmeans", **given)
    assert refused.value.details[0]["field"] == "n_clusters"


def test_as_many_clusters_as_points_are_one_point_each() -> None:
    rows, _ = blobs([12])
    assert cluster(rows, "kmeans", n_clusters=12).metrics["sizes"]["list"] == [1] * 12


def test_confidence_is_high_at_a_centroid_and_low_between_two() -> None:
    angles = np.array([0.0] * 20 + [np.pi / 2] * 20 + [np.pi / 4])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    confidence = cluster(rows, "kmeans", n_clusters=2).confidence
    assert confidence[:40].min() > 0.98
    assert confidence[40] < 0.15


def test_one_cluster_is_certain() -> None:
    rows, _ = blobs([30])
    found = cluster(rows, "kmeans", n_clusters=1)
    assert (found.confidence == 1).all()
    assert found.metrics["silhouette"] is None
    assert found.metrics["gini"] == 0
