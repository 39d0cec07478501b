"""kill -9 of the process that projects, in the middle of it, and of one that makes a read model anew."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
from pydantic import SecretStr

from adapters.bootstrap import Container, open_container
from adapters.read_models import FOLLOWED, READ_MODELS
from adapters.runner import ProjectionRunner, parked_counts, positions
from adapters.settings import read_settings
from commands.ports import Outcome
from domain.clustering import ClusteringRun
from domain.datasets import Dataset
from domain.values import Space
from projections.clustering import memberships
from tests.conftest import fresh_database, url_of
from tests.reliability.conftest import Amount, Say
from tests.reliability.installation import assert_read_models_follow, make_run
from tests.reliability.processes import Nursery, ask, process, until
from tests.stories import load, rows

QUERIES, CLUSTERS = 400, 4
EDITS, STRETCHES, STRETCH = 100, 4, 10
"""Of a block of the log: renames and as many moves, and embeddings of a few queries each."""

AHEAD = 600
"""So many events at least wait for the read models when their process is started."""

BATCH = "10"


class Story:
    """A log that grows: edits of a run, and embeddings of the same queries in one space after the other."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self._chance = random.Random(3)
        self._embedded = 0
        for _ in range(QUERIES // 100):
            load(container, *(f"query {self._chance.random()}" for _ in range(100)))
        self.run_id = make_run(container, "projected", CLUSTERS, QUERIES)
        self._texts = [text for _, text, _ in container.embeddings.queries("default", 0, 2**62, QUERIES)]

    def grow(self) -> None:
        run = self.container.store.load(ClusteringRun, self.run_id)
        dataset = self.container.store.load(Dataset, "default")
        for _ in range(EDITS):
            run.rename(self._chance.randrange(CLUSTERS), f"Title {self._chance.random()}", None)
            run.move([self._chance.randint(1, QUERIES)], self._chance.randrange(CLUSTERS))
        for _ in range(STRETCHES):
            turn, first = divmod(self._embedded, QUERIES)
            dataset.record_embedded(self._space(turn, new=not first), first + 1, first + STRETCH, STRETCH)
            self._embedded += STRETCH
        self.container.store.commit(Outcome((run, dataset)), "grow")

    def _space(self, turn: int, new: bool) -> Space:
        space = Space("wordllama", "l2_supercat_8", 8, f"r{turn}")
        if new:
            vectors = np.random.default_rng(turn).normal(size=(QUERIES, 8)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            self.container.embeddings.put(space, dict(zip(self._texts, vectors, strict=True)))
        return space

    def reached(self) -> dict[str, int]:
        return positions(self.container.database, FOLLOWED)

    def is_ahead(self) -> bool:
        return self.container.store.head() - max(self.reached().values()) >= AHEAD


@contextmanager
def a_story(url: str, home: Path) -> Iterator[Story]:
    with open_container(read_settings(home=home, database_url=SecretStr(url))) as container:
        yield Story(container)


def kill_in_the_middle(
    story: Story, nursery: Nursery, chance: random.Random, environment: dict[str, str]
) -> int:
    """Kill the process that projects once it is at work; returns how many read models were then half-way."""
    while not story.is_ahead():
        story.grow()
    before, head = story.reached(), story.container.store.head()
    pid = nursery.start("tests.reliability.projecting", BATCH, **environment)
    until(lambda: any(story.reached()[name] > before[name] for name in before), "at work", pause_s=0.002)
    time.sleep(chance.uniform(0, 0.1))
    nursery.kill(pid)
    after = story.reached()
    return sum(before[name] < after[name] < head for name in before)


def test_read_models_of_a_killed_process_are_those_of_an_undisturbed_one(
    server: str, nursery: Nursery, tmp_path: Path, amount: Amount, say: Say
) -> None:
    kills, chance = amount(100, 3), random.Random(1)
    killed = half_way = 0
    begun = time.monotonic()
    with fresh_database(server) as url:
        environment = {"LMSYS_DATABASE_URL": url, "LMSYS_HOME": str(tmp_path / "killed")}
        with a_story(url, tmp_path / "killed") as story:
            while killed < kills:
                found = kill_in_the_middle(story, nursery, chance, environment)
                killed, half_way = killed + (found > 0), half_way + found
            pid = nursery.start("tests.reliability.projecting", "1000", **environment)
            head = story.container.store.head()
            until(lambda: set(story.reached().values()) == {head}, "at the head")
            nursery.kill(pid)
        took = time.monotonic() - begun
        with undisturbed(server, url, tmp_path / "undisturbed") as other:
            calm = hashes(other)
        with opened(url, tmp_path / "killed") as container:
            assert set(parked_counts(container.database, FOLLOWED).values()) == {0}
            assert hashes(container) == calm
    counted = {name: count for name, (count, _) in calm.items() if count}
    assert {"clustering.memberships", "curation.edits", "datasets.queries"} <= set(counted)
    points = sum(count for name, count in counted.items() if name.startswith("queries_"))
    assert points > 0
    say(
        f"{kills} kills in {took:.0f} s, each with {half_way / kills:.1f} of {len(FOLLOWED)} read models"
        f" half-way; {head} events, {sum(counted.values()) - points} rows, {points} points: equal"
    )


@contextmanager
def opened(url: str, home: Path) -> Iterator[Container]:
    with open_container(read_settings(home=home, database_url=SecretStr(url)), vectors=True) as container:
        yield container


@contextmanager
def undisturbed(server: str, url: str, home: Path) -> Iterator[Container]:
    """The same log in another database, projected from its beginning without a break."""
    name = url_name(url)
    copy = f"{name}_copy"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {copy} TEMPLATE {name} STRATEGY FILE_COPY")
    with psycopg.connect(url_of(server, copy), autocommit=True) as connection:
        for tables in FOLLOWED:
            connection.execute(f"DROP SCHEMA {tables.schema} CASCADE")
    with opened(url_of(server, copy), home) as container:
        for projection in (*READ_MODELS, container.search):
            runner = ProjectionRunner(container.database, projection, container.mapper)
            while runner.step():
                continue
        yield container


def url_name(url: str) -> str:
    return psycopg.conninfo.conninfo_to_dict(url)["dbname"]  # type: ignore[return-value]


def hashes(container: Container) -> dict[str, tuple[int, str | None]]:
    """How many, and SHA-256: of all rows of each table of the read models, all points of each collection."""
    found: dict[str, tuple[int, str | None]] = {}
    for tables in FOLLOWED:
        for table in tables.sorted_tables:
            whole = "convert_to(string_agg(t::text, ';' ORDER BY t::text), 'UTF8')"
            sql = f"SELECT count(*), sha256({whole})::text FROM {table} t"
            (found[str(table)],) = ask(container.database.url, sql)
    assert container.vectors is not None
    for alias in container.search.aliases():
        found[alias] = points_of(container, alias)
    return found


def points_of(container: Container, alias: str) -> tuple[int, str]:
    assert container.vectors is not None
    count, digest = 0, hashlib.sha256()
    for page in container.vectors.scroll(alias, 1_000):
        for point in page:
            digest.update(f"{point.point_id} {json.dumps(dict(point.payload), sort_keys=True)}".encode())
            digest.update(point.vector.tobytes())
            count += 1
    return count, digest.hexdigest()


# --- a rebuild


def test_a_killed_rebuild_leaves_the_live_read_model_as_it_was(
    database_url: str, tmp_path: Path, amount: Amount
) -> None:
    with a_story(database_url, tmp_path) as story:
        while story.container.store.head() < amount(20_000, 1_500):
            story.grow()
        head = story.container.store.head()
        while any(story.reached()[one.name] < head for one in READ_MODELS):
            for one in READ_MODELS:
                story.container.catch_up(one.name)
        before = rows(story.container, memberships)
        with process("adapters.rebuilding", "rebuild", "clustering") as rebuilding:
            rebuilding.tell_all(database_url)
            until(lambda: half_made(database_url), "the middle of the rebuild", pause_s=0.001)
        assert 0 < half_made(database_url) < story.container.store.head()
        assert rows(story.container, memberships) == before
        (made,) = story.container.read_models.rebuild("clustering")
        assert made["position"] == story.container.store.head()
        assert rows(story.container, memberships) == before
        assert_read_models_follow(story.container)


def half_made(url: str) -> int:
    """The position of the read model that is being made."""
    if ask(url, "SELECT to_regclass('clustering__next.checkpoint')") == [(None,)]:
        return 0
    return int(ask(url, "SELECT position FROM clustering__next.checkpoint")[0][0])
