"""A language model that answers as the script says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from adapters.language_models import Answer, Question
from commands.ports import Limits, Stop, Usage, never

COST = Usage(1, 200, 20, 0.01, 0.5)
Script = Callable[[Question], Mapping[str, Any] | str]
"""What is answered: an object, or why there is none."""


class Scripted:
    """Answers in the reverse order of each three questions, as a model at concurrency may."""

    name = "openai/scripted"

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[Question] = []

    def ask(self, questions: Iterable[Question], limits: Limits, stop: Stop = never) -> Iterator[Answer]:
        waiting: list[Answer] = []
        for question in questions:
            if stop():
                return
            self.asked.append(question)
            waiting.append(self._answer(question))
            if len(waiting) == 3:
                yield from reversed(waiting)
                waiting.clear()
        yield from reversed(waiting)

    def _answer(self, question: Question) -> Answer:
        said = self._script(question)
        if isinstance(said, str):
            return Answer(question.key, None, said, COST)
        wrong = question.check(said)
        return Answer(question.key, None if wrong else dict(said), wrong, COST)
