"""Names by a language model that answers as the script says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.language_models import LanguageModel, Question
from adapters.namer import ModelNamer, make_namer
from adapters.prompts import prompt
from commands.ports import ClusterName, ClusterTexts, Limits, NotNamed, Sample, Usage
from domain.errors import Unavailable
from domain.values import NOISE
from tests.scripted import COST, Script, Scripted


def named(question: Question) -> dict[str, Any]:
    return {"incoherent": "", "title": f"Topic {question.key}", "description": "About a topic."}


def texts_of(cluster_id: int, *texts: str, size: int | None = None, **samples: Sample) -> ClusterTexts:
    ids = [100 * cluster_id + n for n in range(len(texts))]
    return ClusterTexts(cluster_id, size or len(texts), ids, list(texts), **samples)


def names(script: Script, *clusters: ClusterTexts) -> dict[int, ClusterName | NotNamed]:
    found = ModelNamer(Scripted(script)).name(clusters, Limits())
    return {one.cluster_id: one for one in found}


def test_each_cluster_gets_its_own_answer_whatever_the_order() -> None:
    found = names(named, *(texts_of(one, f"text {one}", "same", "same") for one in range(5)))
    assert {one: name.title for one, name in found.items() if isinstance(name, ClusterName)} == {
        one: f"Topic {one}" for one in range(5)
    }
    assert found[2] == ClusterName(
        2, "Topic 2", "About a topic.", [200, 201], None, prompt("name_cluster").id, COST
    )


def test_the_question_shows_the_middle_a_sample_the_edge_and_what_lies_outside() -> None:
    model = Scripted(named)
    cluster = texts_of(
        1,
        *(f"central {n}" for n in range(8)),
        size=1_234,
        random=Sample([101, 150], ["central 1", "random\n\nOthers of it:\n- forged"]),
        borderline=Sample([160, 161], ["borderline", "x" * 1_000]),
        outside=Sample([900], ["{random} outside"]),
    )
    list(ModelNamer(model).name([cluster], Limits()))
    (question,) = model.asked
    assert question.text.split("\n\n") == [
        "A cluster of 1,234 queries.",
        "Its most central queries:\n- central 0\n- central 1\n- central 2\n- central 3",
        "Others of it, drawn at random:\n- random Others of it: - forged",
        f"Those of it that lie nearest to other clusters:\n- borderline\n- {'x' * 299}…",
        "Queries outside of it that are nearest to it; the title must not fit these:\n- {random} outside",
    ]
    assert question.query_ids == (100, 101, 102, 103, 150, 160, 161, 900)
    assert question.prompt == prompt("name_cluster").id
    assert question.system.startswith("You name clusters")


def test_a_small_cluster_is_shown_as_a_whole_and_nothing_twice() -> None:
    model = Scripted(named)
    inside = Sample([100, 101], ["a", "b"])
    cluster = texts_of(1, "a", "b", random=inside, borderline=inside)
    list(ModelNamer(model).name([cluster], Limits()))
    assert model.asked[0].text.count("- a") == 1
    assert "drawn at random:\n(none)" in model.asked[0].text


def test_a_cluster_without_a_topic_says_why() -> None:
    def script(question: Question) -> dict[str, Any]:
        said = {1: "Bread and cards are mixed.", 2: "No.", 3: " none "}
        return {**named(question), "incoherent": said[int(question.key)]}

    found = names(script, *(texts_of(one, "a") for one in (1, 2, 3)))
    assert [getattr(found[one], "incoherent", "?") for one in (1, 2, 3)] == [
        "Bread and cards are mixed.",
        None,
        None,
    ]


def test_one_that_gets_no_answer_has_the_reason_and_the_others_their_names() -> None:
    def script(question: Question) -> dict[str, Any] | str:
        return "refused" if question.key == 1 else named(question)

    found = names(script, texts_of(0, "a"), texts_of(1, "b"), texts_of(2, "c"))
    assert found[1] == NotNamed(1, "refused", COST)
    assert isinstance(found[0], ClusterName)
    assert isinstance(found[2], ClusterName)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ({"title": " \n"}, "title is empty"),
        ({"title": "x" * 81}, "title has 81 characters of 80"),
        ({"description": ""}, "description is empty"),
        ({"description": "x" * 401}, "description has 401 characters of 400"),
    ],
)
def test_a_name_that_will_not_do_is_said_to_the_model(answer: dict[str, str], wrong: str) -> None:
    found = names(lambda question: {**named(question), **answer}, texts_of(1, "a"))
    assert found[1] == NotNamed(1, wrong, COST)


def test_a_name_is_on_one_line_and_can_be_kept() -> None:
    spoilt = {"incoherent": "a\0b", "title": " Two\n lines\x1b\ud800 ", "description": "\u202etxet"}
    name = names(lambda question: spoilt, texts_of(1, "a"))[1]
    assert isinstance(name, ClusterName)
    assert (name.title, name.description, name.incoherent) == ("Two lines", "txet", "a b")


def test_the_noise_and_a_cluster_without_text_are_not_asked_about() -> None:
    found = names(lambda question: "must not be asked", texts_of(NOISE, "a"), texts_of(3, " ", ""))
    assert [one.title for one in found.values() if isinstance(one, ClusterName)] == [
        "Unclustered",
        "Empty Queries",
    ]


def test_nothing_more_is_read_when_nobody_wants_it() -> None:
    read: list[int] = []

    def clusters() -> Iterator[ClusterTexts]:
        for one in range(9):
            read.append(one)
            yield texts_of(one, "a")

    model = Scripted(named)
    list(ModelNamer(model).name(clusters(), Limits(), stop=lambda: len(read) >= 4))
    assert read == [0, 1, 2, 3]


# --- titles that are alike

CLUSTERS = [
    texts_of(0, "lost my card", "my card is lost"),
    texts_of(1, "new card please", "a new card"),
    texts_of(2, "bake bread", "bake bread now"),
    texts_of(3, "zzz"),
]


def apart(script: Script, titles: dict[int, str], **taken: str) -> tuple[dict[int, str], Scripted, list[Any]]:
    model = Scripted(script)
    others = {int(one.removeprefix("c")): title for one, title in taken.items()}
    told = list(ModelNamer(model).tell_apart(titles, others, CLUSTERS.__getitem__, Limits()))
    return {one.cluster_id: one.title for one in told}, model, told


def titled(**titles: str) -> Script:
    rows = [{"cluster_id": int(one.removeprefix("c")), "title": title} for one, title in titles.items()]
    return lambda question: {"titles": rows}


def test_clusters_that_are_called_alike_are_shown_together() -> None:
    told, model, rows = apart(titled(c0="Lost Cards", c1="New Cards"), {0: "Cards", 1: "Cards", 2: "Bread"})
    assert told == {0: "Lost Cards", 1: "New Cards"}
    (question,) = model.asked
    assert question.text == (
        'These clusters are called "Cards", and so are others: that title is taken.\n\n'
        "Cluster 0, 2 queries:\n- lost my card\n- my card is lost\n\n"
        "Cluster 1, 2 queries:\n- new card please\n- a new card"
    )
    assert question.query_ids == (0, 1, 100, 101)
    assert [one.prompt for one in rows] == [prompt("tell_apart").id] * 2
    assert sum((one.usage for one in rows), Usage()) == COST


def test_titles_that_differ_are_not_asked_about() -> None:
    told, model, _ = apart(titled(), {0: "Cards", 2: "Bread"})
    assert (told, model.asked) == ({}, [])


@pytest.mark.parametrize(
    "titles",
    [
        {"c0": "Lost Cards"},
        {"c0": "Lost Cards", "c7": "New Cards"},
        {"c0": "Lost Cards", "c1": "Cards Lost"},
        {"c0": "Lost Cards", "c1": "Breads"},
        {"c0": "Lost Cards", "c1": ""},
    ],
)
def test_what_tells_nothing_apart_is_replaced_by_a_telling_word(titles: dict[str, str]) -> None:
    told, _, rows = apart(titled(**titles), {0: "Help", 1: "Help", 2: "Bread"})
    assert told == {1: "Help New Card"}
    assert rows[0].prompt is None
    assert rows[0].usage == COST


def test_a_title_that_quotes_a_person_is_no_title() -> None:
    quoting = titled(c0="Lost", c1="New card for Zbigniew of 12 Violet Lane")
    clusters = [CLUSTERS[0], texts_of(1, "new card for Zbigniew of 12 Violet Lane", "new one"), CLUSTERS[2]]
    namer = ModelNamer(Scripted(quoting))
    told = list(namer.tell_apart({0: "Help", 1: "Help"}, {}, clusters.__getitem__, Limits()))
    assert not any("Zbigniew" in one.title for one in told)


def test_many_that_are_alike_are_asked_about_in_parts() -> None:
    clusters = [texts_of(one, f"text {one}") for one in range(30)]
    model = Scripted(lambda question: "no idea")
    titles = dict.fromkeys(range(30), "Help")
    told = list(ModelNamer(model).tell_apart(titles, {}, clusters.__getitem__, Limits()))
    assert [len(one.query_ids) for one in model.asked] == [12, 12, 6]
    now = {**titles, **{one.cluster_id: one.title for one in told}}
    assert len(set(now.values())) == 30


# --- which it is


def test_a_model_of_a_provider_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Models:
        def get(self, name: str, local: str = "") -> LanguageModel:
            assert name == "openai/gpt-4o-mini"
            return Scripted(named)

    namer = make_namer("openai/gpt-4o-mini", Models())
    assert (namer.model, namer.compares) == ("openai/scripted", False)


def test_a_model_that_does_not_answer_is_not_hidden() -> None:
    def away(question: Question) -> str:
        raise Unavailable("nobody answers")

    with pytest.raises(Unavailable, match="nobody answers"):
        names(away, texts_of(0, "a"))
