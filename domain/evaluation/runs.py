"""An evaluation run: one version of a template, asked by one model about every case of a test set."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from domain.base import Aggregate, event
from domain.errors import Conflict
from domain.values import Labels, Vectors, added, mended, pack, unpack

UNANSWERED = -2
ERROR = -1
"""In place of the index of a label: nobody has answered yet; what was answered is no label."""

Status = Literal["pending", "running", "completed", "failed", "cancelled"]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """Some cases that were asked about, all arrays of one length.

    `numbers` of the cases; `predicted`: index into the run's labels, or ERROR; `confidence`: NaN for none;
    `seconds` a call took, NaN where nobody was called. `leaked`: numbers of those whose text is an example of
    the template. `gone`: cases that nobody can be asked about, since their conversation was erased. `words`:
    what was said of a case, `{number, error}` or `{number, reasoning}`, without what it quotes.
    """

    numbers: Labels
    predicted: Labels
    confidence: Vectors
    seconds: Vectors
    leaked: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    words: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)


class EvaluationRun(Aggregate):
    TOPIC = "evaluation"
    PREFIX = "evaluation"

    class Created(Aggregate.Created):
        """`labels` and `template_hash` are those of the template that is asked with: the version of this
        number, or the draft of a suggestion on it. `manifest` freezes the cases."""

        TOPIC = "evaluation.created"
        evaluation_run_id: str
        template_id: str
        template_number: int
        template_hash: str
        labels: list[str]
        suggestion_id: str | None
        model: str
        prompt: str
        test_set: str
        test_set_version: int
        manifest: str
        cases: int
        parameters: dict[str, Any]

    class CasesAnswered(Aggregate.Event):
        """See `Answers`; arrays are packed. A case that is answered again has its later answer."""

        TOPIC = "evaluation.cases_answered"
        numbers: str
        predicted: str
        confidence: str
        seconds: str
        leaked: list[int]
        gone: list[int]
        words: list[dict[str, Any]]
        usage: dict[str, Any]

    class CancelRequested(Aggregate.Event):
        TOPIC = "evaluation.cancel_requested"

    class Resumed(Aggregate.Event):
        """What has no answer, or an error for one, is asked again."""

        TOPIC = "evaluation.resumed"
        parameters: dict[str, Any]

    class Completed(Aggregate.Event):
        """`figures`: see docs/evaluation.md. They were measured then, and stay, whatever is erased later."""

        TOPIC = "evaluation.completed"
        figures: dict[str, Any]

    class Failed(Aggregate.Event):
        """`figures` over the answers that came before."""

        TOPIC = "evaluation.failed"
        error: str
        figures: dict[str, Any]

    class Cancelled(Aggregate.Event):
        TOPIC = "evaluation.cancelled"
        figures: dict[str, Any]

    @staticmethod
    def create_id(evaluation_run_id: str) -> str:
        return EvaluationRun.stream(evaluation_run_id)

    def __init__(
        self,
        evaluation_run_id: str,
        template_id: str,
        template_number: int,
        template_hash: str,
        labels: list[str],
        suggestion_id: str | None,
        model: str,
        prompt: str,
        test_set: str,
        test_set_version: int,
        manifest: str,
        cases: int,
        parameters: dict[str, Any],
    ) -> None:
        self.evaluation_run_id = evaluation_run_id
        self.template_id = template_id
        self.template_number = template_number
        self.template_hash = template_hash
        self.labels = labels
        self.suggestion_id = suggestion_id
        self.model = model
        self.test_set = test_set
        self.test_set_version = test_set_version
        self.manifest = manifest
        self.parameters = parameters
        self.status: Status = "pending"
        self.cancelling = False
        self.predicted: Labels = np.full(cases, UNANSWERED, np.int32)
        self.confidence: Vectors = np.full(cases, np.nan, np.float32)
        self.seconds: Vectors = np.full(cases, np.nan, np.float32)
        self.leaked: Flags = np.zeros(cases, np.bool_)
        self.gone: Flags = np.zeros(cases, np.bool_)
        self.usage: dict[str, Any] = {}
        self.errors: dict[int, str] = {}
        """Why cases got no label, by their numbers."""
        self.figures: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")

    @property
    def open_cases(self) -> Labels:
        """Numbers of the cases to ask about: no answer yet, or an error for one."""
        wanted = (self.predicted < 0) & ~self.gone
        return (np.flatnonzero(wanted) + 1).astype(np.int32)

    def record(self, answers: Answers) -> None:
        """Keep what was answered; a run that has ended keeps nothing more."""
        if self.ended or not (len(answers.numbers) or answers.gone):
            return
        self._cases_answered(
            numbers=pack(answers.numbers),
            predicted=pack(answers.predicted),
            confidence=pack(answers.confidence),
            seconds=pack(answers.seconds),
            leaked=answers.leaked,
            gone=answers.gone,
            words=answers.words,
            usage=answers.usage,
        )

    @event(CasesAnswered)
    def _cases_answered(
        self,
        numbers: str,
        predicted: str,
        confidence: str,
        seconds: str,
        leaked: list[int],
        gone: list[int],
        words: list[dict[str, Any]],
        usage: dict[str, Any],
    ) -> None:
        self.status = "running"
        at = unpack(numbers).astype(np.int64) - 1
        self.predicted[at] = unpack(predicted)
        self.confidence[at] = unpack(confidence)
        self.seconds[at] = unpack(seconds)
        self.leaked[np.array(leaked, np.int64) - 1] = True
        self.gone[np.array(gone, np.int64) - 1] = True
        self.usage = added(self.usage, usage)
        for number in (at + 1).tolist():
            self.errors.pop(number, None)
        self.errors |= {one["number"]: one["error"] for one in words if "error" in one}

    def cancel(self) -> None:
        """Ask it to stop; it ends with what it has. A second time changes nothing."""
        if self.ended:
            raise Conflict(f"evaluation run {self.evaluation_run_id} is {self.status} already")
        if not self.cancelling:
            self._cancel_requested()

    @event(CancelRequested)
    def _cancel_requested(self) -> None:
        self.cancelling = True

    def resume(self, parameters: dict[str, Any]) -> None:
        """Go on with the cases that have no answer. `parameters` stand for those of before."""
        if self.status not in ("failed", "cancelled"):
            raise Conflict(
                f"evaluation run {self.evaluation_run_id} is {self.status}: only one that failed or was"
                " cancelled goes on"
            )
        self._resumed(parameters={**self.parameters, **parameters})

    @event(Resumed)
    def _resumed(self, parameters: dict[str, Any]) -> None:
        self.status = "running"
        self.cancelling = False
        self.parameters = parameters

    def end(self, figures: dict[str, Any], error: str | None = None) -> None:
        """Completed, failed where there is an error or no case got a label, cancelled where somebody asked
        for it in time.
        """
        if self.ended:
            return
        answers = self.predicted[~self.gone]
        unasked = bool((answers == UNANSWERED).any())
        if error is None and len(answers) and (answers == ERROR).all():
            most = Counter(self.errors.values()).most_common(1)
            why = most[0][0] if most else "nobody said why"
            error = f"none of {len(answers):,} cases got a label; most often: {why}"
        if error is not None:
            self._failed(error=mended(error), figures=figures)
        elif self.cancelling and unasked:
            self._cancelled(figures=figures)
        else:
            self._completed(figures=figures)

    @event(Completed)
    def _completed(self, figures: dict[str, Any]) -> None:
        self.status, self.figures = "completed", figures

    @event(Failed)
    def _failed(self, error: str, figures: dict[str, Any]) -> None:
        self.status, self.figures = "failed", figures

    @event(Cancelled)
    def _cancelled(self, figures: dict[str, Any]) -> None:
        self.status, self.figures = "cancelled", figures
