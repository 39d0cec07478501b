"""Naming clusters: how it is asked for and recorded, never over what a person wrote; what search sees."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.bootstrap import Container
from commands.curation import RenameCluster
from commands.ports import (
    ClusterName,
)
from commands.runs import Fail
from commands.summaries import (
    CompleteSummary,
    RecordSummaries,
    RecordTitlesEmbedded,
    RequestSummary,
    embed_titles,
    run_embed_titles,
    title_text,
)
from domain.clustering import ClusteringRun
from domain.errors import Conflict, Invalid, NotFound
from domain.search import TitleIndex
from domain.summaries import SummaryRun
from domain.values import digest
from tests.naming import ByLetters, events
from tests.runs import SPACE
from tests.stories import (
    AT,
    clear,
    cluster,
    load,
    name,
    names,
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
            "incoherent": None,
            "prompt": None,
        }
    ]
    assert event["usage"] == {}
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
    assert container.bus.handle(Fail(kind=SummaryRun, name=summary_run_id, error="late")).position is None


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
    container.bus.handle(Fail(kind=SummaryRun, name=summary_run_id, error="the provider says no"))
    assert complete(container, summary_run_id, 0) is None
    assert container.store.load(ClusteringRun, run_id).cluster(0).title is None


def test_vectors_of_titles_are_noted_in_one_index_of_the_run(container: Container, run_id: str) -> None:
    for text in ("aa" * 32, "bb" * 32):
        container.bus.handle(RecordTitlesEmbedded(run_id=run_id, space=SPACE, texts={0: text}))
    index = container.store.load(TitleIndex, run_id)
    assert index.version == 3
    assert container.bus.handle(RecordTitlesEmbedded(run_id=run_id, space=SPACE, texts={})).position is None


# --- what search compares with


def embed_titles_of(container: Container, run_id: str, cluster_id: int | None) -> None:
    run_embed_titles(
        run_id,
        cluster_id,
        bus=container.bus,
        store=container.store,
        embeddings=container.embeddings,
        embedders=ByLetters(),
    )


def test_after_a_rename_the_vector_of_the_title_follows(container: Container, run_id: str) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=1, title="abba", description="a band"))
    embed_titles_of(container, run_id, 1)
    stored = digest(b"abba\na band")
    (event,) = events(container, f"title_index/{run_id}", "title_index.titles_embedded")
    assert event["texts"] == [{"cluster_id": 1, "text": stored.hex()}]
    assert event["summary_run_id"] is None
    (vector,) = container.embeddings.get(SPACE, [stored]).values()
    assert vector.tolist() == ByLetters().embed(["abba\na band"])[0].tolist()


def test_a_title_of_a_person_over_a_description_of_the_run_shown_is_embedded_as_it_reads(
    container: Container, run_id: str
) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Mine"))
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=1, title="My", description="own"))
    name(container, run_id, "animal", 0, 1)
    embed_titles_of(container, run_id, None)
    event = events(container, f"title_index/{run_id}", "title_index.titles_embedded")[-1]
    assert event["texts"] == [{"cluster_id": 0, "text": digest(b"Mine\nabout animal 0").hex()}]


def test_a_title_of_a_run_that_was_cleared_meanwhile_is_left(
    container: Container, dataset: str, run_id: str
) -> None:
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=1, title="abba"))
    clear(container, dataset)
    head = container.store.head()
    embed_titles_of(container, run_id, 1)
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
