"""Search over HTTP: the shapes that clients rely on, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.test_queries import get
from tests.browsing import TOPICS, Installation, WordEmbedder


def words_of(result: dict[str, Any]) -> set[str]:
    return set(result["query"]["query_text"].split())


def test_the_nearest_queries_of_a_run(api: TestClient, made: Installation) -> None:
    found = get(api, "/api/search", text="python loop", run_id=made.run_id, limit=5)
    assert (found["text"], found["run_id"], found["mode"]) == ("python loop", made.run_id, "semantic")
    assert (found["total"], found["pages"], found["limit"], len(found["items"])) == (60, 12, 5, 5)
    best = found["items"][0]
    assert {"python", "loop"} <= words_of(best)
    assert best["distance"] == pytest.approx(1 - best["score"])
    assert best["snippet"] == best["query"]["query_text"]
    expected = {"run_id": made.run_id, "cluster_id": 1, "title": TOPICS[1], "confidence_score": 0.875}
    assert best["clusters"] == [expected]
    distances = [one["distance"] for one in found["items"]]
    assert distances == sorted(distances)
    assert found["applied_clusters"] == []
    assert found["facets"] == {"clusters": [], "language": [], "model": []}


def test_pages_of_a_search_follow_on_one_another(api: TestClient, made: Installation) -> None:
    asked = {"text": "weather", "run_id": made.run_id}
    whole = get(api, "/api/search", **asked, limit=60)["items"]
    pages = [get(api, "/api/search", **asked, n_results=25, page=page)["items"] for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [25, 25, 10, 0]
    assert [one["query"]["id"] for page in pages for one in page] == [one["query"]["id"] for one in whole]


def test_without_a_run_everything_is_searched(api: TestClient, made: Installation) -> None:
    found = get(api, "/api/search", text="python", limit=1)
    assert found["total"] == len(made.rows)
    of_other = get(api, "/api/search", text="python", dataset="other", limit=1)
    assert of_other["total"] == 12
    assert of_other["items"][0]["clusters"] == []
    member = get(api, "/api/search", text="refund", run_id=made.run_id, limit=1)["items"][0]["query"]["id"]
    both = get(api, "/api/search", text=made.rows[member]["query"], limit=20)["items"]
    clusters = next(one["clusters"] for one in both if one["query"]["id"] == member)
    assert [one["run_id"] for one in clusters] == [made.small_run_id, made.run_id]


def test_filters_of_a_search(api: TestClient, made: Installation) -> None:
    asked = {"language": "German", "model": "model-1", "label": "label2", "domain": "domain1"}
    found = get(api, "/api/search", text="python", **asked)
    expected = {
        key
        for key, row in made.rows.items()
        if (row["language"], row["model"]) == ("German", "model-1")
        and (row["metadata"].get("label"), row["metadata"].get("domain")) == ("label2", "domain1")
    }
    assert {one["query"]["id"] for one in found["items"]} == expected
    assert found["total"] == len(expected) > 0


@pytest.mark.parametrize("given", [["2,-1"], ["2", "-1"], ["2,", "-1,2"]])
def test_only_in_these_clusters(api: TestClient, made: Installation, given: list[str]) -> None:
    params = {"text": "python", "run_id": made.run_id, "cluster_ids": given}
    found = get(api, "/api/search", **params)
    assert {one["clusters"][0]["cluster_id"] for one in found["items"]} == {2, -1}
    assert found["total"] == 31
    assert [one["cluster_id"] for one in found["applied_clusters"]] == [2, -1]
    assert found["applied_clusters"][0] == {
        "cluster_id": 2,
        "title": "Rain and shine",
        "description": f"about {TOPICS[2]}",
        "num_queries": 15,
        "distance": None,
    }


def test_only_in_the_clusters_about_something(api: TestClient, made: Installation) -> None:
    found = get(
        api,
        "/api/search",
        text="now",
        run_id=made.run_id,
        within_clusters="python loop",
        top_clusters=1,
        by="cluster",
        facets="language,model",
    )
    (applied,) = found["applied_clusters"]
    assert applied["cluster_id"] == 1
    assert 0 < applied["distance"] < 1
    assert {one["clusters"][0]["cluster_id"] for one in found["items"]} == {1}
    assert found["facets"]["clusters"] == [{"cluster_id": 1, "count": 15, "meta": {"title": TOPICS[1]}}]
    assert sum(one["count"] for one in found["facets"]["language"]) == 15
    assert sum(one["count"] for one in found["facets"]["model"]) == 15


def test_no_titles_no_clusters_no_results(api: TestClient, made: Installation) -> None:
    found = get(api, "/api/search", text="now", run_id=made.small_run_id, within_clusters="python")
    assert (found["items"], found["applied_clusters"], found["total"]) == ([], [], 0)


def test_words_are_found_as_they_stand(api: TestClient, made: Installation) -> None:
    found = get(
        api,
        "/api/search",
        text="sun number3",
        mode="fulltext",
        run_id=made.run_id,
        within_clusters="weather rain",
        top_clusters=1,
        facets="cluster",
    )
    assert found["total"] == len(found["items"]) > 0
    for one in found["items"]:
        assert {"sun", "number3"} <= words_of(one)
        assert one["distance"] is None
        assert "**sun**" in one["snippet"]
    assert found["facets"]["clusters"][0]["count"] == found["total"]
    assert get(api, "/api/search", text="nowhere", mode="fulltext")["items"] == []


@pytest.mark.parametrize(
    ("params", "status", "named"),
    [
        ({}, 422, "text"),
        ({"text": ""}, 422, "text"),
        ({"text": " "}, 422, "text"),
        ({"text": "x", "limit": 1_000, "page": 11}, 422, "10000 deep"),
        ({"text": "x", "limit": 1_001}, 422, "limit"),
        ({"text": "x", "cluster_ids": "1"}, 422, "run_id"),
        ({"text": "x", "within_clusters": "y"}, 422, "run_id"),
        ({"text": "x", "facets": "cluster"}, 422, "run_id"),
        ({"text": "x", "facets": "size"}, 422, "facets"),
        ({"text": "x", "mode": "psychic"}, 422, "mode"),
        ({"text": "x", "run_id": "RUN", "cluster_ids": "one"}, 422, "cluster_ids"),
        ({"text": "x", "run_id": "RUN", "cluster_ids": "1,98,99"}, 404, "cluster 98, 99"),
        ({"text": "x", "run_id": "RUN", "cluster_ids": "1", "within_clusters": "y"}, 422, "within_clusters"),
        ({"text": "x", "run_id": "RUN", "dataset": "other"}, 422, "dataset"),
        ({"text": "x", "run_id": "PENDING"}, 409, "pending"),
        ({"text": "x", "run_id": "nobody"}, 404, "'nobody'"),
    ],
)
def test_what_a_search_refuses(
    api: TestClient, made: Installation, params: dict[str, Any], status: int, named: str
) -> None:
    runs = {"RUN": made.run_id, "PENDING": made.pending_run_id}
    asked = {name: runs.get(value, value) for name, value in params.items()}
    assert named in get(api, "/api/search", status, **asked)["error"]["message"]


def test_vectors_of_two_spaces_are_never_compared(
    api: TestClient, made: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedder of the run makes other vectors now: a new revision of its model."""
    monkeypatch.setattr(made.container.embedders, "made", WordEmbedder("2"))
    for path in ("/api/search", "/api/search/clusters"):
        assert "cluster anew" in get(api, path, 409, text="python", run_id=made.run_id)["detail"]
    found = get(api, "/api/search", text="python")
    assert (found["items"], found["total"]) == ([], 0)
    by_words = get(api, "/api/search", text="python", mode="fulltext", run_id=made.run_id)
    assert by_words["total"] > 0


