"""What a classifier goes by: the labels, what they mean, examples, and the words it is asked with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from domain.values import digest


@dataclass(frozen=True)
class Label:
    name: str
    description: str = ""


@dataclass(frozen=True)
class Example:
    """A text that is labelled already. `query_id`: whose text it is, so that it goes when that is erased."""

    text: str
    label: str
    reasoning: str | None = None
    query_id: int | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text, as the index of conversations has it."""
        return digest(self.text.encode())


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
    def body(self) -> bytes:
        """The canonical form, which lies beside the log under its SHA-256.

        The order of labels, of examples and in the schema is part of it: a model may answer otherwise.
        """
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    @cached_property
    def template_hash(self) -> str:
        """SHA-256 (hex) of the canonical form: the same content has the same hash, whoever wrote it."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    def without(self, query_ids: Collection[int], texts: Collection[bytes]) -> TemplateContent:
        """Without the examples of these queries, and those whose texts have these digests."""
        kept = [one for one in self.examples if one.query_id not in query_ids and one.digest not in texts]
        return self if len(kept) == len(self.examples) else replace(self, examples=tuple(kept))

    @classmethod
    def decode(cls, body: bytes) -> TemplateContent:
        """The content that has this canonical form."""
        fields = json.loads(body)
        labels = tuple(Label(**one) for one in fields.pop("labels"))
        examples = tuple(Example(**one) for one in fields.pop("examples"))
        return cls(labels=labels, examples=examples, **fields)
