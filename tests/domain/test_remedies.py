"""Of clusters that somebody should look at, edits to propose: each can be accepted without the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.clustering.script import apply_edit
from domain.quality import HEURISTICS, Bad, Facts, Thresholds, bad_clusters
from domain.remedies import remedies
from domain.values import NOISE
from tests.runs import completed_run


def facts(cluster_id: int, size: int, angle: float | None = None, **more: Any) -> Facts:  # noqa: ANN401
    """With a centroid on the unit circle."""
    if angle is None:
        return Facts(cluster_id, size, **more)
    centroid = np.array([np.cos(angle), np.sin(angle)], np.float32)
    return Facts(cluster_id, size, **{"cohesion": 0.5, "centroid": centroid, **more})


def found(*clusters: Facts, **limits: Any) -> list[Bad]:  # noqa: ANN401
    thresholds = Thresholds(**{"max_share": 0.99, **limits})
    return bad_clusters(clusters, sum(one.size for one in clusters), HEURISTICS, thresholds)


def proposed(*clusters: Facts, **limits: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return remedies(found(*clusters, **limits), clusters, titled)


def titled(cluster_ids: Sequence[int]) -> str | None:
    return " / ".join(map(str, cluster_ids))


def test_of_two_that_overlap_the_smaller_goes_into_the_larger_under_a_common_title() -> None:
    (merge,) = proposed(facts(1, 50, 0.0), facts(2, 9, 0.1), facts(3, 40, 2.0))
    assert merge.pop("reason").startswith("cluster 1: its centroid has a cosine of 0.995 to")
    assert merge == {
        "type": "merge",
        "source_cluster_ids": [2],
        "target_cluster_id": 1,
        "new_title": "1 / 2",
    }


def test_of_two_of_one_size_the_older_stays() -> None:
    (merge,) = proposed(facts(1, 9, 0.0), facts(2, 9, 0.1))
    assert (merge["source_cluster_ids"], merge["target_cluster_id"]) == ([2], 1)


def test_one_that_is_too_small_goes_into_the_nearest_which_keeps_its_name() -> None:
    (merge,) = proposed(facts(1, 50, 0.0), facts(2, 2, 1.0), facts(3, 40, 2.5))
    assert merge == {
        "type": "merge",
        "source_cluster_ids": [2],
        "target_cluster_id": 1,
        "reason": "cluster 2: 2 queries are fewer than 5",
    }


def test_the_noise_takes_nobody_in() -> None:
    (merge,) = proposed(facts(NOISE, 90, 0.1), facts(2, 2, 0.0), facts(3, 40, 2.5))
    assert merge["target_cluster_id"] == 3


def test_one_that_is_empty_is_deleted_and_one_that_nobody_measured_is_flagged() -> None:
    edits = proposed(facts(1, 50, 0.0), facts(2, 0), facts(3, 1))
    assert edits == [
        {"type": "delete", "cluster_id": 2, "orphan": True, "reason": "no query is in it"},
        {"type": "flags", "cluster_id": 3, "flags": ["review"], "reason": "1 queries are fewer than 5"},
    ]


def test_what_needs_a_person_is_flagged_once_with_all_reasons() -> None:
    (flag,) = proposed(facts(1, 90, quality="low", flags=("mixed",)), facts(2, 10), max_share=0.5)
    assert (flag["type"], flag["cluster_id"], flag["flags"]) == ("flags", 1, ["review"])
    assert flag["reason"].split("; ") == [
        "90 queries are 90.0% of the run, more than 50.0%",
        "flagged: mixed",
        "its quality is noted as low",
    ]


def test_what_is_flagged_for_review_already_is_not_flagged_again() -> None:
    assert proposed(facts(1, 90, flags=("review",))) == []


def test_a_chain_of_neighbours_is_merged_in_pairs() -> None:
    edits = proposed(facts(1, 30, 0.0), facts(2, 20, 0.1), facts(3, 10, 0.25))
    assert [(one["source_cluster_ids"], one["target_cluster_id"]) for one in edits] == [([2], 1)]


SIZES = st.lists(st.integers(0, 12), min_size=1, max_size=8)


@given(SIZES, st.data())
def test_any_of_the_edits_can_be_made_without_the_others(sizes: list[int], data: st.DataObject) -> None:
    angles = st.none() | st.floats(0, 3.0)
    flags = st.sampled_from([(), ("odd",), ("review",)])
    clusters = [
        facts(one, size, data.draw(angles) if size else None, flags=data.draw(flags))
        for one, size in enumerate(sizes)
    ]
    edits = remedies(found(*clusters), clusters, titled)
    chosen = data.draw(st.sets(st.sampled_from(range(len(edits))))) if edits else set()
    run = completed_run(np.repeat(np.arange(len(sizes)), sizes).tolist() or [0], len(sizes))
    for index in sorted(chosen):
        before = run.version
        apply_edit(run, edits[index])
        assert run.version == before + 1
