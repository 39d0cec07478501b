"""However the log is cut into batches, the rows are the same, and they say what the aggregates say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.bootstrap import Container
from adapters.read_models import READ_MODELS
from adapters.rebuild import verify
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
from domain.clustering import Cluster, ClusteringRun
from domain.datasets import Dataset
from domain.errors import DomainError
from domain.values import ERASED, NOISE
from projections.base import bookkeeping
from projections.clustering import clusters, memberships, runs
from projections.curation import edits
from projections.datasets import datasets, queries
from tests.stories import clear, cluster, load, name, project, query_ids, rows


def assert_as_rebuilt(container: Container) -> None:
    """Row by row what a rebuild in batches of 1,000 gives, and nothing set aside."""
    for projection in READ_MODELS:
        _, differences = verify(container.database, projection, container.mapper, lambda name, position: None)
        assert differences == []
        assert rows(container, bookkeeping(projection.tables, "parked")) == []


def assert_as_decided(container: Container, run_id: str) -> None:
    """The rows of a run are its aggregate."""
    run = container.store.load(ClusteringRun, run_id)
    shown = rows(container, runs, run_id=run_id)
    if run.status == "retired":
        assert shown == []
        return
    (row,) = shown
    of_run = {"run_no": row["run_no"]}
    there = run.partition.labels != ERASED
    ids, labels = run.partition.query_ids[there].tolist(), run.partition.labels[there].tolist()
    members = {one["query_id"]: one["cluster_id"] for one in rows(container, memberships, **of_run)}
    assert members == dict(zip(ids, labels, strict=True))
    counted = ("completed", run.version, len(ids), len(run.clusters.keys() - {NOISE}))
    assert tuple(row[one] for one in ("status", "version", "num_queries", "num_clusters")) == counted
    assert [cluster_fields(one) for one in rows(container, clusters, **of_run)] == [
        {**vars(one), "cluster_id": cluster_id, "size": labels.count(cluster_id), **shown_of(one)}
        for cluster_id, one in sorted(run.clusters.items())
    ]


def cluster_fields(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the aggregate has it: flags are a tuple there."""
    return {name: value for name, value in row.items() if name != "run_no"} | {"flags": tuple(row["flags"])}


def shown_of(one: Cluster) -> dict[str, Any]:
    names = ("title", "description", "title_edited", "description_edited")
    return {name: getattr(one, name) for name in names}


def assert_history_as_decided(container: Container, run_id: str) -> None:
    """Every edit is a row, and those that are undone say by which."""
    run = container.store.load(ClusteringRun, run_id)
    found = {one["version"]: one["undone_by"] for one in rows(container, edits, run_id=run_id)}
    assert found.keys() == {version for one in run.history.packed() for version, _ in one}
    positions = container.store.positions(ClusteringRun, run_id, found)
    by = {one: positions[undone.until] for one, undone in run.history.undone.items()}
    assert found == {one: by.get(one) for one in found}


def assert_as_loaded(container: Container, dataset: str) -> None:
    state = container.store.load(Dataset, dataset)
    (row,) = rows(container, datasets, name=dataset)
    assert row["queries"] == state.queries
    shown = [one["query_id"] for one in rows(container, queries, dataset=dataset)]
    assert shown == query_ids(container, dataset)
    assert len(shown) == state.queries


# --- the case that folding makes hard


def edit_in_turns(container: Container, dataset: str) -> str:
    """Two renames of a title, titles of a model between them, a query that goes back and forth."""
    ids = load(container, "one", "two", "three", "four", dataset=dataset)
    run_id = cluster(container, [0, 0, 1, -1], clusters=3, dataset=dataset)
    bus = container.bus
    bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=1))
    bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="First"))
    name(container, run_id, "model", 0, 1, 2)
    bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=0))
    bus.handle(MoveQuery(run_id=run_id, query_id=ids[3], to_cluster_id=2))
    bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Second"))
    bus.handle(RenameCluster(run_id=run_id, cluster_id=1, description="by hand"))
    name(container, run_id, "later", 0, 1)
    bus.handle(RenameCluster(run_id=run_id, cluster_id=0, description="of hers"))
    bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=2))
    return run_id


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 1_000])
def test_edits_are_folded_to_what_they_come_to(container: Container, dataset: str, batch: int) -> None:
    run_id = edit_in_turns(container, dataset)
    project(container, batch)
    assert_as_decided(container, run_id)
    of_run = {"run_no": rows(container, runs, run_id=run_id)[0]["run_no"]}
    titles = [(one["title"], one["description"]) for one in rows(container, clusters, **of_run)]
    assert titles == [
        (None, None),
        ("Second", "of hers"),
        ("later 1", "by hand"),
        ("model 2", "about model 2"),
    ]
    assert [one["size"] for one in rows(container, clusters, **of_run)] == [0, 1, 1, 2]
    assert_as_rebuilt(container)


