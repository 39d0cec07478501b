"""Evaluation by its commands and jobs: what is asked, what is kept, and when a draft may be adopted."""

from __future__ import annotations

from dataclasses import replace

import pytest

import commands.evaluation.running as running
import commands.runs as runs
from adapters.bootstrap import Container
from commands.datasets import EraseConversation
from commands.evaluation import (
    AdoptSuggestion,
    CancelEvaluation,
    EndEvaluation,
    EvaluateSuggestion,
    RequestSuggestion,
    ResumeEvaluation,
)
from commands.evaluation.reading import draft_of
from commands.templates import PutTemplate
from domain.base import Context, context
from domain.errors import Conflict, Invalid, NotFound
from domain.evaluation import Case, EvaluationRun, Suggestion
from domain.templates import Template
from domain.values import digest
from tests.evaluating import (
    AT,
    CASES,
    CONTENT,
    Scripted,
    bus,
    freeze,
    put_template,
    request,
    suggest,
    work,
)
from tests.stories import load, logged


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


def evaluated(container: Container, cases: list[Case] = CASES, dataset: str | None = None) -> EvaluationRun:
    run_id = request(
        container, Scripted(), put_template(container), freeze(container, cases, dataset=dataset)
    )
    work(container, Scripted(), run_id)
    return container.store.load(EvaluationRun, run_id)


def test_texts_of_cases_lie_beside_the_log_under_their_digest(container: Container) -> None:
    test_set = freeze(container)
    stored = container.contents.get([digest(b"two shoes please")])
    assert list(stored.values()) == [b"two shoes please"]
    with container.database.connection() as connection:
        sql = "SELECT count(*) FROM log.events WHERE data::text LIKE %s"
        assert connection.execute(sql, ["%shoes please%"]).fetchone() == (0,)
    assert logged(container, test_set) == ["test_set.created", "test_set.version_frozen"]
    freeze(container, name=test_set)
    assert len(logged(container, test_set)) == 2


def test_a_run_asks_about_every_case_and_measures(container: Container) -> None:
    run = evaluated(container)
    assert run.status == "completed"
    assert run.figures is not None
    headline, every = run.figures["headline"], run.figures["with_leaked"]
    assert (headline["cases"], headline["correct"]) == (3, 2)
    assert (every["cases"], every["correct"]) == (4, 3)
    counts = {"cases": 4, "answered": 4, "errors": 0, "leaked": 1, "gone": 0}
    assert run.figures["counts"] == counts
    assert run.figures["usage"]["cost_usd"] == 1.0
    assert run.figures["seconds"] == {"mean": 0.5, "p50": 0.5, "p95": 0.5}
    assert run.figures["not_allowed"] == []


def test_what_is_said_of_a_case_does_not_quote_it(container: Container) -> None:
    text = "nobody has a word for this, said Ada of Example Street 7"
    run_id = request(
        container, Scripted(), put_template(container), freeze(container, [*CASES, Case("ORDER", text)])
    )
    classifier = Scripted({"money": "REFUND", "shoes": "ORDER"})
    work(container, classifier, run_id)
    run = container.store.load(EvaluationRun, run_id)
    assert run.figures is not None
    assert run.figures["counts"]["errors"] == 2
    (event,) = container.store.events(EvaluationRun, run_id, [2]).values()
    said = {one["number"]: one for one in event.words}
    assert said[5]["error"].startswith("no word in '…")
    assert "Ada" not in str(event.words)
    assert said[1]["reasoning"] == "said so"


def test_labels_that_the_template_has_not_are_named(container: Container) -> None:
    run = evaluated(container, [*CASES, Case("INVOICE", "money for a paper")])
    assert run.figures is not None
    assert run.figures["not_allowed"] == ["INVOICE"]
    assert run.figures["headline"]["confusion"]["labels"] == ["INVOICE", "ORDER", "REFUND"]


