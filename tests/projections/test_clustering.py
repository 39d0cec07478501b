"""Runs, clusters and memberships as rows, and what is asked of them."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.bootstrap import Container
from commands.curation import MoveQuery, RenameCluster
from commands.runs import Fail
from domain.clustering import ClusteringRun
from domain.values import NOISE
from projections.clustering import (
    clusters,
    find_cluster,
    find_run,
    list_clusters,
    list_runs,
    members,
    memberships,
    representatives,
    runs,
    summary_run_of,
)
from tests.runs import SPACE
from tests.stories import (
    clear,
    cluster,
    complete,
    load,
    name,
    project,
    query_ids,
    record,
    request_run,
    rows,
)

BATCHES = pytest.mark.parametrize("batch", [1, 1_000])


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


def run_row(container: Container, run_id: str) -> dict[str, Any]:
    (row,) = rows(container, runs, run_id=run_id)
    return row


def cluster_rows(container: Container, run_id: str) -> dict[int, dict[str, Any]]:
    of_run = rows(container, clusters, run_no=run_row(container, run_id)["run_no"])
    return {one["cluster_id"]: one for one in of_run}


def members_of(container: Container, run_id: str) -> dict[int, int]:
    of_run = rows(container, memberships, run_no=run_row(container, run_id)["run_no"])
    return {one["query_id"]: one["cluster_id"] for one in of_run}


def test_a_request_is_a_pending_run(container: Container, dataset: str) -> None:
    last = load(container, "one", "two", dataset=dataset)[-1]
    run_id = request_run(container, dataset, clusters=2)
    project(container)
    row = run_row(container, run_id)
    assert (row["status"], row["version"], row["num_queries"], row["num_clusters"]) == ("pending", 1, 2, None)
    assert (row["dataset"], row["algorithm"], row["last_query_id"]) == (dataset, "kmeans", last)
    assert (row["description"], row["parameters"]["n_clusters"]) == ("a try", 2)


@BATCHES
def test_a_result_is_shown_with_its_sizes(container: Container, dataset: str, batch: int) -> None:
    ids = load(container, *"abcde", dataset=dataset)
    run_id = cluster(container, [0, 1, 0, NOISE, 0], clusters=3, dataset=dataset)
    project(container, batch)
    row = run_row(container, run_id)
    assert (row["status"], row["num_clusters"], row["num_queries"]) == ("completed", 3, 5)
    assert (row["space"], row["metrics"]) == (vars(SPACE), {"clusters": 3})
    assert row["completed_at"] > row["created_at"]
    sizes = {one: shown["size"] for one, shown in cluster_rows(container, run_id).items()}
    assert sizes == {NOISE: 1, 0: 3, 1: 1, 2: 0}
    assert members_of(container, run_id) == dict(zip(ids, [0, 1, 0, NOISE, 0], strict=True))
    shown = rows(container, memberships, run_no=row["run_no"])
    assert {one["confidence"] for one in shown} == {0.25}


def test_without_noise_there_is_no_cluster_for_it(container: Container, dataset: str) -> None:
    load(container, "a", dataset=dataset)
    run_id = cluster(container, [0], clusters=1, dataset=dataset)
    project(container)
    assert set(cluster_rows(container, run_id)) == {0}


def test_a_run_of_noise_alone_has_one_cluster(container: Container, dataset: str) -> None:
    load(container, "a", "b", dataset=dataset)
    run_id = cluster(container, [NOISE, NOISE], clusters=0, dataset=dataset)
    project(container)
    assert {one: row["size"] for one, row in cluster_rows(container, run_id).items()} == {NOISE: 2}


def test_a_failed_run_says_why(container: Container, dataset: str) -> None:
    load(container, "a", dataset=dataset)
    run_id = request_run(container, dataset)
    container.bus.handle(Fail(kind=ClusteringRun, name=run_id, error="out of memory"))
    project(container)
    row = run_row(container, run_id)
    assert (row["status"], row["error"], row["version"]) == ("failed", "out of memory", 2)


def test_two_runs_in_one_batch_do_not_mix(container: Container, dataset: str) -> None:
    ids = load(container, "a", "b", dataset=dataset)
    first, second = request_run(container, dataset), request_run(container, dataset)
    for run_id, labels in ((first, [0, 1]), (second, [1, 1])):
        record(container, run_id, 0, ids, labels)
    for run_id in (second, first):
        complete(container, run_id, clusters=2)
    for run_id, query_id, to in ((first, ids[0], 1), (second, ids[0], 0)):
        container.bus.handle(MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=to))
    project(container)
    assert members_of(container, first) == {ids[0]: 1, ids[1]: 1}
    assert members_of(container, second) == {ids[0]: 0, ids[1]: 1}
    assert cluster_rows(container, second)[0]["size"] == 1


@BATCHES
def test_a_query_that_goes_back_and_forth_ends_where_it_is(
    container: Container, dataset: str, batch: int
) -> None:
    ids = load(container, "a", "b", dataset=dataset)
    run_id = cluster(container, [0, 1], clusters=2, dataset=dataset)
    for to in (1, 0, 1, 0):
        container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=to))
    project(container, batch)
    assert members_of(container, run_id) == {ids[0]: 0, ids[1]: 1}
    assert [row["size"] for row in cluster_rows(container, run_id).values()] == [1, 1]
    assert run_row(container, run_id)["version"] == container.store.load(ClusteringRun, run_id).version


@BATCHES
def test_titles_of_models_come_between_those_of_people(
    container: Container, dataset: str, batch: int
) -> None:
    load(container, "a", "b", dataset=dataset)
    run_id = cluster(container, [0, 1], clusters=2, dataset=dataset)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Mine"))
    summary_run_id = name(container, run_id, "model", 0, 1)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Mine too"))
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=1, description="my words"))
    later = name(container, run_id, "later", 1)
    project(container, batch)
    first, second = cluster_rows(container, run_id).values()
    assert (first["title"], first["description"]) == ("Mine too", "about model 0")
    assert (first["title_edited"], first["description_edited"]) == (True, False)
    assert (second["title"], second["description"]) == ("later 1", "my words")
    assert (second["title_edited"], second["description_edited"]) == (False, True)
    assert (first["summary_run_id"], second["summary_run_id"]) == (summary_run_id, later)


@BATCHES
def test_a_title_stays_a_persons_when_only_its_description_is_edited_after(
    container: Container, dataset: str, batch: int
) -> None:
    load(container, "a", dataset=dataset)
    run_id = cluster(container, [0], clusters=1, dataset=dataset)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Mine"))
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, description="my words"))
    name(container, run_id, "model", 0)
    project(container, batch)
    row = cluster_rows(container, run_id)[0]
    assert (row["title"], row["description"]) == ("Mine", "my words")
    assert (row["title_edited"], row["description_edited"]) == (True, True)


@BATCHES
def test_clearing_removes_runs_clusters_and_memberships(
    container: Container, dataset: str, batch: int
) -> None:
    load(container, "a", "b", dataset=dataset)
    run_id = cluster(container, [0, 1], clusters=2, dataset=dataset)
    pending = request_run(container, dataset)
    project(container, batch)
    run_no = run_row(container, run_id)["run_no"]
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Last words"))
    clear(container, dataset)
    project(container, batch)
    assert rows(container, runs, run_id=run_id) == rows(container, runs, run_id=pending) == []
    assert rows(container, clusters, run_no=run_no) == rows(container, memberships, run_no=run_no) == []


# --- what is asked


@pytest.fixture
def asked(container: Container, dataset: str) -> dict[str, Any]:
    """A run whose clusters have 3, 2 and 0 queries; 0 was renamed by a person, 0 and 1 were named."""
    ids = load(container, *"abcde", dataset=dataset)
    run_id = cluster(container, [0, 0, 1, 1, 0], clusters=3, dataset=dataset)
    summary_run_id = name(container, run_id, "model", 0, 1, alias="v1")
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Mine"))
    project(container)
    return {
        "ids": ids,
        "run_id": run_id,
        "summary": summary_run_id,
        "run_no": run_row(container, run_id)["run_no"],
    }


def test_runs_are_listed_newest_first_and_by_what_is_wanted(
    container: Container, dataset: str, asked: dict[str, Any]
) -> None:
    later = request_run(container, dataset)
    project(container)
    with container.database.engine.connect() as connection:
        page, total = list_runs(connection, 10, 0, dataset=dataset)
        assert [row["run_id"] for row in page] == [later, asked["run_id"]]
        assert total == 2
        second, total = list_runs(connection, 1, 1, dataset=dataset)
        assert ([row["run_id"] for row in second], total) == ([asked["run_id"]], 2)
        found, _ = list_runs(connection, 10, 0, dataset=dataset, status="pending", algorithm="kmeans")
        assert [row["run_id"] for row in found] == [later]
        assert list_runs(connection, 10, 0, dataset=dataset, algorithm="hdbscan") == ([], 0)


def test_a_pending_run_says_how_far_it_is(container: Container, dataset: str) -> None:
    load(container, "a", dataset=dataset)
    run_id = request_run(container, dataset)
    project(container)
    with container.database.connection() as writing:
        writing.execute("INSERT INTO ops.progress (job_id, processed, total) VALUES (%s, 3, 9)", [run_id])
    with container.database.engine.connect() as connection:
        found = find_run(connection, run_id)
        assert found is not None
        assert (found["processed"], found["total"]) == (3, 9)
        assert find_run(connection, "nowhere") is None


def test_clusters_are_listed_by_size_number_or_title(container: Container, asked: dict[str, Any]) -> None:
    with container.database.engine.connect() as connection:

        def listed(sort: str) -> list[int]:
            page, total = list_clusters(connection, asked["run_no"], 10, 0, sort=sort)
            assert total == 3
            return [row["cluster_id"] for row in page]

        assert listed("-size") == [0, 1, 2]
        assert listed("size") == [2, 1, 0]
        assert listed("-cluster_id") == [2, 1, 0]
        assert listed("title") == [0, 1, 2]
        assert listed("-title") == [1, 0, 2]
        page, _ = list_clusters(connection, asked["run_no"], 1, 1)
        assert [row["cluster_id"] for row in page] == [1]


def test_the_titles_of_one_summary_run_give_way_to_those_of_people(
    container: Container, asked: dict[str, Any]
) -> None:
    name(container, asked["run_id"], "later", 0, 1)
    project(container)
    with container.database.engine.connect() as connection:
        shown = find_cluster(connection, asked["run_no"], 1)
        chosen = find_cluster(connection, asked["run_no"], 1, asked["summary"])
        edited = find_cluster(connection, asked["run_no"], 0, asked["summary"])
        assert find_cluster(connection, asked["run_no"], 9) is None
    assert shown is not None
    assert chosen is not None
    assert edited is not None
    assert (shown["title"], chosen["title"], edited["title"]) == ("later 1", "model 1", "Mine")
    assert edited["description"] == "about model 0"


def test_members_come_in_the_order_of_their_ids_page_by_page(
    container: Container, asked: dict[str, Any]
) -> None:
    ids, run_no = asked["ids"], asked["run_no"]
    with container.database.engine.connect() as connection:

        def found(*page: Any) -> list[int]:  # noqa: ANN401
            return [row["query_id"] for row in members(connection, run_no, 0, *page)]

        assert found(10, 0) == [ids[0], ids[1], ids[4]]
        assert found(1, 1) == [ids[1]]
        assert found(10, 0, ids[0]) == [ids[1], ids[4]]
        assert [row["query_text"] for row in members(connection, run_no, 1, 10, 0)] == ["c", "d"]


def test_representatives_are_texts_in_the_order_of_the_summary(
    container: Container, dataset: str, asked: dict[str, Any]
) -> None:
    ids = query_ids(container, dataset)
    with container.database.connection() as writing:
        writing.execute(
            "UPDATE summaries.summaries SET representative_query_ids = %s"
            " WHERE summary_run_id = %s AND cluster_id = 0",
            [[ids[4], ids[0], ids[1]], asked["summary"]],
        )
    with container.database.engine.connect() as connection:
        assert representatives(connection, [asked["summary"]], [0], 2) == {0: ["e", "a"]}
        assert representatives(connection, [asked["summary"]], [2], 2) == {}
        assert representatives(connection, [], [0], 2) == {}


def test_an_alias_means_the_newest_summary_run_of_its_run(
    container: Container, asked: dict[str, Any]
) -> None:
    later = name(container, asked["run_id"], "later", 0, alias="v1")
    project(container)
    with container.database.engine.connect() as connection:
        assert summary_run_of(connection, asked["run_id"], "v1") == later
        assert summary_run_of(connection, asked["run_id"], "v2") is None
        assert summary_run_of(connection, "nowhere", "v1") is None
