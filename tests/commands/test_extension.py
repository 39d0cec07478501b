"""An extension is checked, worked off by a job that can be repeated, and disturbs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from adapters.bootstrap import Container
from commands import extension
from commands.curation import (
    DeleteCluster,
    MergeClusters,
    MoveQuery,
    RenameCluster,
    ReverseEdit,
    SplitCluster,
)
from commands.extension import CONFIDENCE_FLOOR, RequestExtension, nearest, run_extension
from commands.jobs import WORK
from commands.measures import run_measure
from commands.policies import Job, jobs_for
from domain.clustering import ClusteringRun
from domain.errors import Conflict, Invalid, NotFound, Unavailable
from domain.measures import Measures
from domain.values import NOISE, ORPHAN, Space, Vectors
from projections import clustering as read
from tests.runs import SPACE
from tests.stories import AT, clear, cluster, load, logged, project, request_run, rows

AXES = {"a": [1.0, 0, 0, 0], "b": [0, 1.0, 0, 0], "c": [0, 0, 1.0, 0], "0": [0.0, 0, 0, 0]}


class ByLetters:
    """A text has the sum of its letters before the blank as its direction: `aab x` is nearer to a than b."""

    def __init__(self, space: Space = SPACE) -> None:
        self.space = space
        self.embedded: list[str] = []

    def get(self, provider: str, model: str, options: Mapping[str, Any]) -> ByLetters:
        return self

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        found = np.array([np.sum([AXES[one] for one in text.split()[0]], axis=0) for text in texts])
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1), 1e-9)[:, None], np.float32)


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    """Clusters 0 of two a, 1 of two b and 2 of two c."""
    load(container, "a 1", "a 2", "b 1", "b 2", "c 1", "c 2", dataset=dataset)
    return cluster(container, [0, 0, 1, 1, 2, 2], clusters=3, dataset=dataset)


def request(container: Container, run_id: str, floor: float = CONFIDENCE_FLOOR) -> str:
    command = RequestExtension(run_id=run_id, at=AT, confidence_floor=floor)
    return str(container.bus.handle(command).answer["extension_id"])


def work(
    container: Container,
    run_id: str,
    extension_id: str,
    bus: Any = None,  # noqa: ANN401
    embedder: ByLetters | None = None,
    told: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    run_extension(
        run_id,
        extension_id,
        bus=bus or container.bus,
        store=container.store,
        contents=container.contents,
        embeddings=container.embeddings,
        embedders=embedder or ByLetters(),
        progress=told,
    )


def extend(container: Container, run_id: str, floor: float = CONFIDENCE_FLOOR) -> None:
    work(container, run_id, request(container, run_id, floor))


def run_of(container: Container, run_id: str) -> ClusteringRun:
    return container.store.load(ClusteringRun, run_id)


def labels_of(container: Container, run_id: str, ids: Sequence[int]) -> list[int]:
    return [int(one) for one in run_of(container, run_id).partition.labels_of(ids)]


# --- the request


def test_a_request_is_answered_at_once_and_sets_a_job_going(
    container: Container, run_id: str, dataset: str
) -> None:
    last = load(container, "a 3", dataset=dataset)[-1]
    version = run_of(container, run_id).version + 1
    receipt = container.bus.handle(RequestExtension(run_id=run_id, at=AT))
    extension_id = f"extend-20251004-170442-v{version}"
    assert receipt.answer == {"run_id": run_id, "extension_id": extension_id, "status": "pending"}
    event = container.store.events(ClusteringRun, run_id, [version])[version]
    assert (event.last_query_id, event.confidence_floor) == (last, CONFIDENCE_FLOOR)
    arguments = {"run_id": run_id, "extension_id": extension_id}
    assert jobs_for(event) == [Job("extend", f"{run_id}-{extension_id}", arguments)]
    assert WORK["extend"].run is run_extension


def test_nothing_new_is_a_conflict(container: Container, run_id: str, dataset: str) -> None:
    with pytest.raises(Conflict, match=f"no queries were loaded into '{dataset}' since"):
        request(container, run_id)
    load(container, "a 3", dataset=dataset)
    extend(container, run_id)
    with pytest.raises(Conflict, match="no queries were loaded"):
        request(container, run_id)


def test_a_second_one_waits_for_the_first(container: Container, run_id: str, dataset: str) -> None:
    load(container, "a 3", dataset=dataset)
    first = request(container, run_id)
    with pytest.raises(Conflict, match=f"is being extended already: {first}"):
        request(container, run_id)
    work(container, run_id, first)
    load(container, "a 4", dataset=dataset)
    assert request(container, run_id) != first


def test_a_floor_is_checked_before_a_job_is_queued(container: Container, run_id: str, dataset: str) -> None:
    load(container, "a 3", dataset=dataset)
    with pytest.raises(Invalid, match="confidence_floor is 2; it goes from 0 to 1"):
        request(container, run_id, 2)


def test_a_run_that_is_not_there_or_not_completed(container: Container, dataset: str) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        request(container, "nowhere")
    load(container, "a 3", dataset=dataset)
    with pytest.raises(Conflict, match="is pending"):
        request(container, request_run(container, dataset))


# --- the job


def test_queries_go_to_the_nearest_cluster_and_nothing_else_changes(
    container: Container, run_id: str, dataset: str
) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Tax"))
    before = run_of(container, run_id)
    ids = load(container, "c 3", "aab 1", "b 3", "c 4", dataset=dataset)
    embedder, told = ByLetters(), []
    work(
        container,
        run_id,
        request(container, run_id),
        embedder=embedder,
        told=lambda done, total: told.append(done),
    )
    run = run_of(container, run_id)
    assert labels_of(container, run_id, ids) == [2, 0, 1, 2]
    assert run.partition.labels_of(before.partition.query_ids).tolist() == before.partition.labels.tolist()
    assert (run.clusters, run.history, run.extension) == (before.clusters, before.history, None)
    assert {"c 3", "aab 1", "b 3", "c 4"} <= set(embedder.embedded)
    assert told == [4]
    assert logged(container, run_id)[-3:] == [
        "clustering.extension_requested",
        "clustering.queries_added",
        "clustering.extension_ended",
    ]


def test_clusters_are_as_people_have_them_now(container: Container, run_id: str, dataset: str) -> None:
    """The a go into cluster 2, so what is like a belongs there; cluster 0 has nothing left."""
    edit = MergeClusters(run_id=run_id, source_cluster_ids=[1], target_cluster_id=2)
    container.bus.handle(edit)
    for query_id in run_of(container, run_id).partition.members(0).tolist():
        container.bus.handle(MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=2))
    ids = load(container, "a 3", "c 3", dataset=dataset)
    extend(container, run_id)
    assert labels_of(container, run_id, ids) == [2, 2]


def test_what_is_between_two_is_an_orphan_unless_any_will_do(
    container: Container, run_id: str, dataset: str
) -> None:
    (first,) = load(container, "ab 1", dataset=dataset)
    extend(container, run_id)
    (second,) = load(container, "ab 2", dataset=dataset)
    extend(container, run_id, 0.0)
    assert labels_of(container, run_id, [first, second]) == [ORPHAN, 0]


def test_without_a_direction_there_is_no_nearest(container: Container, run_id: str, dataset: str) -> None:
    ids = load(container, "0 nothing", "a 3", dataset=dataset)
    extend(container, run_id, 0.0)
    assert labels_of(container, run_id, ids) == [ORPHAN, 0]


def test_a_cluster_without_a_direction_takes_in_nothing(container: Container, dataset: str) -> None:
    load(container, "0 1", "b 1", dataset=dataset)
    run_id = cluster(container, [0, 1], clusters=2, dataset=dataset)
    ids = load(container, "c 1", dataset=dataset)
    extend(container, run_id, 0.0)
    assert labels_of(container, run_id, ids) == [1]


def test_a_run_of_one_cluster(container: Container, dataset: str) -> None:
    load(container, "a 1", "a 2", dataset=dataset)
    run_id = cluster(container, [0, 0], clusters=1, dataset=dataset)
    ids = load(container, "a 3", "aab 1", "b 1", dataset=dataset)
    extend(container, run_id)
    assert labels_of(container, run_id, ids) == [0, 0, ORPHAN]


def test_noise_takes_in_nothing(container: Container, dataset: str) -> None:
    load(container, "a 1", "b 1", dataset=dataset)
    run_id = cluster(container, [0, NOISE], clusters=1, dataset=dataset)
    ids = load(container, "aab 2", dataset=dataset)
    extend(container, run_id)
    assert labels_of(container, run_id, ids) == [0]


def test_a_run_without_members_cannot_be_extended(container: Container, dataset: str) -> None:
    load(container, "a 1", dataset=dataset)
    run_id = cluster(container, [NOISE], clusters=0, dataset=dataset)
    load(container, "a 2", dataset=dataset)
    with pytest.raises(Conflict, match="has no cluster with members"):
        extend(container, run_id)


def test_a_run_of_another_space_cannot_be_extended(container: Container, run_id: str, dataset: str) -> None:
    load(container, "a 3", dataset=dataset)
    extension_id = request(container, run_id)
    strange = ByLetters(Space("words", "four", 4, "2"))
    with pytest.raises(Conflict, match="is in another space than words_four_4"):
        work(container, run_id, extension_id, embedder=strange)


# --- again, after a crash, and while people edit


class Dying:
    """A bus of a worker that dies after so many commands."""

    def __init__(self, bus: Any, commands: int, meanwhile: Callable[[], object] = lambda: None) -> None:  # noqa: ANN401
        self._bus = bus
        self._left = commands
        self._meanwhile = meanwhile

    def handle(self, command: object) -> object:
        self._left -= 1
        if self._left < 0:
            raise Unavailable("killed")
        done = self._bus.handle(command)
        self._meanwhile()
        return done


LATER = ("a 3", "aab 1", "b 3", "aabb 1", "abb 2", "c 9", "aab 7")


@pytest.fixture
def undisturbed(container: Container, run_id: str, dataset: str) -> list[int]:
    """The labels of what comes later, when nobody dies."""
    ids = load(container, *LATER, dataset=dataset)
    extend(container, run_id)
    return labels_of(container, run_id, ids)


@pytest.mark.parametrize("commands", range(6))
def test_a_job_goes_on_where_a_worker_died(
    container: Container, undisturbed: list[int], commands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extension, "CHUNK", 2)
    dataset = f"another-{commands}"
    load(container, "a 1", "a 2", "b 1", "b 2", "c 1", "c 2", dataset=dataset)
    run_id = cluster(container, [0, 0, 1, 1, 2, 2], clusters=3, dataset=dataset)
    ids = load(container, *LATER, dataset=dataset)
    extension_id = request(container, run_id)
    with pytest.raises(Unavailable):
        work(container, run_id, extension_id, Dying(container.bus, commands))
    work(container, run_id, extension_id)
    assert labels_of(container, run_id, ids) == undisturbed
    added = logged(container, run_id).count("clustering.queries_added")
    assert added == 4
    assert run_of(container, run_id).extension is None


def test_a_job_that_is_repeated_does_nothing_more(container: Container, run_id: str, dataset: str) -> None:
    load(container, "a 3", dataset=dataset)
    extension_id = request(container, run_id)
    work(container, run_id, extension_id)
    head, embedder = container.store.head(), ByLetters()
    work(container, run_id, extension_id, embedder=embedder)
    assert (container.store.head(), embedder.embedded) == (head, [])


def during(container: Container, run_id: str, dataset: str, edit: object) -> list[int]:
    """Extend by two times "b", with an edit between them."""
    ids = load(container, "b 5", "b 6", dataset=dataset)
    extension_id = request(container, run_id)
    edits = iter([edit])

    def meanwhile() -> None:
        if run_of(container, run_id).partition.cluster_of(ids[0]) is not None:
            for one in edits:
                container.bus.handle(one)

    work(container, run_id, extension_id, Dying(container.bus, 99, meanwhile))
    return labels_of(container, run_id, ids)


def test_a_cluster_that_is_merged_meanwhile_takes_its_queries_along(
    container: Container, run_id: str, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extension, "CHUNK", 1)
    edit = MergeClusters(run_id=run_id, source_cluster_ids=[1], target_cluster_id=2, title="Both")
    assert during(container, run_id, dataset, edit) == [2, 2]
    assert run_of(container, run_id).clusters[2].title == "Both"


def test_a_cluster_that_is_deleted_meanwhile_takes_in_nothing(
    container: Container, run_id: str, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extension, "CHUNK", 1)
    assert during(container, run_id, dataset, DeleteCluster(run_id=run_id, cluster_id=1, orphan=True)) == [
        ORPHAN,
        ORPHAN,
    ]


def test_an_edit_between_reading_and_recording_is_not_overwritten(
    container: Container, run_id: str, dataset: str
) -> None:
    (query_id,) = load(container, "a 3", dataset=dataset)
    extension_id = request(container, run_id)
    work(container, run_id, extension_id, Dying(container.bus, 99))
    container.bus.handle(MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=2))
    work(container, run_id, extension_id)
    assert labels_of(container, run_id, [query_id]) == [2]


def test_a_run_that_is_cleared_under_the_job_is_left_alone(
    container: Container, run_id: str, dataset: str
) -> None:
    load(container, "a 3", dataset=dataset)
    extension_id = request(container, run_id)
    clear(container, dataset)
    work(container, run_id, extension_id)
    failed = WORK["extend"].failed
    assert failed is not None
    container.bus.handle(failed({"run_id": run_id, "extension_id": extension_id}, "too late"))
    assert logged(container, run_id)[-1] == "clustering.retired"
    project(container)
    assert rows(container, read.runs, run_id=run_id) == []


def test_a_job_that_is_given_up_records_why(container: Container, run_id: str, dataset: str) -> None:
    load(container, "a 3", "a 4", dataset=dataset)
    extension_id = request(container, run_id)
    failed = WORK["extend"].failed
    assert failed is not None
    container.bus.handle(failed({"run_id": run_id, "extension_id": extension_id}, "the key is wrong"))
    project(container)
    (row,) = shown(container, run_id)
    assert (row["status"], row["error"], row["added"]) == ("failed", "the key is wrong", 0)
    extend(container, run_id)
    project(container)
    again, before = shown(container, run_id)
    assert (again["status"], again["added"], before["status"]) == ("completed", 2, "failed")


def test_the_undo_of_a_split_takes_along_what_came_to_it(
    container: Container, run_id: str, dataset: str
) -> None:
    one = int(run_of(container, run_id).partition.members(0)[0])
    split = container.bus.handle(SplitCluster(run_id=run_id, cluster_id=0, query_ids=[one], title="Part"))
    ids = load(container, "a 8", dataset=dataset)
    extend(container, run_id, 0.0)
    container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=3))
    with pytest.raises(Conflict, match="came later and touched the same; undo these first"):
        container.bus.handle(ReverseEdit(edit_id=split.position))
    container.bus.handle(ReverseEdit(edit_id=split.position, cascade=True))
    assert labels_of(container, run_id, [one, *ids]) == [0, 0]


# --- the read models


def shown(container: Container, run_id: str) -> list[dict[str, Any]]:
    with container.database.engine.connect() as connection:
        (run,) = rows(container, read.runs, run_id=run_id)
        return read.list_extensions(connection, run["run_no"])


@pytest.mark.parametrize("batch", [1, 1_000])
def test_what_came_is_shown(container: Container, run_id: str, dataset: str, batch: int) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Tax"))
    ids = load(container, "a 3", "ab 1", "b 3", dataset=dataset)
    extension_id = request(container, run_id)
    project(container, batch)
    (row,) = shown(container, run_id)
    assert (row["status"], row["added"], row["orphaned"], row["ended_at"]) == ("pending", None, None, None)
    work(container, run_id, extension_id)
    container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=1))
    project(container, batch)
    (row,) = shown(container, run_id)
    assert (row["status"], row["added"], row["orphaned"], row["error"]) == ("completed", 3, 1, None)
    assert (row["after_query_id"], row["last_query_id"]) == (ids[0] - 1, ids[-1])
    assert row["ended_at"] >= row["requested_at"]
    (run,) = rows(container, read.runs, run_id=run_id)
    assert (run["num_queries"], run["last_query_id"], run["num_clusters"]) == (9, ids[-1], 3)
    of_run = {one["query_id"]: one for one in rows(container, read.memberships, run_no=run["run_no"])}
    assert [of_run[one]["cluster_id"] for one in ids] == [1, ORPHAN, 1]
    assert [of_run[one]["assigned_to"] for one in ids] == [0, ORPHAN, 1]
    assert [of_run[one]["confidence"] for one in ids] == pytest.approx([1, 0, 1])
    sizes = {one["cluster_id"]: one["size"] for one in rows(container, read.clusters, run_no=run["run_no"])}
    assert sizes == {0: 2, 1: 4, 2: 2}


def test_of_several_the_newest_is_shown_first(container: Container, run_id: str, dataset: str) -> None:
    for number in range(2):
        load(container, f"a {number + 5}", dataset=dataset)
        extend(container, run_id)
    project(container)
    newest, first = shown(container, run_id)
    assert newest["after_query_id"] == first["last_query_id"]


def test_the_measures_follow(container: Container, run_id: str, dataset: str) -> None:
    def measure() -> Measures:
        run_measure(run_id, bus=container.bus, store=container.store, embeddings=container.embeddings)
        return container.store.load(Measures, run_id)

    load(container, "b 5", dataset=dataset)
    version = measure().run_version
    extend(container, run_id)
    ended = run_of(container, run_id).version
    event = container.store.events(ClusteringRun, run_id, [ended])[ended]
    assert [job.task for job in jobs_for(event)] == ["measure"]
    assert measure().run_version == ended > version


# --- the nearest


def test_confidence_is_the_margin_to_the_next() -> None:
    centroids = np.eye(2, 4, dtype=np.float32)
    vectors = ByLetters().embed(["a", "aab", "ab", "c"])
    labels, confidence = nearest(vectors, np.array([7, 9], np.int32), centroids)
    assert labels.tolist() == [7, 7, 7, 7]
    near, next_one = 1 - 2 / 5**0.5, 1 - 1 / 5**0.5
    assert confidence == pytest.approx([1, (next_one - near) / next_one, 0, 0], abs=1e-6)


def test_the_parts_that_are_compared_at_once_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    vectors, centroids = (rng.normal(size=(n, 8)).astype(np.float32) for n in (50, 6))
    ids = np.arange(6, dtype=np.int32)
    whole = nearest(vectors, ids, centroids)
    monkeypatch.setattr(extension, "ROWS_AT_ONCE", 7)
    assert all(np.array_equal(*pair) for pair in zip(whole, nearest(vectors, ids, centroids), strict=True))
    assert [len(one) for one in nearest(vectors[:0], ids, centroids)] == [0, 0]