def test_a_run_that_breaks_off_keeps_what_it_has_and_goes_on(container: Container) -> None:
    run_id = request(container, Scripted(), put_template(container), freeze(container))
    with pytest.raises(ConnectionError):
        work(container, Scripted(patience=2), run_id)
    assert container.store.load(EvaluationRun, run_id).open_cases.tolist() == [3, 4]
    bus(container, Scripted()).handle(
        EndEvaluation(evaluation_run_id=run_id, error="rate limit exceeded at case 3")
    )
    failed = container.store.load(EvaluationRun, run_id)
    assert (failed.status, failed.figures and failed.figures["counts"]["answered"]) == ("failed", 2)
    container.bus.handle(ResumeEvaluation(evaluation_run_id=run_id, parameters={"rpm": 60, "concurrency": 2}))
    again = Scripted()
    assert work(container, again, run_id) == [(4, 4)]
    assert [one.key for one in again.seen] == [3, 4]
    assert again.limits is not None
    assert (again.limits.rpm, again.limits.concurrency) == (60, 2)
    assert container.store.load(EvaluationRun, run_id).status == "completed"
    assert work(container, again, run_id) == []


def test_a_run_without_a_single_label_has_failed_and_says_why(container: Container) -> None:
    run = evaluated(
        container, [Case("ORDER", "what is to become of it now"), Case("ORDER", "and what comes after that")]
    )
    assert run.status == "failed"
    assert run.figures is not None
    assert run.figures["counts"]["errors"] == 2
    failed = container.store.events(EvaluationRun, run.evaluation_run_id, [run.version])[run.version]
    assert failed.error.startswith("none of 2 cases got a label; most often: no word in '…")


def test_an_answer_that_is_no_label_is_an_error(container: Container) -> None:
    run_id = request(container, Scripted(), put_template(container), freeze(container))
    work(container, Scripted({"money": "INVOICE", "": "ORDER"}), run_id)
    run = container.store.load(EvaluationRun, run_id)
    assert set(run.errors.values()) == {"the answer was 'INVOICE', which is no label of the template"}


def test_a_run_is_stopped_between_two_cases(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "LOOKED_EVERY_S", 0.0)
    run_id = request(container, Scripted(), put_template(container), freeze(container))
    classifier = Scripted()

    def ask_to_stop(item: object) -> None:
        if len(classifier.seen) == 2:
            container.bus.handle(CancelEvaluation(evaluation_run_id=run_id))

    classifier.before = ask_to_stop
    work(container, classifier, run_id)
    run = container.store.load(EvaluationRun, run_id)
    assert (run.status, run.open_cases.tolist()) == ("cancelled", [3, 4])


def test_answers_are_recorded_some_at_a_time(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "RECORDED_AT_ONCE", 3)
    run = evaluated(container)
    assert logged(container, run.evaluation_run_id) == [
        "evaluation.created",
        *["evaluation.cases_answered"] * 2,
        "evaluation.completed",
    ]


def test_cases_of_a_data_set_go_when_a_conversation_is_erased(container: Container, dataset: str) -> None:
    first, second = load(container, "two shoes", "money back", dataset=dataset)
    cases = [Case("ORDER", query_id=first), Case("REFUND", query_id=second)]
    test_set, template_id = freeze(container, cases, dataset=dataset), put_template(container)
    _erase(container, dataset, first)
    run_id = request(container, Scripted(), template_id, test_set)
    work(container, Scripted(), run_id)
    run = container.store.load(EvaluationRun, run_id)
    assert run.figures is not None
    assert run.figures["counts"] == {"cases": 2, "answered": 1, "errors": 0, "leaked": 0, "gone": 1}


def test_a_case_of_a_file_goes_with_a_conversation_of_the_same_text(
    container: Container, dataset: str
) -> None:
    text = f"two shoes, said {dataset}"
    freeze(container, [Case("ORDER", text)])
    (query_id,) = load(container, text, dataset=dataset)
    _erase(container, dataset, query_id)
    assert container.contents.get([digest(text.encode())]) == {}


def _erase(container: Container, dataset: str, query_id: int) -> None:
    with container.database.connection() as connection:
        sql = "SELECT conversation_id FROM log.conversations WHERE query_id = %s"
        row = connection.execute(sql, [query_id]).fetchone()
    assert row is not None
    token = context.set(Context(reason="asked for"))
    container.bus.handle(EraseConversation(dataset=dataset, conversation_id=row[0]))
    context.reset(token)


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"number": 9}, NotFound, "versions 1 to 1"),
        ({"test_set_version": 9}, NotFound, "has no version 9"),
        ({"test_set": "unheard-of"}, NotFound, "unheard-of"),
        ({"template_id": "unheard-of"}, NotFound, "unheard-of"),
    ],
)
def test_what_is_not_there_is_named(
    container: Container, fields: dict[str, object], error: type[Exception], words: str
) -> None:
    wanted = {"template_id": put_template(container), "test_set": freeze(container), **fields}
    with pytest.raises(error, match=words):
        request(container, Scripted(), **wanted)  # type: ignore[arg-type]


