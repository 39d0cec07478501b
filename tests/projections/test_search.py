"""Points of queries and titles in the real vector engine: one for each, however often the log is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.bootstrap import Container
from adapters.runner import ProjectionRunner
from adapters.vectors import VectorStore, make_vectors
from commands.datasets import EraseConversation
from commands.embedding import RecordEmbedded
from commands.ports import Point, PointFilter
from commands.summaries import RecordTitlesEmbedded
from domain.base import Context, context
from domain.values import Space, digest
from projections.search import QUERIES, SHOWN, TITLES, SearchProjection, alias_of, title_point
from tests.runs import SPACE
from tests.stories import clear, cluster, conversation, import_rows, load, name, query_ids, request_load

OTHER = Space("openai", "text-embedding-3-small", 2)
AXES = {"a": [1.0, 0, 0, 0], "b": [0, 1.0, 0, 0], "c": [0, 0, 1.0, 0]}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[VectorStore]:
    store = make_vectors(tmp_path, None, None)
    yield store
    store.close()


class Installation:
    """The database of the module, and points of one test's own."""

    def __init__(self, container: Container, index: VectorStore, dataset: str) -> None:
        self.container = container
        self.index = index
        self.dataset = dataset
        self.projection = SearchProjection(index, container.embeddings)
        self.from_position(container.store.head())

    def from_position(self, position: int) -> None:
        with self.container.database.connection() as connection:
            connection.execute("UPDATE search.checkpoint SET position = %s", [position])

    def project(self) -> None:
        runner = ProjectionRunner(self.container.database, self.projection, self.container.mapper)
        while runner.step():
            continue

    def load(self, *texts: str) -> list[int]:
        ids = load(self.container, *texts, dataset=self.dataset)
        vectors = {digest(text.encode()): np.array(AXES[text[0]], np.float32) for text in texts}
        self.container.embeddings.put(SPACE, vectors)
        self.record(ids[0], ids[-1], len(ids))
        return ids

    def record(self, first: int, last: int, count: int) -> None:
        command = RecordEmbedded(
            dataset=self.dataset, space=SPACE, first_query_id=first, last_query_id=last, count=count
        )
        self.container.bus.handle(command)

    def points(self, kind: str, space: Space = SPACE) -> dict[int | str, dict[str, Any]]:
        """Point id → payload, of all that are read under the alias."""
        collection = self.index.resolve(alias_of(kind, space))
        batches = self.index.scroll(collection, 100) if collection else []
        return {point.point_id: dict(point.payload) for batch in batches for point in batch}


@pytest.fixture
def made(shared: Container, index: VectorStore, dataset: str) -> Installation:
    return Installation(shared, index, dataset)


def test_a_query_is_a_point_with_what_is_filtered_by(made: Installation) -> None:
    job_id = request_load(made.container, made.dataset)
    rows = [conversation(1, "a", "x", model="gpt-4o", language="en"), conversation(2, "b", "y")]
    import_rows(made.container, job_id, rows, made.dataset)
    first, second = query_ids(made.container, made.dataset)
    vectors = {digest(text.encode()): np.array(AXES[text], np.float32) for text in "ab"}
    made.container.embeddings.put(SPACE, vectors)
    made.record(first, second, 2)
    made.project()
    assert made.points(QUERIES) == {
        first: {"dataset": made.dataset, "model": "gpt-4o", "language": "en"},
        second: {"dataset": made.dataset, "model": "unknown", "language": None},
    }


def test_the_nearest_query_is_found(made: Installation) -> None:
    ids = made.load("a", "b", "c")
    made.project()
    near = np.array([0.1, 0.9, 0, 0], np.float32)
    (hit,) = made.index.search(alias_of(QUERIES, SPACE), near / np.linalg.norm(near), 1, PointFilter())
    assert hit.point_id == ids[1]


def test_reading_the_log_again_changes_no_point(made: Installation) -> None:
    begin = made.container.store.head()
    made.load("a", "b")
    run_id = cluster(made.container, [0, 1], clusters=2, dataset=made.dataset)
    embed_title(made, run_id, 0, "a")
    made.project()
    before = made.points(QUERIES), made.points(TITLES)
    made.from_position(begin)
    made.project()
    assert (made.points(QUERIES), made.points(TITLES)) == before
    assert [len(one) for one in before] == [2, 1]


def test_equal_texts_are_points_of_their_own(made: Installation) -> None:
    ids = made.load("a", "a")
    made.project()
    assert sorted(made.points(QUERIES)) == ids


def test_a_query_without_a_vector_or_without_content_has_no_point(made: Installation) -> None:
    ids = made.load("a", "b", "c")
    with made.container.database.connection() as connection:
        connection.execute("DELETE FROM log.embeddings WHERE sha256 = %s", [digest(b"a")])
        sql = "DELETE FROM log.contents USING log.conversations WHERE sha256 = content AND query_id = %s"
        connection.execute(sql, [ids[1]])
    made.project()
    assert list(made.points(QUERIES)) == [ids[2]]


