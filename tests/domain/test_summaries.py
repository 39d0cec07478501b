"""A summary run names each cluster once and ends once; titles are noted with the text that was embedded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from domain.base import Invalid
from domain.search import TitleIndex
from domain.summaries import SummaryRun
from tests.given import given
from tests.runs import SPACE, titles

TEXTS = [{"cluster_id": 0, "text": "ab" * 32}]


def summary_run() -> SummaryRun:
    return SummaryRun("s1", "kmeans-3", "mine", "local/c-tf-idf", {"max_queries": 10})


def names(*cluster_ids: int) -> list[dict[str, Any]]:
    return [
        {**one, "representative_query_ids": [1, 2], "num_queries": 2} for one in titles("s1", *cluster_ids)
    ]


def completed() -> SummaryRun:
    summary = summary_run()
    summary.record(names(0))
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
    given(summary).when(lambda one: one.record(names(0, 1))).then(
        SummaryRun.ClustersSummarised, summaries=names(0, 1)
    )
    assert summary.summaries == {0: names(0)[0], 1: names(1)[0]}


def test_a_cluster_that_is_named_keeps_its_name_when_a_job_is_repeated() -> None:
    summary = summary_run()
    summary.record(names(0))
    again = [{**names(0)[0], "title": "other"}, *names(1)]
    given(summary).when(lambda one: one.record(again)).then(SummaryRun.ClustersSummarised, summaries=names(1))
    given(summary).when(lambda one: one.record(again)).then_nothing()
    assert summary.summaries[0]["title"] == "s1 0"


def test_no_names_are_no_event() -> None:
    given(summary_run()).when(lambda one: one.record([])).then_nothing()


def test_completion_counts_what_was_named() -> None:
    summary = summary_run()
    summary.record(names(0, 1, 2))
    given(summary).when(lambda one: one.complete()).then(SummaryRun.Completed, summarised=3)
    assert summary.status == "completed"


def test_a_failure_keeps_its_reason_in_a_form_that_can_be_stored() -> None:
    failing = given(summary_run()).when(lambda one: one.fail("said \0"))
    failing.then(SummaryRun.Failed, error="said \N{REPLACEMENT CHARACTER}")
    assert failing.aggregate.status == "failed"


@pytest.mark.parametrize("make", [completed, failed])
@pytest.mark.parametrize(
    "decide",
    [lambda one: one.record(names(2)), lambda one: one.complete(), lambda one: one.fail("again")],
    ids=["record", "complete", "fail"],
)
def test_what_has_ended_stays_as_it_is(
    make: Callable[[], SummaryRun], decide: Callable[[SummaryRun], None]
) -> None:
    given(make()).when(decide).then_nothing()


@pytest.mark.parametrize("title", ["a\0b", "\ud83d"])
def test_a_name_that_cannot_be_kept_is_refused(title: str) -> None:
    spoilt = [{**names(0)[0], "title": title}]
    given(summary_run()).when(lambda one: one.record(spoilt)).refuses(Invalid, "summaries.title holds")


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
