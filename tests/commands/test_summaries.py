"""Naming clusters: by their most central queries, all at once, and never over what a person wrote."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.bootstrap import Container
from commands.curation import MoveQuery, RenameCluster
from commands.ports import ClusterName, ClusterTexts
from commands.summaries import (
    CompleteSummary,
    FailSummary,
    RecordSummaries,
    RecordTitlesEmbedded,
    RequestSummary,
    central_queries,
    embed_titles,
    run_embed_titles,
    run_summary,
    title_text,
)
from domain.base import Conflict, Invalid, NotFound, Unavailable
from domain.clustering import ClusteringRun, Partition
from domain.search import TitleIndex
from domain.summaries import SummaryRun
from domain.values import NOISE, QueryIds, Vectors, digest
from tests.runs import SPACE
from tests.stories import (
    AT,
    clear,
    cluster,
    load,
    logged,
    name,
    names,
    query_ids,
    request_run,
    request_summary,
)


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    load(container, "ant", "ape", "bee", "bow", dataset=dataset)
    return cluster(container, [0, 0, 1, 1], clusters=2, dataset=dataset)


def events(container: Container, stream: str, topic: str) -> list[dict[str, Any]]:
    sql = "SELECT data FROM log.events WHERE stream = %s AND type = %s ORDER BY position"
    with container.database.connection() as connection:
        return [row[0] for row in connection.execute(sql, [stream, topic])]


# --- requests


def request(container: Container, run_id: str, **fields: Any) -> str:  # noqa: ANN401
    given_fields: dict[str, Any] = {"model": "local/c-tf-idf", "alias": None, "parameters": {}, "at": AT}
    receipt = container.bus.handle(RequestSummary(run_id=run_id, **{**given_fields, **fields}))
    return str(receipt.answer["summary_run_id"])


def test_a_request_is_named_by_model_and_time(container: Container, run_id: str) -> None:
    assert re.fullmatch(r"summary-c-tf-idf-20251004-170442(-\d+)?", request(container, run_id))


def test_requests_of_one_second_never_collide(container: Container, run_id: str) -> None:
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.extend(request(container, run_id) for _ in range(2)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == len(set(ids)) == 6


def test_an_id_of_ones_own_is_taken_once(container: Container, run_id: str, dataset: str) -> None:
    assert request(container, run_id, summary_run_id=dataset) == dataset
    with pytest.raises(Conflict, match=f"there is a summary run '{dataset}' already"):
        request(container, run_id, summary_run_id=dataset)


@pytest.mark.parametrize("odd", ["", "a b", "a/b", ".a", "x" * 129, "a\0", "\ud800"])
def test_an_odd_id_is_refused(container: Container, run_id: str, odd: str) -> None:
    with pytest.raises(Invalid, match="summary_run_id"):
        request(container, run_id, summary_run_id=odd)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "local/unheard-of"}, "unheard-of"),
        ({"alias": "\0"}, "alias holds"),
        ({"parameters": {"max_queries": 2**64}}, "parameters.max_queries"),
    ],
)
def test_what_will_not_do_is_named(
    container: Container, run_id: str, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        request(container, run_id, **fields)


def test_only_a_completed_run_is_named(container: Container, dataset: str) -> None:
    load(container, "ant", dataset=dataset)
    with pytest.raises(Conflict, match="is pending"):
        request(container, request_run(container, dataset))
    done = cluster(container, [0], clusters=1, dataset=dataset)
    clear(container, dataset)
    with pytest.raises(NotFound, match="was cleared"):
        request(container, done)


# --- recording


def complete(container: Container, summary_run_id: str, *cluster_ids: int) -> int | None:
    texts = {one: f"{one + 1:064x}" for one in cluster_ids}
    command = CompleteSummary(summary_run_id=summary_run_id, space=SPACE, texts=texts)
    return container.bus.handle(command).position


def record(container: Container, summary_run_id: str, some: Sequence[ClusterName]) -> int | None:
    sizes = {one.cluster_id: 2 for one in some}
    command = RecordSummaries(summary_run_id=summary_run_id, names=some, sizes=sizes)
    return container.bus.handle(command).position


def test_names_are_recorded_with_the_size_of_their_cluster(container: Container, run_id: str) -> None:
    summary_run_id = request_summary(container, run_id)
    record(container, summary_run_id, names("animal", 0))
    (event,) = events(container, f"summary/{summary_run_id}", "summary.clusters_summarised")
    assert event["summaries"] == [
        {
            "cluster_id": 0,
            "title": "animal 0",
            "description": "about animal 0",
            "representative_query_ids": [1, 2],
            "num_queries": 2,
        }
    ]
    assert record(container, summary_run_id, names("other", 0)) is None


def test_completion_is_one_commit(container: Container, run_id: str) -> None:
    summary_run_id = request_summary(container, run_id)
    record(container, summary_run_id, names("animal", 0, 1))
    head = container.store.head()
    assert complete(container, summary_run_id, 0, 1) == head + 5
    sql = "SELECT type, meta ->> 'idempotency_key' FROM log.events WHERE position > %s ORDER BY type"
    with container.database.connection() as connection:
        rows = connection.execute(sql, [head]).fetchall()
    assert [topic for topic, _ in rows] == [
        "clustering.clusters_titled",
        "summary.completed",
        "title_index.created",
        "title_index.titles_embedded",
        "title_index.titles_embedded",
    ]
    assert len({key for _, key in rows}) == 1
    assert container.store.load(ClusteringRun, run_id).cluster(1).title == "animal 1"


def test_completion_is_all_or_nothing(container: Container, dataset: str, run_id: str) -> None:
    summary_run_id = request_summary(container, run_id)
    record(container, summary_run_id, names("animal", 0, 1))
    clear(container, dataset)
    head = container.store.head()
    with pytest.raises(NotFound, match="was cleared"):
        complete(container, summary_run_id, 0, 1)
    assert container.store.head() == head
    assert container.store.load(SummaryRun, summary_run_id).status == "pending"


def test_completion_comes_once(container: Container, run_id: str) -> None:
    summary_run_id = name(container, run_id, "animal", 0, 1)
    assert complete(container, summary_run_id, 0, 1) is None
    assert container.bus.handle(FailSummary(summary_run_id=summary_run_id, error="late")).position is None


def test_a_title_by_a_person_wins_over_a_later_summary_run(container: Container, run_id: str) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Mine"))
    summary_run_id = name(container, run_id, "animal", 0, 1)
    run = container.store.load(ClusteringRun, run_id)
    assert [run.cluster(one).title for one in (0, 1)] == ["Mine", "animal 1"]
    assert container.store.load(SummaryRun, summary_run_id).summaries[0]["title"] == "animal 0"


def test_what_is_searched_for_a_title_by_a_person_is_not_replaced(container: Container, run_id: str) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Mine"))
    summary_run_id = name(container, run_id, "animal", 0, 1)
    embedded = events(container, f"title_index/{run_id}", "title_index.titles_embedded")
    clusters = [(one["summary_run_id"], [text["cluster_id"] for text in one["texts"]]) for one in embedded]
    assert clusters == [(summary_run_id, [0, 1]), (None, [1])]


def test_a_failed_summary_shows_no_title(container: Container, run_id: str) -> None:
    summary_run_id = request_summary(container, run_id)
    record(container, summary_run_id, names("animal", 0))
    container.bus.handle(FailSummary(summary_run_id=summary_run_id, error="the provider says no"))
    assert complete(container, summary_run_id, 0) is None
    assert container.store.load(ClusteringRun, run_id).cluster(0).title is None


def test_vectors_of_titles_are_noted_in_one_index_of_the_run(container: Container, run_id: str) -> None:
    for text in ("aa" * 32, "bb" * 32):
        container.bus.handle(RecordTitlesEmbedded(run_id=run_id, space=SPACE, texts={0: text}))
    index = container.store.load(TitleIndex, run_id)
    assert index.version == 3
    assert container.bus.handle(RecordTitlesEmbedded(run_id=run_id, space=SPACE, texts={})).position is None


# --- the job


class ByLetters:
    """A text's direction are its letters a, b, c, d."""

    space = SPACE

    def get(self, provider: str, model: str, options: Mapping[str, Any]) -> ByLetters:
        return self

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows: Vectors = np.array([[text.count(one) for one in "abcd"] for text in texts], np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
        return rows


class Echo:
    """A namer whose titles are the first text of a cluster. It gives up after so many."""

    model = "local/echo"

    def __init__(self, patience: int = 100) -> None:
        self.patience = patience
        self.seen: list[ClusterTexts] = []

    def get(self, model: str) -> Echo:
        return self

    def name(self, clusters: Sequence[ClusterTexts]) -> Iterator[ClusterName]:
        for one in clusters:
            self.patience -= 1
            if self.patience < 0:
                raise Unavailable("no answer")
            self.seen.append(one)
            yield ClusterName(one.cluster_id, (one.texts or ["empty"])[0], f"{one.size}", one.query_ids[:1])


def work(container: Container, summary_run_id: str, namer: Echo) -> list[tuple[int, int | None]]:
    told: list[tuple[int, int | None]] = []
    run_summary(
        summary_run_id,
        bus=container.bus,
        store=container.store,
        contents=container.contents,
        embeddings=container.embeddings,
        embedders=ByLetters(),
        namers=namer,
        progress=lambda done, total: told.append((done, total)),
    )
    return told


@pytest.fixture
def embedded_run(container: Container, dataset: str) -> str:
    """Cluster 0 lies around a, cluster 1 around b, cluster 2 is empty."""
    texts = ["aab", "aaa", "abb", "bbb", "b d"]
    load(container, *texts, dataset=dataset)
    vectors = dict(zip(map(digest, map(str.encode, texts)), ByLetters().embed(texts), strict=True))
    container.embeddings.put(SPACE, vectors)
    return cluster(container, [0, 0, 0, 1, 1], clusters=3, dataset=dataset)


def test_the_job_names_every_cluster_by_its_central_queries(
    container: Container, dataset: str, embedded_run: str
) -> None:
    ids = query_ids(container, dataset)
    namer = Echo()
    assert work(container, request_summary(container, embedded_run), namer) == [(3, 3)]
    assert [(one.cluster_id, one.size, one.texts) for one in namer.seen] == [
        (0, 3, ["aab", "aaa", "abb"]),
        (1, 2, ["bbb", "b d"]),
        (2, 0, []),
    ]
    assert namer.seen[0].query_ids == ids[:3]
    run = container.store.load(ClusteringRun, embedded_run)
    assert [run.cluster(one).title for one in (0, 1, 2)] == ["aab", "bbb", "empty"]
    stored = digest(b"aab\n3")
    assert container.embeddings.missing(SPACE, [stored]) == set()


def test_no_more_queries_are_looked_at_than_asked_for(container: Container, embedded_run: str) -> None:
    summary_run_id = request(container, embedded_run, parameters={"max_queries": 1})
    namer = Echo()
    work(container, summary_run_id, namer)
    assert [len(one.texts) for one in namer.seen] == [1, 1, 0]


def test_names_follow_the_moves_of_people(container: Container, dataset: str, embedded_run: str) -> None:
    ids = query_ids(container, dataset)
    container.bus.handle(MoveQuery(run_id=embedded_run, query_id=ids[3], to_cluster_id=2))
    namer = Echo()
    work(container, request_summary(container, embedded_run), namer)
    assert [one.query_ids for one in namer.seen][1:] == [[ids[4]], [ids[3]]]


def test_a_repeated_job_does_nothing(container: Container, embedded_run: str) -> None:
    summary_run_id = request_summary(container, embedded_run)
    work(container, summary_run_id, Echo())
    again = Echo()
    assert work(container, summary_run_id, again) == []
    assert again.seen == []


def test_a_job_whose_provider_went_away_can_be_run_again(container: Container, embedded_run: str) -> None:
    summary_run_id = request_summary(container, embedded_run)
    with pytest.raises(Unavailable):
        work(container, summary_run_id, Echo(patience=2))
    assert container.store.load(SummaryRun, summary_run_id).status == "pending"
    work(container, summary_run_id, Echo())
    assert logged(container, summary_run_id)[-1] == "summary.completed"


def test_after_a_rename_the_vector_of_the_title_follows(container: Container, run_id: str) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=1, title="abba", description="a band"))
    run_embed_titles(
        run_id,
        1,
        bus=container.bus,
        store=container.store,
        embeddings=container.embeddings,
        embedders=ByLetters(),
    )
    stored = digest(b"abba\na band")
    (event,) = events(container, f"title_index/{run_id}", "title_index.titles_embedded")
    assert event["texts"] == [{"cluster_id": 1, "text": stored.hex()}]
    assert event["summary_run_id"] is None
    (vector,) = container.embeddings.get(SPACE, [stored]).values()
    assert vector.tolist() == ByLetters().embed(["abba\na band"])[0].tolist()


