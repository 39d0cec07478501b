"""Naming clusters: by their most central queries, all at once, and never over what a person wrote."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from adapters.bootstrap import HANDLERS, Container
from commands.bus import Bus, bind
from commands.curation import MoveQuery, RenameCluster, ReverseEdit
from commands.ports import (
    ClusterName,
    ClusterTexts,
    Limits,
    NotNamed,
    Receipt,
    Sample,
    Stop,
    ToldApart,
    Usage,
    never,
)
from commands.summaries import (
    CancelSummary,
    CompleteSummary,
    FailSummary,
    RecordSummaries,
    RecordTitlesEmbedded,
    RequestSummary,
    ResumeSummary,
    ShowSummary,
    embed_titles,
    run_embed_titles,
    run_summary,
    title_text,
)
from domain.base import Conflict, Context, Invalid, NotFound, Refused, Unavailable, context
from domain.clustering import ClusteringRun
from domain.search import TitleIndex
from domain.summaries import SummaryRun
from domain.values import Vectors, digest
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
    """A namer whose titles are the first text of a cluster. It gives up after so many, or on some."""

    model = "openai/echo"

    def __init__(self, patience: int = 100, fails: Collection[int] = (), *, compares: bool = True) -> None:
        self.patience = patience
        self.fails = fails
        self.compares = compares
        self.seen: list[ClusterTexts] = []
        self.stopped = False

    def get(self, model: str) -> Echo:
        return self

    def name(
        self, clusters: Iterable[ClusterTexts], limits: Limits, stop: Stop = never
    ) -> Iterator[ClusterName | NotNamed]:
        self.limits = limits
        for one in clusters:
            if stop():
                self.stopped = True
                return
            self.patience -= 1
            if self.patience < 0:
                raise Unavailable("no answer")
            self.seen.append(one)
            if one.cluster_id in self.fails:
                yield NotNamed(one.cluster_id, f"cannot read {(one.texts or ['it'])[0]}", Usage(calls=3))
            else:
                title = (one.texts or ["empty"])[0]
                yield ClusterName(one.cluster_id, title, f"{one.size}", one.query_ids[:1], usage=COST)

    def tell_apart(
        self,
        titles: Mapping[int, str],
        taken: Mapping[int, str],
        texts: Callable[[int], ClusterTexts],
        limits: Limits,
        stop: Stop = never,
    ) -> Iterator[ToldApart]:
        """The later of two that are alike gets the number of its queries."""
        known = list(taken.values())
        for cluster_id, title in titles.items():
            if title in known:
                yield ToldApart(cluster_id, f"{title} {texts(cluster_id).size}", "tell_apart.v1@ab", COST)
            known.append(title)


COST = Usage(1, 10, 2, 0.5, 1.0)


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


def ask_for(container: Container, run_id: str, namer: Echo, **parameters: Any) -> str:  # noqa: ANN401
    command = RequestSummary(run_id=run_id, model="openai/echo", alias=None, parameters=parameters, at=AT)
    return str(request_as(command, container, namer).answer["summary_run_id"])


def request_as(command: object, container: Container, namer: Echo) -> Receipt:
    """Give a command where this namer is the one that is asked for."""
    return Bus(container.store, HANDLERS, {**container.needs, "namers": namer}).handle(command)


def summary_of(container: Container, summary_run_id: str) -> SummaryRun:
    return container.store.load(SummaryRun, summary_run_id)


def titles_of(container: Container, run_id: str) -> dict[int, str | None]:
    run = container.store.load(ClusteringRun, run_id)
    return {one: cluster.title for one, cluster in sorted(run.clusters.items())}


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
    assert work(container, request_summary(container, embedded_run), namer) == [(1, 3), (2, 3), (3, 3)]
    assert [(one.cluster_id, one.size, one.texts) for one in namer.seen] == [
        (0, 3, ["aab", "aaa", "abb"]),
        (1, 2, ["bbb", "b d"]),
        (2, 0, []),
    ]
    assert namer.seen[0].query_ids == ids[:3]
    assert namer.seen[0].outside == Sample()
    assert titles_of(container, embedded_run) == {0: "aab", 1: "bbb", 2: "empty"}
    stored = digest(b"aab\n3")
    assert container.embeddings.missing(SPACE, [stored]) == set()


def test_a_namer_that_contrasts_sees_the_edge_and_what_lies_outside(
    container: Container, dataset: str, embedded_run: str
) -> None:
    ids = query_ids(container, dataset)
    namer = Echo(compares=False)
    summary_run_id = ask_for(container, embedded_run, namer, max_queries=4)
    assert summary_of(container, summary_run_id).parameters == {"max_queries": 4, "seed": 42}
    work(container, summary_run_id, namer)
    first, second, third = namer.seen
    assert first.borderline == Sample([ids[2]], ["abb"])
    assert first.outside == Sample([ids[3]], ["bbb"])
    assert second.outside == Sample([ids[2]], ["abb"])
    assert set(first.random.query_ids) < set(ids[:3])
    assert len(first.random.query_ids) == 1
    assert (third.random, third.borderline, third.outside) == (Sample(), Sample(), Sample())


def test_what_was_asked_for_reaches_the_namer(container: Container, embedded_run: str) -> None:
    namer = Echo()
    work(container, ask_for(container, embedded_run, namer, concurrency=3, rpm=60), namer)
    assert namer.limits == Limits(3, 60)


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


def test_a_model_that_makes_another_space_by_now_is_said_before_anything_is_asked(
    container: Container, dataset: str, embedded_run: str
) -> None:
    other = type("Other", (ByLetters,), {"space": replace(SPACE, revision="r2")})()
    summary_run_id = request_summary(container, embedded_run)
    needs = {**container.needs, "bus": container.bus, "embedders": other, "namers": Echo()}
    with pytest.raises(Conflict, match="was made in the space"):
        bind(run_summary, needs)(summary_run_id, progress=lambda done, total: None)


# --- what is left


def test_a_job_whose_provider_went_away_goes_on_where_it_stopped(
    container: Container, embedded_run: str
) -> None:
    summary_run_id = ask_for(container, embedded_run, Echo(compares=False))
    with pytest.raises(Unavailable):
        work(container, summary_run_id, Echo(patience=2, compares=False))
    assert set(summary_of(container, summary_run_id).summaries) == {0, 1}
    again = Echo(compares=False)
    assert work(container, summary_run_id, again) == [(3, 3)]
    assert [one.cluster_id for one in again.seen] == [2]
    assert logged(container, summary_run_id)[-1] == "summary.completed"


def test_a_namer_that_compares_sees_all_again_and_what_is_named_stays(
    container: Container, embedded_run: str
) -> None:
    summary_run_id = request_summary(container, embedded_run)
    with pytest.raises(Unavailable):
        work(container, summary_run_id, Echo(patience=2))
    again = Echo()
    work(container, summary_run_id, again)
    assert [one.cluster_id for one in again.seen] == [0, 1, 2]
    topics = logged(container, summary_run_id)
    assert topics.count("summary.clusters_summarised") == 2


def test_a_cluster_that_fails_stops_no_other_and_a_resume_asks_for_it_alone(
    container: Container, embedded_run: str
) -> None:
    namer = Echo(fails=[1], compares=False)
    summary_run_id = ask_for(container, embedded_run, namer)
    work(container, summary_run_id, namer)
    assert summary_of(container, summary_run_id).failures == {1: "cannot read bbb"}
    assert titles_of(container, embedded_run) == {0: "aab", 1: None, 2: "empty"}
    (failed,) = events(container, f"summary/{summary_run_id}", "summary.clusters_not_named")
    assert failed["usage"]["calls"] == 3
    again = Echo(compares=False)
    request_as(ResumeSummary(summary_run_id=summary_run_id), container, again)
    work(container, summary_run_id, again)
    assert [one.cluster_id for one in again.seen] == [1]
    assert titles_of(container, embedded_run) == {0: "aab", 1: "bbb", 2: "empty"}
    assert summary_of(container, summary_run_id).failures == {}
    with pytest.raises(Conflict, match="has named every cluster"):
        request_as(ResumeSummary(summary_run_id=summary_run_id), container, again)


def test_where_none_could_be_named_the_run_has_failed(container: Container, embedded_run: str) -> None:
    namer = Echo(fails=[0, 1, 2])
    summary_run_id = ask_for(container, embedded_run, namer)
    with pytest.raises(Refused, match="none of 3 clusters could be named; of cluster 0: cannot read aab"):
        work(container, summary_run_id, namer)


def test_an_error_quotes_nobody(container: Container, dataset: str) -> None:
    secret = "my neighbour Zbigniew lives at 12 Violet Lane"
    load(container, secret, dataset=dataset)
    container.embeddings.put(SPACE, {digest(secret.encode()): np.eye(1, 4, dtype=np.float32)[0]})
    namer = Echo(fails=[0], compares=False)
    summary_run_id = ask_for(container, cluster(container, [0], clusters=1, dataset=dataset), namer)
    with pytest.raises(Refused, match=r"cannot read …$"):
        work(container, summary_run_id, namer)


def test_a_cancelled_one_asks_for_no_more_and_can_be_gone_on_with(
    container: Container, embedded_run: str
) -> None:
    namer = Echo(compares=False)
    summary_run_id = ask_for(container, embedded_run, namer)

    class Cancelling(Echo):
        def name(
            self, clusters: Iterable[ClusterTexts], limits: Limits, stop: Stop = never
        ) -> Iterator[ClusterName | NotNamed]:
            found = super().name(clusters, limits, stop)
            yield next(found)
            container.bus.handle(CancelSummary(summary_run_id=summary_run_id))
            with patch("commands.summaries.naming.LOOKED_AFTER_S", -1.0):
                yield from found

    cancelling = Cancelling(compares=False)
    work(container, summary_run_id, cancelling)
    summary = summary_of(container, summary_run_id)
    assert (summary.status, set(summary.summaries), cancelling.stopped) == ("cancelled", {0}, True)
    assert titles_of(container, embedded_run)[0] is None
    request_as(ResumeSummary(summary_run_id=summary_run_id), container, namer)
    work(container, summary_run_id, namer)
    assert [one.cluster_id for one in namer.seen] == [1, 2]
    assert titles_of(container, embedded_run)[0] == "aab"


def test_titles_that_are_alike_are_told_apart_also_from_those_of_people(
    container: Container, dataset: str
) -> None:
    texts = ["aa", "aa", "bb", "bb", "cc"]
    load(container, *texts, dataset=dataset)
    vectors = dict(zip(map(digest, map(str.encode, texts)), ByLetters().embed(texts), strict=True))
    container.embeddings.put(SPACE, vectors)
    run_id = cluster(container, [0, 1, 2, 2, 3], clusters=4, dataset=dataset)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=3, title="bb", description="x"))
    namer = Echo()
    summary_run_id = ask_for(container, run_id, namer)
    work(container, summary_run_id, namer)
    assert titles_of(container, run_id) == {0: "aa", 1: "aa 1", 2: "bb 2", 3: "bb"}
    (event,) = events(container, f"summary/{summary_run_id}", "summary.titles_told_apart")
    assert event["titles"][0] == {
        "cluster_id": 1,
        "was": "aa",
        "title": "aa 1",
        "prompt": "tell_apart.v1@ab",
    }
    assert container.embeddings.missing(SPACE, [digest(b"aa 1\n1")]) == set()


# --- one cluster alone


def test_one_cluster_alone_leaves_the_titles_of_the_others(container: Container, embedded_run: str) -> None:
    first = request_summary(container, embedded_run)
    work(container, first, Echo())
    namer = Echo(compares=False)
    second = ask_for(container, embedded_run, namer, cluster_id=1, max_queries=1)
    work(container, second, namer)
    assert [one.cluster_id for one in namer.seen] == [1]
    run = container.store.load(ClusteringRun, embedded_run)
    assert [run.cluster(one).summary_run_id for one in (0, 1, 2)] == [first, second, first]
    embedded = events(container, f"title_index/{embedded_run}", "title_index.titles_embedded")
    assert [one["cluster_id"] for one in embedded[-1]["texts"]] == [1]


def test_a_cluster_that_is_not_there_cannot_be_named(container: Container, run_id: str) -> None:
    with pytest.raises(Conflict, match="has no cluster 9"):
        request(container, run_id, parameters={"cluster_id": 9})


# --- which titles are shown


def test_a_run_that_is_not_to_be_shown_is_kept_beside(container: Container, embedded_run: str) -> None:
    first = request_summary(container, embedded_run)
    work(container, first, Echo())
    namer = Echo()
    second = ask_for(container, embedded_run, namer, show=False, max_queries=1)
    work(container, second, namer)
    run = container.store.load(ClusteringRun, embedded_run)
    assert {one.summary_run_id for one in run.clusters.values()} == {first}
    embedded = events(container, f"title_index/{embedded_run}", "title_index.titles_embedded")
    assert embedded[-1]["summary_run_id"] == second
    show = container.bus.handle(ShowSummary(summary_run_id=second))
    assert show.position is not None
    run = container.store.load(ClusteringRun, embedded_run)
    assert {one.summary_run_id for one in run.clusters.values()} == {second}
    embedded = events(container, f"title_index/{embedded_run}", "title_index.titles_embedded")
    assert (embedded[-1]["summary_run_id"], len(embedded[-1]["texts"])) == (None, 3)
    assert embedded[-1]["texts"][0] == {"cluster_id": 0, "text": digest(b"aab\n3").hex()}
    assert container.bus.handle(ShowSummary(summary_run_id=second)).position is None


def test_only_a_completed_one_can_be_shown(container: Container, run_id: str) -> None:
    with pytest.raises(Conflict, match="is pending: only a completed one can be shown"):
        container.bus.handle(ShowSummary(summary_run_id=request_summary(container, run_id)))


def test_words_of_people_stay_unless_asked_otherwise_and_come_back(
    container: Container, embedded_run: str
) -> None:
    container.bus.handle(RenameCluster(run_id=embedded_run, cluster_id=1, title="Mine"))
    namer = Echo()
    token = context.set(Context(actor="anna"))
    try:
        summary_run_id = ask_for(container, embedded_run, namer, replace_edited=True)
    finally:
        context.reset(token)
    work(container, summary_run_id, namer)
    assert titles_of(container, embedded_run)[1] == "bbb"
    sql = "SELECT meta, position FROM log.events WHERE type = 'curation.titles_released' AND stream = %s"
    with container.database.connection() as connection:
        ((meta, position),) = connection.execute(sql, [f"clustering/{embedded_run}"]).fetchall()
    assert (meta["actor"], meta["reason"]) == ("anna", f"replace_edited of summary run {summary_run_id}")
    embedded = events(container, f"title_index/{embedded_run}", "title_index.titles_embedded")
    assert [one["cluster_id"] for one in embedded[-1]["texts"]] == [0, 1, 2]
    container.bus.handle(ReverseEdit(run_id=embedded_run, edit_id=position))
    assert titles_of(container, embedded_run)[1] == "Mine"


def test_showing_another_may_also_replace_words_of_people(container: Container, run_id: str) -> None:
    summary_run_id = name(container, run_id, "animal", 0, 1)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Mine"))
    assert container.bus.handle(ShowSummary(summary_run_id=summary_run_id)).position is None
    container.bus.handle(ShowSummary(summary_run_id=summary_run_id, replace_edited=True))
    assert titles_of(container, run_id) == {0: "animal 0", 1: "animal 1"}


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
