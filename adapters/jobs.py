"""The queue: procrastinate, in a schema of its own in the same Postgres."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, cast
from uuid import uuid4

import structlog
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.manager import JobManager

from adapters.database import Database, told
from commands.bus import Bus, bind
from commands.jobs import WORK
from commands.policies import POLICIES, Job, jobs_for
from domain.base import Context, context
from domain.clustering import ClusteringRun
from domain.errors import DomainError, Refused, Unavailable
from projections.base import BATCH, ReadStore, Recorded, read_model

log = structlog.get_logger()

PATIENT_TRIES = 8
"""Tries of a job whose provider or database does not answer."""

BUG_TRIES = 3
"""Tries of a job that fails for a reason that nobody foresaw."""

PROGRESS_EVERY_S = 0.5

STARTED = {"load": "DatasetLoadStarted", "cluster": "ClusteringRunStarted"}
ENDED = {"load": "DatasetLoaded", "cluster": "ClusteringRunCompleted", "summarise": "SummaryGenerated"}
"""The names of log lines that operators know; every other job is `JobStarted` and `JobEnded`."""


class Queue:
    """Defers jobs, and in a worker process runs them."""

    def __init__(self, database: Database) -> None:
        self.app = App(connector=_connector(database))
        self._deferring = App(connector=SyncPsycopgConnector(conninfo=database.url))
        self.database = database

    def defer(self, job: Job, connection: Any) -> None:  # noqa: ANN401
        """Put a job into the queue in the transaction of `connection`; one that waits there is enough."""
        with suppress(AlreadyEnqueued), connection.transaction():
            connection.execute("SET LOCAL search_path = queue")
            task = self._deferring.configure_task(
                job.task,
                allow_unknown=True,
                lock=job.key,
                queueing_lock=job.key,
                connection=connection,
                schedule_in={"seconds": job.delay_s} if job.delay_s else None,
            )
            task.defer(**job.arguments)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[App]:
        """The app on connections of its own: those of a round that could not begin stay useless for ever."""
        connector = _connector(self.database)
        with self.app.replace_connector(connector) as app:
            try:
                await connector.open_async()
                yield app
            finally:
                await connector.close_async()

    def begun(self, job_number: int) -> None:
        """From now on the job does not stand for what is asked for later: both may wait to be run (again)."""
        with self.database.connection() as connection:
            connection.execute(
                "UPDATE queue.procrastinate_jobs SET queueing_lock = NULL WHERE id = %s", [job_number]
            )

    def backlog(self) -> dict[str, int]:
        """How many jobs wait and how many run."""
        sql = (
            "SELECT status::text, count(*) FROM queue.procrastinate_jobs"
            " WHERE status IN ('todo', 'doing') GROUP BY status"
        )
        with self.database.connection() as connection:
            found = dict(connection.execute(sql).fetchall())
        return {"waiting": found.get("todo", 0), "running": found.get("doing", 0)}


def _connector(database: Database) -> PsycopgConnector:
    options = {"options": "-c search_path=queue -c timezone=UTC"}
    return PsycopgConnector(conninfo=database.url, kwargs=options, max_size=6)


class PoliciesProjection:
    """Follows the log like a read model, but what it writes are jobs. Never rebuilt."""

    name = "policies"
    tables = read_model("policies")
    batch = BATCH
    handles: frozenset[type] = frozenset(
        {
            *POLICIES,
            *ClusteringRun.EDITS,
            ClusteringRun.QueriesErased,
            ClusteringRun.ExtensionEnded,
            ClusteringRun.QueriesAssigned,
        }
    )

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            for job in jobs_for(one.event):
                self._queue.defer(job, store.driver)


class Worker:
    """Runs jobs until it is stopped. A job of a worker that died is taken over by another."""

    def __init__(
        self,
        queue: Queue,
        bus: Bus,
        needs: Mapping[str, object],
        *,
        concurrency: int,
        heartbeat_s: float,
        stalled_s: float,
    ) -> None:
        self._queue = queue
        self._bus = bus
        self._needs = needs
        self._concurrency = concurrency
        self._heartbeat_s = heartbeat_s
        self._stalled_s = stalled_s
        self._stop = threading.Event()
        for name in WORK:
            self._register(name)

    def _register(self, name: str) -> None:
        strategy = RetryStrategy(max_attempts=PATIENT_TRIES, exponential_wait=2)

        @self._queue.app.task(name=name, pass_context=True, retry=strategy)
        def task(job: JobContext, /, **arguments: Any) -> None:  # noqa: ANN401
            self._queue.begun(cast(int, job.job.id))
            self.perform(name, str(job.job.lock), arguments, job.job.attempts + 1)

    def perform(self, name: str, job_id: str, arguments: Mapping[str, Any], attempt: int) -> None:
        """Run a job; a failure that another try cannot mend is recorded in the log, any other is raised."""
        work = WORK[name]
        token = context.set(Context(actor="worker", correlation_id=job_id, causation_id=job_id))
        started = time.monotonic()
        log.info(STARTED.get(name, "JobStarted"), task=name, job=job_id, attempt=attempt)
        try:
            if attempt > PATIENT_TRIES:
                raise Refused(f"given up: begun {PATIENT_TRIES} times, and each time its worker died")
            again = partial(self._again, Job(name, job_id, dict(arguments)))
            needs = {**self._needs, "bus": self._bus, "progress": self._progress(job_id), "again": again}
            bind(work.run, needs)(**arguments)
            took = round(time.monotonic() - started, 3)
            log.info(ENDED.get(name, "JobEnded"), task=name, job=job_id, seconds=took)
        except Exception as error:
            if _worth_another_try(error, attempt):
                log.warning("JobFailedForNow", task=name, job=job_id, error=repr(error))
                raise
            unforeseen = None if isinstance(error, DomainError) else error
            log.error("JobFailed", task=name, job=job_id, error=_explain(error), exc_info=unforeseen)
            if work.failed:
                self._bus.handle(work.failed(arguments, _explain(error)))
        finally:
            context.reset(token)

    def _again(self, job: Job, delay_s: int) -> None:
        """The job that runs is done with, or will be: the next one waits until then."""
        with self._queue.database.connection() as connection:
            self._queue.defer(replace(job, delay_s=delay_s), connection)

    def _progress(self, job_id: str) -> Callable[[int, int | None], None]:
        """Writes how far a job is to its row, twice a second at most."""
        last = 0.0

        def progress(processed: int, total: int | None) -> None:
            nonlocal last
            if time.monotonic() - last < PROGRESS_EVERY_S:
                return
            last = time.monotonic()
            with suppress(Unavailable), self._queue.database.connection() as connection:
                connection.execute(
                    "INSERT INTO ops.progress (job_id, processed, total) VALUES (%s, %s, %s)"
                    " ON CONFLICT (job_id) DO UPDATE SET processed = excluded.processed,"
                    " total = excluded.total, updated_at = clock_timestamp()",
                    [job_id, processed, total],
                )

        return progress

    # --- the loop

    def run(self) -> None:
        """Until `stop`. A database that goes away ends no more than this round."""
        while not self._stop.is_set():
            try:
                asyncio.run(self._run())
            except Exception as error:
                log.warning("WorkerReconnecting", error=repr(error))
                self._stop.wait(1.0)

    def stop(self) -> None:
        self._stop.set()

    async def _run(self) -> None:
        async with self._queue.opened() as app:
            worker = asyncio.create_task(
                app.run_worker_async(
                    name=f"worker-{uuid4().hex[:8]}",
                    install_signal_handlers=False,
                    fetch_job_polling_interval=1.0,
                    delete_jobs="successful",
                    shutdown_graceful_timeout=20,
                    concurrency=self._concurrency,
                    update_heartbeat_interval=self._heartbeat_s,
                    stalled_worker_timeout=self._stalled_s,
                )
            )
            rescue = asyncio.create_task(self._rescue(app.job_manager))
            stop = asyncio.create_task(self._stopped())
            done, _ = await asyncio.wait({worker, rescue, stop}, return_when=asyncio.FIRST_COMPLETED)
            for task in (worker, rescue, stop):
                task.cancel()
            await asyncio.gather(worker, rescue, stop, return_exceptions=True)
            for task in done:
                task.result()

    async def _rescue(self, manager: JobManager) -> None:
        """Take over the jobs of workers that give no sign of life."""
        while True:
            for job in await manager.get_stalled_jobs(seconds_since_heartbeat=self._stalled_s):
                log.warning("JobTakenOver", task=job.task_name, job=job.lock)
                await asyncio.to_thread(self._queue.begun, cast(int, job.id))
                with suppress(ConnectorException):  # another worker was quicker
                    await manager.retry_job(job)
            await asyncio.sleep(self._stalled_s / 4)

    async def _stopped(self) -> None:
        while not self._stop.is_set():
            await asyncio.sleep(0.2)


def _worth_another_try(error: Exception, attempt: int) -> bool:
    if isinstance(error, Unavailable):
        return attempt < PATIENT_TRIES
    return not isinstance(error, DomainError) and attempt < BUG_TRIES


def _explain(error: Exception) -> str:
    return error.message if isinstance(error, DomainError) else told(error)
