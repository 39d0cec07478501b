"""Many clients at once: on the same queries and clusters, and with the same key."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from adapters.event_store import PostgresEventStore
from domain.clustering import ClusteringRun
from projections.clustering import memberships, runs
from tests.reliability.conftest import Amount, Say
from tests.reliability.installation import Api, Installation, assert_log_has_no_holes, make_run
from tests.reliability.processes import ask
from tests.reliability.wire import Wire
from tests.stories import rows

CLIENTS, QUERIES, CLUSTERS, EDITS = 16, 24, 4, 4


def at_once(count: int, act: Callable[[int, httpx.Client], Any]) -> list[Any]:
    """What `act` returns in so many threads that begin together, each with a connection of its own."""
    together = threading.Barrier(count, timeout=30)

    def one(number: int) -> Any:  # noqa: ANN401
        with httpx.Client(timeout=60) as http:
            together.wait()
            return act(number, http)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


# --- different edits


def edit_at_random(installation: Installation, run_id: str, seed: int) -> Callable[[int, httpx.Client], Any]:
    """Some edits of one client, half of them only if the run is as the client has last seen it."""

    def act(number: int, http: httpx.Client) -> list[int]:
        chance, statuses = random.Random(f"{seed} {number}"), []
        url = installation.urls[number % 2]
        while not (seen := http.get(f"{url}/api/clustering/runs/{run_id}").headers.get("ETag", "")):
            time.sleep(0.1)
        for _ in range(EDITS):
            path, body = f"clusters/{chance.randrange(CLUSTERS)}/rename", {"title": f"{chance.random()}"}
            if chance.random() < 0.7:
                path = f"queries/{chance.randint(1, QUERIES)}/move"
                body = {"to_cluster_id": chance.randrange(CLUSTERS)}  # type: ignore[dict-item]
            headers = {"If-Match": seen} if chance.random() < 0.5 else {}
            target = f"{url}/api/curation/{path}?run_id={run_id}"
            answer = http.post(target, json=body, headers=headers)
            seen = answer.headers.get("ETag", seen)
            statuses.append(answer.status_code)
        return statuses

    return act


def assert_each_query_is_in_one_cluster(installation: Installation, run_id: str) -> None:
    """In the log and in the rows; every move took its query from where the one before had put it."""
    container = installation.container
    run = PostgresEventStore(container.database).load(ClusteringRun, run_id)
    where = {query_id: (query_id - 1) % CLUSTERS for query_id in range(1, QUERIES + 1)}
    for one in container.store.application.events.get(run.id):
        if isinstance(one, ClusteringRun.QueriesMoved):
            assert [where[query_id] for query_id in one.query_ids] == one.was
            where.update(dict.fromkeys(one.query_ids, one.cluster_id))
    assert where == {query_id: run.partition.cluster_of(query_id) for query_id in where}
    assert run.partition.query_ids.tolist() == sorted(where)
    (shown,) = rows(container, runs, run_id=run_id)
    found = rows(container, memberships, run_no=shown["run_no"])
    assert sorted((row["query_id"], row["cluster_id"]) for row in found) == sorted(where.items())


def test_edits_of_many_clients_overlap(installation: Installation, amount: Amount, say: Say) -> None:
    run_id = make_run(installation.container, "overlapping", CLUSTERS, QUERIES)
    rounds, statuses = amount(25, 2), Counter[int]()
    for number in range(rounds):
        for of_one in at_once(CLIENTS, edit_at_random(installation, run_id, number)):
            statuses.update(of_one)
        assert set(statuses) <= {200, 409, 412}
        assert_each_query_is_in_one_cluster(installation, run_id)
    assert statuses[200] > rounds * CLIENTS
    assert statuses[412] > 0, "nobody lost"
    assert_log_has_no_holes(installation.container.database.url)
    say(f"{rounds} rounds of {CLIENTS} clients, answers by status {dict(sorted(statuses.items()))}")


# --- the same request


@pytest.fixture
def wire(installation: Installation) -> Iterator[Wire]:
    made = Wire(installation.container.database.url)
    yield made
    made.close()


@pytest.fixture
def behind_the_wire(installation: Installation, wire: Wire) -> Iterator[Api]:
    """An API whose connections to Postgres can be cut."""
    api = installation.another(LMSYS_DATABASE_URL=wire.url)
    api.start()
    api.wait()
    yield api
    api.kill()


@pytest.mark.parametrize("cuts", [0, 1])
def test_a_request_sent_fifty_times_at_once_has_one_effect(
    installation: Installation, wire: Wire, behind_the_wire: Api, say: Say, cuts: int
) -> None:
    """Half of them to another process, or all to one whose connection is lost right after the commit."""
    run_id = make_run(installation.container, f"same-{cuts}", CLUSTERS, QUERIES)
    urls = [behind_the_wire.url, installation.urls[0] if not cuts else behind_the_wire.url]
    wire.cuts = cuts

    def send(number: int, http: httpx.Client) -> tuple[int, str, str | None]:
        url = f"{urls[number % 2]}/api/curation/clusters/0/rename?run_id={run_id}"
        answer = http.post(url, json={"title": "Once"}, headers={"Idempotency-Key": run_id})
        return answer.status_code, answer.text, answer.headers.get("X-Event-Position")

    answers = [*at_once(50, send), *at_once(1, send)]
    assert wire.cuts == 0, "no connection was cut after the commit"
    assert {status for status, _, _ in answers} == {200}
    assert len(set(answers)) == 1
    renamed = "SELECT position FROM log.events WHERE stream = %s AND type LIKE 'curation.%%'"
    found = ask(installation.container.database.url, renamed, f"clustering/{run_id}")
    assert [str(position) for (position,) in found] == [answers[0][2]]
    say(f"51 requests under one key, {cuts} commit cut off: 1 effect, 1 answer")
