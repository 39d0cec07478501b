"""Measures follow edits: what is measured again, what is not, and what a repetition does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from adapters.bootstrap import Container
from adapters.contents import StoredVectors
from commands import measures as module
from commands.bus import bind
from commands.curation import (
    DeleteCluster,
    MergeClusters,
    MoveQueries,
    RenameCluster,
    ReverseEdit,
    SplitCluster,
)
from commands.jobs import WORK
from commands.measures import changed_clusters
from commands.ports import Outcome
from domain.clustering import ClusteringRun
from domain.measures import Measures
from domain.values import NOISE, Space
from projections.measures import measured_version, measures, measures_of
from tests.browsing import Installation, browsed, cluster, conversation, load, project
from tests.stories import logged, rows


@pytest.fixture(scope="module")
def made(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with browsed(server, tmp_path_factory.mktemp("measured")) as installation:
        yield installation


@pytest.fixture
def container(made: Installation) -> Container:
    return made.container


@pytest.fixture
def ids(made: Installation, dataset: str) -> list[int]:
    return load(made, dataset, [conversation(n, (0, 1, 2, -1)[n % 4]) for n in range(24)])


@pytest.fixture
def run(made: Installation, dataset: str, ids: list[int]) -> str:
    """Six queries of each of four topics, one of them in the noise. Measured."""
    run_id = cluster(made, dataset, {one: (0, 1, 2, NOISE)[n % 4] for n, one in enumerate(ids)})
    measure(made.container, run_id)
    return run_id


def measure(container: Container, run_id: str) -> list[int]:
    """Runs the job; returns which clusters it measured or found gone."""
    before = container.store.find(Measures, run_id)
    since = before.version if before else 1
    bind(WORK["measure"].run, {**container.needs, "bus": container.bus})(run_id=run_id)
    now = container.store.load(Measures, run_id)
    events = container.store.events(Measures, run_id, range(since + 1, now.version + 1)).values()
    return sorted(one for e in events for one in (*e.gone, *(row["cluster_id"] for row in e.clusters)))


def by_hand(container: Container, run_id: str) -> dict[int, tuple[int, float | None, Any]]:
    """Size, cohesion and centroid of each cluster, from the vectors one by one."""
    run = container.store.load(ClusteringRun, run_id)
    space = container.store.load(ClusteringRun, run_id).space
    assert space is not None
    found: dict[int, tuple[int, float | None, Any]] = {}
    for one in run.clusters:
        members = run.partition.members(one)
        texts = [
            text
            for query_id, text, _ in container.embeddings.queries(run.dataset, 0, 2**62, 1_000)
            if query_id in members
        ]
        vectors = container.embeddings.get(Space(**space), texts)
        total = np.sum([vectors[text] for text in texts], axis=0, dtype=np.float64) if texts else None
        length = float(np.linalg.norm(total)) if total is not None else 0.0
        cohesion = length / len(texts) if texts else None
        found[one] = (len(texts), cohesion, np.zeros(space["dimension"]) if total is None else total / length)
    return found


def check(container: Container, run_id: str) -> None:
    """The read model says what the vectors say."""
    project(container)
    expected = by_hand(container, run_id)
    found = rows(container, measures, run_id=run_id)
    assert [one["cluster_id"] for one in found] == sorted(expected)
    for one in found:
        size, cohesion, centroid = expected[one["cluster_id"]]
        assert one["size"] == size
        assert one["cohesion"] == (None if cohesion is None else pytest.approx(cohesion, abs=1e-6))
        np.testing.assert_allclose(np.frombuffer(one["centroid"], "<f4"), centroid, atol=1e-6)


def test_a_completed_run_is_measured_in_one_pass(
    made: Installation, dataset: str, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    source = made.container.embeddings.source

    def counted(dataset: str, space: Space, up_to: int) -> StoredVectors:
        asked.append(dataset)
        return source(dataset, space, up_to)

    monkeypatch.setattr(made.container.embeddings, "source", counted)
    run_id = cluster(made, dataset, {one: n % 3 for n, one in enumerate(ids)})
    assert measure(made.container, run_id) == [0, 1, 2]
    assert len(asked) == 1
    check(made.container, run_id)


def test_nothing_is_measured_twice(container: Container, run: str) -> None:
    assert measure(container, run) == []
    container.bus.handle(RenameCluster(run_id=run, cluster_id=0, title="Money"))
    assert measure(container, run) == []
    assert logged(container, run).count("measures.clusters_measured") == 1


def test_after_an_edit_only_the_clusters_that_it_regrouped(
    container: Container, run: str, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container.embeddings, "source", None)
    container.bus.handle(MoveQueries(run_id=run, query_ids=ids[:1], to_cluster_id=1))
    assert measure(container, run) == [0, 1]
    check(container, run)


def test_edits_of_all_kinds_between_two_measurings(container: Container, run: str, ids: list[int]) -> None:
    bus = container.bus
    bus.handle(SplitCluster(run_id=run, cluster_id=0, query_ids=ids[:8:4], title="New"))
    bus.handle(MergeClusters(run_id=run, source_cluster_ids=[1], target_cluster_id=0))
    assert measure(container, run) == [0, 1, 3]
    check(container, run)
    bus.handle(DeleteCluster(run_id=run, cluster_id=2, orphan=True))
    bus.handle(MoveQueries(run_id=run, query_ids=ids[3::4], to_cluster_id=0))
    assert measure(container, run) == [NOISE, 0, 2]
    check(container, run)
    bus.handle(ReverseEdit(run_id=run))
    bus.handle(ReverseEdit(run_id=run))
    assert measure(container, run) == [NOISE, 0, 2]
    check(container, run)


def test_an_erased_query_counts_no_more(container: Container, run: str, ids: list[int]) -> None:
    erase(container, run, ids[:1])
    assert measure(container, run) == [0]
    check(container, run)
    assert rows(container, measures, run_id=run, cluster_id=0)[0]["size"] == 5


def erase(container: Container, run_id: str, query_ids: list[int]) -> None:
    run = container.store.load(ClusteringRun, run_id)
    run.erase(np.array(query_ids, np.int64))
    container.store.commit(Outcome((run,)), "EraseQueries")


def test_queries_that_are_added_later_count_too(
    made: Installation, container: Container, run: str, dataset: str
) -> None:
    new = load(made, dataset, [conversation(n, 1) for n in (101, 102)])
    extended = container.store.load(ClusteringRun, run)
    extended.request_extension("x1", new[-1], 0.0)
    extended.add("x1", np.array(new), np.array([1, 2], np.int32), np.full(2, 0.5, np.float32))
    extended.end_extension("x1", None)
    container.store.commit(Outcome((extended,)), "ExtendRun")
    assert measure(container, run) == [1, 2]
    check(container, run)


@pytest.mark.parametrize("most", [0, 2_000])
def test_states_and_events_tell_the_same(
    container: Container, run: str, ids: list[int], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_EVENTS", most)
    since = container.store.load(ClusteringRun, run).version
    container.bus.handle(SplitCluster(run_id=run, cluster_id=1, query_ids=ids[1:9:4], title="New"))
    container.bus.handle(MergeClusters(run_id=run, source_cluster_ids=[2], target_cluster_id=0))
    container.bus.handle(RenameCluster(run_id=run, cluster_id=NOISE, title="Rest"))
    now = container.store.load(ClusteringRun, run)
    assert changed_clusters(container.store, now, since) == {0, 1, 2, 3}


def test_many_clusters_are_recorded_in_parts(
    made: Installation, dataset: str, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    run_id = cluster(made, dataset, {one: n % 5 for n, one in enumerate(ids)})
    assert measure(made.container, run_id) == [0, 1, 2, 3, 4]
    assert logged(made.container, run_id).count("measures.clusters_measured") == 3
    check(made.container, run_id)


def test_a_run_that_was_cleared_is_not_measured_and_not_shown(
    container: Container, run: str, ids: list[int]
) -> None:
    project(container)
    container.bus.handle(MoveQueries(run_id=run, query_ids=ids[:1], to_cluster_id=1))
    retire(container, run)
    assert measure(container, run) == []
    project(container)
    assert rows(container, measures, run_id=run) == []


def retire(container: Container, run_id: str) -> None:
    run = container.store.load(ClusteringRun, run_id)
    run.retire()
    container.store.commit(Outcome((run,)), "ClearDataset")


def test_what_is_recorded_of_a_run_that_is_cleared_meanwhile_finds_no_place(
    container: Container, run: str
) -> None:
    before = container.store.load(Measures, run)
    before.record(before.run_version + 1, [("00" * 32, [{"cluster_id": 9, "size": 1, "cohesion": 1.0}])])
    retire(container, run)
    container.store.commit(Outcome((before,)), "RecordMeasures")
    project(container)
    assert rows(container, measures, run_id=run) == []


def test_measures_are_the_same_in_a_rebuild(container: Container, run: str, ids: list[int]) -> None:
    container.bus.handle(MergeClusters(run_id=run, source_cluster_ids=[1], target_cluster_id=0))
    measure(container, run)
    project(container)
    with container.database.engine.connect() as connection:
        found = measures_of(connection, run)
        assert measured_version(connection, run) == container.store.load(ClusteringRun, run).version
    (verified,) = container.read_models.verify("measures")
    assert verified["equal"], verified
    container.read_models.rebuild("measures")
    with container.database.engine.connect() as connection:
        assert measures_of(connection, run) == found
