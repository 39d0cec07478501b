"""Namers and embedders that do as little as a story needs, and the job of a summary run with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from adapters.bootstrap import HANDLERS, Container
from commands.bus import Bus
from commands.ports import (
    ClusterName,
    ClusterTexts,
    Limits,
    NotNamed,
    Receipt,
    Stop,
    ToldApart,
    Usage,
    never,
)
from commands.summaries import (
    RequestSummary,
    run_summary,
)
from domain.clustering import ClusteringRun
from domain.errors import Unavailable
from domain.summaries import SummaryRun
from domain.values import Vectors
from tests.runs import SPACE
from tests.stories import (
    AT,
)


def events(container: Container, stream: str, topic: str) -> list[dict[str, Any]]:
    sql = "SELECT data FROM log.events WHERE stream = %s AND type = %s ORDER BY position"
    with container.database.connection() as connection:
        return [row[0] for row in connection.execute(sql, [stream, topic])]


class ByLetters:
    """A text's direction are its letters a, b, c, d."""

    space = SPACE

    def get(self, provider: str, model: str, options: Mapping[str, Any]) -> ByLetters:
        return self

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows: Vectors = np.array([[text.count(one) for one in "abcd"] for text in texts], np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
        return rows


class Echo:
    """A namer whose titles are the first text of a cluster. It gives up after so many, or on some."""

    model = "openai/echo"

    def __init__(self, patience: int = 100, fails: Collection[int] = (), *, compares: bool = True) -> None:
        self.patience = patience
        self.fails = fails
        self.compares = compares
        self.seen: list[ClusterTexts] = []
        self.stopped = False

    def get(self, model: str) -> Echo:
        return self

    def name(
        self, clusters: Iterable[ClusterTexts], limits: Limits, stop: Stop = never
    ) -> Iterator[ClusterName | NotNamed]:
        self.limits = limits
        for one in clusters:
            if stop():
                self.stopped = True
                return
            self.patience -= 1
            if self.patience < 0:
                raise Unavailable("no answer")
            self.seen.append(one)
            if one.cluster_id in self.fails:
                yield NotNamed(one.cluster_id, f"cannot read {(one.texts or ['it'])[0]}", Usage(calls=3))
            else:
                title = (one.texts or ["empty"])[0]
                yield ClusterName(one.cluster_id, title, f"{one.size}", one.query_ids[:1], usage=COST)

    def tell_apart(
        self,
        titles: Mapping[int, str],
        taken: Mapping[int, str],
        texts: Callable[[int], ClusterTexts],
        limits: Limits,
        stop: Stop = never,
    ) -> Iterator[ToldApart]:
        """The later of two that are alike gets the number of its queries."""
        known = list(taken.values())
        for cluster_id, title in titles.items():
            if title in known:
                yield ToldApart(cluster_id, f"{title} {texts(cluster_id).size}", "tell_apart.v1@ab", COST)
            known.append(title)


COST = Usage(1, 10, 2, 0.5, 1.0)


def work(container: Container, summary_run_id: str, namer: Echo) -> list[tuple[int, int | None]]:
    told: list[tuple[int, int | None]] = []
    run_summary(
        summary_run_id,
        bus=container.bus,
        store=container.store,
        contents=container.contents,
        embeddings=container.embeddings,
        embedders=ByLetters(),
        namers=namer,
        progress=lambda done, total: told.append((done, total)),
    )
    return told


def ask_for(container: Container, run_id: str, namer: Echo, **parameters: Any) -> str:  # noqa: ANN401
    command = RequestSummary(run_id=run_id, model="openai/echo", alias=None, parameters=parameters, at=AT)
    return str(request_as(command, container, namer).answer["summary_run_id"])


def request_as(command: object, container: Container, namer: Echo) -> Receipt:
    """Give a command where this namer is the one that is asked for."""
    return Bus(container.store, HANDLERS, {**container.needs, "namers": namer}).handle(command)


def summary_of(container: Container, summary_run_id: str) -> SummaryRun:
    return container.store.load(SummaryRun, summary_run_id)


def titles_of(container: Container, run_id: str) -> dict[int, str | None]:
    run = container.store.load(ClusteringRun, run_id)
    return {one: cluster.title for one, cluster in sorted(run.clusters.items())}
