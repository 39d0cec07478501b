"""Read models follow the log: every event once, in batches, and what cannot be projected is set aside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Integer, Table, Text, select
from sqlalchemy.dialects.postgresql import insert

from adapters import runner as running
from adapters.bootstrap import Container
from adapters.read_models import FOLLOWED, READ_MODELS
from adapters.read_store import ensure_tables, lock
from adapters.rebuild import rebuild, verify
from adapters.runner import ProjectionRunner, parked_counts, parked_events, positions
from commands.curation import RenameCluster
from commands.ports import Outcome
from domain.clustering import ClusteringRun
from domain.errors import Unavailable
from projections.base import ReadStore, Recorded, bookkeeping, read_model
from projections.clustering import clusters, runs
from tests.runs import assign, complete, completed_run, requested_run
from tests.stories import project, rows


@dataclass
class Seen:
    """A read model that notes what it was given. `refuse`: positions of events that it cannot project."""

    name: str = "seen"
    batch: int = 10
    handles: frozenset[type] = frozenset({ClusteringRun.Created, ClusteringRun.ClusterRenamed})
    refuse: set[int] = field(default_factory=set)
    gone: int = 0
    tried: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tables = read_model(self.name)
        self.notes = Table(
            "notes",
            self.tables,
            Column("position", Integer, primary_key=True),
            Column("stream", Text, nullable=False),
        )

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        self.tried.append([one.position for one in events])
        if self.gone:
            self.gone -= 1
            raise Unavailable("away")
        for one in events:
            store.execute(insert(self.notes).values(position=one.position, stream=one.event.originator_id))
            if one.position in self.refuse:
                raise RuntimeError(f"no {one.position}")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BACK_OFF_S", 0.001)
    monkeypatch.setattr(running, "GONE_S", 0.01)


@pytest.fixture
def seen(container: Container) -> Seen:
    made = Seen()
    ensure_tables(container.database, [made.tables])
    return made


def runner_of(container: Container, projection: Any) -> ProjectionRunner:  # noqa: ANN401
    return ProjectionRunner(container.database, projection, container.mapper)


@pytest.fixture
def runner(container: Container, seen: Seen) -> ProjectionRunner:
    return runner_of(container, seen)


@contextmanager
def running_in_thread(*runners: ProjectionRunner) -> Iterator[None]:
    for one in runners:
        one.start()
    yield
    for one in runners:
        one.stop()
    for one in runners:
        one.join(timeout=10)
        assert not one.is_alive()


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_all_reached(container: Container, position: int) -> None:
    tables = [one.tables for one in READ_MODELS]
    until(lambda: set(positions(container.database, tables).values()) == {position})


def request_runs(container: Container, *names: str) -> None:
    """An event for each, in one save."""
    container.store.commit(Outcome(tuple(requested_run(name) for name in names)), "prepare")


def noted(container: Container, seen: Seen) -> list[int]:
    return [row["position"] for row in rows(container, seen.notes)]


def position(container: Container, projection: Any) -> int:  # noqa: ANN401
    return positions(container.database, [projection.tables])[projection.name]


def parked(container: Container, projection: Any) -> dict[int, str]:  # noqa: ANN401
    aside = rows(container, bookkeeping(projection.tables, "parked"))
    return {row["position"]: row["error"] for row in aside}


# --- batches


def test_events_come_in_batches_each_once_and_in_order(
    container: Container, seen: Seen, runner: ProjectionRunner
) -> None:
    request_runs(container, *map(str, range(23)))
    assert [runner.step() for _ in range(4)] == [10, 10, 3, 0]
    assert seen.tried == [list(range(1, 11)), list(range(11, 21)), [21, 22, 23]]
    assert noted(container, seen) == list(range(1, 24))
    assert position(container, seen) == 23


def test_the_position_moves_over_what_does_not_concern_the_read_model(
    container: Container, seen: Seen, runner: ProjectionRunner
) -> None:
    container.store.commit(Outcome((completed_run(),)), "prepare")
    assert runner.step() == 3
    assert seen.tried == [[1]]
    assert position(container, seen) == 3


def test_rows_and_position_are_one(container: Container, seen: Seen, runner: ProjectionRunner) -> None:
    request_runs(container, "a", "b", "c")
    seen.refuse = {3}
    with pytest.raises(RuntimeError):
        runner.step()
    assert noted(container, seen) == []
    assert position(container, seen) == 0


def test_only_one_of_several_runners_works_at_a_time(
    container: Container, seen: Seen, runner: ProjectionRunner
) -> None:
    request_runs(container, "a")
    with container.database.engine.begin() as other:
        assert lock(other, seen.tables, wait=False)
        assert runner.step() == 0
        assert runner.catch_up(10) is None
    assert runner.step() == 1


def test_many_runners_of_one_read_model_project_each_event_once(container: Container, seen: Seen) -> None:
    with running_in_thread(*(runner_of(container, seen) for _ in range(4))):
        for number in range(40):
            request_runs(container, *(f"{number}-{one}" for one in range(5)))
        until(lambda: position(container, seen) == 200)
    assert noted(container, seen) == list(range(1, 201))
    assert parked(container, seen) == {}


def test_a_large_event_makes_a_batch_of_its_own(
    container: Container, seen: Seen, runner: ProjectionRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.read_store.MAX_BATCH_BYTES", 100)
    request_runs(container, "a", "b", "c")
    assert [runner.step() for _ in range(4)] == [1, 1, 1, 0]


# --- at once, in the process of a command


def test_a_few_events_are_projected_at_once(
    container: Container, seen: Seen, runner: ProjectionRunner
) -> None:
    assert runner.catch_up(3) == 0
    request_runs(container, "a", "b", "c")
    assert runner.catch_up(3) == 3
    assert noted(container, seen) == [1, 2, 3]


def test_more_than_a_few_are_left_to_the_worker(
    container: Container, seen: Seen, runner: ProjectionRunner
) -> None:
    request_runs(container, "a", "b", "c", "d")
    assert runner.catch_up(3) is None
    assert noted(container, seen) == []


# --- what cannot be projected


@pytest.fixture
def poisoned(container: Container, seen: Seen) -> Seen:
    """Runs a to f, each of which fails in a second round; the first event of run c is broken."""
    request_runs(container, *"abcdef")
    for name in "abcdef":
        run = container.store.load(ClusteringRun, name)
        run.fail("no reason")
        container.store.commit(Outcome((run,)), "prepare")
    seen.handles = frozenset({ClusteringRun.Created, ClusteringRun.Failed})
    seen.refuse = {3}
    return seen


def test_what_cannot_be_projected_is_set_aside_with_what_follows_in_its_stream(
    container: Container, poisoned: Seen
) -> None:
    with running_in_thread(runner_of(container, poisoned)):
        until(lambda: position(container, poisoned) == 12)
    assert noted(container, poisoned) == [1, 2, 4, 5, 6, 7, 8, 10, 11, 12]
    assert parked(container, poisoned) == {
        3: "RuntimeError: no 3",
        9: "an earlier event of its stream is parked",
    }


def test_an_event_is_tried_alone_several_times_before_it_is_set_aside(
    container: Container, poisoned: Seen
) -> None:
    with running_in_thread(runner_of(container, poisoned)):
        until(lambda: position(container, poisoned) == 12)
    assert poisoned.tried.count([3]) == running.TRIES
    assert sum(batch[0] == 1 and len(batch) > 1 for batch in poisoned.tried) == running.TRIES


def test_an_event_that_fails_now_and_then_is_not_set_aside(container: Container, seen: Seen) -> None:
    request_runs(container, *"abcdef")
    seen.refuse = {4}
    runner = runner_of(container, seen)
    for _ in range(2 * running.TRIES - 1):
        fail(runner)
    seen.refuse = set()
    drain(runner)
    assert noted(container, seen) == [1, 2, 3, 4, 5, 6]
    assert parked(container, seen) == {}


def fail(runner: ProjectionRunner) -> None:
    """The thread's next failure."""
    while True:
        try:
            assert runner.step()
        except RuntimeError as error:
            runner._failed(error)
            return


