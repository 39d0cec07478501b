"""The taxonomist that asks a model: what it is asked, and what becomes of right, odd and missing answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from adapters.language_models import Answer, Question
from adapters.taxonomist import asking
from adapters.taxonomist.asking import AskingTaxonomist
from commands.ports import Category, Child, Group, Limits, Usage

LIMITS = Limits()
USAGE = Usage(calls=1, input_tokens=7)


class Scripted:
    """Answers as a test has told it, in the reverse order; None: no usable answer."""

    name = "test/one"

    def __init__(self, answer: Callable[[Question], dict[str, Any] | None]) -> None:
        self._answer = answer
        self.asked: list[Question] = []

    def ask(self, questions: Iterable[Question], limits: Limits, stop: Any = None) -> Iterator[Answer]:  # noqa: ANN401
        asked = list(questions)
        self.asked += asked
        for one in reversed(asked):
            value = self._answer(one)
            assert value is None or one.check(value) is None
            yield Answer(one.key, value, None if value else "no sense", USAGE)


def children(count: int = 6) -> list[Child]:
    rows = np.eye(count, dtype=np.float32)
    return [Child(at, f"topic {at}", f"about {at}", 10 - at, rows[at]) for at in range(count)]


def said(*titles: str) -> list[dict[str, Any]]:
    return [{"title": one, "description": f"about {one}"} for one in titles]


def test_each_neighbourhood_is_asked_for_some_categories() -> None:
    model = Scripted(lambda one: {"categories": said(f"of {one.key}")} if one.key else None)
    taxonomist = AskingTaxonomist(model)
    areas = taxonomist.neighborhoods(children(), 4, 2)
    proposed = {one.number: one for one in taxonomist.propose(areas, LIMITS)}
    assert proposed.keys() == {one.number for one in areas}
    assert (proposed[0].categories, proposed[0].error) == ([], "no sense")
    ids = [child.cluster_id for child in areas[1].children]
    assert proposed[1].categories == [Category("of 1", "about of 1", ids)]
    question = next(one for one in model.asked if one.key == 1)
    assert all(child.title in question.text for child in (*areas[1].children, *areas[1].outside))
    assert question.prompt == taxonomist.prompts["propose"]
    assert question.prompt.startswith("propose_categories.v1@")


def test_what_says_the_same_is_said_once_for_all_that_it_was_for() -> None:
    merged = {
        "categories": [{**said("Both")[0], "merged_from": [1, 3]}, {**said("C")[0], "merged_from": [2]}]
    }
    proposed = [Category("A", "", [0, 1]), Category("C", "", [2]), Category("A'", "", [1, 4])]
    chosen = AskingTaxonomist(Scripted(lambda one: merged)).deduplicate(proposed, children(), 2, LIMITS)
    assert [(one.title, list(one.cluster_ids)) for one in chosen.categories] == [
        ("Both", [0, 1, 4]),
        ("C", [2]),
    ]
    assert chosen.usage == USAGE


def test_a_list_that_drops_or_repeats_a_proposal_is_no_answer() -> None:
    model = Scripted(lambda one: None)
    proposed = [Category("A", "", [0]), Category("B", "", [1])]
    chosen = AskingTaxonomist(model).deduplicate(proposed, children(), 1, LIMITS)
    assert (chosen.categories, chosen.error) == (proposed, "no sense"), "without an answer all stay"
    check = model.asked[0].check
    for numbers in ([[1]], [[1, 2], [2]], [[1, 2, 3]]):
        found = {"categories": [{**said("x")[0], "merged_from": one} for one in numbers]}
        assert "exactly one category" in (check(found) or "")


def test_too_many_proposals_meet_in_rounds(monkeypatch: Any) -> None:  # noqa: ANN401
    monkeypatch.setattr(asking, "DEDUPLICATED_AT_ONCE", 3)

    def first_two(one: Question) -> dict[str, Any]:
        count = one.text.count(". P")
        groups = [[1, 2], *([at] for at in range(3, count + 1))] if count > 1 else [[1]]
        return {
            "categories": [{**said(f"P{one.key}-{at}")[0], "merged_from": g} for at, g in enumerate(groups)]
        }

    proposed = [Category(f"P{at}", "", [at]) for at in range(6)]
    chosen = AskingTaxonomist(Scripted(first_two)).deduplicate(proposed, children(), 2, LIMITS)
    assert len(chosen.categories) < 6
    assert sorted(i for one in chosen.categories for i in one.cluster_ids) == [*range(6)]


def test_a_node_goes_where_the_model_says_or_nowhere() -> None:
    numbers: dict[int | str, dict[str, Any] | None] = {0: {"category": 2}, 1: {"category": 0}, 2: None}
    model = Scripted(lambda one: numbers[one.key])
    known = [Category("A", "", [0], 100), Category("B", "", [1], 101)]
    found = {
        one.cluster_id: one for one in AskingTaxonomist(model).assign(children(), [3, 4, 5], known, LIMITS)
    }
    assert {one: (answer.category_id, answer.error) for one, answer in found.items()} == {
        0: (101, None),
        1: (None, None),
        2: (None, "no sense"),
    }
    assert model.asked[0].schema["properties"]["category"]["maximum"] == 2


def test_a_node_is_asked_about_the_nearest_categories_alone(monkeypatch: Any) -> None:  # noqa: ANN401
    monkeypatch.setattr(asking, "CANDIDATES", 1)
    model = Scripted(lambda one: {"category": 1})
    known = [Category(f"C{at}", "", [at], 100 + at) for at in range(6)]
    found = AskingTaxonomist(model).assign(children(), [], known, LIMITS)
    assert {one.cluster_id: one.category_id for one in found} == {at: 100 + at for at in range(6)}


def test_categories_are_named_by_what_is_under_them_and_told_apart() -> None:
    model = Scripted(lambda one: said("Same")[0] if one.key != 12 else None)
    some = children()
    groups = [Group(Category(f"old {at}", "was", [], 10 + at), [some[at], some[at + 3]]) for at in range(3)]
    named = {one.category_id: one for one in AskingTaxonomist(model).rename(groups, {}, LIMITS)}
    assert (named[12].title, named[12].description, named[12].error) == ("old 2", "was", "no sense")
    assert (named[11].title, named[10].title) == ("Same", "Same (topic 0)")
    again = list(AskingTaxonomist(model).rename(groups, {11: "same", 12: "x"}, LIMITS))
    assert [(one.category_id, one.title) for one in again] == [(10, "Same (topic 0)")]
    assert "topic 3" in next(one for one in model.asked if one.key == 10).text