def embed_title(made: Installation, run_id: str, cluster_id: int, text: str, space: Space = SPACE) -> bytes:
    sha256 = digest(f"{run_id} {cluster_id} {text}".encode())
    vector = np.array(AXES[text][: space.dimension], np.float32)
    made.container.embeddings.put(space, {sha256: vector})
    texts = {cluster_id: sha256.hex()}
    made.container.bus.handle(RecordTitlesEmbedded(run_id=run_id, space=space, texts=texts))
    return sha256


def test_a_title_that_is_shown_is_one_point_that_follows_it(made: Installation) -> None:
    made.load("a", "b")
    run_id = cluster(made.container, [0, 1], clusters=2, dataset=made.dataset)
    for text in "abc":
        embed_title(made, run_id, 1, text)
    made.project()
    point_id = title_point(run_id, 1, None)
    assert made.points(TITLES) == {point_id: {"run_id": run_id, "cluster_id": 1, "summary_run_id": SHOWN}}
    (hit,) = made.index.search(
        alias_of(TITLES, SPACE), np.array(AXES["c"], np.float32), 1, PointFilter({"run_id": [run_id]})
    )
    assert hit.score == pytest.approx(1)


def test_each_summary_run_has_points_of_its_own_beside_those_that_are_shown(made: Installation) -> None:
    made.load("a", "b")
    run_id = cluster(made.container, [0, 1], clusters=2, dataset=made.dataset)
    texts = {bytes.fromhex(f"{one + 1:064x}"): np.array(AXES["a"], np.float32) for one in (0, 1)}
    made.container.embeddings.put(SPACE, texts)
    summary_run_id = name(made.container, run_id, "model", 0, 1)
    made.project()
    assert set(made.points(TITLES)) == {
        title_point(run_id, cluster_id, which) for cluster_id in (0, 1) for which in (None, summary_run_id)
    }


def test_spaces_are_never_mixed(made: Installation) -> None:
    made.load("a")
    run_id = cluster(made.container, [0], clusters=1, dataset=made.dataset)
    embed_title(made, run_id, 0, "a")
    embed_title(made, run_id, 0, "b", OTHER)
    made.project()
    assert list(made.points(TITLES)) == list(made.points(TITLES, OTHER)) == [title_point(run_id, 0, None)]
    assert alias_of(TITLES, SPACE) != alias_of(TITLES, OTHER)


def test_clearing_removes_the_points_of_the_data_set_and_of_its_runs(made: Installation) -> None:
    other = Installation(made.container, made.index, f"{made.dataset}-2")
    made.load("a", "b")
    run_id = cluster(made.container, [0, 1], clusters=2, dataset=made.dataset)
    embed_title(made, run_id, 0, "a")
    kept = other.load("c")
    kept_run = cluster(made.container, [0], clusters=1, dataset=other.dataset)
    embed_title(made, kept_run, 0, "c")
    made.project()
    assert set(made.points(TITLES)) == {title_point(one, 0, None) for one in (run_id, kept_run)}
    clear(made.container, made.dataset)
    made.project()
    assert list(made.points(QUERIES)) == kept
    assert list(made.points(TITLES)) == [title_point(kept_run, 0, None)]


def test_an_erased_query_has_no_point_in_any_space_nor_in_what_a_rebuild_has_left(made: Installation) -> None:
    job_id = request_load(made.container, made.dataset)
    import_rows(made.container, job_id, [conversation(1, "a", "x"), conversation(2, "b", "y")], made.dataset)
    first, second = query_ids(made.container, made.dataset)
    left = f"{alias_of(QUERIES, SPACE)}__rebuilt_1"
    for space in (SPACE, OTHER):
        vectors = {digest(text.encode()): np.ones(space.dimension, np.float32) for text in "ab"}
        made.container.embeddings.put(space, vectors)
        embedded = {"first_query_id": first, "last_query_id": second, "count": 2}
        made.container.bus.handle(RecordEmbedded(dataset=made.dataset, space=space, **embedded))
    made.project()
    made.index.create(left, SPACE.dimension, ())
    made.index.upsert(left, [Point(first, np.ones(SPACE.dimension, np.float32), {})])
    context.set(Context(reason="asked for"))
    made.container.bus.handle(EraseConversation(dataset=made.dataset, conversation_id="x"))
    made.project()
    assert list(made.points(QUERIES)) == list(made.points(QUERIES, OTHER)) == [second]
    assert made.index.count(left) == 0


def test_a_cleared_data_set_is_not_there_after_a_rebuild_either(made: Installation) -> None:
    made.load("a", "b")
    clear(made.container, made.dataset)
    new = made.load("c")
    made.project()
    assert list(made.points(QUERIES)) == new