def drain(runner: ProjectionRunner) -> None:
    while runner.step():
        pass


def test_an_event_does_not_pay_for_the_failures_of_another_that_a_second_process_has_set_aside(
    container: Container, seen: Seen
) -> None:
    request_runs(container, *"abcdef")
    seen.refuse = {2}
    slow, quick = runner_of(container, seen), runner_of(container, seen)
    for _ in range(2 * running.TRIES):
        fail(slow)
    for _ in range(2 * running.TRIES):
        fail(quick)
    assert quick.step() == 1  # sets aside
    drain(slow)
    assert list(parked(container, seen)) == [2]
    assert noted(container, seen) == [1, 3, 4, 5, 6]


def test_no_event_is_blamed_for_a_database_that_is_away(container: Container, seen: Seen) -> None:
    request_runs(container, *"abc")
    seen.gone = 10
    runner = runner_of(container, seen)
    for _ in range(10):
        with pytest.raises(Unavailable) as away:
            runner.step()
        runner._failed(away.value)
    drain(runner)
    assert noted(container, seen) == [1, 2, 3]
    assert parked(container, seen) == {}


def test_no_event_is_blamed_where_a_library_has_wrapped_what_the_database_said(
    container: Container, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_runs(container, "a", "b")
    project, full = seen.project, ["disk full"] * 20

    def wrapped(events: Sequence[Recorded], store: ReadStore) -> None:
        if full:
            raise RuntimeError("the queue cannot") from psycopg.errors.DiskFull(full.pop())
        project(events, store)

    monkeypatch.setattr(seen, "project", wrapped)
    with running_in_thread(runner_of(container, seen)):
        until(lambda: position(container, seen) == 2)
    assert (noted(container, seen), parked(container, seen)) == ([1, 2], {})


def test_a_connection_that_is_lost_in_the_middle_sets_nothing_aside(container: Container, seen: Seen) -> None:
    """For two seconds every connection is cut off at some point of its batch."""
    seen.batch = 1
    request_runs(container, *map(str, range(20)))
    ended = time.monotonic() + 2
    stop = threading.Event()

    def cut() -> None:
        with psycopg.connect(container.database.url, autocommit=True) as connection:
            while not stop.is_set() and time.monotonic() < ended:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'lmsys-read' AND datname = current_database()"
                )

    cutting = threading.Thread(target=cut)
    cutting.start()
    with running_in_thread(runner_of(container, seen)):
        cutting.join()
        until(lambda: position(container, seen) == 20)
    assert noted(container, seen) == list(range(1, 21))
    assert parked(container, seen) == {}


