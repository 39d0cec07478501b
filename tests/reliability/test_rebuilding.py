"""Read models made anew while people write and read."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from adapters.bootstrap import Container
from adapters.read_models import READ_MODELS
from adapters.rebuild import rebuild
from adapters.runner import ProjectionRunner
from api.deps import get_connection
from commands.curation import MoveQuery, RenameCluster
from commands.ports import Outcome
from domain.clustering import ClusteringRun
from projections.clustering import runs
from projections.curation import list_edits
from tests.reliability.conftest import Amount, Say
from tests.reliability.installation import (
    Installation,
    assert_read_models_follow,
    editing,
    make_run,
    until_shown,
)
from tests.reliability.processes import until
from tests.stories import project

RUNS, QUERIES, CLUSTERS = 10, 200, 5
READERS = 8


# --- under writes


def edit_in_bulk(container: Container, run_id: str, edits: int) -> None:
    """As if by a person, a few thousand to a transaction."""
    chance = random.Random(run_id)
    for first in range(0, edits, 5_000):
        run = container.store.load(ClusteringRun, run_id)
        for number in range(first, min(first + 5_000, edits)):
            query_id, cluster_id = chance.randint(1, QUERIES), chance.randrange(CLUSTERS)
            if number % 2 and run.partition.cluster_of(query_id) != cluster_id:
                run.move([query_id], cluster_id)
            else:
                run.rename(cluster_id, f"Title {number}", None)
        container.store.commit(Outcome((run,)), "edit")


@contextmanager
def writing(container: Container, run_id: str) -> Iterator[list[int]]:
    """Somebody edits many times a second, and the read models follow; yields how many edits there were."""
    stop, done, failed = threading.Event(), [0], []
    runners = [ProjectionRunner(container.database, one, container.mapper) for one in READ_MODELS]

    def write() -> None:
        try:
            while not stop.is_set():
                number = done[0]
                title = f"Live {number}"
                container.bus.handle(RenameCluster(run_id=run_id, cluster_id=number % CLUSTERS, title=title))
                to = (number // QUERIES + number) % CLUSTERS
                container.bus.handle(
                    MoveQuery(run_id=run_id, query_id=number % QUERIES + 1, to_cluster_id=to)
                )
                done[0] += 1
                time.sleep(0.03)
        except Exception as error:
            failed.append(error)

    threads = [*runners, threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    yield done
    stop.set()
    threads[-1].join(timeout=30)
    assert failed == []
    assert_read_models_follow(container)
    for one in runners:
        one.stop()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_a_rebuild_under_writes_is_the_live_state(container: Container, amount: Amount, say: Say) -> None:
    edits = amount(100_000, 500)
    run_ids = [make_run(container, f"run-{number}", CLUSTERS, QUERIES) for number in range(RUNS)]
    for run_id in run_ids:
        edit_in_bulk(container, run_id, edits // RUNS)
    project(container)
    with writing(container, run_ids[0]) as live:
        compared = container.read_models.verify("all")
        assert [one["differences"] for one in compared] == [[]] * len(READ_MODELS)
        meanwhile = live[0]
        made = container.read_models.rebuild("all")
        assert {one["name"] for one in made} == {one.name for one in READ_MODELS}
        assert 0 < meanwhile < live[0]
    seconds = {one["name"]: one["seconds"] for one in made if one["seconds"] >= 0.1}
    say(f"{edits} edits compared, made anew, compared again under {2 * live[0]} live ones: equal; {seconds}")


# --- under reads


class Reader:
    """Reads the clusters and the history of a run again and again: each read at least as new as the last."""

    def __init__(self, url: str, run_id: str, stop: threading.Event) -> None:
        self._url, self._run_id, self._stop = url, run_id, stop
        self.reads = 0
        self.wrong: list[str] = []
        self._newest: dict[Any, int] = {}

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as http:
            while not self._stop.is_set():
                self._look(http, f"/api/clustering/runs/{self._run_id}/clusters", self._clusters)
                self._look(http, f"/api/curation/runs/{self._run_id}/audit", self._history)

    def has_read_since(self, reads: int) -> bool:
        return self.reads > reads

    def _look(self, http: httpx.Client, path: str, understand: Any) -> None:  # noqa: ANN401
        answer = http.get(path, params={"limit": 20})
        self.reads += 1
        if answer.status_code != 200:
            self.wrong.append(f"{answer.status_code} {answer.text}")
            return
        for what, newness in understand(answer.json()).items():
            if newness < self._newest.get(what, 0):
                self.wrong.append(f"{what}: {newness} after {self._newest[what]}")
            self._newest[what] = newness

    def _clusters(self, answer: dict[str, Any]) -> dict[Any, int]:
        """Cluster id → number of its title; all queries are in one of them."""
        if (members := sum(one["num_queries"] for one in answer["items"])) != QUERIES:
            self.wrong.append(f"{members} queries")
        titles = {one["cluster_id"]: one["title"] or "-0" for one in answer["items"]}
        return {cluster_id: int(title.rpartition("-")[2]) for cluster_id, title in titles.items()}

    def _history(self, answer: dict[str, Any]) -> dict[Any, int]:
        return {
            "edits": answer["total"],
            "last": max((one["position"] for one in answer["items"]), default=0),
        }


@pytest.mark.timeout(200)
def test_readers_during_swaps_are_answered_and_never_with_what_was_before(
    installation: Installation, amount: Amount, say: Say
) -> None:
    swaps, container, stop = amount(20, 3), installation.container, threading.Event()
    run_id = make_run(container, "swapped", CLUSTERS, QUERIES)
    until_shown(container)
    readers = [Reader(installation.urls[number % 2], run_id, stop) for number in range(READERS)]
    shown = [one for one in READ_MODELS if one.name in ("clustering", "curation")]
    with (
        editing(installation.urls, container.database.url, run_id, 2) as editors,
        ThreadPoolExecutor(READERS) as pool,
    ):
        running = [pool.submit(one.run) for one in readers]
        try:
            for number in range(swaps):
                rebuild(container.database, shown[number % 2], container.mapper, lambda name, at: None)
                for one in readers:
                    until(partial(one.has_read_since, one.reads), f"a read after swap {number}")
        finally:
            stop.set()
        for one in running:
            one.result()
    assert [one.wrong for one in readers] == [[]] * READERS
    reads, edits = sum(one.reads for one in readers), sum(len(one.edits) for one in editors)
    say(f"{swaps} swaps under {reads} reads and {edits} edits: none failed, none was older")


def test_a_read_model_swapped_in_during_a_request_is_not_empty(container: Container) -> None:
    """The tables of a name change at once, also for a request that has read something else before."""
    run_id = make_run(container, "swapped", CLUSTERS, QUERIES)
    edit_in_bulk(container, run_id, 10)
    project(container)
    with contextmanager(get_connection)(container) as connection:
        assert connection.execute(select(runs.c.run_id)).scalars().all() == [run_id]
        for one in READ_MODELS:
            rebuild(container.database, one, container.mapper, lambda name, at: None)
        assert list_edits(connection, run_id, 20, 0)[1] == 10