def test_clusters_by_their_titles(api: TestClient, made: Installation) -> None:
    found = get(api, "/api/search/clusters", text="refund payment", run_id=made.run_id, top_k=2)
    assert (found["total"], found["pages"], len(found["items"])) == (4, 2, 2)
    best = found["items"][0]
    assert best["cluster_id"] == 0
    assert best["distance"] == pytest.approx(1 - best["score"])
    assert best["summary"] == f"{TOPICS[0]}\nabout {TOPICS[0]}"
    assert best["num_queries"] == 14
    rest = get(api, "/api/search/clusters", text="refund payment", run_id=made.run_id, limit=2, page=2)
    assert {one["cluster_id"] for one in [*found["items"], *rest["items"]]} == {0, 1, 2, -1}
    assert get(api, "/api/search/clusters", text="refund payment")["total"] == 4


def test_clusters_by_the_titles_of_one_summary_run(api: TestClient, made: Installation) -> None:
    for chosen in ({"alias": "first"}, {"summary_run_id": made.summary_run_id}):
        found = get(api, "/api/search/clusters", text="sun", run_id=made.run_id, limit=1, **chosen)
        assert found["items"][0]["title"] == TOPICS[2]
    assert get(api, "/api/search/clusters", text="sun", run_id=made.run_id, limit=1)["items"][0]["title"] == (
        "Rain and shine"
    )
    assert "'nobody'" in get(api, "/api/search/clusters", 404, text="sun", alias="nobody")["detail"]
    nothing = get(api, "/api/search/clusters", text="sun", summary_run_id="nobody")
    assert (nothing["items"], nothing["total"]) == ([], 0)
