"""Carrying over from run to run in the log: what caused what, one undo, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from adapters.bootstrap import Container
from adapters.read_models import READ_MODELS
from commands.clustering import CompleteClustering
from commands.curation import (
    CarryOverEdits,
    DeleteCluster,
    FlagCluster,
    MergeClusters,
    MoveQueries,
    RenameCluster,
    ReverseEdit,
    SplitCluster,
)
from commands.ports import Clustering, Receipt
from domain.base import Context, context
from domain.clustering import ClusteringRun
from domain.errors import Conflict, Invalid, NotFound, Stale
from domain.values import Space
from projections.clustering import clusters, memberships, runs
from projections.curation import edits, lineage_of
from tests.runs import SPACE
from tests.stories import clear, cluster, load, logged, project, query_ids, record, request_run, rows


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def older(container: Container, dataset: str) -> str:
    """Clusters 0, 1 and 2 of four queries each."""
    load(container, *(f"q{number}" for number in range(12)), dataset=dataset)
    return cluster(container, [0] * 4 + [1] * 4 + [2] * 4, clusters=3, dataset=dataset, chunk=12)


@pytest.fixture
def newer(container: Container, dataset: str, older: str) -> str:
    """The same clusters as 2, 0 and 1."""
    return cluster(container, [2] * 4 + [0] * 4 + [1] * 4, clusters=3, dataset=dataset, chunk=12)


def carry(container: Container, older: str, newer: str, **how: Any) -> Receipt:  # noqa: ANN401
    return container.bus.handle(CarryOverEdits(run_id=newer, from_run_id=older, **how))


def curate(container: Container, run_id: str, dataset: str) -> list[int]:
    """An edit of every kind; their ids."""
    ids = query_ids(container, dataset)
    commands = [
        RenameCluster(run_id=run_id, cluster_id=0, title="Refunds"),
        SplitCluster(run_id=run_id, cluster_id=1, query_ids=ids[4:6], title="Cards"),
        MoveQueries(run_id=run_id, query_ids=[ids[0], ids[1]], to_cluster_id=3),
        FlagCluster(run_id=run_id, cluster_id=3, add=["review"]),
        MergeClusters(run_id=run_id, source_cluster_ids=[1], target_cluster_id=2, title="Rest"),
        DeleteCluster(run_id=run_id, cluster_id=0, orphan=True),
    ]
    return [int(container.bus.handle(one).position or 0) for one in commands]


def run_of(container: Container, run_id: str) -> ClusteringRun:
    return container.store.load(ClusteringRun, run_id)


def meta_of(container: Container, run_id: str) -> dict[int, dict[str, Any]]:
    """Version → what stands beside the event."""
    sql = text("SELECT version, meta FROM log.events WHERE stream = :stream")
    with container.database.engine.connect() as connection:
        return dict(connection.execute(sql, {"stream": f"clustering/{run_id}"}).all())


def test_each_edit_is_caused_by_the_one_that_it_repeats(
    container: Container, older: str, newer: str, dataset: str
) -> None:
    there = curate(container, older, dataset)
    context.set(Context(actor="anna", reason="new run", causation_id="a-click"))
    receipt = carry(container, older, newer)
    answer = receipt.answer
    assert [one["edit_id"] for one in answer["carried"]] == there[:5]
    meta = meta_of(container, newer)
    for one in answer["carried"]:
        assert meta[one["new_version"]]["causation_id"] == str(one["edit_id"])
        assert (meta[one["new_version"]]["actor"], meta[one["new_version"]]["reason"]) == ("anna", "new run")
    assert meta[max(meta)]["causation_id"] == "a-click"
    assert [one["edit_type"] for one in answer["undecided"]] == ["delete"]
    assert (answer["version"], answer["changed"], answer["dry_run"]) == (max(meta), True, False)
    run = run_of(container, newer)
    assert {one: each.title for one, each in run.clusters.items()} == {1: "Rest", 2: "Refunds", 3: "Cards"}
    assert run.clusters[3].flags == ("review",)


def test_it_is_one_group_and_one_undo_takes_it_back(
    container: Container, older: str, newer: str, dataset: str
) -> None:
    curate(container, older, dataset)
    before = run_of(container, newer)
    receipt = carry(container, older, newer)
    container.bus.handle(ReverseEdit(edit_id=receipt.position))
    after = run_of(container, newer)
    assert (after.clusters, after.partition) == (before.clusters, before.partition)
    container.bus.handle(ReverseEdit(edit_id=receipt.position, redo=True))
    assert run_of(container, newer).clusters[2].title == "Refunds"


def test_a_dry_run_says_it_all_and_changes_nothing(
    container: Container, older: str, newer: str, dataset: str
) -> None:
    curate(container, older, dataset)
    head, before = container.store.head(), vars(run_of(container, newer))
    would = carry(container, older, newer, dry_run=True)
    assert (would.position, container.store.head()) == (None, head)
    assert vars(run_of(container, newer)) == before
    done = carry(container, older, newer).answer
    same = ("carried", "already", "undecided", "lineage", "threshold")
    assert {name: would.answer[name] for name in same} == {name: done[name] for name in same}
    assert (would.answer["dry_run"], would.answer["changed"]) == (True, False)


def test_the_second_time_all_is_so(container: Container, older: str, newer: str, dataset: str) -> None:
    there = curate(container, older, dataset)
    first = carry(container, older, newer).answer
    head = container.store.head()
    second = carry(container, older, newer)
    assert (second.position, container.store.head()) == (None, head)
    assert [one["edit_id"] for one in second.answer["already"]] == there[:5]
    assert second.answer["undecided"] == first["undecided"]
    assert second.answer["changed"] is False


def test_what_was_edited_since_is_carried_the_next_time(container: Container, older: str, newer: str) -> None:
    for title in ("One", "Two"):
        edit = container.bus.handle(RenameCluster(run_id=older, cluster_id=0, title=title))
        answer = carry(container, older, newer).answer
        assert [one["edit_id"] for one in answer["carried"]] == [edit.position]
        assert run_of(container, newer).clusters[2].title == title


def test_of_an_older_run_without_edits_the_lineage_is_kept(
    container: Container, older: str, newer: str
) -> None:
    answer = carry(container, older, newer).answer
    assert (answer["carried"], answer["changed"]) == ([], True)
    pairs = [(one["old"], one["new"]) for one in answer["lineage"] if one["kind"] == "continuation"]
    assert pairs == [((0,), (2,)), ((1,), (0,)), ((2,), (1,))]
    project(container)
    with container.database.engine.connect() as connection:
        (kept,) = lineage_of(connection, newer)
    assert kept["links"][0]["evidence"][0]["overlap"] == 4
    assert (kept["from_run_id"], kept["edits"], kept["undecided"]) == (older, 0, [])


def test_an_older_run_that_was_merged_before_is_matched_without_that(
    container: Container, older: str, newer: str
) -> None:
    """What edits made of the clusters says nothing about what they were."""
    container.bus.handle(MergeClusters(run_id=older, source_cluster_ids=[0, 1], target_cluster_id=2))
    container.bus.handle(MergeClusters(run_id=newer, source_cluster_ids=[0], target_cluster_id=1))
    answer = carry(container, older, newer).answer
    assert len([one for one in answer["lineage"] if one["kind"] == "continuation"]) == 3
    assert set(run_of(container, newer).clusters) == {1}


# --- refusals


def test_another_data_set_is_a_conflict(container: Container, older: str) -> None:
    load(container, "x", dataset="elsewhere")
    other = cluster(container, [0], clusters=1, dataset="elsewhere")
    with pytest.raises(Conflict, match="edits are carried over within a data set"):
        carry(container, older, other)


def test_a_run_has_its_own_edits_already(container: Container, older: str) -> None:
    with pytest.raises(Invalid, match=r"from_run_id: run .* has its own edits already"):
        carry(container, older, older)


@pytest.mark.parametrize("threshold", [0, -1, 1.5])
def test_a_threshold_is_a_share(container: Container, older: str, newer: str, threshold: float) -> None:
    with pytest.raises(Invalid, match="threshold is"):
        carry(container, older, newer, threshold=threshold)


def test_both_runs_must_be_there_and_completed(container: Container, older: str, dataset: str) -> None:
    pending = request_run(container, dataset)
    for pair in ((older, pending), (pending, older)):
        with pytest.raises(Conflict, match="is pending"):
            carry(container, *pair)
    with pytest.raises(NotFound, match="nowhere"):
        carry(container, "nowhere", older)
    clear(container, dataset)
    with pytest.raises(NotFound, match="was cleared"):
        carry(container, older, pending)


def test_a_stale_view_is_refused(container: Container, older: str, newer: str) -> None:
    context.set(Context(expected_version=1))
    with pytest.raises(Stale, match="read it again"):
        carry(container, older, newer)


# --- runs of other queries


def disjoint(container: Container, dataset: str, centroids: Sequence[int], space: Space = SPACE) -> str:
    """A run of the last four queries alone, two in each cluster; a cluster lies on one of the axes."""
    run_id = request_run(container, dataset)
    record(container, run_id, 0, query_ids(container, dataset)[-4:], [0, 0, 1, 1])
    rows = np.eye(SPACE.dimension, dtype=np.float32)[list(centroids)]
    found = Clustering(np.empty(0, np.int32), np.empty(0, np.float32), rows, {}, {})
    container.bus.handle(CompleteClustering(run_id=run_id, space=space, clustering=found))
    return run_id


@pytest.fixture
def first_half(container: Container, dataset: str) -> str:
    """Clusters 0 and 1 on the first two axes, and four more queries in no run."""
    load(container, *"abcdefgh", dataset=dataset)
    return cluster(container, [0, 0, 1, 1], clusters=2, dataset=dataset)


def test_runs_without_a_common_query_are_matched_by_their_centroids(
    container: Container, first_half: str, dataset: str
) -> None:
    container.bus.handle(RenameCluster(run_id=first_half, cluster_id=0, title="Refunds"))
    run_id = disjoint(container, dataset, [1, 0])
    answer = carry(container, first_half, run_id).answer
    assert run_of(container, run_id).clusters[1].title == "Refunds"
    evidence = answer["lineage"][0]["evidence"][0]
    assert (evidence["overlap"], evidence["similarity"], evidence["score"]) == (0, 1.0, 1.0)


def test_centroids_of_another_space_say_nothing(container: Container, first_half: str, dataset: str) -> None:
    container.bus.handle(RenameCluster(run_id=first_half, cluster_id=0, title="Refunds"))
    run_id = disjoint(container, dataset, [1, 0], Space("words", "four", SPACE.dimension, "2"))
    answer = carry(container, first_half, run_id).answer
    assert [one["reason"] for one in answer["undecided"]] == ["no cluster of this run continues cluster 0"]
    assert {one["kind"] for one in answer["lineage"]} == {"birth", "death"}


# --- the read models


@pytest.mark.parametrize("batch", [1, 1_000])
def test_what_was_carried_is_shown_like_any_edit(
    container: Container, older: str, newer: str, dataset: str, batch: int
) -> None:
    there = curate(container, older, dataset)
    position = carry(container, older, newer).position
    project(container, batch)
    shown = rows(container, edits, run_id=newer)
    assert [one["caused_by"] for one in shown] == [*map(str, there[:5]), None]
    assert (shown[-1]["position"], shown[-1]["edit_type"]) == (position, "carry_over")
    assert shown[-1]["details"].keys().isdisjoint({"lineage", "undecided", "from_edits", "already", "heirs"})
    (run,) = rows(container, runs, run_id=newer)
    titles = {one["cluster_id"]: one["title"] for one in rows(container, clusters, run_no=run["run_no"])}
    assert titles == {1: "Rest", 2: "Refunds", 3: "Cards"}
    now = [one["cluster_id"] for one in rows(container, memberships, run_no=run["run_no"])]
    assert now == [int(one) for one in run_of(container, newer).partition.labels]
    container.bus.handle(ReverseEdit(edit_id=position))
    project(container, batch)
    assert all(one["undone_by"] for one in rows(container, edits, run_id=newer)[:6])


def test_the_history_of_lineages_is_newest_first(container: Container, older: str, newer: str) -> None:
    third = cluster(
        container, [0] * 4 + [1] * 4 + [2] * 4, clusters=3, dataset=run_of(container, older).dataset, chunk=12
    )
    for source in (older, third):
        carry(container, source, newer, threshold=0.4)
    project(container)
    with container.database.engine.connect() as connection:
        found = lineage_of(connection, newer)
    assert [one["from_run_id"] for one in found] == [third, older]
    assert found[0]["threshold"] == pytest.approx(0.4)
    assert logged(container, newer)[-2:] == ["curation.carried_over"] * 2
    assert "curation" in {one.name for one in READ_MODELS}
