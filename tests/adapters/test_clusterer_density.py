"""HDBSCAN and DBSCAN, which leave noise, and agglomerative clustering, which is capped like them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from domain.errors import Invalid
from domain.values import NOISE, Vectors
from tests.adapters.clusterer_points import blobs, cluster, nmi


def scattered(rows: Vectors, count: int = 40) -> Vectors:
    """The rows and some points that belong nowhere."""
    draw = np.random.default_rng(1).standard_normal((count, rows.shape[1]))
    return np.concatenate([rows, draw / np.linalg.norm(draw, axis=1, keepdims=True)]).astype(np.float32)


@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan"])
def test_what_belongs_nowhere_is_noise(algorithm: str) -> None:
    rows, truth = blobs([120, 90, 60])
    found = cluster(scattered(rows), algorithm)
    assert (found.labels[-40:] == NOISE).mean() > 0.6
    assert normalized_mutual_info_score(truth, found.labels[:270]) > 0.9
    noise = int((found.labels == NOISE).sum())
    assert found.metrics["noise"] == {"count": noise, "share": noise / 310}


@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan", "agglomerative"])
def test_above_the_cap_a_sample_is_fitted_and_no_point_is_lost(algorithm: str) -> None:
    rows, truth = blobs([400, 300, 200])
    extra = {"n_clusters": 3} if algorithm == "agglomerative" else {}
    found = cluster(rows, algorithm, max_points=300, **extra)
    assert len(found.labels) == 900
    assert nmi(truth, found) > 0.9
    assert found.parameters["reduction"] == {"fitted_sample": {"points": 300, "of": 900}}


def test_many_dimensions_are_reduced_and_that_is_told() -> None:
    rows, truth = blobs([120, 90, 60], dimension=80, spread=0.03)
    found = cluster(rows, "hdbscan", pca_dimensions=10)
    assert nmi(truth, found) > 0.95
    reduction = found.parameters["reduction"]["dimensions"]
    assert (reduction["method"], reduction["dimensions"]) == ("pca", 10)
    assert 0.5 < reduction["explained_variance"] <= 1
    assert found.centroids.shape == (3, 80)
    assert cluster(rows, "hdbscan", pca_dimensions=0).parameters["reduction"] is None


def test_cosine_is_euclidean_on_unit_vectors() -> None:
    rows, _ = blobs([120, 90, 60])
    lengths = np.random.default_rng(2).uniform(0.5, 3, (270, 1)).astype(np.float32)
    cosine = cluster(rows * lengths, "hdbscan", metric="cosine")
    assert "unit vectors" in cosine.parameters["metric_note"]
    assert normalized_mutual_info_score(cluster(rows, "hdbscan").labels, cosine.labels) > 0.99


def test_a_larger_least_size_gives_fewer_clusters() -> None:
    rows, _ = blobs([60, 60, 12, 12])
    assert cluster(rows, "hdbscan", min_cluster_size=10).metrics["clusters"] == 4
    assert cluster(rows, "hdbscan", min_cluster_size=30).metrics["clusters"] == 2


@pytest.mark.parametrize(
    ("algorithm", "field"),
    [("hdbscan", "min_cluster_size"), ("hdbscan", "min_samples"), ("dbscan", "min_samples")],
)
def test_a_least_size_above_the_number_of_points_is_invalid(algorithm: str, field: str) -> None:
    given = {"min_cluster_size": 2, field: 21} if algorithm == "hdbscan" else {field: 21}
    with pytest.raises(Invalid, match=f"{field} is 21, but there are only 20 vectors"):
        cluster(blobs([20])[0], algorithm, **given)


@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan"])
def test_points_that_are_all_the_same_are_no_trouble(algorithm: str) -> None:
    rows = np.repeat(np.eye(2, 60, dtype=np.float32), 30, axis=0)
    found = cluster(rows, algorithm)
    assert found.metrics["clusters"] == 2
    assert len(set(found.labels[:30].tolist())) == len(set(found.labels[30:].tolist())) == 1
    same = cluster(rows[:30], algorithm)
    assert len(set(same.labels.tolist())) == 1


def test_eps_is_a_cosine_distance() -> None:
    angles = np.array([0, 0.1, 0.2, 0.3, 1.2, 1.3, 1.4, 1.5])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    apart = 1 - np.cos(0.1)
    assert cluster(rows, "dbscan", eps=apart * 1.05, min_samples=2).labels.tolist() == [0] * 4 + [1] * 4
    assert cluster(rows, "dbscan", eps=apart * 0.95, min_samples=2).labels.tolist() == [NOISE] * 8
    assert cluster(rows, "dbscan", eps=1 - np.cos(0.95), min_samples=2).labels.tolist() == [0] * 8


def test_an_eps_that_is_not_given_is_estimated_and_told() -> None:
    found = cluster(blobs([120, 90, 60])[0], "dbscan")
    estimate = found.parameters["eps_estimate"]
    assert estimate["method"] == "k-distance"
    assert 0 < found.parameters["eps"] < 0.5
    assert cluster(blobs([120, 90, 60])[0], "dbscan", eps=0.2).parameters["eps_estimate"] is None


def test_dbscan_is_sure_of_core_points_and_less_of_the_edge() -> None:
    angles = np.array([*np.linspace(0, 0.1, 10), 0.28])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = cluster(rows, "dbscan", eps=1 - np.cos(0.2), min_samples=5)
    assert found.labels.tolist() == [0] * 11
    np.testing.assert_allclose(found.confidence[:10], 1, atol=1e-4)
    assert found.confidence[10] == pytest.approx(1 - (1 - np.cos(0.18)) / (1 - np.cos(0.2)), abs=1e-3)


# --- agglomerative -------------------------------------------------------------------------------


@pytest.mark.parametrize("linkage", ["ward", "average", "complete", "single"])
def test_all_linkages_find_blobs(linkage: str) -> None:
    rows, truth = blobs([60, 50, 40])
    found = cluster(rows, "agglomerative", n_clusters=3, linkage=linkage)
    assert nmi(truth, found) > 0.97
    assert found.parameters["metric"] == ("euclidean" if linkage == "ward" else "cosine")


def test_a_threshold_decides_how_many_there_are() -> None:
    rows, _ = blobs([60, 50, 40])
    counts = [
        cluster(rows, "agglomerative", distance_threshold=at, linkage="average").metrics["clusters"]
        for at in (0.001, 0.5, 3.0)
    ]
    assert counts[0] > counts[1] == 3 > counts[2] == 1


def test_more_groups_than_points_are_invalid() -> None:
    with pytest.raises(Invalid, match="n_clusters is 21, but there are only 20 vectors"):
        cluster(blobs([20])[0], "agglomerative", n_clusters=21)


def test_a_single_point_is_a_cluster() -> None:
    found = cluster(blobs([1])[0], "agglomerative", n_clusters=1)
    assert found.labels.tolist() == [0]