# --- health, and repair


@pytest.fixture
def edited(container: Container) -> Container:
    """Two completed runs, cluster 0 of each renamed twice."""
    for name in ("one", "two"):
        run = requested_run(name)
        assign(run, 0, [1, 2, 3], [0, 1, 2])
        complete(run)
        container.store.commit(Outcome((run,)), "prepare")
    for title in ("First", "Second"):
        for name in ("one", "two"):
            container.bus.handle(RenameCluster(run_id=name, cluster_id=0, title=title))
    return container


def break_event(container: Container, stream: str) -> str:
    """The first rename of this run is no JSON that an event could be made of; returns what it was."""
    with container.database.connection() as connection:
        where = "type = 'curation.cluster_renamed' AND stream = %s"
        row = connection.execute(
            f"SELECT position, data::text FROM log.events WHERE {where} ORDER BY position LIMIT 1", [stream]
        ).fetchone()
        assert row is not None
        connection.execute("UPDATE log.events SET data = '{}' WHERE position = %s", [row[0]])
    return str(row[1])


def mend_event(container: Container, stream: str, data: str) -> None:
    with container.database.connection() as connection:
        connection.execute(
            "UPDATE log.events SET data = %s WHERE stream = %s AND data::text = '{}'", [data, stream]
        )


def title_of(container: Container, name: str) -> str | None:
    (run,) = rows(container, runs, run_id=name)
    (cluster,) = rows(container, clusters, run_no=run["run_no"], cluster_id=0)
    return str(cluster["title"]) if cluster["title"] else None


