"""Cases are frozen by a hash, runs keep one answer for each, a draft is adopted only after it was tried."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given as example
from hypothesis import strategies as st

from domain import evaluation
from domain.errors import Conflict, Invalid, NotFound
from domain.evaluation import Answers, Case, Draft, EvaluationRun, Manifest, Suggestion, gather, sampled
from domain.evaluation.runs import ERROR, UNANSWERED
from domain.evaluation.test_sets import check_name
from domain.templates import Example, Label, TemplateContent
from domain.values import digest
from tests.given import given

CASES = [Case("REFUND", "where is my money"), Case("ORDER", "one more, please"), Case("REFUND", query_id=7)]
FIGURES = {"headline": {"accuracy": 0.5}}


def manifest(*cases: Case) -> Manifest:
    return Manifest.of(cases or CASES, "support")


def bitext() -> evaluation.TestSet:
    return evaluation.TestSet("bitext", "tickets")


# --- cases


def test_a_manifest_has_digests_and_ids_and_no_text() -> None:
    made = manifest()
    assert (made.labels, made.truth.tolist(), made.query_ids.tolist()) == (
        ("ORDER", "REFUND"),
        [1, 0, 1],
        [0, 0, 7],
    )
    assert made.digests == {1: digest(b"where is my money"), 2: digest(b"one more, please")}
    assert (made.label(3), made.counts()) == ("REFUND", {"ORDER": 1, "REFUND": 2})
    assert b"money" not in made.encoded()


cases = st.builds(
    lambda label, text, query_id: Case(label, text if query_id is None else None, query_id),
    st.sampled_from("abc"),
    st.text(max_size=9),
    st.none() | st.integers(1, 2**40),
)


@example(st.lists(cases, min_size=1, max_size=30))
def test_a_manifest_is_read_as_it_was_written(some: list[Case]) -> None:
    made = Manifest.of(some, "support")
    read = Manifest.decoded(made.encoded())
    assert read.encoded() == made.encoded()
    assert [read.label(n) for n in range(1, len(some) + 1)] == [one.label for one in some]
    assert read.digests == made.digests


def test_there_must_be_cases_and_not_too_many_labels() -> None:
    with pytest.raises(Invalid, match="at least one case"):
        Manifest.of([], None)
    with pytest.raises(Invalid, match="1,001 labels"):
        Manifest.of([Case(str(n), str(n)) for n in range(1_001)], None)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("A", "One  text", row=2), "repeats row 1"),
        (Case("B", "one text", row=2), "has the text of row 1, which is labelled 'A'"),
        (Case(" ", "other", row=2), "its label must have 1 to 200 characters"),
        (Case("A\0", "other", row=2), "its label holds a NUL character"),
        (Case("A", "  ", row=2), "its text is empty"),
    ],
)
def test_what_is_no_case_is_named_by_its_row(case: Case, reason: str) -> None:
    taken, rejected = gather([Case("A", "one text", row=1), case])
    assert [one.row for one in taken] == [1]
    assert rejected == [{"row": 2, "reason": reason}]


def test_a_sample_is_the_same_whatever_else_there_is() -> None:
    many = [Case("AB"[n % 2], f"text {n}", row=n) for n in range(40)]
    drawn = sampled(many, 3, seed=1)
    assert [one.label for one in drawn].count("A") == [one.label for one in drawn].count("B") == 3
    assert drawn == sorted(drawn, key=lambda one: one.row)
    assert sampled(many[::-1], 3, seed=1) == drawn[::-1]
    assert sampled(many, 3, seed=2) != drawn
    assert sampled(many, None, seed=1) == many


# --- test sets


def test_a_version_is_frozen_by_the_hash_of_its_cases() -> None:
    made = manifest()
    given(bitext()).when(lambda one: one.freeze(made, {"kind": "file"}, [{"row": 9, "reason": "no"}])).then(
        evaluation.TestSet.VersionFrozen,
        number=1,
        manifest=digest(made.encoded()).hex(),
        cases=3,
        labels={"ORDER": 1, "REFUND": 2},
        rejected=1,
    )


def test_the_same_cases_are_the_same_version() -> None:
    one = bitext()
    first = one.freeze(manifest(), {}, [])
    given(one).when(lambda again: again.freeze(manifest(), {"kind": "other"}, [])).then_nothing()
    assert one.freeze(manifest(CASES[0]), {}, []).number == 2
    assert (one.at(None).number, one.at(1)) == (2, first)
    with pytest.raises(NotFound, match="has no version 3: it has 1 to 2"):
        one.at(3)


@pytest.mark.parametrize("name", ["", "a b", ".a", "a/b", "x" * 65])
def test_an_odd_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="test set name"):
        check_name(name)


# --- runs


def requested(cases: int = 4) -> EvaluationRun:
    return EvaluationRun(
        evaluation_run_id="e1",
        template_id="support",
        template_number=2,
        template_hash="ab" * 32,
        labels=["ORDER", "REFUND"],
        suggestion_id=None,
        model="local/nearest",
        prompt="",
        test_set="bitext",
        test_set_version=1,
        manifest="cd" * 32,
        cases=cases,
        parameters={"seed": 42},
    )


def answers(**labels: int) -> Answers:
    """`c1=0`: case 1 was answered with the first label."""
    numbers = [int(name[1:]) for name in labels]
    return Answers(
        numbers=np.array(numbers, np.int32),
        predicted=np.array(list(labels.values()), np.int32),
        confidence=np.full(len(labels), 0.5, np.float32),
        seconds=np.full(len(labels), 0.25, np.float32),
        usage={"calls": len(labels), "cost_usd": 0.5},
    )


def running(**labels: int) -> EvaluationRun:
    run = requested()
    run.record(answers(**labels))
    return run


def test_answers_are_kept_by_case() -> None:
    run = running(c2=1, c4=ERROR)
    assert run.status == "running"
    assert run.predicted.tolist() == [UNANSWERED, 1, UNANSWERED, ERROR]
    assert run.open_cases.tolist() == [1, 3, 4]
    run.record(answers(c4=0))
    assert run.open_cases.tolist() == [1, 3]
    assert run.usage == {"calls": 3, "cost_usd": 1.0}


def test_an_unknown_cost_makes_the_sum_unknown() -> None:
    run = running(c1=0)
    run.record(Answers(**{**vars(answers(c2=0)), "usage": {"calls": 1, "cost_usd": None}}))
    run.record(answers(c3=0))
    assert run.usage == {"calls": 3, "cost_usd": None}


def test_a_case_that_is_gone_is_not_asked_about() -> None:
    run = running(c1=0)
    run.record(Answers(**{**vars(answers()), "gone": [2, 3]}))
    assert run.open_cases.tolist() == [4]
    run.cancel()
    run.record(answers(c4=1))
    run.end(FIGURES)
    assert run.status == "completed"


def test_no_answers_are_no_event() -> None:
    given(requested()).when(lambda run: run.record(answers())).then_nothing()


def test_a_run_that_was_asked_to_stop_is_cancelled_where_something_was_left() -> None:
    run = running(c1=0)
    given(run).when(lambda one: one.cancel()).then(EvaluationRun.CancelRequested)
    given(run).when(lambda one: one.cancel()).then_nothing()
    given(run).when(lambda one: one.end(FIGURES)).then(EvaluationRun.Cancelled, figures=FIGURES)


def test_a_failure_keeps_what_came_before() -> None:
    failing = given(running(c1=0)).when(lambda run: run.end(FIGURES, "no answer\0"))
    failing.then(EvaluationRun.Failed, error="no answer\N{REPLACEMENT CHARACTER}", figures=FIGURES)
    assert failing.aggregate.predicted.tolist() == [0, *[UNANSWERED] * 3]


def unlabelled(said: str, *numbers: int) -> Answers:
    words = [{"number": one, "error": said} for one in numbers]
    return Answers(**{**vars(answers(**{f"c{one}": ERROR for one in numbers})), "words": words})


def test_where_no_case_got_a_label_it_has_failed_for_the_commonest_reason() -> None:
    run = running(c1=0)
    run.record(unlabelled("HTTP 500", 1, 4))
    run.record(unlabelled("too long", 2, 3, 4))
    given(run).when(lambda one: one.end(FIGURES)).then(
        EvaluationRun.Failed, error="none of 4 cases got a label; most often: too long", figures=FIGURES
    )
    run.resume({})
    run.record(answers(c1=0))
    given(run).when(lambda one: one.end(FIGURES)).then(EvaluationRun.Completed)


def ended(error: str | None = None) -> EvaluationRun:
    run = running(c1=0, c2=1, c3=1, c4=0)
    run.end(FIGURES, error)
    return run


def test_one_that_failed_goes_on() -> None:
    run = ended("the provider says no")
    given(run).when(lambda one: one.resume({"rpm": 5})).then(
        EvaluationRun.Resumed, parameters={"seed": 42, "rpm": 5}
    )
    assert (run.status, run.cancelling) == ("running", False)
    run.end(FIGURES)
    assert run.status == "completed"


@pytest.mark.parametrize(
    "decide", [lambda run: run.record(answers(c1=1)), lambda run: run.end(FIGURES, "late")]
)
def test_what_has_ended_stays_as_it_is(decide: Callable[[EvaluationRun], None]) -> None:
    given(ended()).when(decide).then_nothing()


def test_what_has_ended_is_neither_cancelled_nor_resumed() -> None:
    given(ended()).when(lambda run: run.cancel()).refuses(Conflict, "is completed already")
    given(ended()).when(lambda run: run.resume({})).refuses(Conflict, "only one that failed or was cancelled")


# --- suggestions

BASE = TemplateContent(
    "Support", (Label("ORDER", "what was bought"), Label("REFUND")), examples=(Example("hello", "ORDER"),)
)
DRAFT = Draft({"REFUND": "money back"}, (1, 2, 3), "cd" * 32)


def test_a_draft_takes_cases_that_are_there_as_examples() -> None:
    content = DRAFT.apply(BASE, {1: Example("give back", "REFUND"), 3: Example("hello", "ORDER")})
    assert content.labels == (Label("ORDER", "what was bought"), Label("REFUND", "money back"))
    assert content.examples == (Example("hello", "ORDER"), Example("give back", "REFUND"))
    assert DRAFT.apply(BASE, {}).examples == BASE.examples


def suggestion() -> Suggestion:
    return Suggestion("s1", "e1", "support", 2, "cd" * 32, "local/confusion", {"examples_per_label": 3})


def made(draft: Draft = DRAFT) -> Suggestion:
    one = suggestion()
    one.make(
        analysis="so",
        suggestions=["do"],
        priority_categories=["REFUND"],
        confused=[],
        draft=draft,
        prompt="",
        usage={},
    )
    return one


def test_a_draft_is_kept_without_texts() -> None:
    one = made()
    events = one.collect_events()
    fields = {"descriptions": {"REFUND": "money back"}, "examples": [1, 2, 3], "manifest": "cd" * 32}
    assert events[-1].draft == {**fields, "prompt": None}
    assert (one.status, one.draft) == ("draft", DRAFT)
    given(one).when(lambda again: again.fail("late")).then_nothing()


def test_a_draft_that_was_not_tried_is_not_adopted() -> None:
    one = made()
    obstacle = one.obstacle("aa" * 32, present=2)
    decide = given(one)
    decide.when(lambda it: it.adopt(3, "aa" * 32, obstacle, force=False, reason=None)).refuses(
        Conflict, "has not been evaluated"
    )
    decide.when(lambda it: it.adopt(3, "aa" * 32, obstacle, force=True, reason=" ")).refuses(
        Invalid, "reason is missing"
    )
    decide.when(lambda it: it.adopt(3, "aa" * 32, obstacle, force=True, reason="now")).then(
        Suggestion.Adopted, number=3, forced=True, reason="now"
    )


def test_one_that_was_tried_is_adopted_unless_it_has_changed_since() -> None:
    one = made()
    given(one).when(lambda it: it.note_evaluation("e2", "aa" * 32)).then(Suggestion.Evaluated)
    given(one).when(lambda it: it.note_evaluation("e2", "aa" * 32)).then_nothing()
    assert one.obstacle("aa" * 32, present=2) is None
    assert "has not been evaluated" in str(one.obstacle("bb" * 32, present=2))
    given(one).when(lambda it: it.adopt(3, "aa" * 32, None, force=True, reason=None)).then(
        Suggestion.Adopted, forced=False
    )
    given(one).when(lambda it: it.discard("why")).refuses(Conflict, "is adopted")


def test_a_template_that_has_moved_on_stands_in_the_way() -> None:
    assert "has version 4 since" in str(made().obstacle("aa" * 32, present=4))


@pytest.mark.parametrize(("make", "status"), [(suggestion, "pending"), (lambda: _failed(), "failed")])
def test_only_a_draft_is_decided_on(make: Callable[[], Suggestion], status: str) -> None:
    given(make()).when(lambda it: it.discard("no")).refuses(Conflict, f"is {status}")


def _failed() -> Suggestion:
    one = suggestion()
    one.fail("no answer")
    return one


def test_a_draft_is_discarded_with_a_reason() -> None:
    given(made()).when(lambda it: it.discard(" ")).refuses(Invalid, "reason must not be empty")
    given(made()).when(lambda it: it.discard("worse")).then(Suggestion.Discarded, reason="worse")
