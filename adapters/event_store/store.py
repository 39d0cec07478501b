"""The port `EventStore`, filled by the library's application on our recorder."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import orjson
import structlog
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    IntegrityError,
    Mapper,
    ProcessRecorder,
    StoredEvent,
    TrackingRecorder,
    Transcoder,
)
from eventsourcing.utils import Environment, register_topic

from adapters.contents import erase, fetch_contents, store_contents, store_conversations
from adapters.database import Database
from adapters.event_store.recorder import APPEND_LOCK, LogRecorder, SnapshotRecorder, Write
from commands.ports import Outcome, Receipt
from domain.access import ApiKey
from domain.base import Aggregate, Context, context
from domain.classification import ClassificationRun
from domain.clustering import ClusteringRun
from domain.datasets import Dataset
from domain.errors import Invalid, NotFound, VersionConflict
from domain.evaluation import EvaluationRun, Suggestion, TestSet
from domain.hierarchy import Hierarchy
from domain.measures import Measures
from domain.proposals import Proposal
from domain.search import TitleIndex
from domain.summaries import SummaryRun
from domain.tags import Tag
from domain.templates import Template

log = structlog.get_logger()
A = TypeVar("A", bound=Aggregate)

AGGREGATES: tuple[type[Aggregate], ...] = (
    ApiKey,
    ClassificationRun,
    ClusteringRun,
    Dataset,
    EvaluationRun,
    Hierarchy,
    Measures,
    Proposal,
    Suggestion,
    SummaryRun,
    Tag,
    Template,
    TestSet,
    TitleIndex,
)
register_topic(ClusteringRun.Snapshot.TOPIC, ClusteringRun.Snapshot)

CACHED_AGGREGATES = 32
_LOCKS = 64


class LogMapper(Mapper[str]):
    """Events as plain JSON that can be read with psql: time stamps are ISO 8601, nothing is tagged."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:  # noqa: ANN401
        state = dict(vars(domain_event))
        stream, version = state.pop("originator_id"), state.pop("originator_version")
        class_version = getattr(type(domain_event), "class_version", 1)
        if class_version > 1:
            state["class_version"] = class_version
        return StoredEvent(stream, version, type(domain_event).TOPIC, orjson.dumps(state))

    def to_domain_event(self, stored_event: StoredEvent) -> Any:  # noqa: ANN401
        event = super().to_domain_event(stored_event)
        for values, name in ((vars(event), "timestamp"), *_times(vars(event).get("state"))):
            values[name] = datetime.fromisoformat(values[name])
        return event


def _words(kind: type[Aggregate]) -> str:
    """What people call it: a ClusteringRun is a clustering run."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()


def _times(state: object) -> list[tuple[dict[str, Any], str]]:
    return [(state, "_created_on"), (state, "_modified_on")] if isinstance(state, dict) else []


class PlainJson(Transcoder):
    def encode(self, obj: Any) -> bytes:  # noqa: ANN401
        return orjson.dumps(obj)

    def decode(self, data: bytes) -> Any:  # noqa: ANN401
        return orjson.loads(data)


class LogFactory(InfrastructureFactory[TrackingRecorder]):
    """Makes the library use our tables, whatever variables the process's environment has."""

    def __init__(self, database: Database) -> None:
        super().__init__(Environment(env={"IS_SNAPSHOTTING_ENABLED": "y"}))
        self.database = database

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return SnapshotRecorder(self.database, [ClusteringRun.Snapshot.TOPIC])

    def application_recorder(self) -> ApplicationRecorder:
        return LogRecorder(self.database)

    def tracking_recorder(self, tracking_recorder_class: Any = None) -> Any:  # noqa: ANN401
        raise TypeError("positions are kept by the projection runner")

    def process_recorder(self) -> ProcessRecorder:
        raise TypeError("positions are kept by the projection runner")


class LogApplication(Application[str]):
    def __init__(self, database: Database) -> None:
        self._database = database
        super().__init__()

    def construct_env(self, name: str, env: Any = None) -> Environment:  # noqa: ANN401
        return Environment(name, {"AGGREGATE_CACHE_MAXSIZE": str(CACHED_AGGREGATES)})

    def construct_factory(self, env: Environment) -> LogFactory:
        return LogFactory(self._database)

    def construct_mapper(self) -> Mapper[str]:
        return LogMapper(transcoder=PlainJson())