def test_a_broken_event_degrades_health_until_it_is_mended_and_the_read_model_made_anew(
    edited: Container,
) -> None:
    container = edited
    data = break_event(container, "clustering/one")
    with running_in_thread(*(runner_of(container, one) for one in READ_MODELS)):
        until_all_reached(container, 10)
    assert (title_of(container, "one"), title_of(container, "two")) == (None, "Second")
    assert parked_counts(container.database, FOLLOWED)["clustering"] == 2
    first, later = (
        one for one in parked_events(container.database, FOLLOWED) if one["projection"] == "clustering"
    )
    assert (first["stream"], first["position"]) == ("clustering/one", 7)
    assert "an earlier event of its stream" in later["error"]
    assert health(container) == ("degraded", 2)

    mend_event(container, "clustering/one", data)
    for one in READ_MODELS:
        rebuild(container.database, one, container.mapper, lambda name, position: None)
    assert (title_of(container, "one"), title_of(container, "two")) == ("Second", "Second")
    assert health(container) == ("ok", 0)


def health(container: Container) -> tuple[str, int]:
    """`search` and `policies` do not run here: they are brought to the head."""
    for tables in (*FOLLOWED, container.policies.tables):
        with container.database.engine.begin() as connection:
            connection.execute(bookkeeping(tables, "checkpoint").update().values(position=10))
    found = container.read_models.health()
    (clustering,) = (one for one in found["projections"] if one["name"] == "clustering")
    return found["status"], clustering["parked"]


def test_all_that_was_set_aside_is_counted_and_the_first_of_it_shown(
    container: Container, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SHOWN", 3)
    with container.database.engine.begin() as connection:
        for number in range(7, 0, -1):
            row = {"position": number, "stream": "a", "error": "b", "parked_at": "2025-01-01 00:00Z"}
            connection.execute(insert(bookkeeping(seen.tables, "parked")).values(row))
    assert parked_counts(container.database, [seen.tables]) == {"seen": 7}
    assert [one["position"] for one in parked_events(container.database, [seen.tables])] == [1, 2, 3]


# --- waiting


@pytest.mark.parametrize("worker", [True, False])
def test_a_command_that_waits_is_answered_when_its_change_can_be_read(
    edited: Container, worker: bool
) -> None:
    """With a worker that projects, and without one: then the process of the command does."""
    project(edited)
    edited.listen()
    if worker:
        edited._project_at_once = lambda name: None  # type: ignore[method-assign]
        edited.follow(*READ_MODELS)
    for number in range(30):
        edited.waiting_bus.handle(RenameCluster(run_id="one", cluster_id=0, title=f"Title {number}"))
        assert title_of(edited, "one") == f"Title {number}"


def test_a_read_model_tells_its_position_when_it_can_be_read(container: Container, seen: Seen) -> None:
    with psycopg.connect(container.database.url, autocommit=True) as listening:
        listening.execute(f"LISTEN {running.CHANNEL}")
        request_runs(container, "a", "b", "c")
        seen.batch = 2
        drain(runner_of(container, seen))
        told = [one.payload for one in listening.notifies(timeout=5, stop_after=2)]
    assert told == ["seen 2", "seen 3"]


def test_a_container_projects_what_it_follows(edited: Container) -> None:
    edited.follow(*READ_MODELS)
    until_all_reached(edited, 10)
    for one in READ_MODELS:
        assert verify(edited.database, one, edited.mapper, lambda name, position: None) == (10, [])
    with edited.database.engine.connect() as connection:
        assert connection.execute(select(clusters.c.title).where(clusters.c.title.is_not(None))).all() != []
