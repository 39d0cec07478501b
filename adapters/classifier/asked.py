"""Classification by a language model: one question for each text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.classifier.nearest import NOTHING
from adapters.classifier.questions import Questions, classify_prompt, labelled
from adapters.language_models.port import LanguageModel, Question
from commands.ports import Item, Labelled, Limits, Stop, never
from domain.templates import TemplateContent


class AskingClassifier:
    """The port `Classifier` over a language model. A text with nothing in it is not asked about.

    `confidence` is what the model says, where the template's schema asks it for one; it is not calibrated.
    """

    def __init__(self, language_model: LanguageModel) -> None:
        self._language_model = language_model

    @property
    def model(self) -> str:
        return self._language_model.name

    @property
    def prompt(self) -> str:
        return classify_prompt().id

    def classify(
        self, template: TemplateContent, items: Iterable[Item], limits: Limits, stop: Stop = never
    ) -> Iterator[Labelled]:
        questions, empty = Questions(template), list[Labelled]()

        def asked() -> Iterator[Question]:
            for item in items:
                if item.text.strip():
                    yield questions.of(item)
                else:
                    empty.append(Labelled(item.key, None, error=NOTHING))

        for answer in self._language_model.ask(asked(), limits, stop):
            yield labelled(answer)
            while empty:
                yield empty.pop()
        yield from empty
