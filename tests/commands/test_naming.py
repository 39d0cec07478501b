"""The job of a summary run: what is read, what is left, what is told apart, and whose titles are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from adapters.bootstrap import Container
from commands.bus import bind
from commands.curation import MoveQuery, RenameCluster, ReverseEdit
from commands.ports import (
    ClusterName,
    ClusterTexts,
    Limits,
    NotNamed,
    Sample,
    Stop,
    never,
)
from commands.summaries import (
    CancelSummary,
    RequestSummary,
    ResumeSummary,
    ShowSummary,
    run_summary,
)
from domain.base import Context, context
from domain.clustering import ClusteringRun
from domain.errors import Conflict, Refused, Unavailable
from domain.values import digest
from tests.naming import ByLetters, Echo, ask_for, events, request_as, summary_of, titles_of, work
from tests.runs import SPACE
from tests.stories import (
    AT,
    cluster,
    load,
    logged,
    name,
    query_ids,
    request_summary,
)


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    load(container, "ant", "ape", "bee", "bow", dataset=dataset)
    return cluster(container, [0, 0, 1, 1], clusters=2, dataset=dataset)


def request(container: Container, run_id: str, **parameters: Any) -> str:  # noqa: ANN401
    command = RequestSummary(run_id=run_id, model="local/c-tf-idf", alias=None, parameters=parameters, at=AT)
    return str(container.bus.handle(command).answer["summary_run_id"])


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
    summary_run_id = request(container, embedded_run, max_queries=1)
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
    with pytest.raises(Refused, match=r"cannot read …"):
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
            with patch("commands.runs.LOOKED_EVERY_S", -1.0):
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
        request(container, run_id, cluster_id=9)


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