# --- any case

Act = Callable[[Container, "World"], object]


class World:
    """The data sets and runs of one example."""

    def __init__(self) -> None:
        self.datasets = [f"w{uuid4().hex[:10]}" for _ in range(2)]
        self.runs: list[str] = []

    def run(self, number: int) -> str:
        return self.runs[number % len(self.runs)] if self.runs else "none yet"


def _load(at: int, count: int) -> Act:
    return lambda container, world: load(
        container, *(f"query {n}" for n in range(count)), dataset=world.datasets[at]
    )


def _cluster(at: int, labels: list[int], chunk: int) -> Act:
    def act(container: Container, world: World) -> None:
        there = query_ids(container, world.datasets[at])
        given_labels = [labels[n % len(labels)] for n in range(len(there))]
        run_id = cluster(container, given_labels, clusters=3, dataset=world.datasets[at], chunk=chunk)
        world.runs.append(run_id)

    return act


def _move(at: int, number: int, to: int) -> Act:
    def act(container: Container, world: World) -> None:
        ids = container.store.load(ClusteringRun, world.run(at)).partition.query_ids
        query_id = int(ids[number % len(ids)])
        container.bus.handle(MoveQuery(run_id=world.run(at), query_id=query_id, to_cluster_id=to))

    return act


def _rename(at: int, cluster_id: int, title: str | None, words: str | None) -> Act:
    return lambda container, world: container.bus.handle(
        RenameCluster(run_id=world.run(at), cluster_id=cluster_id, title=title, description=words)
    )


def _name(at: int, word: str, cluster_ids: set[int]) -> Act:
    return lambda container, world: name(container, world.run(at), word, *sorted(cluster_ids))


SMALL = st.integers(0, 3)
WORDS = st.none() | st.sampled_from(["Tax", "Law", "Food"])
EDIT = st.one_of(
    st.builds(_move, SMALL, st.integers(0, 9), st.integers(-1, 3)),
    st.builds(_rename, SMALL, st.integers(-1, 3), WORDS, WORDS),
    st.builds(_name, SMALL, st.sampled_from(["model", "later"]), st.sets(st.integers(0, 2), min_size=1)),
)
ANY = st.one_of(
    st.builds(_load, st.integers(0, 1), st.integers(1, 4)),
    st.builds(
        _cluster, st.integers(0, 1), st.lists(st.integers(-1, 2), min_size=1, max_size=5), st.integers(1, 4)
    ),
    EDIT,
    EDIT,
    st.integers(0, 1).map(lambda at: lambda container, world: clear(container, world.datasets[at])),
)
BEGIN = st.tuples(
    st.builds(_load, st.just(0), st.integers(2, 6)),
    st.builds(_cluster, st.just(0), st.lists(st.integers(-1, 2), min_size=1, max_size=5), st.integers(1, 4)),
)
PROJECT = st.none() | st.sampled_from([1, 2, 5, 1_000])
"""After an act: wait with projecting, or do it in batches of this size."""


@given(BEGIN, st.lists(st.tuples(ANY, PROJECT), max_size=14), st.sampled_from([1, 3, 1_000]))
@settings(
    max_examples=settings().max_examples // 6, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_history_in_any_batches_makes_the_same_rows(
    shared: Container, begin: tuple[Act, Act], acts: list[tuple[Act, int | None]], last: int
) -> None:
    world = World()
    for act, batch in [*((one, None) for one in begin), *acts]:
        with suppress(DomainError):
            act(shared, world)
        if batch:
            project(shared, batch)
    project(shared, last)
    for run_id in world.runs:
        assert_as_decided(shared, run_id)
    assert_as_loaded(shared, world.datasets[0])
    assert_as_rebuilt(shared)


# --- any edits of one run

CLUSTER = st.integers(NOISE, 5)
PLACES = st.lists(st.integers(0, 7), min_size=1, max_size=4)
Edit = Callable[[str, list[int]], Any]
"""A command for a run with these queries."""


def _split(cluster_id: int, places: list[int], title: str) -> Edit:
    return lambda run_id, ids: SplitCluster(
        run_id=run_id, cluster_id=cluster_id, query_ids=[ids[one] for one in places], title=title
    )


def _many(places: list[int], to: int) -> Edit:
    return lambda run_id, ids: MoveQueries(
        run_id=run_id, query_ids=[ids[one] for one in places], to_cluster_id=to
    )


def _command(kind: type, **fields: Any) -> Edit:  # noqa: ANN401
    return lambda run_id, ids: kind(run_id=run_id, **fields)


def _any(kind: type, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Edit]:
    return st.builds(_command, st.just(kind), **fields)


