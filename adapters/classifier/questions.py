"""What a language model is asked about a text, and what its answer means."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

from adapters.language_models.port import Answer, Question
from adapters.prompts import Prompt, prompt
from commands.ports import Item, Labelled
from domain.templates import Example, TemplateContent

LONGEST_TEXT = 32_000
"""Characters of a text that are shown. Of a longer one it is the beginning and the end, half of them each."""

MOST_EXAMPLES = 60
LONGEST_EXAMPLE = 1_000
LONGEST_EXAMPLES = 16_000
"""Characters of an example's text, and of all examples together."""

MAX_TOKENS = 1_024
_PLACES = re.compile(r"\{(text|labels|examples)\}")


def classify_prompt() -> Prompt:
    """Its text has two parts: the frame, and the question for a template that has no prompt of its own."""
    return prompt("classify")


class Questions:
    """The questions that a template asks; they differ in nothing but the text."""

    def __init__(self, template: TemplateContent) -> None:
        self._prompt = classify_prompt()
        frame, _, question = self._prompt.text.partition("\n---\n")
        self._frame = replace(self._prompt, text=frame.strip())
        self._question = template.prompt or question.strip()
        self._names = [label.name for label in template.labels]
        shown = shown_examples(template.examples)
        self._shown = {"labels": _labels(template), "examples": _examples(shown)}
        self._examples_of = tuple(one.query_id for one in shown if one.query_id is not None)
        self._schema = answer_schema(template)

    def of(self, item: Item) -> Question:
        shown = {**self._shown, "text": marked(item.text)}
        question = _PLACES.sub(lambda place: shown[place[1]], self._question)
        return Question(
            key=item.key,
            system=self._prompt.system,
            text=self._frame.fill(question=question, names=json.dumps(self._names, ensure_ascii=False)),
            schema=self._schema,
            prompt=self._prompt.id,
            query_ids=self._examples_of if item.query_id is None else (item.query_id, *self._examples_of),
            max_tokens=MAX_TOKENS,
        )


def marked(text: str) -> str:
    """Between marks made of its own hash, which nobody can write into it."""
    mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    if len(text) > LONGEST_TEXT:
        half = LONGEST_TEXT // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
    return f"<text-{mark}>\n{text}\n</text-{mark}>"


def answer_schema(template: TemplateContent) -> dict[str, Any]:
    """Of an answer: the label, and what the template asks for besides, or else the reasoning before it."""
    own = template.answer_schema or {
        "properties": {"reasoning": {"type": "string"}},
        "required": ["reasoning"],
    }
    label = {"type": "string", "enum": [label.name for label in template.labels]}
    return {
        **own,
        "type": "object",
        "properties": {**own.get("properties", {}), "label": label},
        "required": [*dict.fromkeys([*own.get("required", []), "label"])],
        "additionalProperties": False,
    }


def shown_examples(examples: tuple[Example, ...]) -> list[Example]:
    """The first of each label, then the second of each, and so on, as far as there is room."""
    by_label = defaultdict(list)
    for example in examples:
        by_label[example.label].append(example)
    turns = chain.from_iterable(zip_longest(*by_label.values()))
    shown: list[Example] = []
    room = LONGEST_EXAMPLES
    for example in filter(None, turns):
        room -= min(len(example.text), LONGEST_EXAMPLE) + len(example.reasoning or "")
        if room < 0 or len(shown) == MOST_EXAMPLES:
            break
        shown.append(example)
    return shown


def labelled(answer: Answer) -> Labelled:
    """An answer that fits the schema, or why there is none."""
    if answer.value is None:
        return Labelled(answer.key, None, error=answer.error or "no answer", usage=answer.usage)
    rest = dict(answer.value)
    label, reasoning, confidence = (
        rest.pop("label"),
        rest.pop("reasoning", None),
        rest.pop("confidence", None),
    )
    return Labelled(
        answer.key,
        label,
        confidence=_confidence(confidence),
        reasoning=None if reasoning is None else str(reasoning),
        answer=rest or None,
        usage=answer.usage,
    )


def _confidence(said: object) -> float | None:
    """What a model says of itself, where a template asks for it."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return float(said) if 0 <= said <= 1 else None


def _labels(template: TemplateContent) -> str:
    lines = [
        f"- {one.name}: {one.description}" if one.description else f"- {one.name}" for one in template.labels
    ]
    return "\n".join(["Labels:", *lines])


def _examples(examples: list[Example]) -> str:
    return "\n".join(["Examples:", *map(_example, examples)]) if examples else ""


def _example(example: Example) -> str:
    shown: Mapping[str, str | None] = {
        "text": example.text[:LONGEST_EXAMPLE],
        "reasoning": example.reasoning,
        "label": example.label,
    }
    return json.dumps({name: value for name, value in shown.items() if value}, ensure_ascii=False)
