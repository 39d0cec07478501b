"""Differences over HTTP: between two moments of a run, and between two runs."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from commands.curation import (
    FlagCluster,
    MergeClusters,
    MoveQueries,
    RenameCluster,
    ReverseEdit,
    SplitCluster,
)
from tests import stories
from tests.api.test_queries import get
from tests.browsing import Installation, cluster, summarise


@pytest.fixture(scope="module")
def run(made: Installation) -> tuple[str, list[int]]:
    """Queries of the four labels -1, 0, 1 and 2 in turn, six of each."""
    ids = [one for one, row in made.rows.items() if row["dataset"] == "default"][:24]
    run_id = cluster(made, "default", {one: (-1, 0, 1, 2)[place % 4] for place, one in enumerate(ids)})
    summarise(made, run_id, "named", "named ")
    stories.project(made.container)
    return run_id, ids


def flows(answer: dict[str, Any]) -> list[tuple[int, int, int]]:
    return [(one["from_cluster_id"], one["to_cluster_id"], one["count"]) for one in answer["flows"]["items"]]


def test_edits_and_their_undoing_as_a_difference(
    made: Installation, api: TestClient, run: tuple[str, list[int]]
) -> None:
    run_id, ids = run
    bus, store = made.container.bus, made.container.store
    begin = store.head()
    api.post("/api/tags", json={"name": "begin"})
    bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Refunds"))
    bus.handle(FlagCluster(run_id=run_id, cluster_id=0, add=["check"], remove=[]))
    bus.handle(MoveQueries(run_id=run_id, query_ids=[ids[0]], to_cluster_id=0))
    split = bus.handle(
        SplitCluster(
            run_id=run_id, cluster_id=1, query_ids=[ids[2], ids[6]], title="Part", description="a part"
        )
    ).position
    merge = bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[2], target_cluster_id=0)).position
    stories.project(made.container)
    edited = store.head()

    found = get(api, "/api/curation/diff", **{"from": f"{run_id}@begin", "to": run_id})
    assert (found["from"]["position"], found["to"]["position"]) == (begin, edited)
    assert found["from"]["time"] < found["to"]["time"]
    assert found["to"]["version"] == found["from"]["version"] + 5
    assert found["queries"] == {
        "shared": 24,
        "only_from": 0,
        "only_to": 0,
        "share_of_from": 1.0,
        "share_of_to": 1.0,
        "moved": 9,
    }
    assert flows(found) == [(0, 0, 6), (2, 0, 6), (-1, -1, 5), (1, 1, 4), (1, 3, 2), (-1, 0, 1)]
    assert found["flows"]["items"][1]["from_title"] == "named weather rain sun"
    assert found["flows"]["items"][1]["to_title"] == "Refunds"
    assert 0 < found["adjusted_rand_index"] < 1
    assert 0 < found["adjusted_mutual_information"] < 1
    (renamed,) = found["renamed"]
    assert (renamed["was_title"], renamed["title"]) == ("named refund payment money", "Refunds")
    assert renamed["was_description"] == renamed["description"]
    assert found["annotated"] == [
        {"cluster_id": 0, "to_cluster_id": 0, "was": {"flags": []}, "now": {"flags": ["check"]}}
    ]
    assert [(one["cluster_id"], one["title"], one["num_queries"]) for one in found["created"]] == [
        (3, "Part", 2)
    ]
    assert [one["cluster_id"] for one in found["retired"]] == [2]
    (merged,) = found["merged"]
    assert ([one["cluster_id"] for one in merged["from_clusters"]], merged["by"]) == ([0, 2], [merge])
    assert [one["num_queries"] for one in merged["to_clusters"]] == [13]
    (parted,) = found["split"]
    assert ([one["cluster_id"] for one in parted["to_clusters"]], parted["by"]) == ([1, 3], [split])

    bus.handle(ReverseEdit(run_id=run_id))
    stories.project(made.container)
    again = {"from": f"{run_id}@begin", "to": f"{run_id}@{edited}"}
    assert get(api, "/api/curation/diff", **again) == found
    back = get(api, "/api/curation/diff", **{"from": f"{run_id}@{edited}", "to": run_id})
    (parted,) = back["split"]
    assert ([one["cluster_id"] for one in parted["to_clusters"]], parted["by_undoing"]) == ([0, 2], [merge])
    assert (flows(back)[:1], back["queries"]["moved"]) == ([(0, 0, 7)], 6)


def test_the_queries_that_moved(made: Installation, api: TestClient, run: tuple[str, list[int]]) -> None:
    run_id, ids = run
    begin = made.container.store.head()
    made.container.bus.handle(MoveQueries(run_id=run_id, query_ids=ids[:8], to_cluster_id=1))
    stories.project(made.container)
    sides = {"from": f"{run_id}@{begin}", "to": run_id}
    diff = get(api, "/api/curation/diff", **sides, moved_only=True, limit=1)
    count = diff["queries"]["moved"]
    first = diff["flows"]["items"][0]["count"]
    assert diff["flows"]["other"]["count"] == count - first
    assert diff["flows"]["other"]["flows"] > 0
    pages = [get(api, "/api/curation/diff/queries", **sides, limit=3, page=page) for page in range(1, 4)]
    items = [one for page in pages for one in page["items"]]
    assert (len(items), pages[0]["total"]) == (count, count)
    assert items == sorted(items, key=lambda one: int(one["query_id"]))
    assert all(one["query"]["query_text"] == made.rows[one["query_id"]]["query"] for one in items)
    for label in {one["from_cluster_id"] for one in items}:
        of_it = get(api, "/api/curation/diff/queries", **sides, from_cluster_id=label, to_cluster_id=1)
        expected = [one for one in items if one["from_cluster_id"] == label]
        assert (of_it["items"], of_it["total"]) == (expected, len(expected))


def test_two_runs_are_told_by_what_goes_on(made: Installation, api: TestClient) -> None:
    ids = [one for one, row in made.rows.items() if row["dataset"] == "default"][:24]
    older = cluster(made, "default", {one: place % 3 for place, one in enumerate(ids[:20])})
    newer = cluster(made, "default", {one: 2 - place % 3 for place, one in enumerate(ids[2:])})
    summarise(made, older, "named", "old ")
    made.container.bus.handle(RenameCluster(run_id=newer, cluster_id=0, title="Mine"))
    made.container.bus.handle(MoveQueries(run_id=newer, query_ids=ids[2:3], to_cluster_id=0))
    stories.project(made.container)
    found = get(api, "/api/curation/diff", **{"from": older, "to": newer})
    queries = found["queries"]
    assert (queries["shared"], queries["only_from"], queries["only_to"]) == (18, 2, 4)
    assert (queries["share_of_from"], queries["moved"]) == (0.9, 1)
    assert found["matched"]
    pairs = {one["cluster_id"]: one["to_cluster_id"] for one in found["renamed"]}
    assert pairs == {2: 2, 0: 1, 1: 0}
    assert next(one["title"] for one in found["renamed"] if one["cluster_id"] == 1) == "Mine"
    assert (found["created"], found["retired"]) == ([], [])
    (moved,) = get(api, "/api/curation/diff/queries", **{"from": older, "to": newer})["items"]
    assert (moved["query_id"], moved["from_cluster_id"], moved["to_cluster_id"]) == (ids[2], 2, 0)
    same = get(api, "/api/curation/diff", **{"from": older, "to": older})
    assert (same["adjusted_rand_index"], same["queries"]["moved"], same["renamed"]) == (1.0, 0, [])


def test_too_many_clusters_to_be_matched(
    made: Installation, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.time_travel.differences.MOST_PAIRS", 1)
    sides = {"from": made.small_run_id, "to": made.run_id}
    found = get(api, "/api/curation/diff", **sides)
    assert (found["matched"], found["created"], found["renamed"]) == (False, [], [])
    moved = get(api, "/api/curation/diff/queries", **sides, limit=1)
    assert moved["total"] == found["queries"]["moved"] > 0


@pytest.mark.parametrize(
    ("from_", "to", "status", "words"),
    [
        ("", "{run}", 422, "from: write RUN"),
        ("@3", "{run}", 422, "from: write RUN"),
        ("{run}", "{run}@", 422, "to: write RUN"),
        ("{run}@soon", "{run}", 404, "no tag 'soon'"),
        ("{run}@1@2", "{run}", 422, "no event position"),
        ("{run}@999999999", "{run}", 422, "beyond the end"),
        ("{run}@1", "{run}", 404, "it began at"),
        ("nobody", "{run}", 404, "no clustering run 'nobody'"),
        ("{pending}", "{run}", 409, "was pending"),
        ("{other}", "{run}", 409, "no queries in common"),
    ],
)
def test_what_has_no_difference(
    made: Installation, api: TestClient, from_: str, to: str, status: int, words: str
) -> None:
    other = next(one for one, row in made.rows.items() if row["dataset"] == "other")
    names = {"run": made.run_id, "pending": made.pending_run_id}
    if "{other}" in from_:
        names["other"] = cluster(made, "other", {other: 0})
        stories.project(made.container)
    for path in ("/api/curation/diff", "/api/curation/diff/queries"):
        sides = {"from": from_.format(**names), "to": to.format(**names)}
        assert words in get(api, path, status, **sides)["detail"]
