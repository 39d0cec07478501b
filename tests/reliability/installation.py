"""An installation of several processes, and the edits that are sent to it over HTTP."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx

from adapters.bootstrap import Container
from adapters.database import Database
from adapters.event_store import PostgresEventStore
from adapters.read_models import READ_MODELS
from adapters.rebuild import verify
from adapters.runner import parked_counts, positions
from commands.ports import Outcome
from domain.clustering import ClusteringRun
from tests.reliability.processes import Nursery, ask, free_port, until
from tests.runs import assign, complete

TABLES = [one.tables for one in READ_MODELS]


@dataclass
class Api:
    """A process of `lmsys api` at a port of its own."""

    nursery: Nursery
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    pid: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        arguments = ["api", "--port", str(self.port)]
        self.pid = self.nursery.start("cli.main", *arguments, **self.environment)

    def kill(self) -> None:
        self.nursery.kill(self.pid)

    def wait(self) -> None:
        """Until it answers."""
        with httpx.Client(base_url=self.url) as http:
            until(lambda: is_answering(http), f"{self.url} answers", pause_s=0.01)


def is_answering(http: httpx.Client) -> bool:
    try:
        return http.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


class Installation:
    """Two APIs, a worker for the read models, and a container that looks."""

    def __init__(self, container: Container, nursery: Nursery, environment: dict[str, str]) -> None:
        self.container = container
        self._nursery = nursery
        self._environment = environment
        self.apis = [Api(nursery, environment), Api(nursery, environment)]
        self._worker = 0

    def another(self, **environment: str) -> Api:
        """An API beside the two, not started yet."""
        return Api(self._nursery, {**self._environment, **environment})

    @property
    def urls(self) -> list[str]:
        return [api.url for api in self.apis]

    def start(self) -> None:
        arguments = ["worker", "--only", "read-models"]
        self._worker = self._nursery.start("cli.main", *arguments, **self._environment)
        for api in self.apis:
            api.start()
        for api in self.apis:
            api.wait()

    def stop(self) -> None:
        for pid in (self._worker, *(api.pid for api in self.apis)):
            self._nursery.kill(pid)


def make_run(container: Container, run_id: str, clusters: int, queries: int) -> str:
    """A completed run: query n+1 is in cluster n % clusters."""
    run = ClusteringRun(
        run_id=run_id,
        dataset="default",
        algorithm="kmeans",
        parameters={"n_clusters": clusters, "seed": 42},
        embedding={"provider": "wordllama", "model": "l2_supercat_256", "options": {}},
        last_query_id=queries,
        queries=queries,
        description=None,
    )
    assign(run, 0, range(1, queries + 1), [n % clusters for n in range(queries)])
    complete(run, clusters)
    container.store.commit(Outcome((run,)), "prepare")
    return run_id


def stored_run(database_url: str, run_id: str) -> ClusteringRun:
    database = Database(database_url)
    try:
        return PostgresEventStore(database).load(ClusteringRun, run_id)
    finally:
        database.close()


# --- edits


PAUSE_S = 0.02
"""Between two edits of one person: without it the clients take the time that a start needs."""


@dataclass(frozen=True)
class Edit:
    """One that was acknowledged. `sent`: when its last try began, the one that was answered."""

    key: str
    answer: dict[str, Any]
    position: int
    tries: int
    sent: float


class Editor(threading.Thread):
    """Renames a cluster of its own and moves queries of its own to and fro, each edit under a key of its own,
    sent again to whoever answers until it is acknowledged."""

    def __init__(
        self, urls: Sequence[str], run_id: str, number: int, clusters: int, where: Mapping[int, int]
    ) -> None:
        super().__init__(name=f"editor-{number}", daemon=True)
        self.number = number
        self.edits: list[Edit] = []
        self.failure: BaseException | None = None
        self.cut_off = 0
        """Requests whose connection was lost before they were answered."""
        self.refused: dict[int, int] = {}
        """How often each status came that asks to try again."""
        self._urls = list(urls)
        self._run_id = run_id
        self._clusters = clusters
        self._chance = random.Random(number)
        self._where = dict(where)
        self._stopping = threading.Event()
        self._giving_up = threading.Event()

    def run(self) -> None:
        limits, pool = httpx.Timeout(30.0, connect=5.0), httpx.Limits(max_keepalive_connections=0)
        try:
            with httpx.Client(timeout=limits, limits=pool) as http:
                while not self._stopping.is_set():
                    self._edit(http, f"{self._run_id}-{self.number}-{len(self.edits)}")
                    time.sleep(PAUSE_S)
        except BaseException as error:
            self.failure = error

    def _edit(self, http: httpx.Client, key: str) -> None:
        if self._chance.random() < 0.5:
            answer = self._send(http, key, f"clusters/{self.number}/rename", {"title": key})
            assert answer["new_title"] == key
            return
        query_id = self._chance.choice(list(self._where))
        to = (self._where[query_id] + self._chance.randint(1, self._clusters - 1)) % self._clusters
        answer = self._send(http, key, f"queries/{query_id}/move", {"to_cluster_id": to})
        assert (answer["from_cluster_id"], answer["to_cluster_id"]) == (self._where[query_id], to)
        self._where[query_id] = to

    def _send(self, http: httpx.Client, key: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        tries = 0
        while not self._giving_up.is_set():
            url = self._urls[(self.number + tries) % len(self._urls)]
            tries, sent = tries + 1, time.time()
            try:
                answer = http.post(
                    f"{url}/api/curation/{path}",
                    params={"run_id": self._run_id},
                    json=body,
                    headers={"Idempotency-Key": key, "X-Actor": self.name},
                )
            except httpx.ConnectError:
                time.sleep(0.02)
                continue
            except httpx.TransportError:
                self.cut_off += 1
                continue
            if answer.status_code in (409, 503):
                self.refused[answer.status_code] = self.refused.get(answer.status_code, 0) + 1
                continue
            assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
            position = int(answer.headers["X-Event-Position"])
            self.edits.append(Edit(key, answer.json(), position, tries, sent))
            return dict(answer.json())
        raise TimeoutError(f"edit {key} was not answered")

    def stop(self) -> None:
        """Once the edit that it is at has been acknowledged."""
        self._stopping.set()

    def give_up(self) -> None:
        self._stopping.set()
        self._giving_up.set()


@contextmanager
def editing(urls: Sequence[str], database_url: str, run_id: str, editors: int) -> Iterator[list[Editor]]:
    """So many edit without a pause; at the end each has been acknowledged all that it sent."""
    run = stored_run(database_url, run_id)
    where = dict(zip(run.partition.query_ids.tolist(), run.partition.labels.tolist(), strict=True))
    threads = [
        Editor(
            urls, run_id, number, len(run.clusters), {one: where[one] for one in list(where)[number::editors]}
        )
        for number in range(editors)
    ]
    for one in threads:
        one.start()
    try:
        yield threads
    except BaseException:
        for one in threads:
            one.give_up()
        raise
    for one in threads:
        one.stop()
    for one in threads:
        one.join(timeout=60)
        one.give_up()
    for one in threads:
        one.join(timeout=60)
    raise_failures(threads)


def raise_failures(editors: Sequence[Editor]) -> None:
    for one in editors:
        if one.failure is not None:
            raise one.failure


def go_on(editors: Sequence[Editor], more: int) -> None:
    """Until each has been acknowledged so many edits more."""
    before = [len(one.edits) for one in editors]

    def gone_on() -> bool:
        raise_failures(editors)
        return all(len(one.edits) >= was + more for one, was in zip(editors, before, strict=True))

    until(gone_on, "edits are acknowledged")


# --- what must be true of them


def assert_each_once(url: str, run_id: str, editors: Sequence[Editor]) -> int:
    """Every acknowledged edit stands in the log once, whole, where its answer said, and nothing else does.

    Returns how many were in the log before the try was sent that was answered: done, but nobody had heard.
    """
    stored = ask(
        url,
        "SELECT e.meta ->> 'idempotency_key', e.position, e.type, e.data, e.meta ->> 'actor', c.position,"
        " c.answer, extract(epoch FROM e.recorded_at)::float8"
        " FROM log.events e FULL JOIN log.commands c ON c.idempotency_key = e.meta ->> 'idempotency_key'"
        " WHERE e.stream = %s AND e.type LIKE 'curation.%%' ORDER BY e.position",
        f"clustering/{run_id}",
    )
    edits = {edit.key: (one, edit) for one in editors for edit in one.edits}
    assert sorted(row[0] for row in stored) == sorted(edits)
    unheard = 0
    for key, position, kind, data, actor, answered, answer, recorded in stored:
        editor, edit = edits[key]
        assert (position, actor) == (edit.position, editor.name)
        assert answered == position, "an event without its answer, or an answer without its event"
        both = edit.answer.keys() & answer.keys()
        assert {name: edit.answer[name] for name in both} == {name: answer[name] for name in both}
        if kind == "curation.cluster_renamed":
            assert (data["was_title"], data["title"]) == (edit.answer["old_title"], key)
        else:
            moved = (data["was"], data["cluster_id"])
            assert moved == ([edit.answer["from_cluster_id"]], edit.answer["to_cluster_id"])
        unheard += edit.tries > 1 and recorded < edit.sent
    for one in editors:
        assert all(before.position < after.position for before, after in pairwise(one.edits))
    return unheard


def assert_log_has_no_holes(url: str) -> None:
    """Positions from 1 to the head; versions from 1 within each stream; no answer without its event."""
    assert ask(url, "SELECT count(*) = max(position) FROM log.events") == [(True,)]
    torn = "SELECT stream FROM log.events GROUP BY stream HAVING count(*) <> max(version)"
    assert ask(url, torn) == []
    lone = (
        "SELECT c.idempotency_key FROM log.commands c LEFT JOIN log.events e ON e.position = c.position"
        " WHERE c.position IS NOT NULL AND e.meta ->> 'idempotency_key' IS DISTINCT FROM c.idempotency_key"
    )
    assert ask(url, lone) == []


def assert_read_models_follow(container: Container) -> None:
    """They are at the head, nothing is set aside, and each equals one that is made anew."""
    head = until_shown(container)
    assert set(parked_counts(container.database, TABLES).values()) == {0}
    for one in READ_MODELS:
        assert verify(container.database, one, container.mapper, lambda name, at: None) == (head, [])


def until_shown(container: Container) -> int:
    """Until the read models are at the head of the log, which nobody moves on; returns it."""
    head = container.store.head()
    until(lambda: set(positions(container.database, TABLES).values()) == {head}, "at the head")
    return head
