"""What is asked of a language model, whoever makes it. Namers, classifiers and the like are built on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from commands.ports import NO_USAGE, Limits, Stop, Usage, never


@dataclass(frozen=True)
class Question:
    """One question, to be answered by an object of a JSON schema.

    `key`: what whoever asks knows it by. `prompt`: `Prompt.id` of the file that it was made from.
    `query_ids`: whose texts stand in it, so that a kept answer can go when one of them is erased.
    `check` says what is wrong with an answer that fits the schema, in words that the model is shown.
    """

    key: int | str
    system: str
    text: str
    schema: Mapping[str, Any]
    prompt: str
    query_ids: tuple[int, ...] = ()
    check: Callable[[Mapping[str, Any]], str | None] = field(default=lambda answer: None, compare=False)
    max_tokens: int = 1_024


@dataclass(frozen=True)
class Answer:
    """`value` fits schema and check, or is None, and then `error` says why, `passes` whether it may pass."""

    key: int | str
    value: dict[str, Any] | None
    error: str | None = None
    usage: Usage = NO_USAGE
    passes: bool = False


class LanguageModel(Protocol):
    @property
    def name(self) -> str:
        """`provider/model`."""

    def ask(self, questions: Iterable[Question], limits: Limits, stop: Stop = never) -> Iterator[Answer]:
        """An answer for each question, as they come; questions are read as they are needed.

        What passes (429, 5xx, time-outs, answers that do not fit) is repeated within bounds. Raises Refused
        where the provider will say no to every question, Unavailable where it has not answered for long.
        """


class LanguageModels(Protocol):
    def get(self, name: str, local: str = "") -> LanguageModel:
        """`local`: what does the same without a language model; an error names that as well.

        Raises Invalid for a provider that is unknown, Refused for one that is not set up.
        """


def asked_for(name: str, local: str, language_models: LanguageModels) -> LanguageModel | None:
    """None where the local one is meant, by its name or as `local` alone."""
    return None if name in (local, "local", "local/") else language_models.get(name, local)
