"""The port `LanguageModel` over the models of providers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from adapters.language_models.anthropic_api import anthropic_service
from adapters.language_models.asking import Asking, Equipment
from adapters.language_models.cohere_api import cohere_service
from adapters.language_models.openai_api import DIALECTS, openai_service
from adapters.language_models.port import Answer, Question
from adapters.language_models.service import ModelOptions, Service
from commands.ports import Limits, Stop, never

SERVICES: dict[str, Callable[[str, str, ModelOptions], Service]] = {
    "anthropic": anthropic_service,
    "cohere": cohere_service,
    **dict.fromkeys(DIALECTS, openai_service),
}
PROVIDERS = tuple(sorted(SERVICES))


class RemoteLanguageModel:
    def __init__(self, equipment: Equipment) -> None:
        self._with = equipment

    @property
    def name(self) -> str:
        return self._with.service.name

    def ask(self, questions: Iterable[Question], limits: Limits, stop: Stop = never) -> Iterator[Answer]:
        return Asking(self._with, limits, stop).answers(questions)

    def close(self) -> None:
        """Ends the connections that are kept open for the next question."""
        self._with.service.close()
