"""Titles without a language model, on clusters that are easy, awkward and hostile."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.language_models import LanguageModel
from adapters.namer import LocalNamer, make_namer
from adapters.namer.titles import title_key
from adapters.namer.words import root, segments, stop_words
from commands.ports import ClusterName, ClusterTexts, Limits
from domain.values import NOISE

CARDS = [
    "I want to apply for a credit card",
    "how do I apply for a new credit card",
    "credit card application please",
    "can you help me with an application for a credit card",
    "apply for credit card online",
]
BREAD = [
    "how do I bake bread at home",
    "bake bread without yeast",
    "what temperature to bake sourdough bread",
    "best flour to bake bread",
]
WEATHER = ["will it rain today", "weather today in Paris", "is rain coming today", "what is the weather like"]


class Unasked:
    """No language model is made for a local namer."""

    def get(self, name: str, local: str = "") -> LanguageModel:
        raise AssertionError(name)


def names(*texts: Sequence[str], first: int = 0) -> list[ClusterName]:
    clusters = [
        ClusterTexts(at, len(one) * 10, list(range(at * 100, at * 100 + len(one))), list(one))
        for at, one in enumerate(texts, first)
    ]
    return list(LocalNamer().name(clusters, Limits()))


def test_titles_have_the_telling_words() -> None:
    cards, bread, weather = (name.title for name in names(CARDS, BREAD, WEATHER))
    assert {"Credit", "Card"} < set(cards.split())
    assert {"Bake", "Bread"} <= set(bread.split())
    assert {"Rain", "Weather", "Today"} & set(weather.split())


def test_words_stand_as_they_follow_each_other_in_the_texts() -> None:
    assert names(CARDS, BREAD)[0].title == "Apply Credit Card"


def test_a_title_has_two_to_four_words_and_says_nothing_twice() -> None:
    texts = [
        "book books booking a hotel room",
        "hotel room for two, hotels and rooms",
        "book a room in a hotel",
    ]
    for name in names(texts, CARDS, BREAD, WEATHER):
        roots = [root(word) for word in name.title.split()]
        assert 2 <= len(roots) <= 4
        assert len(set(roots)) == len(roots)


def test_a_description_counts_and_names_the_most_central_queries_by_their_ids() -> None:
    (name,) = names(CARDS)
    assert name.description == "50 queries. Telling words: card, credit, apply, application."
    assert name.representative_query_ids == [0, 1, 2]


def test_representative_queries_are_different() -> None:
    long = "please explain " + "the very long story of the river " * 40
    (name,) = names([long, "Same thing", "same  thing", "", "another thing"])
    assert name.representative_query_ids == [0, 1, 4]


def test_what_one_person_alone_said_is_in_no_name() -> None:
    """Names stand in the log for good, and a person's words must be able to go."""
    secret = "Zbigniew lives at 12 Violet Lane"
    own = set(secret.casefold().split())
    for texts in ([secret], [secret, *CARDS], [*WEATHER, secret], [secret, "?", "hello there"]):
        for name in names(texts, BREAD):
            assert not own & set(re.findall(r"[^\W_]+", f"{name.title} {name.description}".casefold())) - {
                "at"
            }
    assert names([secret], BREAD)[0].title == "Cluster 0"
    assert names([secret, secret], BREAD)[0].title != "Cluster 0"


def test_siblings_with_the_same_best_words_are_told_apart_by_others() -> None:
    lost = [
        f"my credit card is lost, {where}" for where in ("block it", "stolen in Rome", "block now", "stolen")
    ]
    limit = [f"raise credit card limit {what}" for what in ("now", "by 500", "please", "tomorrow")]
    one, other = (name.title for name in names(lost, limit))
    assert {"Lost", "Stolen", "Block"} & set(one.split())
    assert "Limit" in other.split()


def test_identical_clusters_get_different_titles() -> None:
    titles = [name.title for name in names(*[CARDS] * 30)]
    assert len({title.casefold() for title in titles}) == 30
    assert all(len(title) <= 80 for title in titles)


def test_noise_is_called_what_it_is() -> None:
    noise, *others = names(CARDS, ["unclustered", "unclustered things"], first=NOISE)
    assert noise.title == "Unclustered"
    assert "that no cluster took in" in noise.description
    assert others[0].title != "Unclustered"


def test_a_cluster_of_stop_words_gets_a_title() -> None:
    assert names(["what is it", "is it", "what is it then"], BREAD)[0].title == "Cluster 0"
    assert names(["what is it", "is it", "what is it"], BREAD)[0].title == "What Is It"


@pytest.mark.parametrize(
    ("texts", "title"), [([], "Cluster 0"), (["", "  "], "Empty Queries"), (["?!", "...", "?!"], "?!")]
)
def test_a_cluster_without_words_gets_a_title(texts: list[str], title: str) -> None:
    named = names(texts, BREAD)[0]
    assert named.title == title
    assert named.description


def test_chinese_is_cut_into_words_that_occur_together() -> None:
    titles = [
        name.title
        for name in names(
            ["如何学习机器学习", "机器学习入门教程", "推荐机器学习的书", "机器学习和深度学习"],
            ["明天北京天气怎么样", "今天天气如何", "上海天气预报", "天气预报查询"],
        )
    ]
    assert "机器学习" in titles[0]
    assert "天气" in titles[1]


