"""Questions to put to the servers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters.language_models import Answer, LanguageModel, Question
from commands.ports import Limits

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["refund", "other"]},
        "reasoning": {"type": "string"},
    },
    "required": ["label", "reasoning"],
    "additionalProperties": False,
}
RIGHT = {"label": "refund", "reasoning": "money back"}


def question(key: int | str = 1, text: str = "Where is my money?", **changes: Any) -> Question:  # noqa: ANN401
    return Question(
        key, "You label questions.", text, **{"schema": SCHEMA, "prompt": "label.v1@0123", **changes}
    )


def ask(model: LanguageModel, questions: Iterable[Question], **limits: Any) -> dict[int | str, Answer]:  # noqa: ANN401
    """By key. No question has two answers."""
    answers = list(model.ask(questions, Limits(**limits)))
    found = {one.key: one for one in answers}
    assert len(found) == len(answers)
    return found


def ask_one(model: LanguageModel, **changes: Any) -> Answer:  # noqa: ANN401
    return ask(model, [question(**changes)])[1]
