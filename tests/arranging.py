"""Hierarchies made, as their job makes them, in a small installation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from adapters.bootstrap import Container
from adapters.taxonomist import LocalTaxonomist
from commands.bus import bind
from commands.datasets import EndLoad
from commands.hierarchy import RequestHierarchy
from commands.jobs import WORK
from commands.ports import Step, Usage
from domain.datasets import Dataset
from domain.errors import Unavailable
from domain.hierarchy import Hierarchy
from tests.browsing import Installation, cluster, conversation, load
from tests.stories import clear

AT = datetime(2025, 10, 4, 18, 0, tzinfo=UTC)
T = TypeVar("T")


def run_of_six(made: Installation, dataset: str) -> str:
    """Clusters 0 and 3 about payments, 1 and 4 about code, 2 and 5 about the weather, four queries each."""
    ids = load(made, dataset, [conversation(n, n % 3) for n in range(24)])
    return cluster(made, dataset, {one: n % 6 for n, one in enumerate(ids)})


def request(container: Container, run_id: str, **asked: Any) -> str:  # noqa: ANN401
    given = {"model": "local/agglomerative", "at": AT, "merge_ratio": 0.5, **asked}
    return str(container.bus.handle(RequestHierarchy(run_id=run_id, **given)).answer["hierarchy_run_id"])


def work(container: Container, task: str, **arguments: Any) -> None:  # noqa: ANN401
    needs = {**container.needs, "bus": container.bus, "progress": lambda done, total: None}
    bind(WORK[task].run, needs)(**arguments)


def arrange(container: Container, run_id: str, **asked: Any) -> Hierarchy:  # noqa: ANN401
    """A complete hierarchy of the run."""
    name = request(container, run_id, **asked)
    work(container, "arrange", hierarchy_run_id=name)
    return container.store.load(Hierarchy, name)


def cleared(container: Container, dataset: str) -> None:
    """The data set is cleared, its loads having ended."""
    for job_id in container.store.load(Dataset, dataset).jobs:
        container.bus.handle(EndLoad(dataset=dataset, job_id=job_id))
    clear(container, dataset)


class Dying(LocalTaxonomist):
    """The local one, as if each answer were paid for; after so many the process dies. `asked`: for what."""

    prompts: Mapping[Step, str] = MappingProxyType(
        {"propose": "p.v1@1", "deduplicate": "d.v1@2", "assign": "a.v1@3", "rename": "r.v1@4"}
    )
    model = "dear/one"

    def __init__(self, lives: int) -> None:
        self.lives = lives
        self.left = lives
        self.asked: list[tuple[str, int]] = []

    def get(self, model: str) -> Dying:
        return self

    def _paid(self, step: str, key: int, answer: T) -> T:
        if not self.left:
            raise Unavailable("it died")
        self.left -= 1
        self.asked.append((step, key))
        return replace(answer, usage=Usage(calls=1, input_tokens=10, cost_usd=0.25))  # type: ignore[type-var]

    def _each(self, step: str, answers: Iterator[T], key: Callable[[T], int]) -> Iterator[T]:
        for one in answers:
            yield self._paid(step, key(one), one)

    def propose(self, *given: Any) -> Any:  # noqa: ANN401
        return self._each("propose", super().propose(*given), lambda one: one.number)

    def deduplicate(self, *given: Any) -> Any:  # noqa: ANN401
        return self._paid("deduplicate", 0, super().deduplicate(*given))

    def assign(self, *given: Any) -> Any:  # noqa: ANN401
        return self._each("assign", super().assign(*given), lambda one: one.cluster_id)

    def rename(self, *given: Any) -> Any:  # noqa: ANN401
        return self._each("rename", super().rename(*given), lambda one: one.category_id)
