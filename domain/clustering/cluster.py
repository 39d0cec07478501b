"""A cluster besides its members, and what people may write on it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from domain.errors import Invalid

MAX_TITLE = 200
MAX_DESCRIPTION = 4_000
MAX_NOTES = 10_000
MAX_FLAGS = 50
MAX_FLAG = 60
COHERENCE = range(1, 6)
"""1: nothing in common, 5: one thing only."""

Quality = Literal["high", "medium", "low"]


class Named:
    """What a model calls something (`named_…`) and what people call it (`own_…`).

    The words of people are shown before those of a model, whichever came later.
    """

    if TYPE_CHECKING:  # fields of the data classes that are named

        @property
        def named_title(self) -> str | None: ...
        @property
        def named_description(self) -> str | None: ...
        @property
        def own_title(self) -> str | None: ...
        @property
        def own_description(self) -> str | None: ...

    @property
    def title(self) -> str | None:
        return self.named_title if self.own_title is None else self.own_title

    @property
    def description(self) -> str | None:
        return self.named_description if self.own_description is None else self.own_description

    @property
    def title_edited(self) -> bool:
        return self.own_title is not None

    @property
    def description_edited(self) -> bool:
        return self.own_description is not None


@dataclass(frozen=True)
class Cluster(Named):
    """Its names, of a summary and of people, and what people noted."""

    named_title: str | None = None
    named_description: str | None = None
    summary_run_id: str | None = None
    own_title: str | None = None
    own_description: str | None = None
    coherence_score: int | None = None
    quality: Quality | None = None
    notes: str | None = None
    flags: tuple[str, ...] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Cluster:
        return self

    def named_as(self, other: Cluster) -> Self:
        """With what a summary calls the other."""
        names = ("named_title", "named_description", "summary_run_id")
        return replace(self, **{name: getattr(other, name) for name in names})

    # --- as it stands in events

    def fields(self) -> dict[str, Any]:
        """The fields that say something, as JSON."""
        said = {name: value for name, value in vars(self).items() if value}
        return {name: list(value) if name == "flags" else value for name, value in said.items()}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        return cls().with_fields(fields)

    def with_fields(self, fields: Mapping[str, Any]) -> Self:
        flags = {"flags": tuple(fields["flags"] or ())} if "flags" in fields else {}
        return replace(self, **{**fields, **flags})


def check_text(field: str, text: str, longest: int) -> str:
    """A title or description as people write it, or Invalid."""
    if not text.strip():
        raise Invalid(f"{field} must not be empty")
    if len(text) > longest:
        raise Invalid(f"{field} has {len(text)} characters; {longest} are allowed")
    if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text):
        raise Invalid(f"{field} has control characters")
    return text


def check_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`coherence_score`, `quality` and `notes` as people set them; None takes one away. Raises Invalid."""
    if unknown := set(metadata) - {"coherence_score", "quality", "notes"}:
        raise Invalid(f"metadata has no field {', '.join(sorted(unknown))}")
    score, quality, notes = (metadata.get(name) for name in ("coherence_score", "quality", "notes"))
    if score is not None and score not in COHERENCE:
        raise Invalid(f"coherence_score is {score}; it goes from {COHERENCE.start} to {COHERENCE.stop - 1}")
    if quality is not None and quality not in get_args(Quality):
        raise Invalid(f"quality is {quality!r}; it is one of {', '.join(get_args(Quality))}")
    if notes is not None:
        check_text("notes", notes, MAX_NOTES)
    return dict(metadata)