def test_a_title_of_a_run_that_was_cleared_meanwhile_is_left(
    container: Container, dataset: str, run_id: str
) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=1, title="abba"))
    clear(container, dataset)
    head = container.store.head()
    run_embed_titles(
        run_id,
        1,
        bus=container.bus,
        store=container.store,
        embeddings=container.embeddings,
        embedders=ByLetters(),
    )
    assert container.store.head() == head


@pytest.mark.parametrize(
    ("title", "description", "text"),
    [("a", "b", "a\nb"), ("a", None, "a"), (None, "b", "b"), (None, None, ""), ("a", "", "a")],
)
def test_a_title_is_searched_with_its_description(
    title: str | None, description: str | None, text: str
) -> None:
    assert title_text(title, description) == text


def test_titles_that_are_the_same_share_a_vector(container: Container) -> None:
    texts = embed_titles({0: ("a", "b"), 1: ("a", "b"), 2: ("c", None)}, ByLetters(), container.embeddings)
    assert texts[0] == texts[1] != texts[2]


# --- central queries, against what is simple and slow


class AtHand:
    """Vectors in memory, in chunks of a given size."""

    def __init__(self, ids: QueryIds, vectors: Vectors, at_once: int) -> None:
        self._ids = ids
        self._vectors = vectors
        self._at_once = at_once
        self.count, self.dimension = vectors.shape

    def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
        for at in range(0, self.count, self._at_once):
            yield self._ids[at : at + self._at_once], self._vectors[at : at + self._at_once]


