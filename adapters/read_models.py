"""All read models at once: where they stand, whether they are well, made anew, compared."""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog
from prometheus_client import Gauge
from sqlalchemy import MetaData, text
from sqlalchemy.exc import SQLAlchemyError

from adapters.database import GONE, Database
from adapters.event_store.store import LogMapper, PlainJson
from adapters.jobs import PoliciesProjection, Queue
from adapters.points import Points
from adapters.runner import parked_counts, parked_events, positions, replay_parked
from adapters.vectors import VectorStore
from domain.errors import DomainError, NotFound
from projections import search
from projections.access import AccessProjection
from projections.base import Projection
from projections.classification import ClassificationProjection
from projections.clustering import ClusteringProjection
from projections.curation import CurationProjection
from projections.datasets import DatasetsProjection
from projections.evaluation import EvaluationProjection
from projections.hierarchy import HierarchyProjection
from projections.jobs import JobsProjection
from projections.measures import MeasuresProjection
from projections.proposals import ProposalsProjection
from projections.summaries import SummariesProjection
from projections.tags import TagsProjection
from projections.templates import TemplatesProjection

log = structlog.get_logger()

READ_MODELS: tuple[Projection, ...] = (
    DatasetsProjection(),
    ClusteringProjection(),
    SummariesProjection(),
    HierarchyProjection(),
    CurationProjection(),
    MeasuresProjection(),
    ProposalsProjection(),
    ClassificationProjection(),
    JobsProjection(),
    EvaluationProjection(),
    AccessProjection(),
    TagsProjection(),
    TemplatesProjection(),
)
FOLLOWED: tuple[MetaData, ...] = (*(one.tables for one in READ_MODELS), search.tables)
"""Everything that a client may wait for."""

LATE_S = 30.0
"""A read model that is further behind than this is not well."""

lag_events = Gauge("lmsys_projection_lag_events", "Events that a read model has not passed", ["projection"])
lag_seconds = Gauge("lmsys_projection_lag_seconds", "How long the oldest of them waits", ["projection"])
parked_count = Gauge("lmsys_projection_parked_events", "Events that were set aside", ["projection"])
jobs_count = Gauge("lmsys_queue_jobs", "Jobs by state", ["state"])
log_events = Gauge("lmsys_log_events", "Events in the log")


class ReadModels:
    """`vectors` and `points` are None in a process that has no vector engine."""

    def __init__(
        self, database: Database, queue: Queue, vectors: VectorStore | None, points: Points | None
    ) -> None:
        self._database = database
        self._queue = queue
        self._vectors = vectors
        self._points = points
        self._rebuilding = threading.Lock()

    def status(self) -> dict[str, Any]:
        """The head of the log, and for each read model its position, lag and parked events."""
        watched = (*FOLLOWED, PoliciesProjection.tables)
        reached = positions(self._database, watched)
        parked = parked_counts(self._database, watched)
        with self._database.engine.connect() as connection:
            head = connection.execute(text("SELECT coalesce(max(position), 0) FROM log.events")).scalar_one()
            items = [
                {
                    "name": name,
                    "position": position,
                    "lag": max(0, head - position),
                    "lag_seconds": _waiting(connection, position) if position < head else 0.0,
                    "parked": parked[name],
                }
                for name, position in reached.items()
            ]
        return {"head": head, "items": items, "parked": parked_events(self._database, watched)}

    def health(self) -> dict[str, Any]:
        """`down` where nothing can be answered, `degraded` where something is late or set aside."""
        try:
            status = self.status()
            queue: dict[str, Any] = self._queue.backlog()
        except (*GONE, SQLAlchemyError, DomainError) as error:
            down = {"status": "down", "error": type(error).__name__}
            return {"status": "down", "database": down, "vectors": {}, "queue": {}, "projections": []}
        vectors = self._vectors_health()
        late = any(one["lag_seconds"] > LATE_S or one["parked"] for one in status["items"])
        return {
            "status": "degraded" if late or vectors["status"] == "down" else "ok",
            "database": {"status": "ok", "head": status["head"]},
            "vectors": vectors,
            "queue": {"status": "ok", **queue},
            "projections": status["items"],
        }

    def _vectors_health(self) -> dict[str, Any]:
        if self._vectors is None:
            return {"status": "elsewhere"}
        try:
            return {
                "status": "ok",
                "embedded": self._vectors.is_embedded,
                "collections": {name: self._vectors.info(name) for name in self._vectors.collections()},
            }
        except DomainError as error:
            return {"status": "down", "error": error.message}

    def measure(self) -> None:
        """Bring the gauges of /metrics up to date."""
        health = self.health()
        for one in health["projections"]:
            lag_events.labels(one["name"]).set(one["lag"])
            lag_seconds.labels(one["name"]).set(one["lag_seconds"])
            parked_count.labels(one["name"]).set(one["parked"])
        for state in ("waiting", "running"):
            jobs_count.labels(state).set(health["queue"].get(state, 0))
        log_events.set(health["database"].get("head", 0))

    # --- made anew

    def rebuild(self, name: str) -> list[dict[str, Any]]:
        """Fill new tables beside the live ones and swap; `all` for every read model.

        The policies are never made anew, for their jobs would be done twice: they do what was set aside.
        """
        if name == PoliciesProjection.name:
            return [self._replay_policies()]
        done = [self._replay_policies()] if name == "all" and self._policies_wait() else []
        return [*self._apart("rebuild", name), *done]

    def _policies_wait(self) -> bool:
        tables = PoliciesProjection.tables
        return parked_counts(self._database, [tables])[str(tables.schema)] > 0

    def _replay_policies(self) -> dict[str, Any]:
        begun = time.monotonic()
        policies = PoliciesProjection(self._queue)
        replay_parked(self._database, policies, LogMapper(transcoder=PlainJson()))
        position = positions(self._database, [policies.tables])[policies.name]
        return {"name": policies.name, "position": position, "seconds": round(time.monotonic() - begun, 3)}

    def verify(self, name: str) -> list[dict[str, Any]]:
        """Compare with a rebuild row by row and point by point; `all` for every read model."""
        return self._apart("verify", name)

    def _apart(self, what: str, name: str) -> list[dict[str, Any]]:
        from adapters.rebuilding import run_apart

        in_postgres = [one.name for one in READ_MODELS if name in (one.name, "all")]
        searching = name in (search.SearchProjection.name, "all")
        if not in_postgres and not searching:
            known = ", ".join([*(one.name for one in READ_MODELS), search.SearchProjection.name])
            raise NotFound(f"there is no read model {name!r}; known are {known} and all")
        with self._rebuilding:
            answers = run_apart(self._database, what, in_postgres) if in_postgres else []
            if searching and self._points is not None:
                answers.append(getattr(self._points, what)())
        return answers


def _waiting(connection: Any, position: int) -> float:  # noqa: ANN401
    """Seconds since the event after this position was recorded."""
    sql = "SELECT extract(epoch FROM clock_timestamp() - recorded_at) FROM log.events WHERE position > :at"
    waiting = connection.execute(text(f"{sql} ORDER BY position LIMIT 1"), {"at": position}).scalar()
    return round(max(0.0, float(waiting or 0)), 3)
