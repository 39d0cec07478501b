"""A request is checked before a job is queued; the job records what was found, and can be repeated."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from adapters.bootstrap import Container
from commands.clustering import RequestClustering, run_clustering
from commands.ports import Clustering, Progress, VectorSource
from commands.runs import Fail
from domain.clustering import ClusteringRun
from domain.datasets import Dataset
from domain.errors import Conflict, Invalid, NotFound, Unavailable
from domain.values import NOISE, QueryIds, Space, Vectors, digest
from tests.runs import SPACE
from tests.stories import (
    AT,
    EMBEDDING,
    clear,
    cluster,
    complete,
    load,
    logged,
    query_ids,
    record,
    request_run,
)


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


def request(
    container: Container,
    dataset: str,
    algorithm: str = "kmeans",
    **parameters: Any,  # noqa: ANN401
) -> dict[str, Any]:
    command = RequestClustering(
        dataset=dataset,
        algorithm=algorithm,
        parameters=parameters,
        embedding=EMBEDDING,
        description=None,
        at=AT,
    )
    return container.bus.handle(command).answer


# --- requests


def test_a_request_names_its_run_by_algorithm_size_and_time(container: Container, dataset: str) -> None:
    load(container, "one", "two", dataset=dataset)
    answer = request(container, dataset, n_clusters=2)
    assert re.fullmatch(r"kmeans-2-20251004-170442(-\d+)?", answer["run_id"])
    assert (answer["status"], answer["processed"]) == ("pending", 0)
    density = request(container, dataset, "hdbscan")["run_id"]
    assert re.fullmatch(r"hdbscan-20251004-170442(-\d+)?", density)


def test_the_run_keeps_all_parameters_with_their_defaults(container: Container, dataset: str) -> None:
    last = load(container, "one", "two", dataset=dataset)[-1]
    run_id = request(container, dataset, n_clusters=2)["run_id"]
    run = container.store.load(ClusteringRun, run_id)
    assert run.parameters["n_clusters"] == 2
    assert {"seed", "chunk_size", "engine"} <= set(run.parameters)
    assert (run.queries, run.last_query_id) == (2, last)


def test_ids_of_one_second_never_collide(container: Container, dataset: str) -> None:
    load(container, "one", "two", dataset=dataset)
    ids: list[str] = []

    def several() -> None:
        ids.extend(request(container, dataset, n_clusters=2)["run_id"] for _ in range(3))

    threads = [threading.Thread(target=several) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == len(set(ids)) == 9
    assert all(logged(container, one) == ["clustering.created"] for one in ids)


def test_as_many_clusters_as_queries_are_taken_and_one_more_is_not(
    container: Container, dataset: str
) -> None:
    load(container, "one", "two", dataset=dataset)
    request(container, dataset, n_clusters=2)
    for algorithm in ("kmeans", "agglomerative"):
        with pytest.raises(Invalid, match=f"n_clusters is 3, but data set '{dataset}' has 2 queries"):
            request(container, dataset, algorithm, n_clusters=3)


def test_queries_that_were_cleared_do_not_count(container: Container, dataset: str) -> None:
    load(container, "one", "two", "three", dataset=dataset)
    clear(container, dataset)
    with pytest.raises(Invalid, match="has no queries to cluster; load some first"):
        request(container, dataset, n_clusters=2)
    load(container, "four", dataset=dataset)
    with pytest.raises(Invalid, match="n_clusters is 2, but"):
        request(container, dataset, n_clusters=2)


@pytest.mark.parametrize(
    ("algorithm", "parameters", "words"),
    [
        ("kmeans", {}, "n_clusters"),
        ("kmeans", {"n_clusters": 0}, "n_clusters"),
        ("kmeans", {"n_clusters": "2"}, "n_clusters"),
        ("kmeans", {"n_clusters": 1, "clusters": 2}, "unknown parameter"),
        ("hdbscan", {"metric": "hamming"}, "metric"),
        ("dbscan", {"eps": float("nan")}, "eps"),
        ("dbscan", {"min_samples": 2**80}, "min_samples"),
        ("agglomerative", {}, "n_clusters and distance_threshold"),
        ("spectral", {}, "unknown algorithm 'spectral'"),
        ("\0", {}, "unknown algorithm"),
    ],
)
def test_a_parameter_that_will_not_do_is_named(
    container: Container, dataset: str, algorithm: str, parameters: dict[str, Any], words: str
) -> None:
    load(container, "one", dataset=dataset)
    head = container.store.head()
    with pytest.raises(Invalid, match=words):
        request(container, dataset, algorithm, **parameters)
    assert container.store.head() == head


def test_a_data_set_that_is_not_there_is_not_found(container: Container, dataset: str) -> None:
    with pytest.raises(NotFound, match=dataset):
        request(container, dataset, n_clusters=1)


# --- recording


def test_centroids_are_kept_beside_the_log(container: Container, dataset: str) -> None:
    load(container, "one", "two", dataset=dataset)
    run_id = request_run(container, dataset)
    record(container, run_id, 0, query_ids(container, dataset), [0, 1])
    complete(container, run_id, clusters=2)
    body = np.eye(2, 4, dtype="<f4").tobytes()
    assert container.contents.get([digest(body)]) == {digest(body): body}
    with container.database.connection() as connection:
        sql = (
            "SELECT data ->> 'centroids' FROM log.events WHERE stream = %s AND type = 'clustering.completed'"
        )
        row = connection.execute(sql, [f"clustering/{run_id}"]).fetchone()
    assert row == (digest(body).hex(),)


def test_repeated_recording_changes_nothing(container: Container, dataset: str) -> None:
    load(container, "one", "two", dataset=dataset)
    run_id = cluster(container, [0, 1], clusters=2, dataset=dataset)
    assert record(container, run_id, 0, query_ids(container, dataset), [1, 1]).position is None
    assert complete(container, run_id, clusters=2).position is None
    assert container.bus.handle(Fail(kind=ClusteringRun, name=run_id, error="late")).position is None


# --- the job

PLANE = Space("words", "four", 4, "1")
DIRECTIONS = {"a": [1, 0, 0, 0], "b": [0, 1, 0, 0]}


class ByFirstLetter:
    """Texts that begin with the same letter have the same direction."""

    space = PLANE

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def get(self, provider: str, model: str, options: Mapping[str, Any]) -> ByFirstLetter:
        return self

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return np.array([DIRECTIONS.get(text[0], [0, 0, 1, 0]) for text in texts], np.float32)


class InPieces:
    """The store's vectors, a few at a time, as they come where there are many."""

    def __init__(self, source: VectorSource, at_once: int) -> None:
        self._source = source
        self._at_once = at_once
        self.count, self.dimension = source.count, source.dimension

    def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
        for ids, vectors in self._source.chunks():
            for at in range(0, len(ids), self._at_once):
                yield ids[at : at + self._at_once], vectors[at : at + self._at_once]