class PostgresEventStore:
    """Loads aggregates from a cache that is brought up to date, and commits outcomes with their answer."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.application = LogApplication(database)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def forget(self) -> None:
        """Hold no aggregate any more: the log has begun anew."""
        self.application = LogApplication(self.database)

    # --- reading

    def load(self, kind: type[A], name: str) -> A:
        found = self.find(kind, name)
        if found is None:
            raise NotFound(f"there is no {_words(kind)} {name!r}")
        return found

    def find(self, kind: type[A], name: str) -> A | None:
        stream = kind.stream(name)
        with self._alone(stream):
            return cast(A | None, self._get(stream, None))

    def _alone(self, stream: str) -> threading.Lock:
        """The library copies a cached aggregate after it has let go of its own lock: not while we hold it."""
        return self._locks[hash(stream) % _LOCKS]

    def at_version(self, kind: type[A], name: str, version: int) -> A:
        found = self._get(kind.stream(name), version)
        if found is None:
            raise NotFound(f"there is no {_words(kind)} {name!r} at version {version}")
        return cast(A, found)

    def _get(self, stream: str, version: int | None) -> Any:  # noqa: ANN401
        try:
            found: Any = self.application.repository.get(stream, version=version)
        except AggregateNotFoundError:
            return None
        if isinstance(found, Template):
            self._recall(found)
        return found

    def _recall(self, template: Template) -> None:
        """What it says lies beside the log, where its examples can be erased."""

        def body_of(template_hash: str) -> bytes | None:
            address = bytes.fromhex(template_hash)
            with self.database.connection() as connection:
                return fetch_contents(connection, [address]).get(address)

        template.recall_by(body_of)

    def head(self) -> int:
        return self.application.recorder.max_notification_id() or 0

    def events(self, kind: type[Aggregate], name: str, versions: Iterable[int]) -> dict[int, Any]:
        rows = self._rows(
            "SELECT version, type, data::text FROM log.events WHERE stream = %s AND version = ANY(%s)",
            [kind.stream(name), list(versions)],
        )
        mapper = self.application.mapper
        return {
            version: mapper.to_domain_event(StoredEvent(kind.stream(name), version, topic, data.encode()))
            for version, topic, data in rows
        }

    def place_of(self, position: int) -> tuple[str, int] | None:
        rows = self._rows("SELECT stream, version FROM log.events WHERE position = %s", [position])
        return (rows[0][0], rows[0][1]) if rows else None

    def positions(self, kind: type[Aggregate], name: str, versions: Iterable[int]) -> dict[int, int]:
        sql = "SELECT version, position FROM log.events WHERE stream = %s AND version = ANY(%s)"
        return dict(self._rows(sql, [kind.stream(name), list(versions)]))

    def types(self, kind: type[Aggregate], name: str, versions: Iterable[int]) -> dict[int, str]:
        sql = "SELECT version, type FROM log.events WHERE stream = %s AND version = ANY(%s)"
        return dict(self._rows(sql, [kind.stream(name), list(versions)]))

    def version_at(self, kind: type[Aggregate], name: str, position: int) -> int:
        sql = (
            "SELECT version FROM log.events WHERE stream = %s AND position <= %s"
            " ORDER BY version DESC LIMIT 1"
        )
        rows = self._rows(sql, [kind.stream(name), position])
        return int(rows[0][0]) if rows else 0

    def position_at(self, moment: datetime) -> int:
        with self.database.reading() as connection:
            connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [APPEND_LOCK])  # what is on its way
            row = connection.execute(
                "SELECT clock_timestamp() < %(at)s, (SELECT position FROM log.events"
                " WHERE recorded_at <= %(at)s ORDER BY recorded_at DESC, position DESC LIMIT 1)",
                {"at": moment},
            ).fetchone()
        assert row is not None
        if row[0]:
            raise Invalid(f"{moment.isoformat()} lies in the future: nobody knows what will be then")
        return int(row[1] or 0)

    def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with self.database.reading() as connection:
            return connection.execute(sql, values).fetchall()

    def runs_of(self, dataset: str) -> list[str]:
        return self._names(ClusteringRun.Created.TOPIC, "dataset", dataset)

    def hierarchies_of(self, run_id: str) -> list[str]:
        return self._names(Hierarchy.Created.TOPIC, "run_id", run_id)

    def _names(self, created: str, field: str, value: str) -> list[str]:
        """Of the aggregates that were created with this value of a field, the oldest first."""
        with self.database.connection() as connection:
            rows = connection.execute(
                "SELECT split_part(stream, '/', 2) FROM log.events WHERE type = %s AND data ->> %s = %s"
                " ORDER BY position",
                [created, field, value],
            ).fetchall()
        return [row[0] for row in rows]

    def templates_with_examples(self) -> list[tuple[str, str]]:
        sql = (
            "SELECT data ->> 'template_hash', stream FROM log.events"
            " WHERE type = ANY(%s) AND (data ->> 'examples')::int > 0"
            " UNION SELECT one ->> 'template_hash', stream"
            " FROM log.events, jsonb_array_elements(data::jsonb -> 'versions') AS one"
            " WHERE type = %s AND (one ->> 'examples')::int > 0"
        )
        kinds = [one.TOPIC for one in (Template.Created, Template.Revised, Template.LabelsMigrated)]
        rows = self._rows(sql, [kinds, Template.ExamplesErased.TOPIC])
        return [(template_hash, stream.partition("/")[2]) for template_hash, stream in rows]

    def reserve_query_ids(self, count: int) -> int:
        with self.database.connection() as connection:
            row = connection.execute(
                "UPDATE log.counters SET value = value + %s WHERE name = 'query_id' RETURNING value", [count]
            ).fetchone()
        assert row is not None
        return int(row[0]) - count + 1

    def take_snapshot(self, kind: type[Aggregate], name: str) -> None:
        """Keep the present state of an aggregate, so that it loads fast from now on."""
        stream = kind.stream(name)
        with self._alone(stream):
            self.application.take_snapshot(stream)

    # --- writing

    def commit(self, outcome: Outcome, command: str) -> Receipt:
        now = context.get()
        before: list[Write] = []
        if outcome.erasure is not None:
            before.append(erase(outcome.erasure))
        if outcome.contents:
            before.append(store_contents(outcome.contents))
        if outcome.dataset is not None:
            before.append(
                store_conversations(outcome.dataset, outcome.conversations, outcome.forget_conversations)
            )
        after = [_record_answer(now, outcome.answer)] if now.idempotency_key else []
        try:
            recordings = self.application.save(
                *outcome.aggregates,
                meta=_meta(now, command),
                causes=outcome.causes,
                before=before,
                after=after,
            )
        except IntegrityError as error:
            raise VersionConflict("the same thing was changed by somebody else at the same moment") from error
        positions = [recording.notification.id for recording in recordings]
        types = frozenset(recording.notification.topic for recording in recordings)
        return Receipt(outcome.answer, positions[-1] if positions else None, types)

    def answered(self) -> Receipt | None:
        now = context.get()
        with self.database.reading() as connection:
            row = connection.execute(
                "SELECT request_hash, answer, position FROM log.commands"
                " WHERE scope = %s AND idempotency_key = %s",
                [now.key_scope, now.idempotency_key],
            ).fetchone()
        if row is None:
            return None
        if row[0] != now.request_hash:
            raise Invalid(f"Idempotency-Key {now.idempotency_key!r} was used for another request")
        return Receipt(row[1], row[2])


def _meta(now: Context, command: str) -> dict[str, Any]:
    meta: Mapping[str, Any] = {
        "actor": now.actor,
        "reason": now.reason,
        "correlation_id": now.correlation_id,
        "causation_id": now.causation_id,
        "idempotency_key": now.idempotency_key,
        "command": command,
    }
    return {name: value for name, value in meta.items() if value is not None}


def _record_answer(now: Context, answer: dict[str, Any]) -> Write:
    def write(cursor: Any, position: int | None) -> None:  # noqa: ANN401
        cursor.execute(
            "INSERT INTO log.commands (scope, idempotency_key, request_hash, answer, position)"
            " VALUES (%s, %s, %s, %s, %s)",
            [
                now.key_scope,
                now.idempotency_key,
                now.request_hash or "",
                orjson.dumps(answer).decode(),
                position,
            ],
        )

    return write
