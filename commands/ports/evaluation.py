"""What the work asks where templates are judged: figures, comparisons, suggestions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from commands.ports.language import NO_USAGE, Stop, Usage, never
from domain.templates import TemplateContent
from domain.values import Labels


class Scorer(Protocol):
    """Figures of answers whose truth is known. The same input gives the same figures."""

    def score(self, labels: Sequence[str], truth: Labels, predicted: Labels, seed: int) -> dict[str, Any]:
        """Accuracy, precision, recall, F1 with intervals, and the confusion matrix (docs/evaluation.md).

        `truth` and `predicted` are indexes into `labels`, `predicted` ERROR where no label was answered.
        """

    def compare(self, cells: Mapping[tuple[str, bool, bool], int], seed: int) -> dict[str, Any]:
        """Two runs on the same cases. `cells`: (label, right before, right after) → cases."""


@dataclass(frozen=True)
class FailedCase:
    """A case that was answered wrongly: `predicted` is None where there was no label.

    `query_id`: whose text it is, where it is a query's.
    """

    number: int
    text: str
    expected: str
    predicted: str | None
    query_id: int | None = None


@dataclass(frozen=True)
class Report:
    """How a template did. `failed` may be a part of what failed; `right`: texts by their label.

    `pool`: what may become examples, so many of a label at most, by the number of its case.
    """

    template: TemplateContent
    accuracy: float | None
    correct: int
    total: int
    categories: Mapping[str, Mapping[str, Any]]
    confusion: Mapping[str, Mapping[str, int]]
    failed: Sequence[FailedCase]
    right: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pool: Sequence[FailedCase] = ()
    examples_per_label: int = 0


@dataclass(frozen=True)
class Advice:
    """`confused`: `{expected, predicted, count, terms}`. `descriptions`: label → its new description.

    `examples`: numbers of cases of the report's pool. `draft_prompt`: new words to ask with, None for none.
    """

    analysis: str
    suggestions: list[str]
    priority_categories: list[str]
    confused: list[dict[str, Any]] = field(default_factory=list)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    examples: Sequence[int] = ()
    draft_prompt: str | None = None
    usage: Usage = NO_USAGE


class Suggester(Protocol):
    @property
    def model(self) -> str:
        """`provider/model`; `local/confusion` computes."""

    @property
    def prompt(self) -> str:
        """Name, version and hash of the prompt; empty where none is."""

    def suggest(self, report: Report, stop: Stop = never) -> Advice:
        """What would have done better. Raises Refused or Unavailable where a provider does not answer."""


class Suggesters(Protocol):
    def get(self, model: str) -> Suggester:
        """Raises Invalid for a model that is unknown, Refused for one that is not set up."""