class Pieces:
    """The port `Embeddings` of the store, whose sources come in pieces of two."""

    def __init__(self, embeddings: Any) -> None:  # noqa: ANN401
        self._embeddings = embeddings

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._embeddings, name)

    def source(self, dataset: str, space: Space, up_to: int) -> InPieces:
        return InPieces(self._embeddings.source(dataset, space, up_to), 2)


class ByDirection:
    """A clusterer: the cluster is the axis that a vector lies on, the third one is noise."""

    def cluster(
        self, algorithm: str, parameters: Mapping[str, Any], vectors: VectorSource, progress: Progress
    ) -> Clustering:
        rows = np.concatenate([chunk for _, chunk in vectors.chunks()])
        labels = rows.argmax(axis=1).astype(np.int32)
        labels[labels == 2] = NOISE
        return Clustering(labels, np.ones(len(rows), np.float32), np.eye(2, 4, dtype=np.float32), {}, {})

    def check(self, algorithm: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return dict(parameters)


def work(container: Container, run_id: str, embedder: ByFirstLetter, bus: Any = None) -> None:  # noqa: ANN401
    run_clustering(
        run_id,
        bus=bus or container.bus,
        store=container.store,
        contents=container.contents,
        embeddings=Pieces(container.embeddings),
        embedders=embedder,
        clusterer=ByDirection(),
        progress=lambda done, total: None,
    )


def test_the_job_embeds_clusters_and_records(container: Container, dataset: str) -> None:
    ids = load(container, "ant", "bee", "ape", "cow", "ant", dataset=dataset)
    run_id = request(container, dataset, n_clusters=2)["run_id"]
    embedder = ByFirstLetter()
    work(container, run_id, embedder)
    run = container.store.load(ClusteringRun, run_id)
    assert (run.status, run.chunks, run.space) == ("completed", 3, vars(PLANE))
    found = {one: run.partition.members(one).tolist() for one in (0, 1, NOISE)}
    assert found == {0: [ids[0], ids[2], ids[4]], 1: [ids[1]], NOISE: [ids[3]]}
    assert sorted(embedder.embedded) == ["ant", "ape", "bee", "cow"]


def test_a_job_that_is_repeated_does_nothing_more(container: Container, dataset: str) -> None:
    load(container, "ant", "bee", dataset=dataset)
    run_id = request(container, dataset, n_clusters=2)["run_id"]
    work(container, run_id, ByFirstLetter())
    head = container.store.head()
    again = ByFirstLetter()
    work(container, run_id, again)
    assert (container.store.head(), again.embedded) == (head, [])


class Dying:
    """A bus of a worker that dies after so many commands."""

    def __init__(self, bus: Any, commands: int) -> None:  # noqa: ANN401
        self._bus = bus
        self._left = commands

    def handle(self, command: object) -> object:
        self._left -= 1
        if self._left < 0:
            raise Unavailable("killed")
        return self._bus.handle(command)


@pytest.mark.parametrize("commands", range(5))
def test_a_job_goes_on_where_a_worker_died(container: Container, dataset: str, commands: int) -> None:
    ids = load(container, "axe", "bow", "awl", "box", "arm", dataset=dataset)
    run_id = request(container, dataset, n_clusters=2)["run_id"]
    with pytest.raises(Unavailable):
        work(container, run_id, ByFirstLetter(), Dying(container.bus, commands))
    work(container, run_id, ByFirstLetter())
    run = container.store.load(ClusteringRun, run_id)
    assert run.partition.query_ids.tolist() == ids
    assert run.partition.labels.tolist() == [0, 1, 0, 1, 0]
    topics = logged(container, run_id)
    assert topics == ["clustering.created", *["clustering.queries_assigned"] * 3, "clustering.completed"]


def test_a_run_takes_in_no_query_that_came_after_its_request(container: Container, dataset: str) -> None:
    ids = load(container, "ant", "bee", dataset=dataset)
    run_id = request(container, dataset, n_clusters=2)["run_id"]
    load(container, "auk", dataset=dataset)
    work(container, run_id, ByFirstLetter())
    assert container.store.load(ClusteringRun, run_id).partition.query_ids.tolist() == ids


def test_a_run_whose_data_set_was_cleared_is_left_alone(container: Container, dataset: str) -> None:
    load(container, "ant", dataset=dataset)
    run_id = request(container, dataset, n_clusters=1)["run_id"]
    clear(container, dataset)
    work(container, run_id, ByFirstLetter())
    assert logged(container, run_id) == ["clustering.created", "clustering.retired"]


def test_a_data_set_that_is_emptied_under_the_job_is_a_conflict(container: Container, dataset: str) -> None:
    load(container, "ant", dataset=dataset)
    run_id = request(container, dataset, n_clusters=1)["run_id"]

    class ClearsMeanwhile(ByFirstLetter):
        def get(self, provider: str, model: str, options: Mapping[str, Any]) -> ByFirstLetter:
            clear(container, dataset)
            return self

    with pytest.raises(Conflict, match=f"data set '{dataset}' was cleared before run {run_id} began"):
        work(container, run_id, ClearsMeanwhile())


def test_vectors_that_are_there_are_not_made_again(container: Container, dataset: str) -> None:
    load(container, "aim", "bid", dataset=dataset)
    first, second = ByFirstLetter(), ByFirstLetter()
    for embedder in (first, second):
        work(container, request(container, dataset, n_clusters=2)["run_id"], embedder)
    assert (first.embedded, second.embedded) == (["aim", "bid"], [])
    assert logged(container, dataset).count("dataset.queries_embedded") == 1
    last = query_ids(container, dataset)[-1]
    assert container.store.load(Dataset, dataset).embedded_up_to(PLANE) == last
    assert container.store.load(Dataset, dataset).embedded_up_to(SPACE) == 0