@st.composite
def populations(draw: st.DrawFn) -> tuple[Partition, AtHand, dict[int, Vectors]]:
    """A partition, and vectors of some of its queries and of some that are not in it."""
    known = sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=40)))
    labels = draw(st.lists(st.integers(NOISE, 3), min_size=len(known), max_size=len(known)))
    partition = Partition(np.array(known, np.int64), np.array(labels, np.int32))
    ids = sorted(draw(st.sets(st.integers(1, 60), max_size=50)))
    seed = draw(st.integers(0, 2**32 - 1))
    vectors = np.random.default_rng(seed).integers(-3, 4, (len(ids), 3)).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
    source = AtHand(np.array(ids, np.int64), vectors, draw(st.integers(1, 20)))
    return partition, source, dict(zip(ids, vectors, strict=True))


def nearness(members: Mapping[int, Vectors]) -> dict[int, float]:
    """Cosine with the mean, up to the length of the vector itself, which is 1 or 0."""
    total = sum(vector.astype(np.float64) for vector in members.values())
    mean = total / max(float(np.linalg.norm(total)), 1e-12)
    return {query_id: float(vector @ mean) for query_id, vector in members.items()}


@given(populations(), st.integers(1, 8))
def test_central_queries_are_those_nearest_to_the_mean(
    population: tuple[Partition, AtHand, dict[int, Vectors]], most: int
) -> None:
    partition, source, vectors = population
    found = central_queries(source, partition, most)
    assert set(found) == set(partition.sizes())
    for cluster_id, chosen in found.items():
        of_it = partition.members(cluster_id).tolist()
        members = {one: vectors[one] for one in of_it if one in vectors}
        near = nearness(members) if members else {}
        assert len(chosen) == len(set(chosen)) == min(most, len(members))
        assert set(chosen) <= set(members)
        order = [near[one] for one in chosen]
        assert order == pytest.approx(sorted(near.values(), reverse=True)[:most], abs=1e-5)


def test_of_equally_central_queries_the_older_one_comes_first() -> None:
    ids = np.arange(1, 7)
    same = AtHand(ids, np.tile(np.array([[1, 0]], np.float32), (6, 1)), 4)
    partition = Partition(ids, np.zeros(6, np.int32))
    assert central_queries(same, partition, 5) == {0: [1, 2, 3, 4, 5]}
