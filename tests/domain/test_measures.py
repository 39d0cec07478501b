"""How alike the members of a cluster are, and what is recorded of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as whenever
from hypothesis import strategies as st

from domain.measures import Measures, Tally
from domain.values import NOISE, ORPHAN
from tests.given import given
from tests.runs import replayed, stored

ADDRESS, OTHER = "c0" * 32, "c1" * 32


def row(cluster_id: int, size: int = 2, cohesion: float | None = 0.5) -> dict[str, object]:
    return {"cluster_id": cluster_id, "size": size, "cohesion": cohesion}


def measured() -> Measures:
    made = Measures("r")
    made.record(5, [(ADDRESS, [row(0), row(1)])])
    return made


# --- what is recorded


def test_what_was_measured_is_recorded_with_the_version_that_was_looked_at() -> None:
    event = given(measured()).when(lambda one: one.record(7, [(OTHER, [row(1, 3)])], gone=[0]))
    event.then(Measures.ClustersMeasured, run_version=7, centroids=OTHER, clusters=[row(1, 3)], gone=[0])


@pytest.mark.parametrize("version", [4, 5])
def test_a_job_that_is_repeated_records_nothing(version: int) -> None:
    given(measured()).when(lambda one: one.record(version, [(OTHER, [row(0, 9)])])).then_nothing()


def test_a_cluster_that_nobody_had_measured_is_not_gone() -> None:
    given(measured()).when(lambda one: one.record(7, [(OTHER, [])], gone=[8, ORPHAN])).then_nothing()
    given(measured()).when(lambda one: one.record(7, [(OTHER, [])], gone=[0, 8])).then(
        Measures.ClustersMeasured, clusters=[], gone=[0]
    )


def test_many_clusters_are_recorded_in_parts_all_of_them() -> None:
    made = measured()
    made.collect_events()
    made.record(6, [(ADDRESS, [row(2)]), (OTHER, [row(3)])], gone=[0])
    events = made.collect_events()
    assert [(one.centroids, one.gone) for one in events] == [(ADDRESS, [0]), (OTHER, [])]
    assert (made.run_version, made.cluster_ids) == (6, {1, 2, 3})


def test_it_is_the_same_after_a_replay() -> None:
    made = measured()
    made.record(7, [(OTHER, [row(4)])], gone=[1])
    again = replayed(stored(one) for one in made.collect_events())
    assert (again.run_version, again.cluster_ids) == (made.run_version, made.cluster_ids) == (7, {0, 4})


# --- what is measured


def tallied(labels: list[int], vectors: object, *cluster_ids: int, chunk: int = 100) -> Tally:
    rows = np.array(vectors, np.float32).reshape(len(labels), -1)
    tally = Tally(cluster_ids, rows.shape[1])
    for at in range(0, len(labels), chunk):
        tally.add(np.array(labels[at : at + chunk], np.int32), rows[at : at + chunk])
    return tally


def test_cohesion_is_the_mean_cosine_to_the_centroid() -> None:
    half = 0.5**0.5
    tally = tallied([0, 0, 1, NOISE, 7], [[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]], NOISE, 0, 1)
    assert tally.cluster_ids.tolist() == [NOISE, 0, 1]
    assert tally.cohesion() == pytest.approx([1.0, half, 1.0], abs=1e-6)
    np.testing.assert_allclose(tally.centroids(), [[0, 1], [half, half], [1, 0]], atol=1e-6)


def test_an_empty_cluster_has_no_cohesion_and_one_of_opposites_has_none_at_all() -> None:
    tally = tallied([1, 1], [[1, 0], [-1, 0]], 0, 1)
    assert tally.cohesion() == [None, 0.0]
    assert tally.centroids().tolist() == [[0, 0], [0, 0]]


@whenever(st.lists(st.integers(-2, 4), min_size=1, max_size=40), st.integers(1, 7), st.integers(0, 9))
def test_chunks_make_no_difference_and_cosines_agree(labels: list[int], chunk: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(labels), 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tally = tallied(labels, vectors, *range(-1, 5), chunk=chunk)
    centroids = tally.centroids()
    for at, cluster_id in enumerate(tally.cluster_ids.tolist()):
        members = vectors[np.array(labels) == cluster_id]
        expected = (members @ centroids[at]).mean() if len(members) else None
        assert tally.cohesion()[at] == (None if expected is None else pytest.approx(expected, abs=1e-5))
