"""The local taxonomist: what lies together goes together, is told apart, and never depends on chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from adapters.language_models import LanguageModel
from adapters.taxonomist import make_taxonomist
from adapters.taxonomist.local import LocalTaxonomist, grouped
from adapters.taxonomist.neighborhoods import OUTSIDE, neighborhoods
from commands.ports import Category, Child, Group, Limits
from domain.errors import Refused
from domain.hierarchy import FIRST_CATEGORY as A

LIMITS = Limits()
TOPICS = {"bread": 0, "pasta": 0, "loan": 1, "tax": 1, "rain": 2, "snow": 2}
WORDS = ["cooking recipe kitchen", "bank money credit", "weather forecast degrees"]


def child(cluster_id: int, title: str, axis: int, tilt: float = 0.1, size: int = 10) -> Child:
    vector = np.zeros(4, np.float32)
    vector[axis], vector[3] = 1.0, tilt
    texts = [f"{title} {WORDS[axis]} number {n}" for n in range(4)]
    return Child(cluster_id, title, f"about {title}", size, vector / np.linalg.norm(vector), texts)


@pytest.fixture
def children() -> list[Child]:
    return [child(at, title, axis, 0.1 * at) for at, (title, axis) in enumerate(TOPICS.items())]


def ids(groups: Sequence[Sequence[Child]]) -> list[list[int]]:
    return [[one.cluster_id for one in group] for group in groups]


def test_what_lies_together_is_grouped(children: list[Child]) -> None:
    assert ids(grouped(children, 3)) == [[0, 1], [2, 3], [4, 5]]
    assert ids(grouped(children[:1], 3)) == [[0]]
    assert ids(grouped(children, 99)) == [[one] for one in range(6)]


def test_general_categories_are_told_by_what_they_differ_in() -> None:
    """Three of four say little but what all say; the mean directions alone would set the fourth apart."""
    rows = np.array([[9, 1, 0, 0], [9, 1, 0.1, 0], [9, -1, 0, 0], [2, -4, 0, 0]], np.float32)
    vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    sizes = [1_000, 1_000, 1_000, 1]
    clusters, categories = (
        [Child(first + at, "x", "", sizes[at], one) for at, one in enumerate(vectors)] for first in (0, A)
    )
    assert ids(grouped(clusters, 2)) == [[0, 1, 2], [3]]
    assert ids(grouped(categories, 2)) == [[A, A + 1], [A + 2, A + 3]]


def test_all_are_seen_at_once_unless_a_size_is_given(children: list[Child]) -> None:
    (whole,) = LocalTaxonomist().neighborhoods(children, 3, None)
    assert (ids([whole.children]), whole.outside, whole.wanted) == ([[*range(6)]], [], 3)
    areas = LocalTaxonomist().neighborhoods(children, 3, 2)
    assert sorted(ids([one.children for one in areas])) == [[0, 1], [2, 3], [4, 5]]
    assert [one.wanted for one in areas] == [1, 1, 1]
    assert all(not {*ids([one.children])[0]} & {*ids([one.outside])[0]} for one in areas)
    assert [len(one.outside) for one in areas] == [4, 4, 4]


def test_a_neighbourhood_is_told_from_the_nearest_outside() -> None:
    many = [child(at, "x", at % 2, 0.01 * at) for at in range(40)]
    for area in neighborhoods(many, 4, 10):
        assert len(area.outside) == OUTSIDE


def test_the_same_children_give_the_same_hierarchy(children: list[Child]) -> None:
    taxonomist = LocalTaxonomist()
    one, other = (
        [list(taxonomist.propose(taxonomist.neighborhoods(children, 3, size), LIMITS)) for size in (None, 2)]
        for _ in range(2)
    )
    assert one == other


def test_a_child_goes_where_it_was_proposed_for(children: list[Child]) -> None:
    taxonomist = LocalTaxonomist()
    (proposed,) = taxonomist.propose(taxonomist.neighborhoods(children, 3, None), LIMITS)
    chosen = taxonomist.deduplicate(proposed.categories, children, 3, LIMITS).categories
    known = [Category(one.title, "", one.cluster_ids, 100 + at) for at, one in enumerate(chosen)]
    found = {one.cluster_id: one.category_id for one in taxonomist.assign(children, [5], known, LIMITS)}
    assert found == {0: 100, 1: 100, 2: 101, 3: 101, 4: 102}


def test_what_lies_by_itself_fits_under_none(children: list[Child]) -> None:
    known = [Category("a", "", [0, 1], 100), Category("b", "", [2], 101)]
    found = {
        one.cluster_id: one.category_id for one in LocalTaxonomist().assign(children[:4], [], known, LIMITS)
    }
    assert found == {0: 100, 1: 100, 2: None, 3: None}


@pytest.mark.parametrize("first", [0, A])
def test_too_many_proposals_become_fewer(children: list[Child], first: int) -> None:
    some = [replace(one, cluster_id=first + one.cluster_id) for one in children]
    single = [Category(one.title, "", [one.cluster_id]) for one in some]
    chosen = LocalTaxonomist().deduplicate(single, some, 3, LIMITS)
    found = [[one - first for one in category.cluster_ids] for category in chosen.categories]
    assert found == [[0, 1], [2, 3], [4, 5]]


def test_categories_are_called_by_their_telling_words(children: list[Child]) -> None:
    groups = [Group(Category("?", "", [], at), children[2 * at : 2 * at + 2]) for at in range(3)]
    named = list(LocalTaxonomist().rename(groups, {1: "Money"}, LIMITS))
    assert [one.category_id for one in named] == [0, 2]
    for one, words in zip(named, (WORDS[0], WORDS[2]), strict=True):
        assert {word.lower() for word in one.title.split()} <= {*words.split()}
        assert one.description.startswith("Telling words: ")


def test_categories_of_the_same_words_are_told_apart(children: list[Child]) -> None:
    groups = [Group(Category("?", "", [], at), children[:2]) for at in range(3)]
    titles = [one.title for one in LocalTaxonomist().rename(groups, {}, LIMITS)]
    assert len({*titles}) == 3


def test_without_any_word_a_category_keeps_its_name() -> None:
    mute = Child(0, "Silence", "", 1, np.ones(4, np.float32) / 2, [])
    (named,) = LocalTaxonomist().rename([Group(Category("Silence", "", [], 7), [mute])], {}, LIMITS)
    assert (named.title, named.description) == ("Silence", "")


class Nobody:
    """No provider is set up."""

    def get(self, name: str, local: str = "") -> LanguageModel:
        raise Refused(f"{name} is not set up")


@pytest.mark.parametrize("model", ["local/agglomerative", "local/"])
def test_the_local_one_needs_no_key(model: str) -> None:
    assert make_taxonomist(model, Nobody()).model == "local/agglomerative"


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(Refused, match="is not set up"):
        make_taxonomist("openai/gpt-4o-mini", Nobody())
