"""Hierarchies as rows: the same whatever the batch, and the same tree as that of the aggregate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from adapters.bootstrap import Container
from commands.curation import MergeClusters, ReverseEdit
from commands.hierarchy import (
    AddCategory,
    MoveNodes,
    RemoveCategory,
    RenameCategory,
    making,
    recording,
)
from commands.runs import Fail
from domain.hierarchy import FIRST_CATEGORY, Hierarchy
from projections.hierarchy import edits, find_hierarchy, find_tree, hierarchies, nodes, shown_tree
from tests.arranging import Dying, arrange, cleared, request, run_of_six, work
from tests.browsing import Installation
from tests.stories import project, rows


@pytest.fixture
def container(made: Installation) -> Container:
    return made.container


@pytest.fixture
def run_id(made: Installation, dataset: str) -> str:
    return run_of_six(made, dataset)


@pytest.fixture
def read(container: Container) -> Iterator[Connection]:
    with container.database.engine.connect() as opened:
        yield opened.execution_options(isolation_level="AUTOCOMMIT")


@pytest.mark.parametrize("batch", [1, 1_000])
def test_the_rows_make_the_tree_of_the_aggregate(
    container: Container, read: Connection, run_id: str, batch: int
) -> None:
    name = arrange(container, run_id, merge_ratio=0.5).name
    bus = container.bus
    bus.handle(AddCategory(hierarchy_run_id=name, title="Mine", children_ids=[0, FIRST_CATEGORY + 1]))
    bus.handle(MoveNodes(hierarchy_run_id=name, cluster_ids=[5], parent_cluster_id=None))
    bus.handle(RenameCategory(hierarchy_run_id=name, cluster_id=FIRST_CATEGORY, description="of money"))
    removed = bus.handle(RemoveCategory(hierarchy_run_id=name, cluster_id=FIRST_CATEGORY)).position
    merged = bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[4], target_cluster_id=1)).position
    work(container, "follow", run_id=run_id)
    bus.handle(ReverseEdit(edit_id=removed))
    bus.handle(ReverseEdit(edit_id=merged))
    work(container, "follow", run_id=run_id)
    bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[3], target_cluster_id=1))
    work(container, "follow", run_id=run_id)
    project(container, batch)
    made = container.store.load(Hierarchy, name)
    assert find_tree(read, name) == made.tree
    (row,) = rows(container, hierarchies, hierarchy_run_id=name)
    assert (row["status"], row["version"], row["run_version"]) == (
        "completed",
        made.version,
        made.run_version,
    )
    kinds = [
        (one["edit_type"], one["undone_by"] is not None)
        for one in rows(container, edits, hierarchy_run_id=name)
    ]
    assert kinds == [
        ("add_category", False),
        ("move_node", False),
        ("rename_category", False),
        ("remove_category", True),
        ("undo", False),
    ]


def test_what_the_answers_took_is_added_up(
    container: Container, read: Connection, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear = Dying(1_000)
    monkeypatch.setattr(making, "RECORDED_AT_ONCE", 2)
    monkeypatch.setattr(recording, "_check_clusters", lambda *given, **more: None)
    name = request(container, run_id, target_levels=2)
    monkeypatch.setitem(vars(container)["needs"], "taxonomists", dear)
    work(container, "arrange", hierarchy_run_id=name)
    project(container)
    row = find_hierarchy(read, name)
    assert row is not None
    assert row["usage"]["calls"] == len(dear.asked)
    assert row["usage"]["cost_usd"] == 0.25 * len(dear.asked)
    assert row["prompts"] == list(dear.prompts.values())


def test_a_failed_one_says_why(container: Container, read: Connection, run_id: str) -> None:
    name = request(container, run_id)
    container.bus.handle(Fail(kind=Hierarchy, name=name, error="no key"))
    project(container)
    row = find_hierarchy(read, name)
    assert row is not None
    assert (row["status"], row["error"]) == ("failed", "no key")
    assert find_hierarchy(read, "nowhere") is None


def test_clusters_that_are_not_there_are_not_shown(
    container: Container, read: Connection, run_id: str
) -> None:
    name = arrange(container, run_id, target_levels=2).name
    project(container)
    row = {"title": "x", "description": None, "title_edited": False, "description_edited": False}
    live = [{**row, "cluster_id": 0, "size": 3}, {**row, "cluster_id": 77, "size": 1}]
    shown = shown_tree(find_tree(read, name), live)
    assert [(one["cluster_id"], one["num_queries"]) for one in shown] == [(FIRST_CATEGORY, 3), (0, 3)]


@pytest.mark.parametrize("batch", [1, 1_000])
def test_clearing_removes_the_hierarchies_of_its_runs(
    container: Container, dataset: str, run_id: str, batch: int
) -> None:
    name = arrange(container, run_id).name
    pending = request(container, run_id)
    container.bus.handle(MoveNodes(hierarchy_run_id=name, cluster_ids=[0], parent_cluster_id=None))
    cleared(container, dataset)
    container.bus.handle(MoveNodes(hierarchy_run_id=name, cluster_ids=[1], parent_cluster_id=None))
    container.bus.handle(Fail(kind=Hierarchy, name=pending, error="its run was cleared"))
    project(container, batch)
    for table in (hierarchies, nodes, edits):
        assert rows(container, table, hierarchy_run_id=name) == []
    assert rows(container, hierarchies, hierarchy_run_id=pending) == []
