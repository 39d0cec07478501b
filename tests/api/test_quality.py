"""Clusters that somebody should look at, over HTTP, on real measures."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient

from adapters.bootstrap import Container
from commands.bus import bind
from commands.jobs import WORK
from domain.clustering import ClusteringRun
from domain.values import NOISE
from projections.measures import measures_of
from tests.browsing import Installation, cluster, conversation, load, project

PATH = "/api/curation/runs/{}/select-bad-clusters"


@pytest.fixture(scope="module")
def run(made: Installation) -> str:
    """Five clusters of one topic each, the last of only two queries; a sixth that mixes all; some noise."""
    dataset = f"d{uuid4().hex[:12]}"
    ids = load(made, dataset, [conversation(n, (0, 1, 2, -1)[n % 4]) for n in range(200)])
    labels = dict(zip(ids, (n % 4 for n in range(200)), strict=True))
    labels |= dict.fromkeys(ids[:8:4], 4) | dict.fromkeys(ids[8:60], 5) | dict.fromkeys(ids[60:64], NOISE)
    return cluster(made, dataset, labels)


@pytest.fixture(scope="module")
def measured(made: Installation, run: str) -> str:
    """The same, measured."""
    measure(made.container, run)
    project(made.container)
    return run


def measure(container: Container, run_id: str) -> None:
    bind(WORK["measure"].run, {**container.needs, "bus": container.bus})(run_id=run_id)


def bad(api: TestClient, run_id: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = api.get(PATH.format(run_id), params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_before_anything_is_measured_the_others_work_and_it_is_said(
    made: Installation, api: TestClient, run: str
) -> None:
    project(made.container)
    answer = bad(api, run)
    assert [(one["cluster_id"], one["reasons"][0]["heuristic"]) for one in answer["items"]] == [
        (4, "too_small")
    ]
    why = "6 of 6 clusters are not measured yet; ask again in a while"
    assert (answer["measured_version"], answer["unmeasured"]) == (0, {"low_cohesion": why, "overlap": why})
    cluster = api.get(f"/api/clustering/runs/{run}/clusters/0").json()["cluster"]
    assert cluster["cohesion"] is None


def test_measured_ones_name_the_heuristic_the_value_and_the_threshold(
    made: Installation, api: TestClient, measured: str
) -> None:
    answer = bad(api, measured, heuristics=["low_cohesion"])
    (one,) = answer["items"]
    (reason,) = one["reasons"]
    assert (one["cluster_id"], reason["heuristic"]) == (5, "low_cohesion")
    assert reason["value"] == pytest.approx(one["cohesion"], abs=1e-4)
    assert reason["value"] < reason["threshold"]
    assert one["num_queries"] == 52
    version = made.container.store.load(ClusteringRun, measured).version
    assert (answer["measured_version"], answer["unmeasured"]) == (version, {})


def test_the_list_of_clusters_has_their_cohesion(api: TestClient, measured: str) -> None:
    found = api.get(f"/api/clustering/runs/{measured}/clusters", params={"sort": "cluster_id"}).json()
    cohesion = {one["cluster_id"]: one["cohesion"] for one in found["items"]}
    assert cohesion[5] < min(cohesion[one] for one in range(5))
    assert all(0 < one <= 1 for one in cohesion.values())


def test_a_neighbour_is_named(made: Installation, api: TestClient, measured: str) -> None:
    with made.container.database.engine.connect() as connection:
        rows = {one["cluster_id"]: one["centroid"] for one in measures_of(connection, measured)}
    cosine = float(np.dot(*(np.frombuffer(rows[one], "<f4") for one in (0, 4))))
    found = bad(api, measured, heuristics="overlap", max_similarity=0.9)["items"]
    named = {one["cluster_id"]: one["reasons"][0]["neighbour_cluster_id"] for one in found}
    assert named == {0: 4, 4: 0}
    assert [one["reasons"][0]["value"] for one in found] == pytest.approx([cosine] * 2, abs=1e-4)


def test_confidence_is_that_of_queries_that_are_where_the_algorithm_put_them(
    made: Installation, api: TestClient, measured: str
) -> None:
    answer = bad(api, measured, heuristics="low_confidence", min_confidence=0.9)
    assert {one["confidence"] for one in answer["items"]} == {0.875}
    assert {one["cluster_id"] for one in answer["items"]} == set(range(6))
    assert bad(api, measured, heuristics="low_confidence", min_confidence=0.8)["items"] == []


def test_what_people_noted_counts_at_once_and_most(
    made: Installation, api: TestClient, measured: str
) -> None:
    noted = {"flags": ["mixed"]}
    at = {"run_id": measured}
    api.post("/api/curation/clusters/1/flags", params=at, json=noted).raise_for_status()
    api.post("/api/curation/clusters/-1/flags", params=at, json=noted).raise_for_status()
    low = {"quality": "low", "coherence_score": 1}
    api.post("/api/curation/clusters/2/metadata", params=at, json=low).raise_for_status()
    answer = bad(api, measured, heuristics=["flagged", "low_quality", "too_small"])
    assert [one["cluster_id"] for one in answer["items"]] == [2, 1, NOISE, 4]
    assert [one["score"] for one in answer["items"]] == [4, 2, 2, 1.6]
    assert "flagged: mixed" in answer["items"][1]["reasons"][0]["detail"]
    pages = [bad(api, measured, heuristics="flagged", limit=1, page=n) for n in (1, 2, 3)]
    assert [[one["cluster_id"] for one in page["items"]] for page in pages] == [[1], [NOISE], []]
    assert {(page["total"], page["pages"]) for page in pages} == {(2, 2)}


@pytest.mark.parametrize("wrong", [{"heuristics": "ugly"}, {"max_share": 1}, {"mads": -1}, {"min_size": "x"}])
def test_what_cannot_be_is_refused_by_name(api: TestClient, run: str, wrong: dict[str, Any]) -> None:
    answer = api.get(PATH.format(run), params=wrong)
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.json()["error"]["message"] + str(answer.json())


def test_a_run_that_there_is_not_and_one_without_clusters(made: Installation, api: TestClient) -> None:
    assert api.get(PATH.format("no-such-run")).status_code == 404
    assert bad(api, made.pending_run_id)["items"] == []


def test_a_centroid_that_was_stored_is_of_length_one(made: Installation, measured: str) -> None:
    with made.container.database.engine.connect() as connection:
        found = [np.frombuffer(one["centroid"], "<f4") for one in measures_of(connection, measured)]
    assert [float(np.linalg.norm(one)) for one in found] == pytest.approx([1.0] * 7, abs=1e-5)
