"""The algorithms on points whose clusters are known, and on points that are awkward."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score, silhouette_score
from threadpoolctl import threadpool_info

from adapters.clusterer import ALGORITHMS, LocalClusterer
from adapters.threads import single_thread
from domain.errors import Conflict, Invalid
from domain.values import NOISE
from tests.adapters.clusterer_points import Rows, blobs, cluster, nmi

HOW: dict[str, dict[str, Any]] = {
    "faiss": {"algorithm": "kmeans", "n_clusters": 6},
    "sklearn": {"algorithm": "kmeans", "engine": "sklearn", "n_clusters": 6},
    "hdbscan": {"algorithm": "hdbscan"},
    "dbscan": {"algorithm": "dbscan"},
    "ward": {"algorithm": "agglomerative", "n_clusters": 6},
    "average": {"algorithm": "agglomerative", "distance_threshold": 0.5, "linkage": "average"},
}
every = pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())


@every
def test_separate_blobs_are_found(how: dict[str, Any]) -> None:
    rows, truth = blobs([80, 70, 60, 50, 40, 30])
    found = cluster(rows, **how)
    assert nmi(truth, found) > 0.97
    assert found.metrics["clusters"] == 6


@every
def test_the_answer_has_the_shape_that_the_port_promises(how: dict[str, Any]) -> None:
    rows, _ = blobs([80, 70, 60, 50, 40, 30])
    rows[5] = 0
    found = cluster(rows, **how)
    assert found.labels.dtype == np.int32
    assert found.labels.shape == found.confidence.shape == (len(rows),)
    assert found.confidence.min() >= 0
    assert found.confidence.max() <= 1
    assert found.centroids.dtype == np.float32
    assert set(found.labels.tolist()) - {NOISE} == set(range(len(found.centroids)))
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, atol=1e-5)
    assert (found.confidence[found.labels == NOISE] == 0).all()
    assert json.loads(json.dumps(found.metrics)) == found.metrics
    assert json.loads(json.dumps(found.parameters)) == found.parameters


@every
def test_zero_vectors_are_noise_and_disturb_nothing(how: dict[str, Any]) -> None:
    rows, truth = blobs([80, 70, 60, 50, 40, 30])
    rows[::40] = 0
    found = cluster(rows, **how)
    assert (found.labels[::40] == NOISE).all()
    others = np.flatnonzero(np.arange(len(rows)) % 40)
    assert normalized_mutual_info_score(truth[others], found.labels[others]) > 0.97


@every
def test_the_same_request_gives_the_same_bits(how: dict[str, Any]) -> None:
    rows, _ = blobs([150, 150, 150, 150, 150, 150], dimension=70, spread=0.2)
    first = cluster(rows, chunk=1_000, **how)
    for again in (cluster(rows, chunk=77, **how), cluster(rows, threads=2, **how)):
        assert again.labels.tobytes() == first.labels.tobytes()
        assert again.confidence.tobytes() == first.confidence.tobytes()
        assert again.centroids.tobytes() == first.centroids.tobytes()
        assert again.metrics == first.metrics
        assert again.parameters == first.parameters


def test_another_seed_may_give_another_answer() -> None:
    rows, _ = blobs([200] * 5, spread=0.5)
    one, other = (cluster(rows, "kmeans", n_clusters=20, seed=seed) for seed in (1, 2))
    assert one.labels.tobytes() != other.labels.tobytes()


@every
def test_progress_goes_up_to_all_points(how: dict[str, Any]) -> None:
    rows, _ = blobs([80, 70, 60, 50, 40, 30])
    told: list[tuple[int, int | None]] = []
    given = {name: value for name, value in how.items() if name != "algorithm"} | {"chunk_size": 100}
    LocalClusterer(1).cluster(how["algorithm"], given, Rows(rows), lambda *done: told.append(done))
    assert told == [(100, 330), (200, 330), (300, 330), (330, 330)]


@every
def test_what_was_used_is_told(how: dict[str, Any]) -> None:
    rows, _ = blobs([80, 70, 60, 50, 40, 30])
    parameters = cluster(rows, seed=9, **how).parameters
    assert parameters["algorithm"] == how["algorithm"]
    assert parameters["seed"] == 9
    assert {"numpy"} < set(parameters["versions"])
    assert parameters["reduction"] is None
    given = {name: value for name, value in how.items() if name in ALGORITHMS[how["algorithm"]].model_fields}
    assert parameters.items() >= given.items()


# --- metrics -------------------------------------------------------------------------------------


def test_metrics_are_what_they_say() -> None:
    rows, _ = blobs([90, 60, 30], spread=0.2)
    found = cluster(rows, "kmeans", n_clusters=3)
    sizes = np.bincount(found.labels)
    assert found.metrics["sizes"] == {
        "min": sizes.min(),
        "median": np.median(sizes),
        "max": sizes.max(),
        "list": sizes.tolist(),
    }
    distances = np.linalg.norm(rows - found.centroids[found.labels], axis=1)
    assert found.metrics["inertia"] == pytest.approx((distances.astype(np.float64) ** 2).sum(), rel=1e-4)
    expected = silhouette_score(rows, found.labels, metric="cosine")
    assert found.metrics["silhouette"] == pytest.approx(expected, abs=1e-4)
    pairs = np.abs(sizes[:, None] - sizes[None, :]).sum()
    assert found.metrics["gini"] == pytest.approx(pairs / (2 * 3 * sizes.sum()))


def test_more_than_a_thousand_sizes_are_not_listed() -> None:
    rows = np.random.default_rng(0).standard_normal((1_100, 16)).astype(np.float32)
    assert "list" not in cluster(rows, "kmeans", n_clusters=1_001, niter=1).metrics["sizes"]


def test_nothing_but_noise_is_measured_all_the_same() -> None:
    rows = np.eye(20, dtype=np.float32)
    metrics = cluster(rows, "dbscan", eps=0.1).metrics
    assert metrics["clusters"] == 0
    assert metrics["noise"] == {"count": 20, "share": 1.0}
    assert metrics["sizes"]["max"] is metrics["silhouette"] is metrics["gini"] is None


# --- sources -------------------------------------------------------------------------------------


def test_no_vectors_at_all_are_invalid() -> None:
    with pytest.raises(Invalid, match="no vectors to cluster"):
        cluster(np.zeros((0, 4), np.float32), "kmeans", n_clusters=1)


@pytest.mark.parametrize("algorithm", ["kmeans", "hdbscan", "dbscan", "agglomerative"])
def test_nothing_but_zero_vectors_is_invalid(algorithm: str) -> None:
    given = {"n_clusters": 2} if algorithm in ("kmeans", "agglomerative") else {}
    with pytest.raises(Invalid, match="there are only 0 vectors"):
        cluster(np.zeros((9, 4), np.float32), algorithm, **given)


@pytest.mark.parametrize(("announced", "read"), [(19, "more"), (21, "only 20")])
def test_a_source_that_changes_meanwhile_is_a_conflict(announced: int, read: str) -> None:
    source = Rows(blobs([20])[0], announced=announced)
    with pytest.raises(Conflict, match=f"{announced} were announced, {read} were read"):
        LocalClusterer(1).cluster("kmeans", {"n_clusters": 2}, source, lambda done, total: None)


def test_a_vector_that_is_no_number_is_invalid_and_named() -> None:
    rows, _ = blobs([20])
    rows[13, 2] = np.nan
    with pytest.raises(Invalid, match="vector of query 20"):
        cluster(rows, "kmeans", n_clusters=2)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(2, 5),
    st.integers(0, 10_000),
    st.sampled_from(list(HOW.values())),
    st.integers(1, 9),
)
def test_no_point_is_ever_lost(
    count: int, dimension: int, seed: int, how: dict[str, Any], chunk: int
) -> None:
    """Few values make duplicates, opposites and zero vectors."""
    draw = np.random.default_rng(seed)
    rows = draw.integers(-1, 2, (count, dimension)).astype(np.float32)
    usable = int(rows.any(axis=1).sum())
    small = {"min_cluster_size": 2, "min_samples": 1} if how["algorithm"] == "hdbscan" else {}
    small |= {"n_clusters": 1 + seed % usable} if "n_clusters" in how and usable else {}
    small |= {"min_samples": 1} if how["algorithm"] == "dbscan" else {}
    given = (
        {name: value for name, value in how.items() if name != "algorithm"} | small | {"chunk_size": chunk}
    )
    try:
        found = LocalClusterer(1).cluster(how["algorithm"], given, Rows(rows, 4), lambda done, total: None)
    except Invalid:
        assert usable < 2
        return
    assert (found.labels[~rows.any(axis=1)] == NOISE).all()
    assert set(found.labels.tolist()) - {NOISE} == set(range(len(found.centroids)))
    assert found.metrics["noise"]["count"] + sum(found.metrics["sizes"]["list"]) == count
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert np.isfinite(found.centroids).all()
    for one, other in pairwise(sorted(range(count), key=lambda at: rows[at].tobytes())):
        if rows[one].tobytes() == rows[other].tobytes() and how["algorithm"] == "kmeans":
            assert found.labels[one] == found.labels[other]


def test_runs_beside_each_other_do_not_change_each_others_bits() -> None:
    """The limit on BLAS is one for the process: the first to end must not lift it for the others."""
    rows, _ = blobs([400] * 5, dimension=96, spread=0.3)
    alone = cluster(rows, "kmeans", n_clusters=40)
    with ThreadPoolExecutor(3) as pool:
        short = [pool.submit(cluster, rows[:50], "kmeans", n_clusters=2) for _ in range(20)]
        beside = [pool.submit(cluster, rows, "kmeans", n_clusters=40) for _ in range(4)]
        assert all(one.result().metrics["clusters"] == 2 for one in short)
        assert {one.result().confidence.tobytes() for one in beside} == {alone.confidence.tobytes()}


def test_the_limit_on_blas_holds_until_the_last_has_left() -> None:
    def blas() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    before = blas()
    first, second = single_thread(), single_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas() == {1}
    second.__exit__(None, None, None)
    assert blas() == before