def test_thai_and_hindi_keep_their_marks() -> None:
    thai, hindi = names(
        ["สั่งอาหารออนไลน์", "ร้านอาหารใกล้ฉัน", "อาหารไทยอร่อย"],
        ["हिन्दी में लिखो", "हिन्दी अनुवाद करो", "हिन्दी कविता"],
    )
    assert "อาหาร" in thai.title
    assert "हिन्दी" in hindi.title


def test_names_of_things_keep_their_spelling() -> None:
    titles = [
        name.title
        for name in names(
            ["call a REST API in JavaScript", "JavaScript API fetch", "which API for JavaScript"],
            ["PLEASE HELP REINSTALL WINDOWS", "REINSTALL WINDOWS NOW", "REINSTALL WINDOWS"],
            ["difference of C++ and C#", "C++ or C#", "C# and C++ interop"],
        )
    ]
    assert {"API", "JavaScript"} <= set(titles[0].split())
    assert {"Reinstall", "Windows"} <= set(titles[1].split())
    assert {"C++", "C#"} <= set(titles[2].split())


def test_very_long_texts_are_read_at_their_beginning() -> None:
    texts = [f"translate this letter {number} " + "filler " * 40_000 for number in range(20)]
    title = names(texts, BREAD)[0].title
    assert {"Translate", "Letter"} & set(title.split())


@given(st.lists(st.lists(st.text(max_size=60), max_size=6), min_size=1, max_size=12))
@example([["a\x00b c\x1bd \ud800 \u202egnp.exe"], ["x" * 5_000], ["İstanbul İSTANBUL"], ["\u0301\u0e31"]])
@example([["foo (2)"], ["foo"], ["foo"], ["foo (2)"]])
def test_titles_are_unique_short_and_clean(texts: list[list[str]]) -> None:
    found = names(*texts)
    assert [name.cluster_id for name in found] == list(range(len(texts)))
    assert len({name.title.casefold() for name in found}) == len(texts)
    for name, own in zip(found, texts, strict=True):
        assert 1 <= len(name.title) <= 80
        assert len(name.representative_query_ids) <= min(3, len(own))
        for text in (name.title, name.description):
            assert text == text.strip()
            assert not {unicodedata.category(one) for one in text} & {"Cc", "Cs"}
            assert "\u202e" not in text


def test_the_same_clusters_get_the_same_names() -> None:
    assert names(CARDS, BREAD, WEATHER) == names(CARDS, BREAD, WEATHER)


def test_stop_words_of_many_languages_are_known() -> None:
    assert {"the", "please", "der", "для", "需要", "el"} <= stop_words()
    assert [part.units for part in segments("Please apply for the card's limit")] == [
        ("apply", "card", "limit")
    ]


def test_the_namer_says_which_model_it_is() -> None:
    assert make_namer("local/c-tf-idf", Unasked()).model == "local/c-tf-idf"
    assert make_namer("local", Unasked()).model == "local/c-tf-idf"


# --- titles that are alike


def apart(titles: dict[int, str], taken: dict[int, str], *texts: Sequence[str]) -> dict[int, str]:
    clusters = [ClusterTexts(at, len(one), list(range(len(one))), list(one)) for at, one in enumerate(texts)]
    told = LocalNamer().tell_apart(titles, taken, clusters.__getitem__, Limits())
    return {one.cluster_id: one.title for one in told}


def test_titles_that_differ_stay_as_they_are() -> None:
    assert apart({0: "Cards", 1: "Bread"}, {}, CARDS, BREAD) == {}


def test_a_title_that_another_has_gets_a_telling_word() -> None:
    assert apart({0: "Help", 1: "Help", 2: "Weather"}, {}, CARDS, BREAD, WEATHER) == {1: "Help Bake Bread"}


def test_a_title_that_says_the_same_in_another_order_is_the_same() -> None:
    assert apart({0: "Bread Baking", 1: "baking  breads"}, {}, BREAD, CARDS) == {
        1: "baking  breads Apply Credit Card"
    }


def test_a_title_that_is_shown_beside_them_is_not_taken_from_there() -> None:
    assert apart({0: "Help", 1: "Bread"}, {5: "Help"}, CARDS, BREAD) == {0: "Help Apply Credit Card"}
    assert apart({0: "Help"}, {0: "Help"}, CARDS) == {}
    assert apart({0: "Unclustered"}, {}, CARDS) == {0: "Unclustered Apply Credit Card"}


def test_where_no_word_tells_them_apart_a_number_does() -> None:
    assert apart({0: "Help", 1: "Help", 2: "Help"}, {}, ["a"], ["b"], []) == {1: "Help (2)", 2: "Help (3)"}


@given(st.dictionaries(st.integers(0, 5), st.sampled_from(["a b", "b a", "Card", "card", "(2)", "Help"])))
def test_no_two_are_alike_in_the_end(titles: dict[int, str]) -> None:
    told = apart(titles, {9: "Card"}, CARDS, CARDS, BREAD, [], ["x"], WEATHER)
    now = [*{**titles, **told}.values(), "Card"]
    assert len({title_key(one) for one in now}) == len(now)
