"""What a classifier goes by: the labels, what they mean, examples, and the words it is asked with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Label:
    name: str
    description: str = ""


@dataclass(frozen=True)
class Example:
    """A text that is labelled already."""

    text: str
    label: str
    reasoning: str | None = None


@dataclass(frozen=True)
class TemplateContent:
    """All of a version that an answer depends on, and what it is called.

    `prompt` holds the placeholder `{text}` and may hold `{labels}` and `{examples}`; `answer_schema` is a
    JSON schema of the answer, or None for a label with its reasoning.
    """

    name: str
    labels: tuple[Label, ...]
    description: str | None = None
    examples: tuple[Example, ...] = ()
    prompt: str | None = None
    answer_schema: dict[str, Any] | None = None

    @property
    def template_hash(self) -> str:
        """SHA-256 (hex) of the canonical form: the same content has the same hash, whoever wrote it."""
        canonical = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
