"""Content and vectors beside the log: ports `Contents` and `Embeddings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
import zstandard
from psycopg import sql

from adapters.database import Database
from commands.ports import Erasure, NewConversation
from domain.datasets import ERASED_CONTENT
from domain.errors import Unavailable
from domain.values import QueryIds, Space, Vectors

LEVEL = 1
CHUNK = 10_000

ERASURE_LOCK = 0x657261
"""Advisory lock: held alone by who erases, shared by who keeps what an erasure would have to see.

Without it an erasure would take away a content that a load is just giving to another conversation.
"""

_STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns}) ON COMMIT DELETE ROWS"


def _stage(cursor: psycopg.Cursor[Any], name: str, columns: str, types: list[str], rows: Any) -> None:  # noqa: ANN401
    """Rows into a table of this connection, from where what is new can be taken."""
    cursor.execute(_STAGE.format(name=name, columns=columns))
    with cursor.copy(f"COPY {name} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def no_erasure(cursor: psycopg.Cursor[Any]) -> None:
    """Until the transaction ends nobody erases anything, and what was erased before is seen."""
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [ERASURE_LOCK])


def store_contents(contents: Mapping[bytes, bytes]) -> Any:  # noqa: ANN401
    """A write that keeps these contents; those that are there already cost nothing.

    All who write take the same order: two who waited for each other's rows would end in a deadlock.
    """

    def write(cursor: psycopg.Cursor[Any], position: int | None) -> None:
        no_erasure(cursor)
        pack = zstandard.ZstdCompressor(level=LEVEL).compress
        rows = ((sha256, pack(contents[sha256])) for sha256 in sorted(contents))
        _stage(cursor, "new_contents", "sha256 bytea, body bytea", ["bytea", "bytea"], rows)
        cursor.execute("INSERT INTO log.contents SELECT * FROM new_contents ON CONFLICT DO NOTHING")

    return write


def store_conversations(dataset: str, conversations: Sequence[NewConversation], forget: bool) -> Any:  # noqa: ANN401
    """A write that keeps the index of a data set. Raises UniqueViolation for an id that is there."""

    def write(cursor: psycopg.Cursor[Any], position: int | None) -> None:
        no_erasure(cursor)
        if forget:
            cursor.execute("DELETE FROM log.conversations WHERE dataset = %s", [dataset])
        with cursor.copy("COPY log.conversations FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "text", "int8", "bytea", "bytea"])
            for one in conversations:
                copy.write_row((dataset, one.conversation_id, one.query_id, one.content, one.text))

    return write


def erase(erasure: Erasure) -> Any:  # noqa: ANN401
    """A write that removes a conversation from beside the log, and from the read models that wait there.

    A content or text that a conversation still has stays, and so does the vector of a title of these words.
    A case of a test set lies under the digest of its text: it goes with the text.
    """

    def write(cursor: psycopg.Cursor[Any], position: int | None) -> None:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ERASURE_LOCK])
        cursor.execute(
            "INSERT INTO log.conversations VALUES (%s, %s, %s, %b, %b)"
            " ON CONFLICT (dataset, conversation_id) DO UPDATE SET content = %b, text = %b",
            [erasure.dataset, erasure.conversation_id, erasure.query_id, *[ERASED_CONTENT] * 4],
        )
        cursor.execute(_ERASE_CONTENTS, [[*erasure.contents, *erasure.texts]])
        cursor.execute(_ERASE_VECTORS, [list(erasure.texts)])
        cursor.execute("DELETE FROM ops.answers WHERE query_ids && %s::bigint[]", [list(erasure.query_ids)])
        drop_kept_schemas(cursor)

    return write


_ERASE_CONTENTS = (
    "DELETE FROM log.contents AS gone WHERE sha256 = ANY(%b)"
    " AND NOT EXISTS (SELECT FROM log.conversations WHERE content = gone.sha256)"
    " AND NOT EXISTS (SELECT FROM log.conversations WHERE text = gone.sha256)"
)

_ERASE_VECTORS = (
    "WITH gone AS (SELECT sha256 FROM unnest(%b::bytea[]) AS asked (sha256)"
    " WHERE NOT EXISTS (SELECT FROM log.conversations WHERE text = sha256)"
    " AND NOT EXISTS (SELECT FROM log.events WHERE type = 'title_index.titles_embedded'"
    "  AND data::text LIKE '%%' || encode(sha256, 'hex') || '%%'))"
    " DELETE FROM log.embeddings USING gone WHERE embeddings.sha256 = gone.sha256"
)


def drop_kept_schemas(cursor: psycopg.Cursor[Any]) -> None:
    """Remove what rebuilds have left: the read models of before, and those that were never finished.

    They hold text, and nobody projects into them. What a rebuild is filling at this moment stays: it comes
    to the erasure itself, and its swap waits for the end of this transaction.
    """
    cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '__(old|next|verify)$' ORDER BY nspname")
    for (schema,) in cursor.fetchall():
        name, _, kind = schema.rpartition("__")
        if kind == "old" or _is_idle(cursor, name):
            cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


def _is_idle(cursor: psycopg.Cursor[Any], name: str) -> bool:
    """Whether nobody rebuilds or compares this read model, nor can until the transaction ends."""
    cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"rebuild:{name}"])
    row = cursor.fetchone()
    return bool(row and row[0])


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

    def conversation(self, dataset: str, conversation_id: str) -> NewConversation | None:
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(
                "SELECT conversation_id, query_id, content, text FROM log.conversations"
                " WHERE dataset = %s AND conversation_id = %s AND content <> %b",
                [dataset, conversation_id, ERASED_CONTENT],
            )
            row = cursor.fetchone()
        return NewConversation(*row) if row else None

    def holders(self, texts: Sequence[bytes]) -> int:
        with self._database.connection() as connection:
            statement = "SELECT count(*) FROM log.conversations WHERE text = ANY(%b)"
            row = connection.execute(statement, [list(texts)]).fetchone()
        assert row is not None
        return int(row[0])

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

    def tidy(self) -> None:
        """Statistics have samples of texts, and an index has words, until their table is vacuumed."""
        with psycopg.connect(self._database.url, autocommit=True, application_name="lmsys-tidy") as alone:
            alone.execute("VACUUM (ANALYZE)")


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
        self._put(space, vectors, "true", [])

    def put_queries(
        self, dataset: str, first: int, last: int, space: Space, vectors: Mapping[bytes, Vectors]
    ) -> None:
        index = "SELECT text FROM log.conversations WHERE dataset = %s AND query_id BETWEEN %s AND %s"
        self._put(space, vectors, f"sha256 IN ({index})", [dataset, first, last])

    def _put(self, space: Space, vectors: Mapping[bytes, Vectors], where: str, values: Sequence[Any]) -> None:
        space_id = self._space_id(space)
        ordered = ((one, np.ascontiguousarray(vectors[one], "<f4")) for one in sorted(vectors))  # as contents
        rows = ((space_id, sha256, vector.tobytes()) for sha256, vector in ordered)
        with self._database.connection() as connection, connection.cursor() as cursor:
            no_erasure(cursor)
            columns = "space_id smallint, sha256 bytea, vector bytea"
            _stage(cursor, "new_embeddings", columns, ["int2", "bytea", "bytea"], rows)
            insert = f"INSERT INTO log.embeddings SELECT * FROM new_embeddings WHERE {where}"
            cursor.execute(f"{insert} ON CONFLICT DO NOTHING", values)

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
                " WHERE dataset = %s AND query_id > %s AND query_id <= %s AND content <> %b"
                " ORDER BY query_id LIMIT %s",
                [dataset, after, up_to, ERASED_CONTENT, limit],
            )
            return cursor.fetchall()

    def of_queries(self, dataset: str, space: Space, query_ids: QueryIds) -> tuple[QueryIds, Vectors]:
        statement = (
            "SELECT c.query_id, e.vector FROM log.conversations c"
            " JOIN log.embeddings e ON e.space_id = %s AND e.sha256 = c.text"
            " WHERE c.dataset = %s AND c.query_id = ANY(%b) ORDER BY c.query_id"
        )
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(statement, [self._space_id(space), dataset, query_ids.tolist()])
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
    """The port `VectorSource` on stored embeddings: each pass reads them again, 10,000 at a time.

    Held are the ids alone, 8 MB for 1,000,000, so that each pass can be compared with the first.
    """

    def __init__(self, database: Database, dataset: str, space: Space, space_id: int, up_to: int) -> None:
        self._database = database
        self._dataset = dataset
        self._space_id = space_id
        self.dimension = space.dimension
        with database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(
                "SELECT c.query_id FROM log.conversations c"
                " JOIN log.embeddings e ON e.space_id = %s AND e.sha256 = c.text"
                " WHERE c.dataset = %s AND c.query_id <= %s ORDER BY c.query_id",
                [space_id, dataset, up_to],
            )
            self._ids = np.fromiter((row[0] for row in cursor), np.int64)
        self.count = len(self._ids)

    def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
        for start in range(0, self.count, CHUNK):
            wanted = self._ids[start : start + CHUNK]
            ids, vectors = self._chunk(int(wanted[0]), int(wanted[-1]))
            if not np.array_equal(ids, wanted):
                raise Unavailable(
                    f"conversations of data set {self._dataset!r} were erased while their vectors were read"
                )
            yield ids, vectors

    def _chunk(self, first: int, last: int) -> tuple[QueryIds, Vectors]:
        statement = (
            "SELECT c.query_id, e.vector FROM log.conversations c"
            " JOIN log.embeddings e ON e.space_id = %s AND e.sha256 = c.text"
            " WHERE c.dataset = %s AND c.query_id BETWEEN %s AND %s ORDER BY c.query_id"
        )
        with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute(statement, [self._space_id, self._dataset, first, last])
            return _stacked(cursor.fetchall(), self.dimension)
