"""Rows of evaluation say what its aggregates say, however the log is cut, and forget what was erased."""

from __future__ import annotations

import pytest

from adapters.bootstrap import Container
from commands.datasets import EraseConversation
from commands.evaluation import DiscardSuggestion, RequestSuggestion, ResumeEvaluation
from commands.evaluation.ending import EndEvaluation
from domain.base import Context, context
from domain.evaluation import Case
from projections.evaluation.tables import cases, results, runs, suggestions, versions
from tests.evaluating import AT, Scripted, bus, freeze, put_template, request, suggest, work
from tests.projections.test_folding import assert_as_rebuilt
from tests.stories import clear, load, project, rows


@pytest.mark.parametrize("batch", [2, None])
def test_a_story_makes_the_same_rows_in_any_batches(container: Container, batch: int | None) -> None:
    first, second, third = load(container, "two shoes", "money back", "an order of money")
    labelled = [
        Case("ORDER", query_id=first),
        Case("REFUND", query_id=second),
        Case("REFUND", query_id=third),
    ]
    test_set, template_id = freeze(container, labelled, dataset="default"), put_template(container)
    run_id = request(container, Scripted(), template_id, test_set)
    with pytest.raises(ConnectionError):
        work(container, Scripted({"shoes": "ORDER"}, patience=2), run_id)
    bus(container, Scripted()).handle(EndEvaluation(evaluation_run_id=run_id, error="rate limit"))
    container.bus.handle(ResumeEvaluation(evaluation_run_id=run_id))
    work(container, Scripted(), run_id)
    command = RequestSuggestion(evaluation_run_id=run_id, model="local/confusion", at=AT)
    suggestion_id = str(bus(container, Scripted()).handle(command).answer["suggestion_id"])
    suggest(container, suggestion_id)
    container.bus.handle(DiscardSuggestion(suggestion_id=suggestion_id, reason="no better"))
    with container.database.connection() as connection:
        sql = "SELECT conversation_id FROM log.conversations WHERE query_id = %s"
        row = connection.execute(sql, [first]).fetchone()
    assert row is not None
    context.set(Context(actor="ada", reason="asked for"))
    container.bus.handle(EraseConversation(dataset="default", conversation_id=row[0]))

    project(container, batch)
    (version,) = rows(container, versions)
    assert (version["test_set"], version["dataset"], version["cases"]) == (test_set, "default", 3)
    assert [one["gone"] for one in rows(container, cases)] == [True, False, False]
    (run,) = rows(container, runs)
    assert (run["status"], run["answered"], run["errors"], run["error"]) == ("completed", 3, 0, None)
    answered = rows(container, results)
    assert [(one["predicted"], one["error"]) for one in answered] == [
        ("ORDER", None),
        ("REFUND", None),
        ("ORDER", None),
    ]
    (suggestion,) = rows(container, suggestions)
    assert (suggestion["status"], suggestion["decision_reason"]) == ("discarded", "no better")
    assert_as_rebuilt(container)
    clear(container, "default")
    project(container, batch)
    assert [one["gone"] for one in rows(container, cases)] == [True, True, True]
    assert_as_rebuilt(container)
