"""Classification at a provider's leisure: for half the price, within a day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from adapters.classifier.batches.anthropic_batches import AnthropicBatches
from adapters.classifier.batches.openai_batches import OpenAIBatches
from adapters.classifier.batches.service import BatchService, Unreadable, custom_id, in_parts, key_of
from adapters.classifier.questions import Questions, answer_schema, labelled
from adapters.language_models.port import Answer
from adapters.language_models.prices import Prices
from adapters.language_models.replies import problem_finder
from adapters.language_models.service import ModelOptions
from adapters.services.answers import Transient
from adapters.services.retries import Patience
from commands.ports import BatchState, Item, Labelled, Usage
from domain.errors import Invalid, Unavailable
from domain.templates import TemplateContent

SERVICES: dict[str, Callable[[str, ModelOptions], BatchService]] = {
    "anthropic": AnthropicBatches,
    "openai": OpenAIBatches,
}
DISCOUNT = 0.5
"""What a token in a batch costs of its usual price, at both providers."""

Problem = Callable[[Any], str | None]
T = TypeVar("T")


def make_batch_classifier(
    model: str, options: Callable[[str], ModelOptions], prices: Prices
) -> ServiceBatches:
    """Nobody is called by it. Raises Invalid for a provider that has no batches."""
    provider, _, name = model.partition("/")
    if provider not in SERVICES or not name:
        known = ", ".join(SERVICES)
        raise Invalid(f"execution.mode: {model} takes no batches; use sync, or a model of {known}")
    given = options(provider)
    return ServiceBatches(SERVICES[provider](name, given), given.patience, prices)


class ServiceBatches:
    """The port `BatchClassifier` over one provider. A key travels as the `custom_id` of its request."""

    def __init__(self, service: BatchService, patience: Patience, prices: Prices) -> None:
        self._service, self._patience, self._prices = service, patience, prices

    def submit(
        self, template: TemplateContent, items: Iterable[Item]
    ) -> Iterator[tuple[str, list[int | str]]]:
        """A batch whose creation was not heard of is created again; the provider then works on it twice."""
        questions = Questions(template)
        requests = (
            (item.key, self._service.request(custom_id(item.key), questions.of(item))) for item in items
        )
        for keys, part in in_parts(requests, self._service.most_requests, self._service.most_bytes):
            yield self._asked(self._service.create, part), keys

    def poll(self, batch_id: str) -> BatchState:
        return self._asked(self._service.poll, batch_id)

    def results(self, template: TemplateContent, batch_id: str) -> Iterator[Labelled]:
        """A connection that breaks under way raises Unavailable: what was had of it stays true."""
        problem = problem_finder(answer_schema(template))
        try:
            for line in self._service.outputs(batch_id):
                yield self._labelled(problem, line)
        except Transient as error:
            raise self._unavailable(error) from None

    def read(self, template: TemplateContent, lines: Iterable[bytes]) -> Iterator[Labelled]:
        problem = problem_finder(answer_schema(template))
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield self._read(problem, number, line)

    def cancel(self, batch_id: str) -> None:
        self._asked(self._service.cancel, batch_id)

    def _read(self, problem: Problem, number: int, line: bytes) -> Labelled:
        try:
            return self._labelled(problem, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            said = str(error) if isinstance(error, Unreadable) else f"no output of {self._service.provider}"
            raise Invalid(f"line {number}: {said}") from None

    def _labelled(self, problem: Problem, line: Mapping[str, Any]) -> Labelled:
        outcome = self._service.outcome(line)
        value, error = outcome.value, outcome.error
        if value is not None and (wrong := problem(value)):
            value, error = None, f"the answer does not fit: {wrong}"
        tokens = outcome.input_tokens, outcome.output_tokens
        cost = self._prices.cost(f"{self._service.provider}/{self._service.model}", *tokens)
        usage = Usage(1, *tokens, cost_usd=None if cost is None else cost * DISCOUNT)
        return labelled(
            Answer(key_of(outcome.custom_id), None if value is None else dict(value), error, usage)
        )

    def _asked(self, call: Callable[..., T], *given: object) -> T:
        try:
            return self._patience.retrying()(call, *given)
        except Transient as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Transient) -> Unavailable:
        return Unavailable(f"batches of {self._service.provider}/{self._service.model}: {error}")
