"""One question and what is said back and forth until there is an answer, or none."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapters.language_models.port import Answer, Question
from adapters.language_models.prices import Prices
from adapters.language_models.replies import checked_by, reply_model
from adapters.language_models.service import Heard, NoAnswer, Service
from adapters.services.answers import Rejected, Transient
from adapters.services.retries import Patience
from commands.ports import NO_USAGE, Usage
from domain.errors import DomainError, Refused
from domain.summaries import without_quotations

REASKS = 2
"""How often a model is shown what is wrong with its answer, and asked again."""

logging.getLogger("instructor").setLevel(logging.CRITICAL + 1)
"""It logs answers that do not fit, which may quote a text."""


class Stopped(Exception):
    """Nobody wants the answer any more."""


class Round(Protocol):
    """What many questions that are asked together share."""

    def may_ask(self) -> None:
        """Waits for the pace. Raises Stopped, or NoAnswer where the budget is spent."""

    def sleep(self, seconds: float) -> None:
        """Raises Stopped."""

    def spent(self, usage: Usage) -> None: ...


@dataclass
class Result:
    """`trouble`: what kept the provider from answering, where it was that and not the model."""

    answer: Answer
    failures: Counter[str] = field(default_factory=Counter)
    trouble: Transient | Refused | None = None

    @property
    def denial(self) -> Refused | None:
        """What the provider would say to every other question as well."""
        trouble = self.trouble
        return trouble if isinstance(trouble, Refused) and not isinstance(trouble, Rejected) else None


class Exchange:
    def __init__(
        self, question: Question, service: Service, patience: Patience, prices: Prices, round_: Round
    ) -> None:
        self._question = question
        self._service = service
        self._patience = patience
        self._prices = prices
        self._round = round_
        self._usage = NO_USAGE
        self._failures: Counter[str] = Counter()
        self._asked = 0

    def result(self) -> Result:
        """Raises Stopped, and Invalid for a schema that is none."""
        try:
            value = self._value()
        except NoAnswer as error:
            return self._none(str(error), error.kind)
        except Transient as error:
            tries = self._usage.calls
            return self._none(f"{self._service.name} gave no answer ({tries} tries): {error}", None, error)
        except Rejected as error:
            return self._none(error.message, "rejected", error)
        except Refused as error:
            return self._none(error.message, "denied", error)
        self._failures["invalid"] += self._asked - 1
        return Result(Answer(self._question.key, value, usage=self._usage), +self._failures)

    def _none(self, error: str, kind: str | None, trouble: Transient | Refused | None = None) -> Result:
        """The error may stand in the log: services that repeat what they were sent are not quoted."""
        if kind:
            self._failures[kind] += 1
        said = without_quotations(error, [self._question.text])
        passes = isinstance(trouble, Transient)
        return Result(Answer(self._question.key, None, said, self._usage, passes), self._failures, trouble)

    def _value(self) -> dict[str, Any]:
        from instructor.core import InstructorRetryException

        question = self._question
        try:
            with checked_by(question.check):
                reply = self._typed()(
                    response_model=reply_model(question.schema),
                    messages=[
                        {"role": "system", "content": question.system},
                        {"role": "user", "content": question.text},
                    ],
                    max_retries=REASKS,
                    **{self._service.bound: question.max_tokens},
                    **self._service.extra,
                )
        except InstructorRetryException as error:
            cause = error.__cause__
            if isinstance(cause, (NoAnswer, Stopped, Transient, DomainError)):
                raise cause from None
            self._failures["invalid"] += self._asked - 1
            raise NoAnswer(f"{self._asked} answers did not fit what was asked for", "invalid") from None
        return dict(reply.model_extra)

    def _typed(self) -> Callable[..., Any]:
        import instructor

        mode, dialect = instructor.Mode[self._service.mode], instructor.Provider[self._service.dialect]
        typed: Callable[..., Any] = instructor.patch(create=self._create, mode=mode, provider=dialect)
        return typed

    def _create(self, **request: Any) -> Any:  # noqa: ANN401
        """What `instructor` takes for the SDK: one request, made again as long as that may help."""
        self._asked += 1
        heard: Heard = self._patience.retrying(self._round.sleep)(self._request, request)
        if heard.ended:
            raise heard.ended
        return heard.response

    def _request(self, request: dict[str, Any]) -> Heard:
        self._round.may_ask()
        began = time.monotonic()
        tokens = (0, 0)
        try:
            heard = self._service.call(**request)
            tokens = heard.input_tokens, heard.output_tokens
            return heard
        except Transient as error:
            self._failures[error.kind] += 1
            raise
        finally:
            cost = self._prices.cost(self._service.name, *tokens)
            self._count(Usage(1, *tokens, cost_usd=cost, seconds=time.monotonic() - began))

    def _count(self, usage: Usage) -> None:
        self._usage += usage
        self._round.spent(usage)
