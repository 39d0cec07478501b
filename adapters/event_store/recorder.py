"""How events get into Postgres and out again, under the library's own interfaces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    Notification,
    StoredEvent,
    Subscription,
)

from adapters.database import Database

APPEND_LOCK = 0x6C6F67
"""Advisory lock of whoever appends: positions are given and become visible in the order of commits."""

CHANNEL = "log_events"


class Write(Protocol):
    """Something that is to be stored in the transaction of the events that name it."""

    def __call__(self, cursor: psycopg.Cursor[Any], position: int | None) -> None: ...


def _append_lock(cursor: psycopg.Cursor[Any]) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [APPEND_LOCK])


class SnapshotRecorder(AggregateRecorder):
    """Snapshots of these types: one of another version of this program is as if it were not there."""

    def __init__(self, database: Database, types: Sequence[str]) -> None:
        self._database = database
        self._types = list(types)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> None:  # noqa: ANN401
        with self._database.connection() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO log.snapshots (stream, version, type, data) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (stream, version) DO UPDATE SET type = excluded.type, data = excluded.data"
                " WHERE snapshots.type <> excluded.type",
                [(e.originator_id, e.originator_version, e.topic, e.state.decode()) for e in stored_events],
            )

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        return _select(self._database, "snapshots", originator_id, gt, lte, desc, limit, self._types)


class LogRecorder(ApplicationRecorder):
    """The log. Appends take an advisory lock and go in by COPY; positions have no gaps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        meta: dict[str, Any] | None = None,
        causes: Mapping[tuple[str, int], str] | None = None,
        before: Sequence[Write] = (),
        after: Sequence[Write] = (),
        **_: Any,  # noqa: ANN401
    ) -> Sequence[int]:
        """Append in one transaction with `before` (done before the lock is taken) and `after`.

        Raises IntegrityError when a stream has moved on, or when `after` finds its key taken.
        """
        try:
            with self._database.connection() as connection, connection.cursor() as cursor:
                for write in before:
                    write(cursor, None)
                positions = self._append(cursor, stored_events, meta or {}, causes or {})
                for write in after:
                    write(cursor, positions[-1] if positions else None)
                if positions:
                    cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(positions[-1])])
                return positions
        except psycopg.errors.UniqueViolation as error:
            raise IntegrityError(str(error)) from error

    def _append(
        self,
        cursor: psycopg.Cursor[Any],
        events: Sequence[StoredEvent],
        meta: dict[str, Any],
        causes: Mapping[tuple[str, int], str],
    ) -> list[int]:
        if not events:
            return []
        _append_lock(cursor)
        head = _head(cursor)
        stamp = json.dumps(meta)
        columns = "position, stream, version, type, data, meta"
        with cursor.copy(f"COPY log.events ({columns}) FROM STDIN") as copy:
            for position, e in enumerate(events, head + 1):
                stream, version = str(e.originator_id), e.originator_version
                cause = causes.get((stream, version))
                noted = json.dumps({**meta, "causation_id": cause}) if cause else stamp
                copy.write_row((position, stream, version, e.topic, e.state.decode(), noted))
        return list(range(head + 1, head + 1 + len(events)))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        return _select(self._database, "events", originator_id, gt, lte, desc, limit)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = -1 if start is None else start - inclusive_of_start
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT stream, version, type, data::text, position FROM log.events"
                " WHERE position > %s AND position <= coalesce(%s, 9223372036854775807)"
                " AND (%s::text[] = '{}' OR type = ANY(%s)) ORDER BY position LIMIT %s",
                [after, stop, list(topics), list(topics), limit],
            ).fetchall()
        return [
            Notification(
                originator_id=stream,
                originator_version=version,
                topic=topic,
                state=data.encode(),
                id=position,
            )
            for stream, version, topic, data, position in rows
        ]

    def max_notification_id(self) -> int | None:
        with self._database.reading() as connection, connection.cursor() as cursor:
            return _head(cursor) or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        raise TypeError("the log is followed by the projection runner, in batches")


def _head(cursor: psycopg.Cursor[Any]) -> int:
    cursor.execute("SELECT position FROM log.events ORDER BY position DESC LIMIT 1")
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def _select(
    database: Database,
    table: str,
    stream: UUID | str,
    gt: int | None,
    lte: int | None,
    desc: bool,
    limit: int | None,
    types: Sequence[str] | None = None,
) -> list[StoredEvent]:
    with database.reading() as connection:
        rows = connection.execute(
            f"SELECT version, type, data::text FROM log.{table}"
            " WHERE stream = %s AND version > %s AND version <= %s AND (%s::text[] IS NULL OR type = ANY(%s))"
            f" ORDER BY version {'DESC' if desc else 'ASC'} LIMIT %s",
            [stream, -1 if gt is None else gt, 2**31 - 1 if lte is None else lte, types, types, limit],
        ).fetchall()
    return [
        StoredEvent(
            originator_id=cast(str, stream), originator_version=version, topic=topic, state=data.encode()
        )
        for version, topic, data in rows
    ]
