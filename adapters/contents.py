"""Content and vectors beside the log: ports `Contents` and `Embeddings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
import zstandard

from adapters.database import Database
from commands.ports import NewConversation
from domain.values import QueryIds, Space, Vectors

LEVEL = 1
CHUNK = 10_000

_STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns}) ON COMMIT DELETE ROWS"


def _stage(cursor: psycopg.Cursor[Any], name: str, columns: str, types: list[str], rows: Any) -> None:  # noqa: ANN401
    """Rows into a table of this connection, from where what is new can be taken."""
    cursor.execute(_STAGE.format(name=name, columns=columns))
    with cursor.copy(f"COPY {name} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def store_contents(contents: Mapping[bytes, bytes]) -> Any:  # noqa: ANN401
    """A write that keeps these contents; those that are there already cost nothing.

    All who write take the same order: two who waited for each other's rows would end in a deadlock.
    """

    def write(cursor: psycopg.Cursor[Any], position: int | None) -> None:
        pack = zstandard.ZstdCompressor(level=LEVEL).compress
        rows = ((sha256, pack(contents[sha256])) for sha256 in sorted(contents))
        _stage(cursor, "new_contents", "sha256 bytea, body bytea", ["bytea", "bytea"], rows)
        cursor.execute("INSERT INTO log.contents SELECT * FROM new_contents ON CONFLICT DO NOTHING")

    return write


def store_conversations(dataset: str, conversations: Sequence[NewConversation], forget: bool) -> Any:  # noqa: ANN401
    """A write that keeps the index of a data set. Raises UniqueViolation for an id that is there."""

    def write(cursor: psycopg.Cursor[Any], position: int | None) -> None:
        if forget:
            cursor.execute("DELETE FROM log.conversations WHERE dataset = %s", [dataset])
        with cursor.copy("COPY log.conversations FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "text", "int8", "bytea", "bytea"])
            for one in conversations:
                copy.write_row((dataset, one.conversation_id, one.query_id, one.content, one.text))

    return write


class PostgresContents:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        with self._database.connection() as connection:
            return fetch_contents(connection, digests)

    def known_conversations(self, dataset: str, conversation_ids: Sequence[str]) -> dict[str, bytes]:
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(
                "SELECT conversation_id, content FROM log.conversations"
                " WHERE dataset = %s AND conversation_id = ANY(%s)",
                [dataset, list(conversation_ids)],
            )
            return dict(cursor.fetchall())

    def of_queries(self, dataset: str, query_ids: Sequence[int]) -> dict[int, bytes]:
        unpack = zstandard.ZstdDecompressor().decompress
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(
                "SELECT c.query_id, b.body FROM log.conversations c"
                " JOIN log.contents b ON b.sha256 = c.content"
                " WHERE c.dataset = %s AND c.query_id = ANY(%s)",
                [dataset, list(query_ids)],
            )
            return {query_id: unpack(body) for query_id, body in cursor}


def fetch_contents(connection: psycopg.Connection[Any], digests: Sequence[bytes]) -> dict[bytes, bytes]:
    """Digest → content, for those that are there."""
    unpack = zstandard.ZstdDecompressor().decompress
    cursor = connection.cursor(binary=True)
    cursor.execute("SELECT sha256, body FROM log.contents WHERE sha256 = ANY(%b)", [list(digests)])
    return {sha256: unpack(body) for sha256, body in cursor}


class PostgresEmbeddings:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[Space, int] = {}

    def missing(self, space: Space, digests: Sequence[bytes]) -> set[bytes]:
        space_id = self._space_id(space)
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(
                "SELECT sha256 FROM log.embeddings WHERE space_id = %s AND sha256 = ANY(%b)",
                [space_id, list(digests)],
            )
            return set(digests) - {row[0] for row in cursor}

    def put(self, space: Space, vectors: Mapping[bytes, Vectors]) -> None:
        space_id = self._space_id(space)
        ordered = ((one, np.ascontiguousarray(vectors[one], "<f4")) for one in sorted(vectors))  # as contents
        rows = ((space_id, sha256, vector.tobytes()) for sha256, vector in ordered)
        with self._database.connection() as connection, connection.cursor() as cursor:
            columns = "space_id smallint, sha256 bytea, vector bytea"
            _stage(cursor, "new_embeddings", columns, ["int2", "bytea", "bytea"], rows)
            cursor.execute("INSERT INTO log.embeddings SELECT * FROM new_embeddings ON CONFLICT DO NOTHING")

    def get(self, space: Space, digests: Sequence[bytes]) -> dict[bytes, Vectors]:
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(
                "SELECT sha256, vector FROM log.embeddings WHERE space_id = %s AND sha256 = ANY(%b)",
                [self._space_id(space), list(digests)],
            )
            return {sha256: np.frombuffer(vector, "<f4") for sha256, vector in cursor}

    def queries(self, dataset: str, after: int, up_to: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(
                "SELECT query_id, text, content FROM log.conversations"
                " WHERE dataset = %s AND query_id > %s AND query_id <= %s ORDER BY query_id LIMIT %s",
                [dataset, after, up_to, limit],
            )
            return cursor.fetchall()

    def of_queries(self, dataset: str, space: Space, query_ids: QueryIds) -> tuple[QueryIds, Vectors]:
        sql = (
            "SELECT c.query_id, e.vector FROM log.conversations c"
            " JOIN log.embeddings e ON e.space_id = %s AND e.sha256 = c.text"
            " WHERE c.dataset = %s AND c.query_id = ANY(%b) ORDER BY c.query_id"
        )
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(sql, [self._space_id(space), dataset, query_ids.tolist()])
            return _stacked(cursor.fetchall(), space.dimension)

    def source(self, dataset: str, space: Space, up_to: int) -> StoredVectors:
        return StoredVectors(self._database, dataset, space, self._space_id(space), up_to)

    def _space_id(self, space: Space) -> int:
        if space not in self._ids:
            with self._database.connection() as connection:
                found = _find_space(connection, space)
                if found is None:  # asked first: an insert that finds it there costs one of 32,767 numbers
                    connection.execute(
                        "INSERT INTO log.spaces (name, provider, model, dimension, revision)"
                        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                        [space.name, space.provider, space.model, space.dimension, space.revision],
                    )
                    found = _find_space(connection, space)
            assert found is not None
            self._ids[space] = found
        return self._ids[space]


def _find_space(connection: psycopg.Connection[Any], space: Space) -> int | None:
    row = connection.execute("SELECT space_id FROM log.spaces WHERE name = %s", [space.name]).fetchone()
    return int(row[0]) if row else None


def _stacked(rows: Sequence[tuple[int, bytes]], dimension: int) -> tuple[QueryIds, Vectors]:
    ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    vectors = np.frombuffer(b"".join(row[1] for row in rows), "<f4").reshape(len(rows), dimension)
    return ids, vectors


class StoredVectors:
    """The port `VectorSource` on stored embeddings: each pass reads them again, 10,000 at a time."""

    def __init__(self, database: Database, dataset: str, space: Space, space_id: int, up_to: int) -> None:
        self._database = database
        self._dataset = dataset
        self._space_id = space_id
        self._up_to = up_to
        self.dimension = space.dimension
        with database.connection() as connection:
            row = connection.execute(
                "SELECT count(*) FROM log.conversations c"
                " JOIN log.embeddings e ON e.space_id = %s AND e.sha256 = c.text"
                " WHERE c.dataset = %s AND c.query_id <= %s",
                [space_id, dataset, up_to],
            ).fetchone()
        assert row is not None
        self.count = int(row[0])

    def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
        after = 0
        while True:
            ids, vectors = self._chunk(after)
            if not len(ids):
                return
            yield ids, vectors
            after = int(ids[-1])

    def _chunk(self, after: int) -> tuple[QueryIds, Vectors]:
        sql = (
            "SELECT c.query_id, e.vector FROM log.conversations c"
            " JOIN log.embeddings e ON e.space_id = %s AND e.sha256 = c.text"
            " WHERE c.dataset = %s AND c.query_id > %s AND c.query_id <= %s ORDER BY c.query_id LIMIT %s"
        )
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(sql, [self._space_id, self._dataset, after, self._up_to, CHUNK])
            return _stacked(cursor.fetchall(), self.dimension)
