"""Figures against counting by hand, intervals against drawing case by case, pictures, suggestions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evaluation import SklearnScorer, make_suggester, plot, read_cases
from adapters.evaluation.plots import matrix_of
from adapters.language_models.port import Answer, Question
from commands.ports import FailedCase, Limits, Report, Stop, Usage, never
from domain.errors import DomainError, Invalid, Refused, Unavailable
from domain.evaluation.runs import ERROR
from domain.templates import Label, TemplateContent
from domain.values import Labels

LABELS = ["A", "B", "C", "D"]
TRUTH = [0, 0, 0, 1, 1, 2]
ANSWERS = [0, 0, 1, 1, ERROR, 3]


def score(truth: list[int], answers: list[int], seed: int = 1) -> dict[str, Any]:
    as_labels = (np.array(values, np.int32) for values in (truth, answers))
    return SklearnScorer().score(LABELS, *as_labels, seed)


def test_figures_of_labels_with_and_without_cases() -> None:
    figures = score(TRUTH, ANSWERS)
    assert (figures["cases"], figures["correct"], figures["errors"]) == (6, 3, 1)
    assert figures["accuracy"] == 0.5
    names = ("support", "predicted", "correct", "precision", "recall", "f1")
    assert [[one[name] for name in names] for one in figures["classes"]] == [
        [3, 2, 2, 1.0, 0.666667, 0.8],
        [2, 2, 1, 0.5, 0.5, 0.5],
        [1, 0, 0, None, 0.0, 0.0],
        [0, 1, 0, 0.0, None, 0.0],
    ]
    assert figures["classes"][3]["f1_interval"] is None
    assert figures["macro"]["f1"] == round((0.8 + 0.5 + 0.0) / 3, 6)
    assert figures["weighted"]["recall"] == figures["accuracy"]
    assert figures["confusion"] == {
        "labels": LABELS,
        "cells": [[0, 0, 2], [0, 1, 1], [1, 1, 1], [1, 4, 1], [2, 3, 1]],
    }


def test_no_cases_have_no_figures() -> None:
    figures = score([], [])
    assert (figures["cases"], figures["accuracy"], figures["macro"]["f1"]) == (0, None, None)


def test_one_label_alone_is_no_special_case() -> None:
    figures = score([1, 1], [1, 1])
    assert (figures["accuracy"], figures["macro"]["f1"], figures["accuracy_interval"]) == (1, 1, [1, 1])


runs = st.lists(st.tuples(st.integers(0, 3), st.integers(ERROR, 3)), min_size=1, max_size=60)


@given(runs)
@settings(max_examples=30)
def test_the_matrix_adds_up_to_the_cases(pairs: list[tuple[int, int]]) -> None:
    truth, answers = ([pair[side] for pair in pairs] for side in (0, 1))
    figures = score(truth, answers)
    assert sum(cell[2] for cell in figures["confusion"]["cells"]) == len(pairs)
    low, high = figures["accuracy_interval"]
    assert 0 <= low <= high <= 1
    assert figures["accuracy"] == round(sum(a == b for a, b in pairs) / len(pairs), 6)
    assert score(truth, answers) == figures


def test_intervals_are_those_of_drawing_case_by_case() -> None:
    generator = np.random.default_rng(7)
    truth: Labels = generator.integers(0, 3, 300).astype(np.int32)
    answers = np.where(generator.random(300) < 0.7, truth, generator.integers(0, 3, 300)).astype(np.int32)
    figures = SklearnScorer().score(LABELS, truth, answers, 1)
    drawn = generator.integers(0, 300, (4_000, 300))
    slowly = np.percentile((truth[drawn] == answers[drawn]).mean(axis=1), [2.5, 97.5])
    assert figures["accuracy_interval"] == pytest.approx(slowly.tolist(), abs=0.012)
    f1 = [_macro_f1(truth[rows], answers[rows]) for rows in drawn[:1_000]]
    assert figures["macro"]["f1_interval"] == pytest.approx(np.percentile(f1, [2.5, 97.5]), abs=0.012)


def _macro_f1(truth: Labels, answers: Labels) -> float:
    found = []
    for label in range(3):
        hits = ((truth == label) & (answers == label)).sum()
        found.append(2 * hits / ((truth == label).sum() + (answers == label).sum()))
    return float(np.mean(found))


def test_a_comparison_asks_whether_the_split_may_be_chance() -> None:
    cells = {("A", True, False): 2, ("A", False, True): 8, ("B", True, True): 80, ("B", False, False): 10}
    figures = SklearnScorer().compare(cells, 1)
    assert [figures[name] for name in ("both_right", "broken", "fixed", "both_wrong")] == [80, 2, 8, 10]
    assert (figures["accuracy_before"], figures["accuracy_after"]) == (0.82, 0.88)
    assert figures["difference"] == 0.06
    assert figures["p_value"] == pytest.approx(2 * (1 + 10 + 45) / 1_024, abs=1e-6)
    low, high = figures["difference_interval"]
    assert low < 0.06 < high
    assert figures["classes"][0] == {
        "label": "A",
        "support": 10,
        "fixed": 8,
        "broken": 2,
        "recall_before": 0.2,
        "recall_after": 0.8,
    }


def test_runs_that_do_not_differ_are_no_better() -> None:
    figures = SklearnScorer().compare({("A", True, True): 3}, 1)
    assert (figures["p_value"], figures["difference"], figures["difference_interval"]) == (1, 0, [0, 0])
    assert SklearnScorer().compare({}, 1)["difference"] is None


# --- cases of a file


def test_cases_of_a_file_and_what_is_none(tmp_path: Path) -> None:
    rows = [
        {"text": "where is my money", "category": "REFUND"},
        {"text": "where is  MY money", "category": "REFUND"},
        {"text": "no label"},
        {"category": "ORDER"},
        {"text": "two shoes", "category": "ORDER"},
    ]
    file = tmp_path / "x"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cases, rejected = read_cases(file, name="cases.jsonl")
    assert [(one.row, one.label, one.text) for one in cases] == [
        (1, "REFUND", "where is my money"),
        (5, "ORDER", "two shoes"),
    ]
    assert [one["row"] for one in rejected] == [2, 3, 4]
    assert rejected[0]["reason"] == "repeats row 1"
    assert "label_column" in rejected[1]["reason"]
    with pytest.raises(Invalid, match=r"cases.jsonl has no case: has no label \(truth\)"):
        read_cases(file, name="cases.jsonl", label_column="truth")


# --- pictures


@pytest.mark.parametrize(("kind", "words"), [("confusion", "expected"), ("classes", "precision")])
def test_a_run_is_drawn_with_its_labels(kind: Any, words: str) -> None:  # noqa: ANN401
    figures = SklearnScorer().score(["A $x$", "<b>"], *(np.array([0, 1, 1], np.int32),) * 2, 1)
    drawn = plot(figures, kind, "svg", "support v1 on cases").decode()
    assert drawn.startswith("<?xml")
    assert all(text in drawn for text in ("support v1 on cases", "&lt;b&gt;", "accuracy 100.0%", words))
    assert plot(figures, kind, "svg", "support v1 on cases").decode() == drawn


def test_a_png_is_one() -> None:
    assert plot(score(TRUTH, ANSWERS), "confusion", "png", "t").startswith(b"\x89PNG")


def test_a_matrix_has_the_labels_with_cases_and_what_was_answered() -> None:
    rows, columns, counts = matrix_of(score(TRUTH, ANSWERS)["confusion"])
    assert (rows, columns) == (["A", "B", "C"], ["A", "B", "C", "D", "(error)"])
    assert counts.tolist() == [[2, 1, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 1, 0]]


def test_nothing_is_not_drawn() -> None:
    with pytest.raises(Invalid, match="nothing to draw"):
        plot(score([], []), "confusion", "svg", "t")


# --- suggestions

FEES = [f"which termination fee is charged in case {n}" for n in range(4)]
ORDERS = [f"please order item {n} for me today" for n in range(6)]
TEMPLATE = TemplateContent("Support", (Label("CANCEL", "ending a contract"), Label("ORDER")), prompt="{text}")
REPORT = Report(
    template=TEMPLATE,
    accuracy=0.6,
    correct=6,
    total=10,
    categories={"CANCEL": {"correct": 0, "support": 4}, "ORDER": {"correct": 6, "support": 6}},
    confusion={"CANCEL": {"ORDER": 4}, "ORDER": {"ORDER": 6}},
    failed=[FailedCase(n, text, "CANCEL", "ORDER", 100 + n) for n, text in enumerate(FEES, 1)],
    right={"ORDER": ORDERS},
    pool=[
        FailedCase(1, "which termination fee is charged in case 0", "CANCEL", None),
        FailedCase(2, "Which termination fee is charged, in case 0?", "CANCEL", None),
        FailedCase(3, "how to leave", "CANCEL", None),
    ],
    examples_per_label=2,
)


def test_the_local_suggester_says_by_what_words_confused_labels_can_be_told() -> None:
    advice = make_suggester("local/confusion", Models()).suggest(REPORT)
    (pair,) = advice.confused
    assert (pair["expected"], pair["predicted"], pair["count"]) == ("CANCEL", "ORDER", 4)
    assert {"termination", "fee", "charged"} <= set(pair["terms"])
    assert "please" not in pair["terms"]
    assert advice.priority_categories == ["CANCEL"]
    assert "60.0 % of 10 cases are right (6)" in advice.analysis
    assert advice.descriptions["CANCEL"].startswith("ending a contract\nAlso about: ")
    assert "fee" in advice.descriptions["CANCEL"]
    assert "ORDER" not in advice.descriptions


def test_examples_are_like_what_failed_and_not_alike() -> None:
    advice = make_suggester("local/", Models()).suggest(REPORT)
    assert list(advice.examples) == [1, 3]
    none = replace(REPORT, examples_per_label=0)
    assert list(make_suggester("local/", Models()).suggest(none).examples) == []


def test_a_run_without_failures_has_nothing_to_suggest() -> None:
    fine = replace(
        REPORT,
        failed=[],
        confusion={"ORDER": {"ORDER": 6}},
        categories={"ORDER": {"correct": 6, "support": 6}},
    )
    advice = make_suggester("local/", Models()).suggest(fine)
    assert (advice.suggestions, advice.confused, advice.descriptions) == ([], [], {})


class Models:
    """A language model that answers as it was told."""

    name = "openai/some"

    def __init__(self, *values: dict[str, Any] | None, passes: bool = False) -> None:
        self.values = list(values)
        self.passes = passes
        self.asked: list[Question] = []

    def get(self, name: str, local: str = "") -> Models:
        return self

    def ask(self, questions: Iterable[Question], limits: Limits, stop: Stop = never) -> Iterator[Answer]:
        for one in questions:
            self.asked.append(one)
            yield Answer(one.key, self.values.pop(0), "no", Usage(calls=1), self.passes)


ANSWER = {
    "analysis": "Fees look like orders.",
    "suggestions": ["Say what a fee is."],
    "priority_categories": ["CANCEL"],
    "descriptions": [{"label": "CANCEL", "description": "fees and endings"}],
    "draft_prompt": "Label this ticket: {text}",
}


def test_a_language_model_is_shown_what_failed() -> None:
    models = Models(ANSWER)
    advice = make_suggester("openai/some", models).suggest(REPORT)
    assert advice.descriptions == {"CANCEL": "fees and endings"}
    assert (advice.draft_prompt, advice.usage.calls) == ("Label this ticket: {text}", 1)
    (asked,) = models.asked
    assert "- expected CANCEL, answered ORDER: which termination fee is charged in case 0" in asked.text
    assert "- CANCEL: 0 of 4 right" in asked.text
    assert "{text}, {labels}, {examples}" in asked.text
    assert asked.query_ids == (101, 102, 103, 104)
    assert asked.prompt.startswith("suggest.v1@")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"draft_prompt": None}, None),
        ({"draft_prompt": "Label this ticket"}, r"it lacks \{text\}"),
        ({"draft_prompt": "{text} {tone}"}, "no such placeholder"),
        ({"priority_categories": ["FEES"]}, "'FEES' is none of the categories"),
        ({"descriptions": [{"label": "FEES", "description": "x"}]}, "none of the categories"),
    ],
)
def test_an_answer_that_is_no_draft_is_refused(changes: dict[str, Any], words: str | None) -> None:
    models = Models(ANSWER)
    make_suggester("openai/some", models).suggest(REPORT)
    fault = models.asked[0].check({**ANSWER, **changes})
    if words is None:
        assert fault is None
    else:
        assert fault is not None
        with pytest.raises(Invalid, match=words):
            raise Invalid(fault)


@pytest.mark.parametrize(("passes", "kind"), [(False, Refused), (True, Unavailable)])
def test_no_answer_is_no_suggestion(passes: bool, kind: type[DomainError]) -> None:
    with pytest.raises(kind, match="gave no suggestion: no"):
        make_suggester("openai/some", Models(None, passes=passes)).suggest(REPORT)


def test_what_is_hardly_chance_has_a_small_p_and_never_none() -> None:
    figures = SklearnScorer().compare({("A", False, True): 23, ("A", True, True): 175}, 1)
    assert figures["p_value"] == pytest.approx(2 * 0.5**23, rel=1e-5)
