"""Classification by nearest examples and descriptions, in the real embedder's space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from adapters.classifier import NearestClassifier
from adapters.classifier.space import LabelSpace, label_space, probabilities, words
from adapters.embedder import make_embedder
from adapters.providers import SettingsClassifiers, SettingsEmbedders, SettingsLanguageModels
from adapters.settings import Settings
from commands.ports import Item, Labelled, Limits
from domain.errors import Invalid
from domain.templates import Example, Label, TemplateContent

EMBEDDER = make_embedder(None, None)
LABELS = (Label("refund", "money back for an order"), Label("Password_reset"), Label("WeatherReport"))
THINGS = ("shoes", "a lamp", "the concert", "my phone", "a table", "the book", "a jacket", "two chairs")
SAID = {
    "refund": "I want my money back for {}",
    "Password_reset": "I forgot the password of the account for {}",
    "WeatherReport": "will it rain on {} tomorrow",
}
EXAMPLES = tuple(Example(said.format(one), label) for label, said in SAID.items() for one in THINGS)
DESCRIBED = TemplateContent("support", LABELS)
LABELLED = replace(DESCRIBED, examples=EXAMPLES)


def classified(template: TemplateContent, *texts: str) -> list[Labelled]:
    items = (Item(number, text) for number, text in enumerate(texts))
    return list(NearestClassifier(EMBEDDER).classify(template, items, Limits()))


@pytest.mark.parametrize("template", [DESCRIBED, LABELLED])
def test_texts_get_the_label_that_they_are_nearest_to(template: TemplateContent) -> None:
    texts = ("please refund my order", "reset my password", "what is the weather report for monday")
    found = classified(template, *texts)
    assert [(one.key, one.label) for one in found] == list(enumerate(label.name for label in LABELS))
    assert all(0 < (one.confidence or 0) <= 1 for one in found)


def test_it_says_in_numbers_what_it_went_by() -> None:
    (found,) = classified(LABELLED, "I want my money back for a lamp")
    assert found.reasoning is not None
    assert found.reasoning.startswith("nearest to refund ")
    assert ", its example 2 at 1.00; then " in found.reasoning
    (described,) = classified(DESCRIBED, "refund")
    assert ", its description; then " in (described.reasoning or "")


def test_what_no_text_is_in_gets_no_label() -> None:
    found = classified(LABELLED, " \n", "will it rain", "")
    assert [one.label for one in found] == [None, "WeatherReport", None]
    assert found[0].error == "there is nothing in the text"


def test_an_answer_does_not_depend_on_what_it_stands_beside() -> None:
    texts = [f"will it rain on day {n}" for n in range(300)]
    together = classified(LABELLED, *texts)
    assert together[299] == replace(classified(LABELLED, texts[299])[0], key=299)


def test_what_lies_between_labels_is_less_sure() -> None:
    clear, between = classified(
        LABELLED, "will it rain on the party", "my money and my password, in the rain"
    )
    assert (clear.confidence or 0) > (between.confidence or 0)


def test_items_are_read_as_they_are_needed_and_no_more_after_a_stop() -> None:
    read = 0

    def endless() -> Iterator[Item]:
        nonlocal read
        while True:
            read += 1
            yield Item(read, "will it rain")

    answers = NearestClassifier(EMBEDDER).classify(LABELLED, endless(), Limits(), lambda: read >= 2_000)
    assert [one.key for one in answers] == list(range(1, 2_001))
    assert read == 2_000


def test_confidence_is_what_examples_left_out_bear_out() -> None:
    """Labels that were given at random tell nothing of each other, and less is then sure."""
    names = [label.name for label in LABELS]
    random = tuple(replace(one, label=names[n % 3]) for n, one in enumerate(EXAMPLES))
    mixed = label_space(replace(LABELLED, examples=random), EMBEDDER.embed)
    assert mixed.temperature > 2 * label_space(LABELLED, EMBEDDER.embed).temperature


def test_an_example_left_out_does_not_know_itself() -> None:
    space = label_space(LABELLED, EMBEDDER.embed)
    similarities, labels = space.left_out(1_000)
    others = [one for one in EXAMPLES if one != EXAMPLES[0]]
    without = label_space(replace(LABELLED, examples=tuple(others)), EMBEDDER.embed)
    same = replace(without, origin=space.origin, metric=space.metric)
    texts = [words(LABELS[0]), *(one.text for one in others if one.label == "refund")]
    points = same._place(EMBEDDER.embed(texts))
    row = space.points[np.flatnonzero(space.numbers == 1)]
    centre = points.sum(axis=0) / np.linalg.norm(points.sum(axis=0))
    expected = 0.75 * (row @ centre)[0] + 0.25 * (row @ points.T).max()
    assert similarities[0, labels[0]] == pytest.approx(expected, abs=1e-5)


def test_with_one_example_of_each_label_the_space_stays_as_it_is() -> None:
    one_each = tuple(EXAMPLES[n * len(THINGS)] for n in range(3))
    space = label_space(replace(LABELLED, examples=one_each), EMBEDDER.embed)
    assert np.array_equal(space.metric, np.eye(256, dtype=np.float32))


def test_examples_that_are_all_the_same_are_no_trouble() -> None:
    same = tuple(Example("will it rain", "WeatherReport") for _ in range(25))
    (found,) = classified(replace(DESCRIBED, examples=same), "will it rain")
    assert found.label == "WeatherReport"


def test_a_template_that_cannot_be_used_is_invalid() -> None:
    with pytest.raises(Invalid, match="example 1: 'other' is no label of the template"):
        classified(replace(DESCRIBED, examples=(Example("x", "other"),)), "x")
    with pytest.raises(Invalid, match="no labels"):
        classified(replace(DESCRIBED, labels=()), "x")


def test_names_of_labels_are_read_as_words() -> None:
    names = [words(Label(name)) for name in ("card_arrival", "PasswordReset", "FAQ/billing", "__")]
    assert names == ["card arrival", "Password Reset", "FAQ billing", "__"]


def test_probabilities_add_up_and_are_sharper_where_it_is_colder() -> None:
    similarities = np.array([[0.5, 0.4, -1.0]])
    warm, cold = probabilities(similarities, 0.4), probabilities(similarities, 0.004)
    assert warm.sum() == pytest.approx(1)
    assert cold[0, 0] > 0.99 > warm[0, 0]


def test_the_size_of_what_is_kept_is_known() -> None:
    space: LabelSpace = label_space(LABELLED, EMBEDDER.embed)
    assert space.nbytes >= (len(EXAMPLES) + len(LABELS)) * 256 * 4


# --- by the settings


def test_classifiers_are_made_once_and_by_their_embedder(
    settings: Settings, language_models: SettingsLanguageModels
) -> None:
    classifiers = SettingsClassifiers(SettingsEmbedders(settings), language_models)
    nearest = classifiers.get("local/nearest")
    assert (nearest.model, nearest.prompt) == ("local/nearest", "")
    assert classifiers.get("local/nearest") is nearest
    other = classifiers.get("local/nearest@wordllama/l2_supercat_64")
    template = replace(LABELLED, examples=())
    assert next(other.classify(template, [Item(0, "rain")], Limits())).label == "WeatherReport"
    with pytest.raises(Invalid, match="name local/nearest, local/nearest@PROVIDER/MODEL, or"):
        classifiers.get("local/farthest")
    with pytest.raises(Invalid, match="unknown embedding provider 'none'"):
        classifiers.get("local/nearest@none/such")


def test_a_model_is_named_in_one_in_two_or_not_at_all() -> None:
    named = SettingsClassifiers.named
    assert named(None, None) == named("local", None) == named(None, "local/nearest") == "local/nearest"
    assert (
        named("openai", "gpt") == named("openai", "openai/gpt") == named(None, "openai/gpt") == "openai/gpt"
    )
    assert named("openai-compatible", "org/model") == "openai-compatible/org/model"
