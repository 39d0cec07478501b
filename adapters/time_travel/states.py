"""Runs as they were: read from the log at a version, kept for whoever asks next."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import numpy as np
from eventsourcing.persistence import StoredEvent

from adapters.event_store import PostgresEventStore
from adapters.time_travel.kept import Kept
from domain.clustering import ClusteringRun, Partition
from domain.errors import Invalid, NotFound
from domain.tags import NAME, Tag
from projections.clustering.past import Outcome, PastRun

MOST_BYTES = 256_000_000
"""Of states that are kept. Of a run of 1,000,000 queries each has 4 MB of labels; 8 MB of ids are shared."""

CLUSTER_BYTES = 1_000
EDIT_BYTES = 250
"""Measured: what the history of a run holds of an edit."""

LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Place:
    """Where a moment lies in the stream of a run. `erased`: versions behind it that erased queries."""

    version: int
    newest: int
    erased: tuple[int, ...]


class TimeTravel:
    """Reads only. A state that was asked for is there again at once, for all threads."""

    def __init__(self, store: PostgresEventStore, most_bytes: int = MOST_BYTES) -> None:
        self._store = store
        self._states: Kept[PastRun] = Kept(most_bytes)
        self._log = store.application
        self._alone = threading.Lock()

    # --- moments

    def position(self, as_of: str) -> int:
        """The event that is meant by its position, an RFC 3339 time, or a tag.

        Raises Invalid for what lies beyond the end of the log, NotFound for an unknown tag.
        """
        if NAME.fullmatch(as_of):
            tag = self._store.find(Tag, as_of)
            if tag is None:
                raise NotFound(f"there is no tag {as_of!r}; GET /api/tags lists them")
            return tag.moment()
        if re.fullmatch(r"[0-9]+", as_of):
            position, head = int(as_of), self._store.head()
            if position > head:
                raise Invalid(f"as_of: {as_of} lies beyond the end of the log, which is {head}")
            return position
        return self._store.position_at(_time(as_of))

    def time_of(self, position: int) -> datetime | None:
        """When the event at a position was recorded."""
        with self._store.database.reading() as connection:
            sql = "SELECT recorded_at FROM log.events WHERE position = %s"
            row = connection.execute(sql, [position]).fetchone()
        return row[0] if row else None

    # --- states

    def run(self, run_id: str, position: int) -> PastRun:
        """Raises NotFound where there was no such run at that moment, or where it was cleared by then."""
        self._begin_anew()
        place = self._place(run_id, position)
        if not place.version:
            raise NotFound(self._missing(run_id, position, place))
        key = (run_id, place.version, place.erased)
        found = self._states.get(key)
        if found is None:
            found = self._shared(self._read(run_id, place))
            self._states.put(key, found, _size(found.run))
        if found.run.status == "retired":
            raise NotFound(
                f"run {run_id} was cleared together with data set {found.run.dataset!r}"
                f" by position {position}; it can be read as of before that"
            )
        return found

    def _begin_anew(self) -> None:
        """When the log was reset, positions and versions mean something else."""
        with self._alone:
            if self._log is not self._store.application:
                self._log = self._store.application
                self._states.clear()

    def _place(self, run_id: str, position: int) -> Place:
        sql = (
            "SELECT coalesce((SELECT version FROM log.events WHERE stream = %(stream)s"
            "  AND position <= %(at)s ORDER BY version DESC LIMIT 1), 0),"
            " coalesce((SELECT max(version) FROM log.events WHERE stream = %(stream)s), 0),"
            " ARRAY(SELECT version FROM log.events WHERE type = %(erased)s AND position > %(at)s"
            "  AND stream = %(stream)s ORDER BY version)"
        )
        values = {
            "stream": ClusteringRun.stream(run_id),
            "at": min(position, LARGEST),
            "erased": ClusteringRun.QueriesErased.TOPIC,
        }
        with self._store.database.reading() as connection:
            row = connection.execute(sql, values).fetchone()
        assert row is not None
        return Place(row[0], row[1], tuple(row[2]))

    def _missing(self, run_id: str, position: int, place: Place) -> str:
        if not place.newest:
            return f"there is no clustering run {run_id!r}"
        begun = self._store.positions(ClusteringRun, run_id, [1])[1]
        return f"there was no clustering run {run_id!r} at position {position}: it began at {begun}"

    def _read(self, run_id: str, place: Place) -> PastRun:
        run = self._store.load(ClusteringRun, run_id) if place.version == place.newest else None
        if run is None or run.version != place.version:  # not the newest, or no more
            run = self._store.at_version(ClusteringRun, run_id, place.version)
        for event in self._store.events(ClusteringRun, run_id, place.erased).values():
            event.apply(run)
        return PastRun(run, *self._ends(run_id, place.version))

    def _ends(self, run_id: str, version: int) -> tuple[datetime, datetime | None, Outcome | None]:
        """When the run was requested, when it had ended, and how."""
        stream = ClusteringRun.stream(run_id)
        kinds = (ClusteringRun.Created, ClusteringRun.Completed, ClusteringRun.Failed)
        sql = (
            "SELECT version, type, data::text, recorded_at FROM log.events"
            " WHERE stream = %s AND type = ANY(%s) AND version <= %s ORDER BY version"
        )
        with self._store.database.reading() as connection:
            rows = connection.execute(sql, [stream, [one.TOPIC for one in kinds], version]).fetchall()
        if len(rows) == 1:
            return rows[0][3], None, None
        number, topic, data, at = rows[-1]
        stored = StoredEvent(stream, number, topic, data.encode())
        return rows[0][3], at, cast(Outcome, self._store.application.mapper.to_domain_event(stored))

    def _shared(self, found: PastRun) -> PastRun:
        """With the ids of a state of the same run that is kept already."""
        partition = found.run.partition
        for other in self._states.values():
            ids = other.run.partition.query_ids
            if other.run.run_id == found.run.run_id and np.array_equal(ids, partition.query_ids):
                found.run.partition = Partition(ids, partition.labels)
                break
        return found


def _size(run: ClusteringRun) -> int:
    """About how many bytes a state takes that shares its ids; those count half."""
    labels = run.partition.labels.nbytes
    return 2 * labels + CLUSTER_BYTES * len(run.clusters) + EDIT_BYTES * run.version


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"as_of: {text!r} is no event position, no RFC 3339 time (2025-10-04T17:04:42Z) and no tag"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
