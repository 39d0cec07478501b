"""The vector store goes away and comes back, while people edit and queries are embedded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import numpy as np
from pydantic import SecretStr

from adapters.bootstrap import Container, open_container
from adapters.read_models import FOLLOWED, READ_MODELS
from adapters.runner import parked_counts, positions
from adapters.settings import read_settings
from commands.curation import RenameCluster
from commands.embedding import RecordEmbedded
from domain.values import Space
from projections.search import QUERIES, alias_of
from tests.adapters.vectors.stand_in import StandIn
from tests.conftest import fresh_database
from tests.reliability.conftest import Amount, Say
from tests.reliability.installation import make_run
from tests.reliability.processes import until
from tests.stories import load, query_ids

SPACES = [Space("wordllama", "l2_supercat_8", 8, revision) for revision in ("r1", "r2")]
"""Points of the first are there before the outage; the second comes into use during it."""

TOGETHER = 4
"""Queries of one event."""


@dataclass
class Outage:
    """One installation, and what takes its vector store away and gives it back."""

    container: Container
    take_away: Callable[[], None]
    give_back: Callable[[], None]
    slowest: float = 0.0
    edits: int = 0
    embedded: dict[Space, int] = field(default_factory=lambda: dict.fromkeys(SPACES, 0))

    def edit(self) -> None:
        begun = time.monotonic()
        title = f"Title {self.edits}"
        command = RenameCluster(run_id="away", cluster_id=self.edits % 3, title=title)
        assert self.container.waiting_bus.handle(command).answer["new_title"] == title
        self.edits += 1
        self.slowest = max(self.slowest, time.monotonic() - begun)

    def embed(self, space: Space) -> None:
        """The next queries."""
        done = self.embedded[space]
        stretch = self.container.embeddings.queries("default", 0, 2**62, 10_000)[done : done + TOGETHER]
        rows = np.random.default_rng(done).normal(size=(len(stretch), 8)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        self.container.embeddings.put(
            space, {text: row for (_, text, _), row in zip(stretch, rows, strict=True)}
        )
        self.container.bus.handle(
            RecordEmbedded(
                dataset="default",
                space=space,
                first_query_id=stretch[0][0],
                last_query_id=stretch[-1][0],
                count=len(stretch),
            )
        )
        self.embedded[space] = done + len(stretch)

    def reached(self) -> bool:
        head = self.container.store.head()
        return set(positions(self.container.database, FOLLOWED).values()) == {head}

    def begin(self) -> None:
        load(self.container, *(f"query {number}" for number in range(200)))
        make_run(self.container, "away", 3, 200)
        self.embed(SPACES[0])
        self.container.listen()
        self.container.follow(*READ_MODELS, self.container.policies, self.container.search)
        until(self.reached, "all is projected")
        assert self.container.read_models.health()["vectors"]["status"] == "ok"

    def is_noticed(self) -> bool:
        health = self.container.read_models.health()
        return (health["status"], health["vectors"]["status"]) == ("degraded", "down")

    def assert_equal_to_postgres(self) -> None:
        assert set(parked_counts(self.container.database, FOLLOWED).values()) == {0}
        (verified,) = self.container.read_models.verify("search")
        assert verified["differences"] == []
        assert self.container.vectors is not None
        for space, count in self.embedded.items():
            assert self.container.vectors.count(alias_of(QUERIES, space)) == count > TOGETHER
        assert len(query_ids(self.container)) >= max(self.embedded.values())


@contextmanager
def opened(server: str, home: Path, qdrant: str | None = None) -> Iterator[Container]:
    with fresh_database(server) as url:
        settings = read_settings(home=home, database_url=SecretStr(url), qdrant_url=qdrant)
        with open_container(settings, vectors=True) as container:
            yield container


@contextmanager
def a_folder(server: str, tmp_path: Path) -> Iterator[Outage]:
    """A file lies in its place: nothing below it can be read or written, by root neither."""
    home = tmp_path / "embedded"
    folder, away = home / "vectors", home / "away"

    def take_away() -> None:
        folder.rename(away)
        folder.touch()

    def give_back() -> None:
        folder.unlink()
        away.rename(folder)

    with opened(server, home) as container:
        yield Outage(container, take_away, give_back)


class Returning(StandIn):
    """A server that refuses connections for a while, and then is there again with all it had."""

    port = 0

    def server_bind(self) -> None:
        self.server_address = ("127.0.0.1", self.port)
        super().server_bind()

    def begin(self) -> None:
        self.serving = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.serving.start()

    def end(self) -> None:
        self.port = self.server_address[1]
        self.shutdown()
        self.server_close()
        self.serving.join()

    def come_back(self) -> Returning:
        again: Returning = type("Again", (Returning,), {"port": self.port})()
        again.client, again.turn = self.client, self.turn
        again.begin()
        return again


@contextmanager
def a_server(server: str, tmp_path: Path) -> Iterator[Outage]:
    running = [Returning()]
    running[0].begin()

    def give_back() -> None:
        running.append(running[-1].come_back())

    with opened(server, tmp_path / "served", running[0].url) as container:
        yield Outage(container, lambda: running[-1].end(), give_back)
    running[-1].end()


def test_commands_go_on_without_a_vector_store_and_its_points_catch_up(
    server: str, tmp_path: Path, amount: Amount, say: Say
) -> None:
    """Embedded and by a server at the same time."""
    seconds = amount(60, 2)
    with ExitStack() as stack:
        outages = [stack.enter_context(one(server, tmp_path)) for one in (a_folder, a_server)]
        for one in outages:
            one.begin()
            one.take_away()
        ended = time.monotonic() + seconds
        while time.monotonic() < ended:
            for one in outages:
                one.edit()
                if one.embedded[SPACES[0]] < 200:
                    one.embed(SPACES[0])
                    one.embed(SPACES[1])
            time.sleep(0.02)
        for one in outages:
            assert one.is_noticed()
            behind = one.container.store.head() - positions(one.container.database, FOLLOWED)["search"]
            one.give_back()
            begun = time.monotonic()
            until(one.reached, "the points have caught up")
            took = time.monotonic() - begun
            one.assert_equal_to_postgres()
            assert one.container.read_models.health()["status"] == "ok"
            say(
                f"away for {seconds} s; {one.edits} edits, the slowest answered after {one.slowest:.2f} s;"
                f" {behind} events caught up with {took:.1f} s after it was back: equal"
            )
