"""Classification runs for tests: a template, a classifier that does as it is told, and the job by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from adapters.bootstrap import HANDLERS, Container
from commands.bus import Bus
from commands.classification import (
    CancelClassification,
    RequestClassification,
    ResumeClassification,
    run_classification,
)
from commands.ports import BatchState, Item, Labelled, Limits, Outcome, Stop, Usage, never
from commands.runs import Fail
from domain.classification import ClassificationRun
from domain.errors import DomainError, Invalid
from domain.templates import Label, Template, TemplateContent
from domain.values import unpack
from tests.stories import AT, project

LABELS = ("refund", "weather", "other")


@dataclass
class Scripted:
    """Gives a text the label that it begins with, else `other`. One in its own batches as well.

    `broken`: texts that get an error. `before`: called before each answer with how many there were. `ends`:
    it gives up after so many answers. `answers`: in place of these, by text.
    """

    model: str = "local/scripted"
    prompt: str = "classify.v1@0123456789ab"
    broken: set[str] = field(default_factory=set)
    before: Callable[[int], None] = lambda done: None
    ends: int | None = None
    answers: dict[str, Labelled] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    limits: list[Limits] = field(default_factory=list)
    templates: list[TemplateContent] = field(default_factory=list)

    def get(self, model: str) -> Scripted:
        return self

    def classify(
        self, template: TemplateContent, items: Iterable[Item], limits: Limits, stop: Stop = never
    ) -> Iterator[Labelled]:
        self.limits.append(limits)
        self.templates.append(template)
        for done, item in enumerate(islice(items, self.ends)):
            if stop():
                return
            self.before(done)
            yield self.answer(item)

    def answer(self, item: Item) -> Labelled:
        self.asked.append(item.text)
        usage = Usage(calls=1, input_tokens=10, output_tokens=2, cost_usd=0.001, seconds=0.5)
        if item.text in self.answers:
            told = self.answers[item.text]
            return Labelled(item.key, told.label, told.confidence, told.reasoning, told.error, usage)
        if item.text in self.broken:
            return Labelled(item.key, None, error="the answer was no label", usage=usage)
        first = item.text.split()[0]
        return Labelled(item.key, first if first in LABELS else "other", 0.9, f"It is {first}.", None, usage)


@dataclass
class ScriptedBatches:
    """Batches of `size`. `states`: batch id → how it stands, else it has ended. `silent`: keys without an
    answer in the results.
    """

    size: int = 2
    by: Scripted = field(default_factory=Scripted)
    states: dict[str, BatchState] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    handed_in: dict[str, list[Item]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    polls: int = 0

    def get(self, model: str) -> ScriptedBatches:
        return self

    def submit(
        self, template: TemplateContent, items: Iterable[Item]
    ) -> Iterator[tuple[str, list[int | str]]]:
        source = iter(items)
        while some := list(islice(source, self.size)):
            batch_id = f"batch-{len(self.handed_in) + 1}"
            self.handed_in[batch_id] = some
            yield batch_id, [item.key for item in some]

    def poll(self, batch_id: str) -> BatchState:
        self.polls += 1
        return self.states.get(batch_id, BatchState(ended=True))

    def results(self, template: TemplateContent, batch_id: str) -> Iterator[Labelled]:
        for item in reversed(self.handed_in[batch_id]):
            if item.key not in self.silent:
                yield self.by.answer(item)

    def read(self, template: TemplateContent, lines: Iterable[bytes]) -> Iterator[Labelled]:
        """Lines `query_id label`."""
        for number, line in enumerate(lines, 1):
            key, _, label = line.decode().strip().partition(" ")
            if not label:
                raise Invalid(f"line {number}: no label stands there")
            yield Labelled(key, label)

    def cancel(self, batch_id: str) -> None:
        self.cancelled.append(batch_id)


def template(container: Container, template_id: str = "topics", labels: Sequence[str] = LABELS) -> str:
    """A template, the same however often it is asked for."""
    if container.store.find(Template, template_id) is None:
        content = TemplateContent("Topics", tuple(Label(one) for one in labels))
        made = Template.create(template_id, content)
        body = {bytes.fromhex(content.template_hash): content.body}
        container.store.commit(Outcome((made,), contents=body), "test")
    return template_id


def request(
    container: Container,
    dataset: str,
    *,
    by: Scripted | None = None,
    batches: ScriptedBatches | None = None,
    execution: dict[str, Any] | None = None,
    template_id: str = "topics",
    **filters: Any,  # noqa: ANN401
) -> str:
    """A run that is asked for; its id."""
    command = RequestClassification(
        template_id=template(container, template_id),
        model="local/scripted",
        filters={"dataset": dataset, **filters},
        execution=execution or {"mode": "sync"},
        at=AT,
    )
    return str(bus(container, by, batches).handle(command).answer["classification_run_id"])


def bus(container: Container, by: Scripted | None = None, batches: ScriptedBatches | None = None) -> Bus:
    needs = {"classifiers": by or Scripted(), "batch_classifiers": batches or ScriptedBatches()}
    return Bus(container.store, HANDLERS, {**container.needs, **needs})


def work(
    container: Container,
    run_id: str,
    by: Scripted | None = None,
    batches: ScriptedBatches | None = None,
    again: Callable[[int], None] = lambda delay_s: None,
    told: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """What a worker does with the job, failures included."""
    project(container, None, "datasets", "clustering")
    by, batches = by or Scripted(), batches or ScriptedBatches()
    try:
        run_classification(
            run_id,
            bus=bus(container, by, batches),
            store=container.store,
            contents=container.contents,
            selection=container.needs["selection"],  # type: ignore[arg-type]
            classifiers=by,
            batch_classifiers=batches,
            progress=told,
            again=again,
        )
    except DomainError as error:
        container.bus.handle(Fail(kind=ClassificationRun, name=run_id, error=error.message))


def run_of(container: Container, run_id: str) -> ClassificationRun:
    return container.store.load(ClassificationRun, run_id)


def chunks(container: Container, run_id: str) -> list[Any]:
    run = run_of(container, run_id)
    events = container.store.events(ClassificationRun, run_id, range(1, run.version + 1)).values()
    return [one for one in events if isinstance(one, ClassificationRun.ResultsRecorded)]


def labelled(container: Container, run_id: str) -> dict[int, str]:
    """Query id → label, as the log has it; fails where a query has two."""
    found: dict[int, str] = {}
    names = run_of(container, run_id).labels
    for event in chunks(container, run_id):
        for query_id, place in zip(
            unpack(event.query_ids).tolist(), unpack(event.labels).tolist(), strict=True
        ):
            assert query_id not in found
            found[query_id] = names[place]
    return found


def cancel(container: Container, run_id: str) -> None:
    container.bus.handle(CancelClassification(classification_run_id=run_id))


def resume(container: Container, run_id: str, **execution: Any) -> None:  # noqa: ANN401
    container.bus.handle(ResumeClassification(classification_run_id=run_id, execution=execution))
