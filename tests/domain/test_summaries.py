"""A summary run names each cluster once, goes on with what is left, and ends; titles that were embedded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from domain.errors import Conflict, Invalid
from domain.search import TitleIndex
from domain.summaries import SummaryRun
from tests.given import given
from tests.runs import SPACE, titles

TEXTS = [{"cluster_id": 0, "text": "ab" * 32}]
TOOK = {"calls": 2, "input_tokens": 30, "output_tokens": 4, "cost_usd": 0.1, "seconds": 0.5, "cached": 0}


def summary_run() -> SummaryRun:
    return SummaryRun("s1", "kmeans-3", "mine", "local/c-tf-idf", {"max_queries": 10})


def named(*cluster_ids: int) -> SummaryRun:
    summary = summary_run()
    summary.record(names(*cluster_ids), {})
    return summary


def names(*cluster_ids: int) -> list[dict[str, Any]]:
    return [
        {**one, "representative_query_ids": [1, 2], "num_queries": 2} for one in titles("s1", *cluster_ids)
    ]


def completed() -> SummaryRun:
    summary = named(0)
    summary.complete()
    return summary


def failed() -> SummaryRun:
    summary = summary_run()
    summary.fail("no answer")
    return summary


def test_a_request_keeps_the_model_and_its_parameters() -> None:
    summary = summary_run()
    (created,) = summary.collect_events()
    assert type(created) is SummaryRun.Created
    assert (created.model, created.alias) == ("local/c-tf-idf", "mine")
    assert created.parameters == {"max_queries": 10}
    assert (summary.id, summary.status) == ("summary/s1", "pending")


def test_names_are_kept_as_they_come() -> None:
    summary = summary_run()
    given(summary).when(lambda one: one.record(names(0, 1), TOOK)).then(
        SummaryRun.ClustersSummarised, summaries=names(0, 1), usage=TOOK
    )
    assert summary.summaries == {0: names(0)[0], 1: names(1)[0]}


def test_a_cluster_that_is_named_keeps_its_name_when_a_job_is_repeated() -> None:
    summary = named(0)
    again = [{**names(0)[0], "title": "other"}, *names(1)]
    given(summary).when(lambda one: one.record(again, {})).then(
        SummaryRun.ClustersSummarised, summaries=names(1)
    )
    given(summary).when(lambda one: one.record(again, {})).then_nothing()
    assert summary.summaries[0]["title"] == "s1 0"


def test_no_names_are_no_event() -> None:
    given(summary_run()).when(lambda one: one.record([], {})).then_nothing()


def test_completion_counts_what_was_named() -> None:
    summary = named(0, 1, 2)
    given(summary).when(lambda one: one.complete()).then(SummaryRun.Completed, summarised=3)
    assert summary.status == "completed"


def test_a_failure_keeps_its_reason_in_a_form_that_can_be_stored() -> None:
    failing = given(summary_run()).when(lambda one: one.fail("said \0"))
    failing.then(SummaryRun.Failed, error="said \N{REPLACEMENT CHARACTER}")
    assert failing.aggregate.status == "failed"


@pytest.mark.parametrize("make", [completed, failed])
@pytest.mark.parametrize(
    "decide",
    [lambda one: one.record(names(2), {}), lambda one: one.complete(), lambda one: one.fail("again")],
    ids=["record", "complete", "fail"],
)
def test_what_has_ended_stays_as_it_is(
    make: Callable[[], SummaryRun], decide: Callable[[SummaryRun], None]
) -> None:
    given(make()).when(decide).then_nothing()


@pytest.mark.parametrize("title", ["a\0b", "\ud83d"])
def test_a_name_that_cannot_be_kept_is_refused(title: str) -> None:
    spoilt = [{**names(0)[0], "title": title}]
    given(summary_run()).when(lambda one: one.record(spoilt, {})).refuses(Invalid, "summaries.title holds")


# --- clusters that could not be named


def test_a_cluster_that_failed_is_kept_with_its_reason_and_leaves_the_others_alone() -> None:
    summary = named(0)
    given(summary).when(lambda one: one.record_failures({1: "said \0", 0: "late"}, TOOK)).then(
        SummaryRun.ClustersNotNamed,
        failures=[{"cluster_id": 1, "error": "said \N{REPLACEMENT CHARACTER}"}],
        usage=TOOK,
    )
    given(summary).when(lambda one: one.record_failures({1: "again"}, {})).then_nothing()
    assert summary.left([0, 1, 2]) == [2]
    given(summary).when(lambda one: one.complete()).then(SummaryRun.Completed, summarised=1)


def test_what_one_cluster_is_asked_for_is_all_that_is_left() -> None:
    summary = SummaryRun("s1", "kmeans-3", None, "local/c-tf-idf", {"cluster_id": 2})
    assert summary.left([0, 1, 2]) == [2]
    summary.record(names(2), {})
    assert summary.left([0, 1, 2]) == []


# --- titles that are alike


def test_a_title_that_is_told_apart_is_kept_with_what_it_was() -> None:
    summary = named(0, 1)
    prompts = {1: "tell_apart.v1@ab"}
    given(summary).when(lambda one: one.tell_apart({0: "s1 0", 1: "other", 9: "?"}, prompts, TOOK)).then(
        SummaryRun.TitlesToldApart,
        titles=[{"cluster_id": 1, "was": "s1 1", "title": "other", "prompt": "tell_apart.v1@ab"}],
        usage=TOOK,
    )
    assert summary.summaries[1] == {**names(1)[0], "title": "other"}
    given(summary).when(lambda one: one.tell_apart({1: "other"}, prompts, {})).then_nothing()


# --- an end that is none


def test_what_is_under_way_when_it_is_cancelled_is_still_kept() -> None:
    summary = named(0)
    given(summary).when(lambda one: one.cancel()).then(SummaryRun.Cancelled)
    given(summary).when(lambda one: one.record(names(1), {})).then(SummaryRun.ClustersSummarised)
    given(summary).when(lambda one: one.cancel()).then_nothing()
    given(summary).when(lambda one: one.complete()).then_nothing()


def test_what_has_ended_cannot_be_cancelled() -> None:
    given(completed()).when(lambda one: one.cancel()).refuses(Conflict, "s1 is completed: there is nothing")


@pytest.mark.parametrize("end", [lambda one: one.fail("no key"), lambda one: one.cancel()])
def test_it_goes_on_with_what_has_no_name(end: Callable[[SummaryRun], None]) -> None:
    summary = named(0)
    summary.record_failures({1: "no answer"}, {})
    end(summary)
    given(summary).when(lambda one: one.resume([0, 1, 2])).then(SummaryRun.Resumed)
    assert (summary.status, summary.left([0, 1, 2])) == ("pending", [1, 2])
    assert set(summary.summaries) == {0}


def test_a_completed_one_goes_on_where_clusters_failed_or_came_since() -> None:
    summary = named(0)
    summary.record_failures({1: "no answer"}, {})
    summary.complete()
    given(summary).when(lambda one: one.resume([0])).refuses(Conflict, "has named every cluster")
    given(summary).when(lambda one: one.resume([0, 1])).then(SummaryRun.Resumed)
    given(completed()).when(lambda one: one.resume([0, 7])).then(SummaryRun.Resumed)


def test_one_that_is_under_way_is_not_begun_twice() -> None:
    given(named(0)).when(lambda one: one.resume([0, 1])).refuses(Conflict, "s1 is under way")


def test_what_came_since_the_last_completion_is_fresh() -> None:
    summary = named(0)
    summary.complete()
    summary.resume([0, 1])
    assert summary.fresh == set()
    summary.record(names(1), {})
    summary.tell_apart({0: "another"}, {}, {})
    assert summary.fresh == {0, 1}
    summary.complete()
    assert summary.fresh == set()


# --- titles that were embedded


def test_titles_that_were_embedded_are_noted_by_their_digest() -> None:
    given(TitleIndex("kmeans-3")).when(lambda one: one.record(SPACE, TEXTS)).then(
        TitleIndex.TitlesEmbedded, space=vars(SPACE), texts=TEXTS, summary_run_id=None
    )


def test_those_of_one_summary_run_are_noted_with_its_id() -> None:
    given(TitleIndex("kmeans-3")).when(lambda one: one.record(SPACE, TEXTS, "s1")).then(
        TitleIndex.TitlesEmbedded, summary_run_id="s1"
    )


def test_no_titles_are_no_event() -> None:
    given(TitleIndex("kmeans-3")).when(lambda one: one.record(SPACE, [])).then_nothing()
