"""What is said of templates, as it is called where they are prompts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from domain.errors import DomainError

TICKET, TEXT = "{ticket}", "{text}"
OF_A_PROMPT = {"prompt": "template", "labels": "categories", "template_id": "id"}
"""Fields of a template, and which of a prompt they are."""


def as_prompt(template: str) -> str | None:
    """What a template has as its prompt; None for the standard words."""
    return template.replace(TICKET, TEXT) or None


def as_template(prompt: str | None) -> str:
    return (prompt or "").replace(TEXT, TICKET)


@contextmanager
def in_these_words(names: Mapping[str, str] = OF_A_PROMPT) -> Iterator[None]:
    """A refusal names the prompt, its placeholder and its fields (`names`) as the request does."""
    try:
        yield
    except DomainError as error:
        details = [{name: _renamed(said, names) for name, said in one.items()} for one in error.details]
        raise type(error)(_renamed(error.message, names), details) from error


def _renamed(said: str, names: Mapping[str, str]) -> str:
    """A field stands at the start, before its id a template."""
    fields = re.sub(rf"^(/?)({'|'.join(names)})\b", lambda at: at[1] + names[at[2]], said)
    return re.sub(r"\btemplate (?=')", "prompt ", fields).replace(TEXT, TICKET)
