"""Answers that were paid for, by what was asked: beside the log, and never needed to read it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from adapters.contents import no_erasure
from adapters.database import Database
from domain.datasets import ERASED_CONTENT

SWEEP_EVERY_S = 3_600.0


@dataclass(frozen=True)
class Kept:
    """`query_ids`: whose texts stood in the question; when one of them is erased, the answer goes as well."""

    key: bytes
    value: Mapping[str, Any]
    query_ids: frozenset[int]


class PostgresAnswers:
    """Answers by the SHA-256 of model and question. They may be deleted at any time, and go after `days`."""

    def __init__(self, database: Database, days: int) -> None:
        self._database = database
        self._days = days
        self._swept = -SWEEP_EVERY_S

    def find(self, wanted: Mapping[bytes, frozenset[int]]) -> dict[bytes, dict[str, Any]]:
        """Of these keys, those that are there. Each is held for the queries that are named with it, too."""
        self._sweep()
        with self._database.connection() as connection, connection.cursor(binary=True) as cursor:
            cursor.execute(
                "SELECT sha256, value::text, query_ids FROM ops.answers WHERE sha256 = ANY(%b)",
                [list(wanted)],
            )
            rows = cursor.fetchall()
            new = [
                (sorted(wanted[key] | set(ids)), key) for key, _, ids in rows if not wanted[key] <= set(ids)
            ]
            cursor.executemany("UPDATE ops.answers SET query_ids = %s::bigint[] WHERE sha256 = %b", new)
        return {key: orjson.loads(value) for key, value, _ in rows}

    def keep(self, model: str, answers: Sequence[Kept]) -> None:
        """But what was asked of a text that has been erased since."""
        rows = [
            (one.key, model, orjson.dumps(one.value).decode(), sorted(one.query_ids), ERASED_CONTENT)
            for one in answers
        ]
        with self._database.connection() as connection, connection.cursor() as cursor:
            no_erasure(cursor)
            cursor.executemany(_KEEP, rows)

    def _sweep(self) -> None:
        if time.monotonic() - self._swept < SWEEP_EVERY_S:
            return
        self._swept = time.monotonic()
        with self._database.connection() as connection:
            connection.execute(
                "DELETE FROM ops.answers WHERE answered_at < now() - make_interval(days => %s)", [self._days]
            )


_KEEP = (
    "INSERT INTO ops.answers (sha256, model, value, query_ids)"
    " SELECT new.* FROM (VALUES (%b::bytea, %s::text, %s::json, %s::bigint[]))"
    " AS new (sha256, model, value, ids)"
    " WHERE NOT EXISTS (SELECT FROM log.conversations WHERE content = %b AND query_id = ANY(new.ids))"
    " ON CONFLICT (sha256) DO UPDATE SET value = excluded.value, answered_at = excluded.answered_at,"
    " query_ids = ARRAY(SELECT DISTINCT unnest(answers.query_ids || excluded.query_ids))"
)