NOTES = st.dictionaries(st.sampled_from(["quality", "notes"]), st.sampled_from(["low", "high", None]))
FLAGS = st.lists(st.sampled_from(["odd", "done"]), max_size=2)
OF_ONE_RUN: st.SearchStrategy[Edit | str] = st.one_of(
    st.builds(_many, PLACES, CLUSTER),
    st.builds(_split, CLUSTER, PLACES, st.sampled_from(["Tax", "Law"])),
    _any(
        MergeClusters,
        source_cluster_ids=st.sets(CLUSTER, min_size=1, max_size=2).map(sorted),
        target_cluster_id=CLUSTER,
        title=WORDS,
    ),
    _any(DeleteCluster, cluster_id=CLUSTER, orphan=st.just(True)),
    _any(DeleteCluster, cluster_id=CLUSTER, move_to_cluster_id=CLUSTER),
    _any(RenameCluster, cluster_id=CLUSTER, title=WORDS, description=WORDS),
    _any(AnnotateCluster, cluster_id=CLUSTER, metadata=NOTES),
    _any(FlagCluster, cluster_id=CLUSTER, add=FLAGS, remove=FLAGS),
    _any(ReverseEdit, redo=st.booleans()),
    _any(ReverseEdit, redo=st.just(False)),
    st.sampled_from(["model", "later"]),
)
"""A command, or the word of a summary run that names clusters."""
NOW_AND_THEN = st.sampled_from([None, None, None, 1, 3])


@pytest.fixture(scope="module")
def loaded(shared: Container) -> tuple[str, list[int]]:
    """A data set, and its queries."""
    name_of_it = f"w{uuid4().hex[:10]}"
    return name_of_it, load(shared, *"abcdefgh", dataset=name_of_it)


@given(st.lists(st.tuples(OF_ONE_RUN, NOW_AND_THEN, st.integers(0, 99)), min_size=4, max_size=24))
@settings(
    max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_edits_undone_and_redone_in_any_batches_are_what_the_aggregate_says(
    shared: Container, loaded: tuple[str, list[int]], acts: list[tuple[Edit | str, int | None, int]]
) -> None:
    dataset, ids = loaded
    run_id = cluster(shared, [0, 0, 1, 1, 2, 2, NOISE, NOISE], clusters=3, dataset=dataset, chunk=8)
    for act, batch, number in acts:
        with suppress(DomainError):
            if isinstance(act, str):
                name(shared, run_id, act, *range(number % 5))
            else:
                shared.bus.handle(_chosen(shared, act(run_id, ids), number))
        if batch:
            project(shared, batch, "clustering", "curation")
    project(shared, 5, "clustering", "curation")
    assert_as_decided(shared, run_id)
    assert_history_as_decided(shared, run_id)


def _chosen(container: Container, command: Any, number: int) -> Any:  # noqa: ANN401
    """Half of the undos and redos name an edit, an undo or a redo, and take along what is in the way."""
    if not isinstance(command, ReverseEdit) or number % 2:
        return command
    history = container.store.load(ClusteringRun, str(command.run_id)).history
    versions = sorted({version for one in history.packed() for version, _ in one})
    if not versions:
        return command
    version = versions[number % len(versions)]
    position = container.store.positions(ClusteringRun, str(command.run_id), [version])[version]
    return replace(command, edit_id=position, cascade=True)


def test_a_cluster_that_went_and_came_back_in_one_batch_is_as_it_was(
    container: Container, dataset: str
) -> None:
    load(container, "a", "b", dataset=dataset)
    run_id = cluster(container, [0, 1], clusters=2, dataset=dataset)
    bus = container.bus
    bus.handle(RenameCluster(run_id=run_id, cluster_id=1, title="Tax"))
    bus.handle(FlagCluster(run_id=run_id, cluster_id=1, add=["odd"]))
    project(container)
    before = rows(container, clusters), rows(container, memberships)
    bus.handle(DeleteCluster(run_id=run_id, cluster_id=1, orphan=True))
    bus.handle(ReverseEdit(run_id=run_id))
    project(container)
    assert (rows(container, clusters), rows(container, memberships)) == before
    assert_as_decided(container, run_id)


def test_a_difference_between_live_and_rebuilt_rows_is_seen(container: Container, dataset: str) -> None:
    load(container, "one", dataset=dataset)
    project(container)
    with container.database.connection() as connection:
        connection.execute("UPDATE datasets.datasets SET queries = 9 WHERE name = %s", [dataset])
    found: dict[str, Any] = {}
    for projection in READ_MODELS:
        _, differences = verify(container.database, projection, container.mapper, lambda *_: None)
        found |= {one.table: one.rows for one in differences}
    assert found == {"datasets": 2}