# --- suggestions


def suggested(container: Container, **more: object) -> tuple[EvaluationRun, str]:
    run = evaluated(container)
    command = RequestSuggestion(
        evaluation_run_id=run.evaluation_run_id,
        model="local/confusion",
        at=AT,
        **more,  # type: ignore[arg-type]
    )
    suggestion_id = str(bus(container, Scripted()).handle(command).answer["suggestion_id"])
    suggest(container, suggestion_id)
    return run, suggestion_id


def tried(container: Container, suggestion_id: str) -> EvaluationRun:
    receipt = bus(container, Scripted()).handle(EvaluateSuggestion(suggestion_id=suggestion_id, at=AT))
    run_id = str(receipt.answer["evaluation_run_id"])
    work(container, Scripted(), run_id)
    return container.store.load(EvaluationRun, run_id)


def test_a_draft_is_tried_on_the_same_cases_and_then_adopted(container: Container) -> None:
    before, suggestion_id = suggested(container)
    suggestion = container.store.load(Suggestion, suggestion_id)
    assert suggestion.draft is not None
    assert 4 in suggestion.draft.examples
    adopt = AdoptSuggestion(suggestion_id=suggestion_id)
    with pytest.raises(Conflict, match="has not been evaluated"):
        container.bus.handle(adopt)
    after = tried(container, suggestion_id)
    assert after.figures is not None
    assert after.figures["counts"]["leaked"] > 1
    assert after.manifest == before.manifest
    assert container.store.load(Suggestion, suggestion_id).evaluated == {
        after.evaluation_run_id: after.template_hash
    }
    answer = container.bus.handle(adopt).answer
    template = container.store.load(Template, before.template_id)
    assert answer["template_number"] == template.number == 2
    assert template.current.template_hash == after.template_hash
    assert "money for the broken vase, ordered" in [one.text for one in template.content.examples]
    with pytest.raises(Conflict, match="is adopted"):
        container.bus.handle(adopt)


def test_a_draft_of_another_version_is_adopted_by_force_alone(container: Container) -> None:
    before, suggestion_id = suggested(container)
    tried(container, suggestion_id)
    changed = replace(CONTENT, description="changed")
    container.bus.handle(PutTemplate(content=changed, template_id=before.template_id))
    with pytest.raises(Conflict, match="has version 2 since"):
        container.bus.handle(AdoptSuggestion(suggestion_id=suggestion_id))
    with pytest.raises(Invalid, match="reason is missing"):
        container.bus.handle(AdoptSuggestion(suggestion_id=suggestion_id, force=True))
    command = AdoptSuggestion(suggestion_id=suggestion_id, force=True, reason="better all the same")
    assert container.bus.handle(command).answer["template_number"] == 3


def test_examples_come_from_a_pool_where_one_is_named(container: Container) -> None:
    pool = freeze(container, [Case("REFUND", "money back for an ordered vase"), Case("OTHER", "who knows")])
    _, suggestion_id = suggested(container, pool=pool)
    suggestion = container.store.load(Suggestion, suggestion_id)
    _, content = draft_of(suggestion, container.store, container.contents)
    assert [one.text for one in content.examples] == [
        "An example of mine",
        "money back for an ordered vase",
    ]
    run = tried(container, suggestion_id)
    assert run.figures is not None
    assert run.figures["counts"]["leaked"] == 1


def test_a_suggestion_is_made_of_a_run_that_has_ended(container: Container) -> None:
    run_id = request(container, Scripted(), put_template(container), freeze(container))
    command = RequestSuggestion(evaluation_run_id=run_id, model="local/confusion", at=AT)
    with pytest.raises(Conflict, match="wait until it has ended"):
        bus(container, Scripted()).handle(command)
