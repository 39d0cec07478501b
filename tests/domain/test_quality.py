"""Which clusters are called bad, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import quality
from domain.quality import HEURISTICS, Bad, Facts, Heuristic, Thresholds, bad_clusters, unmeasured
from domain.values import NOISE


def turned(degrees: float) -> Any:  # noqa: ANN401
    angle = np.deg2rad(degrees)
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def fine(count: int = 10) -> list[Facts]:
    """Clusters that nothing speaks against, 35 degrees from one another."""
    return [
        Facts(
            n,
            size=50 + n,
            cohesion=0.7 + 0.01 * (n % 3),
            confidence=0.4 + 0.01 * (n % 3),
            centroid=turned(35 * n),
        )
        for n in range(count)
    ]


def looked_at(
    clusters: Sequence[Facts],
    *heuristics: Heuristic,
    queries: int | None = None,
    **limits: Any,  # noqa: ANN401
) -> list[Bad]:
    total = sum(one.size for one in clusters) if queries is None else queries
    return bad_clusters(clusters, total, heuristics or HEURISTICS, Thresholds(**limits))


def with_one(**fields: Any) -> list[Facts]:  # noqa: ANN401
    first, *others = fine()
    return [replace(first, **fields), *others]


def test_nothing_speaks_against_clusters_that_are_much_the_same() -> None:
    assert looked_at(fine()) == []


@pytest.mark.parametrize(
    ("fields", "heuristic", "value", "threshold"),
    [
        ({"cohesion": 0.5}, "low_cohesion", 0.5, 0.69),
        ({"confidence": 0.1}, "low_confidence", 0.1, 0.39),
        ({"size": 4}, "too_small", 4, 5),
        ({"size": 0, "cohesion": None, "centroid": None}, "too_small", 0, 5),
        ({"size": 1_000}, "too_large", 0.6689, 0.3),
        ({"incoherent": "cards and bread"}, "incoherent", "incoherent", "coherent"),
        ({"flags": ("odd", "mixed")}, "flagged", 2, 1),
        ({"quality": "low"}, "low_quality", "low", "low"),
        ({"coherence_score": 2}, "low_quality", 2, 2),
    ],
)
def test_one_that_is_not(fields: dict[str, Any], heuristic: str, value: object, threshold: object) -> None:
    (bad,) = looked_at(with_one(**fields))
    (reason,) = bad.reasons
    assert (bad.facts.cluster_id, reason.heuristic) == (0, heuristic)
    assert (reason.value, reason.threshold) == (value, threshold)
    assert 1 <= reason.weight <= 2
    assert looked_at(with_one(**fields), *(one for one in HEURISTICS if one != heuristic)) == []


def test_neighbours_that_overlap_name_each_other() -> None:
    clusters = with_one(centroid=turned(2 * 35 + 2))
    found = {bad.facts.cluster_id: bad.reasons for bad in looked_at(clusters)}
    assert {one: [r.neighbour_cluster_id for r in reasons] for one, reasons in found.items()} == {
        0: [2],
        2: [0],
    }
    assert found[0][0].value == pytest.approx(np.cos(np.deg2rad(2)), abs=1e-3)
    assert "cosine of 0.999 to that of cluster 2" in found[0][0].detail
    assert looked_at(clusters, max_similarity=0.9999) == []


def test_of_several_neighbours_the_nearest_is_named_and_the_others_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quality, "ROWS_AT_ONCE", 2)
    clusters = [Facts(n, 50, 0.7, 0.4, turned(10 * n)) for n in range(3)]
    found = {bad.facts.cluster_id: bad.reasons[0] for bad in looked_at(clusters, "overlap")}
    assert {one: reason.neighbour_cluster_id for one, reason in found.items()} == {0: 1, 1: 0, 2: 1}
    assert [found[0].detail.endswith(", and 1 more")] == [True]


def test_more_clusters_than_can_be_compared_are_not_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MOST_COMPARED", 9)
    clusters = with_one(centroid=turned(71))
    assert looked_at(clusters, "overlap") == []
    assert list(unmeasured(clusters, HEURISTICS)) == ["overlap"]


def test_absolute_thresholds_stand_instead_of_the_relative_ones() -> None:
    found = looked_at(fine(), min_cohesion=0.715, min_confidence=0.3)
    assert {reason.heuristic for bad in found for reason in bad.reasons} == {"low_cohesion"}
    assert {bad.facts.cluster_id for bad in found} == {n for n in range(10) if n % 3 < 2}
    assert looked_at(with_one(cohesion=0.5), mads=30) == []


@pytest.mark.parametrize("count", [2, 4])
def test_few_clusters_are_not_compared_with_their_median(count: int) -> None:
    clusters = [replace(fine(count)[0], cohesion=0.1), *fine(count)[1:]]
    assert looked_at(clusters, "low_cohesion", "too_large") == []


def test_clusters_that_are_all_the_same_have_no_outlier() -> None:
    clusters = [replace(one, cohesion=0.7) for one in fine()]
    assert looked_at([replace(clusters[0], cohesion=0.699), *clusters[1:]], "low_cohesion") == []


def test_the_noise_is_never_bad_but_for_a_flag() -> None:
    noise = Facts(NOISE, 9_000, 0.1, 0.0, turned(0), coherence_score=1, quality="low")
    assert looked_at([noise, *fine()], queries=20_000) == []
    (bad,) = looked_at([replace(noise, flags=("look",)), *fine()], queries=20_000)
    assert [reason.heuristic for reason in bad.reasons] == ["flagged"]


def test_the_noise_does_not_move_the_median() -> None:
    noise = [Facts(NOISE, 10, 0.001, 0.0)]
    first = with_one(cohesion=0.5)
    assert [bad.reasons for bad in looked_at(noise + first)] == [bad.reasons for bad in looked_at(first)]


def test_the_worst_come_first() -> None:
    clusters = fine()
    clusters[3] = replace(clusters[3], size=3)
    clusters[5] = replace(clusters[5], size=3, flags=("odd",))
    clusters[7] = replace(clusters[7], size=1)
    assert [bad.facts.cluster_id for bad in looked_at(clusters)] == [5, 7, 3]


def test_what_is_not_measured_yet_is_said_and_the_rest_still_works() -> None:
    clusters = [replace(one, cohesion=None, centroid=None) for one in with_one(size=2)]
    assert [bad.facts.cluster_id for bad in looked_at(clusters)] == [0]
    why = "10 of 10 clusters are not measured yet; ask again in a while"
    assert unmeasured(clusters, HEURISTICS) == {"low_cohesion": why, "overlap": why}
    assert unmeasured(clusters, {"too_small"}) == {}
    assert unmeasured(with_one(size=0, cohesion=None), HEURISTICS) == {}


anything = st.builds(
    Facts,
    cluster_id=st.integers(-1, 1_000),
    size=st.integers(0, 1_000),
    cohesion=st.none() | st.floats(0, 1),
    confidence=st.none() | st.floats(0, 1),
    centroid=st.none() | st.floats(0, 360).map(turned),
    coherence_score=st.none() | st.integers(1, 5),
    quality=st.sampled_from([None, "high", "medium", "low"]),
    flags=st.lists(st.sampled_from(["odd", "mixed"]), unique=True),
)


@given(st.lists(anything, max_size=12, unique_by=lambda one: one.cluster_id), st.sampled_from([0, 1, 10_000]))
def test_every_reason_has_a_weight_from_one_to_two(clusters: list[Facts], queries: int) -> None:
    found = looked_at(clusters, queries=max(queries, sum(one.size for one in clusters)))
    assert all(1 <= reason.weight <= 2 + 1e-6 for bad in found for reason in bad.reasons)
    scores = [bad.score for bad in found]
    assert scores == sorted(scores, reverse=True)
    assert len({bad.facts.cluster_id for bad in found}) == len(found)
