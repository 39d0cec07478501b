"""An edit answers with what was and what is."""

from __future__ import annotations

import pytest

from adapters.bootstrap import Container
from commands.curation import MoveQuery, RenameCluster
from domain.base import Conflict, Context, Invalid, NotFound, Stale, context
from domain.clustering import ClusteringRun
from tests.stories import cluster, load, logged, query_ids, request_run


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    load(container, "one", "two", "three", dataset=dataset)
    return cluster(container, [0, 0, 1], clusters=2, dataset=dataset)


def test_a_rename_answers_with_both_names_and_the_new_version(container: Container, run_id: str) -> None:
    version = container.store.load(ClusteringRun, run_id).version
    first = container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Tax")).answer
    assert first == {
        "old_title": None,
        "new_title": "Tax",
        "old_description": None,
        "new_description": None,
        "version": version + 1,
    }
    second = RenameCluster(run_id=run_id, cluster_id=0, title="Law", description="of the land")
    answer = container.bus.handle(second).answer
    assert (answer["old_title"], answer["new_description"], answer["version"]) == (
        "Tax",
        "of the land",
        version + 2,
    )


def test_a_move_answers_with_both_clusters(container: Container, run_id: str, dataset: str) -> None:
    query_id = query_ids(container, dataset)[0]
    receipt = container.bus.handle(MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=1))
    assert (receipt.answer["from_cluster_id"], receipt.answer["to_cluster_id"]) == (0, 1)
    again = container.bus.handle(MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=1))
    assert again.position is None
    assert again.answer == {**receipt.answer, "from_cluster_id": 1}


@pytest.mark.parametrize(
    ("title", "words"),
    [("", "title must not be empty"), ("x" * 201, "201 characters"), ("\ud800", "title holds a lone")],
)
def test_a_title_that_will_not_do_is_refused(
    container: Container, run_id: str, title: str, words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title=title))
    assert "curation.cluster_renamed" not in logged(container, run_id)


def test_a_run_that_is_not_there_is_not_found(container: Container) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        container.bus.handle(RenameCluster(run_id="nowhere", cluster_id=0, title="x"))


def test_a_run_that_is_not_completed_cannot_be_edited(container: Container, dataset: str) -> None:
    (query_id,) = load(container, "one", dataset=dataset)
    run_id = request_run(container, dataset)
    with pytest.raises(Conflict, match="is pending: only a completed run can be edited"):
        container.bus.handle(MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=0))


def test_a_move_from_a_stale_view_is_refused(container: Container, run_id: str, dataset: str) -> None:
    context.set(Context(expected_version=1))
    with pytest.raises(Stale, match="read it again"):
        container.bus.handle(
            MoveQuery(run_id=run_id, query_id=query_ids(container, dataset)[0], to_cluster_id=1)
        )
