"""The queue: what the log asks for is done, once, and what cannot be done is recorded in the log."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg_pool
import pytest

from adapters import jobs as module
from adapters.bootstrap import Container
from adapters.database import Database
from adapters.jobs import BUG_TRIES, PATIENT_TRIES, Worker
from adapters.runner import ProjectionRunner
from commands.curation import RenameCluster
from commands.jobs import WORK, Work
from commands.policies import Job
from commands.ports import EventStore, Outcome, Progress
from commands.runs import Fail
from domain.base import context
from domain.clustering import ClusteringRun
from domain.errors import Invalid, Refused, Unavailable
from tests.runs import assign, complete, requested_run

RUN = "kmeans-3-20251004-170442"


@pytest.fixture(autouse=True)
def _run(container: Container) -> None:
    """A run that is asked for, which is a job."""
    container.store.commit(Outcome((requested_run(RUN),)), "prepare")


def status(container: Container) -> str:
    return container.store.load(ClusteringRun, RUN).status


def error(container: Container) -> str:
    """The reason that the log has for the failure of the run."""
    (failed,) = (
        one
        for one in container.store.application.events.get(f"clustering/{RUN}")
        if isinstance(one, ClusteringRun.Failed)
    )
    return failed.error


def queued(container: Container, columns: str = "task_name, args, status::text") -> list[tuple[Any, ...]]:
    with container.database.connection() as connection:
        return connection.execute(f"SELECT {columns} FROM queue.procrastinate_jobs ORDER BY id").fetchall()


def in_queue(container: Container, statement: LiteralString) -> None:
    with container.database.connection() as connection:
        connection.execute("SET LOCAL search_path = queue")  # its triggers count on that
        connection.execute(statement)


def apply_policies(container: Container) -> None:
    runner = ProjectionRunner(container.database, container.policies, container.mapper)
    while runner.step():
        pass


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


Run = Callable[..., None]
Doing = Callable[..., Worker]


@pytest.fixture
def doing(container: Container, monkeypatch: pytest.MonkeyPatch) -> Doing:
    """A worker, for which the work of a clustering is what the test says."""

    def made(run: Run, stalled_s: float = 5.0) -> Worker:
        failed = WORK["cluster"].failed
        monkeypatch.setitem(WORK, "cluster", Work(run, failed))
        return Worker(
            container.queue,
            container.bus,
            container.needs,
            concurrency=2,
            heartbeat_s=0.2,
            stalled_s=stalled_s,
        )

    return made


def perform(worker: Worker, attempt: int = 1) -> None:
    worker.perform("cluster", RUN, {"run_id": RUN}, attempt)


@contextmanager
def at_work(worker: Worker) -> Iterator[None]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(timeout=20)
        assert not thread.is_alive()


# --- what the log asks for


def test_an_event_puts_its_job_into_the_queue_once(container: Container) -> None:
    for _ in range(2):
        apply_policies(container)
    assert queued(container) == [("cluster", {"run_id": RUN}, "todo")]
    assert container.queue.backlog() == {"waiting": 1, "running": 0}


def test_a_job_and_the_position_of_the_policies_are_one(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    defer = module.Queue.defer

    def fail_after(self: module.Queue, job: Job, connection: Any) -> None:  # noqa: ANN401
        defer(self, job, connection)
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(module.Queue, "defer", fail_after)
        with pytest.raises(ZeroDivisionError):
            apply_policies(container)
    assert queued(container) == []
    apply_policies(container)
    assert len(queued(container)) == 1


@pytest.fixture
def completed(container: Container) -> Container:
    run = container.store.load(ClusteringRun, RUN)
    assign(run, 0, [1, 2, 3], [0, 1, 2])
    complete(run)
    container.store.commit(Outcome((run,)), "prepare")
    apply_policies(container)
    in_queue(container, "DELETE FROM procrastinate_jobs")
    return container


def rename(container: Container, *titles: str, cluster_id: int = 0) -> None:
    for title in titles:
        container.bus.handle(RenameCluster(run_id=RUN, cluster_id=cluster_id, title=title))
    apply_policies(container)


TITLE = ("embed_titles", {"run_id": RUN, "cluster_id": 0}, "todo")


def test_what_waits_already_does_not_wait_twice(completed: Container) -> None:
    rename(completed, "One", "Two")
    rename(completed, "Three")
    rename(completed, "Elsewhere", cluster_id=1)
    assert queued(completed) == [TITLE, ("embed_titles", {"run_id": RUN, "cluster_id": 1}, "todo")]


def test_what_is_asked_for_while_the_same_is_being_done_is_done_afterwards(completed: Container) -> None:
    """A job that has begun may have read the state from before."""
    rename(completed, "One")
    in_queue(completed, "UPDATE procrastinate_jobs SET status = 'doing'")
    rename(completed, "Two", "Three")
    assert queued(completed) == [(*TITLE[:2], "doing"), TITLE]
    assert completed.queue.backlog() == {"waiting": 1, "running": 1}


# --- what becomes of a job


def fails_with(failure: Exception) -> Run:
    def run(run_id: str) -> None:
        raise failure

    return run


def test_a_job_gets_what_it_asks_for_and_acts_as_the_worker(container: Container, doing: Doing) -> None:
    given: list[Any] = []

    def run(run_id: str, *, store: EventStore, progress: Progress) -> None:
        given.extend([run_id, store, context.get().actor, context.get().correlation_id])

    before = context.get()
    perform(doing(run))
    assert given == [RUN, container.store, "worker", RUN]
    assert context.get() is before


@pytest.mark.parametrize("attempt", range(1, PATIENT_TRIES))
def test_a_job_whose_provider_is_away_is_tried_again(
    container: Container, doing: Doing, attempt: int
) -> None:
    with pytest.raises(Unavailable):
        perform(doing(fails_with(Unavailable("the provider does not answer"))), attempt)
    assert status(container) == "pending"


def test_after_the_last_try_it_is_recorded_as_failed(container: Container, doing: Doing) -> None:
    perform(doing(fails_with(Unavailable("the provider does not answer"))), PATIENT_TRIES)
    assert status(container) == "failed"
    assert error(container) == "the provider does not answer"


@pytest.mark.parametrize("kind", [Invalid, Refused])
def test_a_refusal_is_recorded_at_once(container: Container, doing: Doing, kind: type[Exception]) -> None:
    perform(doing(fails_with(kind("the key is wrong"))))
    assert status(container) == "failed"
    assert error(container) == "the key is wrong"


@pytest.mark.parametrize(("failure", "traced"), [(Invalid("wrong"), False), (KeyError("wrong"), True)])
def test_only_what_nobody_foresaw_is_logged_with_its_traceback(
    doing: Doing, monkeypatch: pytest.MonkeyPatch, failure: Exception, traced: bool
) -> None:
    logged: list[dict[str, Any]] = []
    monkeypatch.setattr(module.log, "error", lambda event, **said: logged.append(said))
    perform(doing(fails_with(failure)), BUG_TRIES)
    (said,) = logged
    assert "wrong" in said["error"]
    assert (said["exc_info"] is failure) == traced
    assert (said["exc_info"] is None) != traced


def test_a_defect_is_recorded_after_some_tries(container: Container, doing: Doing) -> None:
    worker = doing(fails_with(ZeroDivisionError("by zero")))
    for attempt in range(1, BUG_TRIES):
        with pytest.raises(ZeroDivisionError):
            perform(worker, attempt)
        assert status(container) == "pending"
    perform(worker, BUG_TRIES)
    assert error(container) == "ZeroDivisionError: by zero"


def test_a_job_that_kills_each_worker_that_runs_it_is_given_up(container: Container, doing: Doing) -> None:
    """Nobody is there to raise: only the count of what was taken over tells."""
    worker = doing(fails_with(AssertionError("it must not run again")))
    perform(worker, PATIENT_TRIES + 1)
    assert error(container) == "given up: begun 8 times, and each time its worker died"


def test_a_failure_that_cannot_be_recorded_is_tried_again(
    container: Container, doing: Doing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(command: Fail) -> None:
        raise Unavailable("the database does not answer")

    worker = doing(fails_with(Invalid("wrong")))
    monkeypatch.setattr(container.bus, "handle", away)
    with pytest.raises(Unavailable, match="the database does not answer"):
        perform(worker)


def test_progress_is_written_now_and_then(
    container: Container, doing: Doing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(run_id: str, *, progress: Progress) -> None:
        for number in range(100):
            progress(number, 1_000)

    def written() -> list[Any]:
        with container.database.connection() as connection:
            return connection.execute("SELECT job_id, processed, total FROM ops.progress").fetchall()

    worker = doing(run)
    perform(worker)
    assert written() == [(RUN, 0, 1_000)]
    monkeypatch.setattr(module, "PROGRESS_EVERY_S", 0)
    perform(worker)
    assert written() == [(RUN, 99, 1_000)]


def test_progress_that_cannot_be_written_stops_no_job(container: Container, doing: Doing) -> None:
    done: list[str] = []

    def run(run_id: str, *, progress: Progress) -> None:
        with container.database.connection() as connection:
            connection.execute("LOCK ops.progress")
            progress(1, 2)
        done.append(run_id)

    container.database.close()
    container.database = Database(container.database.url, lock_timeout_ms=20)
    container.queue.database = container.database
    perform(doing(run))
    assert done == [RUN]


# --- the worker


def succeeds(container: Container, done: list[str]) -> Run:
    def run(run_id: str) -> None:
        run = container.store.load(ClusteringRun, run_id)
        assign(run, 0, [1, 2, 3], [0, 1, 2])
        complete(run)
        container.store.commit(Outcome((run,)), "complete")
        done.append(run_id)

    return run


def test_a_worker_does_what_is_in_the_queue_and_what_comes_later(container: Container, doing: Doing) -> None:
    done: list[str] = []
    apply_policies(container)
    with at_work(doing(succeeds(container, done))):
        until(lambda: done == [RUN])
        container.store.commit(Outcome((requested_run("later"),)), "prepare")
        apply_policies(container)
        until(lambda: done == [RUN, "later"])
        until(lambda: container.queue.backlog() == {"waiting": 0, "running": 0})
    assert status(container) == "completed"


def test_a_worker_tries_again_after_a_pause_that_grows(container: Container, doing: Doing) -> None:
    apply_policies(container)
    with at_work(doing(fails_with(Unavailable("away")))):
        until(lambda: queued(container, "attempts") == [(1,)])
        pauses = queued(container, "extract(epoch FROM scheduled_at - now())::float8")
        assert 0 < pauses[0][0] <= 2
        until(lambda: queued(container, "attempts") == [(2,)])
        pauses = queued(container, "extract(epoch FROM scheduled_at - now())::float8")
        assert 2 < pauses[0][0] <= 4
    assert queued(container) == [("cluster", {"run_id": RUN}, "todo")]


def test_a_job_is_tried_again_although_the_same_was_asked_for_meanwhile(
    container: Container, doing: Doing
) -> None:
    """Both wait then, which the queue would refuse to jobs that have not begun."""
    done: list[str] = []

    def run(run_id: str) -> None:
        done.append(run_id)
        if len(done) == 1:
            with container.database.connection() as connection:
                container.queue.defer(Job("cluster", RUN, {"run_id": RUN}), connection)
            raise Unavailable("away")

    apply_policies(container)
    with at_work(doing(run)):
        until(lambda: len(done) == 3)
        until(lambda: queued(container) == [])


STALLED = """
    WITH dead AS (
        INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')
        RETURNING id
    )
    UPDATE procrastinate_jobs SET status = 'doing', worker_id = dead.id FROM dead
