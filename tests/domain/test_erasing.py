"""Decisions about what is to be forgotten."""

from __future__ import annotations

import numpy as np

from domain.clustering import ClusteringRun
from domain.datasets import ERASED_CONTENT, Dataset, Erased, Row, SortedRows, sort_out
from domain.values import ERASED
from tests.given import given
from tests.runs import assign, complete, completed_run, replayed, requested_run


def loaded() -> Dataset:
    made = Dataset("default")
    made.request_load("load-1", "upload", {}, {})
    made.import_batch(
        "load-1", 2, 1, SortedRows([Row(1, "x", b"a"), Row(2, "y", b"b")], 0, []), [], "aa" * 32
    )
    made.complete_load("load-1")
    return made


def test_a_conversation_is_erased_once() -> None:
    made = loaded()
    event = (
        given(made)
        .when(lambda one: one.erase("x", [1], 1, 3))
        .then(Dataset.ConversationErased, conversation_id="x", query_ids=[1], queries=1, also_held_by=3)
    )
    assert (made.queries, made.erased) == (1, {"x": Erased([1], 3)})
    given(made).when(lambda one: one.erase("x", [1], 1, 0)).then_nothing()
    again = loaded()
    assert replayed([event], again).erased == made.erased


def test_clearing_forgets_what_was_erased() -> None:
    made = loaded()
    made.erase("x", [1], 1, 0)
    given(made).when(lambda one: one.clear()).then(Dataset.Cleared, queries=1)
    assert (made.erased, made.erased_queries(), made.was_cleared) == ({}, [], True)


def test_a_row_that_was_erased_is_rejected_whatever_it_holds() -> None:
    rows = [Row(1, "x", b"a"), Row(2, "y", b"b"), Row(3, "z", b"c")]
    for skip in (True, False):
        found = sort_out(rows, {"x": ERASED_CONTENT, "y": b"b"}, skip_existing=skip)
        assert (found.new, found.skipped) == ([rows[2]], 1)
        assert found.rejected == [{"row": 1, "reason": "conversation 'x' was erased"}]


def test_a_run_forgets_what_it_has_and_nothing_else() -> None:
    run = completed_run([0, 0, 1])
    erase = given(run).when(lambda one: one.erase(np.array([2, 99])))
    erase.then(ClusteringRun.QueriesErased, query_ids=[2])
    assert run.partition.labels.tolist() == [0, ERASED, 1]
    given(run).when(lambda one: one.erase(np.array([2, 99]))).then_nothing()


def test_a_run_that_is_growing_is_told_of_all_so_that_its_next_chunk_meets_a_conflict() -> None:
    run = requested_run()
    assign(run, 0, [1, 2], [0, 1])
    erase = given(run).when(lambda one: one.erase(np.array([2, 3])))
    erase.then(ClusteringRun.QueriesErased, query_ids=[2, 3])
    assign(run, 1, [3, 4], [0, 1])
    complete(run, 2)
    given(run).when(lambda one: one.erase(np.array([2, 3]))).then(ClusteringRun.QueriesErased, query_ids=[3])
    assert run.partition.labels.tolist() == [0, ERASED, ERASED, 1]


def test_a_run_that_is_extended_is_growing() -> None:
    run = completed_run([0, 1], clusters=2)
    run.request_extension("e1", 9, 0.0)
    given(run).when(lambda one: one.erase(np.array([5]))).then(ClusteringRun.QueriesErased, query_ids=[5])
    run.end_extension("e1", None)
    given(run).when(lambda one: one.erase(np.array([6]))).then_nothing()
