"""What a story of evaluation begins with: a classifier that answers as it is told, templates, test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from adapters.bootstrap import HANDLERS, Container
from adapters.evaluation import make_suggester
from commands.bus import Bus
from commands.evaluation import FreezeTestSet, RequestEvaluation, run_evaluation, run_suggestion
from commands.ports import Item, Labelled, Limits, Receipt, Stop, Suggester, Usage, never
from commands.templates import PutTemplate
from domain.evaluation import Case
from domain.templates import Example, Label, TemplateContent

AT = datetime(2025, 10, 4, 17, 4, 42, tzinfo=UTC)
MODEL = "local/scripted"
CONTENT = TemplateContent(
    "Support",
    (Label("ORDER", "what was bought"), Label("REFUND")),
    examples=(Example("An example of mine", "ORDER"),),
    prompt="Label this: {text}",
)
CASES = [
    Case("ORDER", "two shoes please"),
    Case("ORDER", "an  example OF mine"),
    Case("REFUND", "give the money back"),
    Case("REFUND", "money for the broken vase, ordered"),
]


class Scripted:
    """The port `Classifier`: a text with one of these words has that label. It gives up after so many."""

    model, prompt = MODEL, "scripted.v1@0"

    def __init__(self, words: Mapping[str, str] | None = None, patience: int = 1_000) -> None:
        self.words = words or {"order": "ORDER", "shoes": "ORDER", "example": "ORDER", "money": "REFUND"}
        self.patience = patience
        self.seen: list[Item] = []
        self.limits: Limits | None = None
        self.before: Callable[[Item], None] = lambda item: None

    def get(self, model: str) -> Scripted:
        return self

    def classify(
        self, template: TemplateContent, items: Iterable[Item], limits: Limits, stop: Stop = never
    ) -> Iterator[Labelled]:
        self.limits = limits
        known = {one.text: one.label for one in template.examples}
        for item in items:
            self.before(item)
            if stop():
                return
            if len(self.seen) >= self.patience:
                raise ConnectionError("rate limit exceeded")
            self.seen.append(item)
            label = next((label for word, label in self.words.items() if word in item.text), None)
            error = None if label else f"no word in {item.text!r}"
            usage = Usage(calls=1, input_tokens=10, cost_usd=0.25, seconds=0.5)
            label = known.get(item.text, label)
            yield Labelled(item.key, label, 0.75, "said so", error, usage)


class Suggesters:
    def get(self, model: str) -> Suggester:
        return make_suggester(model, None)  # type: ignore[arg-type]


def bus(container: Container, classifier: Scripted, settled: Callable[[Receipt], None] | None = None) -> Bus:
    """As the container's, with this classifier."""
    needs = {**container.needs, "classifiers": classifier, "suggesters": Suggesters()}
    return Bus(container.store, HANDLERS, needs, settled or (lambda receipt: None))


def put_template(container: Container, content: TemplateContent = CONTENT) -> str:
    template_id = f"t{uuid4().hex[:12]}"
    container.bus.handle(PutTemplate(content=content, template_id=template_id))
    return template_id


def freeze(
    container: Container,
    cases: Sequence[Case] = CASES,
    name: str | None = None,
    dataset: str | None = None,
) -> str:
    test_set = name or f"c{uuid4().hex[:12]}"
    command = FreezeTestSet(
        test_set=test_set, cases=cases, source={"kind": "file", "name": "x"}, dataset=dataset
    )
    container.bus.handle(command)
    return test_set


def request(container: Container, classifier: Scripted, template_id: str, test_set: str, **more: Any) -> str:  # noqa: ANN401
    command = RequestEvaluation(template_id=template_id, test_set=test_set, model=MODEL, at=AT, **more)
    return str(bus(container, classifier).handle(command).answer["evaluation_run_id"])


def work(container: Container, classifier: Scripted, evaluation_run_id: str) -> list[tuple[int, int | None]]:
    """The job; how far it said that it was."""
    told: list[tuple[int, int | None]] = []
    run_evaluation(
        evaluation_run_id,
        bus=bus(container, classifier),
        store=container.store,
        contents=container.contents,
        classifiers=classifier,
        progress=lambda done, total: told.append((done, total)),
    )
    return told


def suggest(container: Container, suggestion_id: str) -> None:
    """The job."""
    run_suggestion(
        suggestion_id,
        bus=bus(container, Scripted()),
        store=container.store,
        contents=container.contents,
        suggesters=Suggesters(),
    )
