"""The history of edits: who changed what and why, for every cluster that an edit touched."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.bootstrap import Container
from commands.curation import (
    AnnotateCluster,
    DeleteCluster,
    FlagCluster,
    MergeClusters,
    MoveQueries,
    MoveQuery,
    RenameCluster,
    ReverseEdit,
    SplitCluster,
)
from domain.base import Context, context
from projections.curation import SHOWN_IDS, edits, list_edits
from tests.stories import cluster, load, name, project, query_ids, rows


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    load(container, "a", "b", "c", dataset=dataset)
    return cluster(container, [0, 0, 1], clusters=3, dataset=dataset)


def history(container: Container, run_id: str, **wanted: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    with container.database.engine.connect() as connection:
        found, total = list_edits(connection, run_id, 50, 0, **wanted)
    if "after" not in wanted:
        assert total == len(found)
    return found


def test_an_edit_says_who_when_and_why(container: Container, run_id: str) -> None:
    context.set(Context(actor="anna", reason="clearer"))
    receipt = container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Tax"))
    project(container)
    (edit,) = history(container, run_id)
    assert (edit["editor"], edit["reason"], edit["edit_type"]) == ("anna", "clearer", "rename")
    assert (edit["position"], edit["run_id"], edit["cluster_id"]) == (receipt.position, run_id, 0)
    assert edit["details"] == {
        "cluster_id": 0,
        "was_title": None,
        "title": "Tax",
        "was_description": None,
        "description": None,
        "was_edited": [],
        "moves": [],
        "queries_moved": 0,
    }


def test_a_move_stands_in_the_history_of_both_clusters(
    container: Container, run_id: str, dataset: str
) -> None:
    query_id = query_ids(container, dataset)[0]
    container.bus.handle(MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=1))
    project(container)
    (left,) = history(container, run_id, cluster_id=0)
    (entered,) = history(container, run_id, cluster_id=1)
    assert left == entered
    assert (left["edit_type"], left["editor"]) == ("move", "system")
    assert left["details"] == {
        "cluster_id": 1,
        "moves": [{"from": 0, "to": 1, "count": 1, "query_ids": [query_id]}],
        "queries_moved": 1,
    }
    assert history(container, run_id, cluster_id=2) == []


@pytest.mark.parametrize("batch", [1, 1_000])
def test_every_edit_is_kept_newest_first(container: Container, run_id: str, dataset: str, batch: int) -> None:
    query_id = query_ids(container, dataset)[0]
    for to in (1, 0, 1):
        container.bus.handle(MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=to))
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=1, title="Tax"))
    project(container, batch)
    found = history(container, run_id)
    assert [one["edit_type"] for one in found] == ["rename", "move", "move", "move"]
    assert [one["details"]["moves"][0]["from"] for one in found[1:]] == [0, 1, 0]


@pytest.mark.parametrize("batch", [1, 1_000])
def test_what_is_undone_says_by_what_as_long_as_that_holds(
    container: Container, run_id: str, batch: int
) -> None:
    bus = container.bus
    ids = [
        bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title=title)).position
        for title in ("One", "Two")
    ]
    undo = bus.handle(ReverseEdit(edit_id=ids[0], cascade=True))
    project(container, batch)
    assert [(one["edit_type"], one["undone_by"]) for one in history(container, run_id)] == [
        ("undo", None),
        ("rename", undo.position),
        ("rename", undo.position),
    ]
    bus.handle(ReverseEdit(edit_id=ids[0], redo=True))
    project(container, batch)
    assert [(one["edit_type"], one["undone_by"]) for one in history(container, run_id)] == [
        ("redo", None),
        ("undo", None),
        ("rename", undo.position),
        ("rename", None),
    ]


def test_every_kind_of_edit_stands_in_the_history_of_each_cluster_that_it_touched(
    container: Container, run_id: str, dataset: str
) -> None:
    ids = query_ids(container, dataset)
    bus = container.bus
    bus.handle(FlagCluster(run_id=run_id, cluster_id=2, add=["odd"]))
    bus.handle(AnnotateCluster(run_id=run_id, cluster_id=2, metadata={"quality": "low"}))
    bus.handle(SplitCluster(run_id=run_id, cluster_id=0, query_ids=ids[:1], title="New"))
    bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[3, 2], target_cluster_id=1))
    bus.handle(DeleteCluster(run_id=run_id, cluster_id=1, orphan=True))
    project(container)
    found = [(one["edit_type"], one["cluster_id"], one["cluster_ids"]) for one in history(container, run_id)]
    assert found == [
        ("delete", 1, [1]),
        ("merge", 1, [1, 2, 3]),
        ("split", 0, [0, 3]),
        ("metadata", 2, [2]),
        ("flags", 2, [2]),
    ]
    assert [one["edit_type"] for one in history(container, run_id, cluster_id=3)] == ["merge", "split"]
    merged = history(container, run_id)[1]["details"]
    assert merged["moves"] == [{"from": 3, "to": 1, "count": 1, "query_ids": ids[:1]}]
    assert merged["clusters"][1]["was"] == {"own_title": "New"}


def test_the_history_shows_the_first_queries_of_a_move(container: Container, dataset: str) -> None:
    ids = load(container, *map(str, range(30)), dataset=dataset)
    run_id = cluster(container, [0] * 30, clusters=2, dataset=dataset, chunk=30)
    container.bus.handle(MoveQueries(run_id=run_id, query_ids=ids, to_cluster_id=1))
    project(container)
    (edit,) = history(container, run_id)
    assert edit["details"]["queries_moved"] == 30
    assert edit["details"]["moves"] == [{"from": 0, "to": 1, "count": 30, "query_ids": ids[:SHOWN_IDS]}]


def test_what_models_say_is_no_edit(container: Container, run_id: str) -> None:
    name(container, run_id, "model", 0, 1)
    project(container)
    assert history(container, run_id) == []


def test_edits_of_another_run_stay_out(container: Container, run_id: str, dataset: str) -> None:
    other = cluster(container, [0, 0, 1], clusters=3, dataset=dataset)
    container.bus.handle(RenameCluster(run_id=other, cluster_id=0, title="Theirs"))
    project(container)
    assert history(container, run_id) == []


def test_history_is_read_from_a_moment_or_below_a_position(container: Container, run_id: str) -> None:
    for title in ("One", "Two", "Three"):
        container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title=title))
    project(container)
    three, two, one = history(container, run_id)
    assert history(container, run_id, since=two["timestamp"]) == [three, two]
    assert history(container, run_id, since=three["timestamp"] + timedelta(seconds=1)) == []
    assert history(container, run_id, after=two["position"]) == [one]
    with container.database.engine.connect() as connection:
        page, total = list_edits(connection, run_id, 1, 1)
    assert (page, total) == ([two], 3)


def test_an_edit_is_one_row_however_often_it_is_read(container: Container, run_id: str) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="One"))
    for _ in range(2):
        project(container)
    assert len(rows(container, edits, run_id=run_id)) == 1