"""


@pytest.mark.parametrize("waiting", [False, True])
def test_the_job_of_a_worker_that_died_is_taken_over(
    container: Container, doing: Doing, waiting: bool
) -> None:
    """Also where the same was asked for again meanwhile: then it is done twice."""
    done: list[str] = []
    apply_policies(container)
    in_queue(container, STALLED)
    if waiting:
        with container.database.connection() as connection:
            container.queue.defer(Job("cluster", RUN, {"run_id": RUN}), connection)
    with at_work(doing(lambda run_id: done.append(run_id), stalled_s=1.0)):
        until(lambda: len(done) == 1 + waiting)
        until(lambda: queued(container) == [])


def test_the_job_of_a_worker_that_lives_is_left_to_it(container: Container, doing: Doing) -> None:
    done: list[str] = []
    apply_policies(container)

    def slow(run_id: str) -> None:
        time.sleep(1.5)
        done.append(run_id)

    first = doing(slow, stalled_s=1.0)
    with at_work(first), at_work(first_of_its_own(container, first)):
        until(lambda: queued(container) == [])
    assert done == [RUN]


def first_of_its_own(container: Container, like: Worker) -> Worker:
    """As in another process: with a queue of its own."""
    return Worker(
        module.Queue(container.database),
        container.bus,
        container.needs,
        concurrency=2,
        heartbeat_s=like._heartbeat_s,
        stalled_s=like._stalled_s,
    )


def hang_up(container: Container) -> None:
    """On all connections of the queue."""
    with container.database.connection() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name NOT LIKE 'lmsys%'"
        )


def test_a_worker_outlives_the_loss_of_its_connections(container: Container, doing: Doing) -> None:
    done: list[str] = []
    with at_work(doing(succeeds(container, done))):
        for number in range(2):
            time.sleep(0.3)
            hang_up(container)
            container.store.commit(Outcome((requested_run(f"run-{number}"),)), "prepare")
            apply_policies(container)
            until(lambda expected=number: f"run-{expected}" in done)  # type: ignore[misc]
        until(lambda: container.queue.backlog() == {"waiting": 0, "running": 0})
    assert sorted(done) == sorted([RUN, "run-0", "run-1"])


def test_a_worker_comes_back_after_a_round_that_could_not_begin(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the library's pool has not opened in time, it never opens."""
    opened = psycopg_pool.AsyncConnectionPool.open

    async def impatient(self: Any, wait: bool = False, timeout: float = 30) -> None:  # noqa: ANN401
        await opened(self, wait, 0.2)

    monkeypatch.setattr(psycopg_pool.AsyncConnectionPool, "open", impatient)
    queue, url = container.queue, container.database.url

    async def ask() -> Mapping[str, Any]:
        async with queue.opened() as app:
            return await app.connector.execute_query_one_async("SELECT 42 AS answer")

    container.database.url = "postgresql://lmsys@/nowhere?host=/nonexistent"
    with pytest.raises(psycopg_pool.PoolTimeout):
        asyncio.run(ask())
    container.database.url = url
    assert asyncio.run(ask()) == {"answer": 42}


def test_a_worker_that_is_stopped_lets_its_job_end(container: Container, doing: Doing) -> None:
    begun, done = threading.Event(), []

    def slow(run_id: str) -> None:
        begun.set()
        time.sleep(0.7)
        done.append(run_id)

    apply_policies(container)
    with at_work(doing(slow)):
        assert begun.wait(20)
    assert done == [RUN]
    assert queued(container) == []
