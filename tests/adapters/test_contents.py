"""What lies beside the log: contents by their digest, the index of data sets, and vectors by space."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest

import adapters.contents
from adapters.bootstrap import Container
from adapters.contents import PostgresContents, PostgresEmbeddings, store_contents, store_conversations
from adapters.database import Database
from commands.ports import NewConversation
from domain.values import Space, Vectors, digest

SPACE = Space("wordllama", "l2_supercat_4", 4, "r1")
OTHER = Space("wordllama", "l2_supercat_4", 4, "r2")


@pytest.fixture
def database(container: Container) -> Database:
    return container.database


@pytest.fixture
def contents(database: Database) -> PostgresContents:
    return PostgresContents(database)


@pytest.fixture
def embeddings(database: Database) -> PostgresEmbeddings:
    return PostgresEmbeddings(database)


def keep(database: Database, *writes: Any) -> None:  # noqa: ANN401
    with database.connection() as connection, connection.cursor() as cursor:
        for write in writes:
            write(cursor, None)


def by_digest(*bodies: bytes) -> dict[bytes, bytes]:
    return {digest(body): body for body in bodies}


def conversation(number: int, query_id: int, text: bytes | None = None) -> NewConversation:
    body = f"body {number}".encode()
    return NewConversation(f"c{number}", query_id, digest(body), digest(text or body))


def count(database: Database, table: str) -> int:
    with database.connection() as connection:
        row = connection.execute(f"SELECT count(*) FROM log.{table}").fetchone()
    assert row is not None
    return int(row[0])


# --- contents


@pytest.mark.parametrize("body", [b"", b"\0\1\2", "grüße".encode(), b"x" * 5_000_000])
def test_a_content_comes_back_as_it_was(database: Database, contents: PostgresContents, body: bytes) -> None:
    keep(database, store_contents(by_digest(body)))
    assert contents.get([digest(body)]) == by_digest(body)


def test_what_is_not_there_is_left_out(database: Database, contents: PostgresContents) -> None:
    keep(database, store_contents(by_digest(b"one", b"two")))
    assert contents.get([digest(b"one"), digest(b"three")]) == by_digest(b"one")
    assert contents.get([]) == {}


def test_a_content_that_is_there_already_costs_nothing(
    database: Database, contents: PostgresContents
) -> None:
    keep(database, store_contents(by_digest(b"one", b"two")))
    keep(database, store_contents(by_digest(b"two", b"three")), store_contents(by_digest(b"three", b"four")))
    assert count(database, "contents") == 4
    assert contents.get([digest(b"two"), digest(b"four")]) == by_digest(b"two", b"four")


def both_ways(act: Callable[[list[bytes]], None]) -> list[Exception]:
    """The failures of six who act at once on the same bodies, in opposite orders.

    Each would hold what another waits for, were there not one order for all.
    """
    bodies = [f"body {number}".encode() for number in range(3_000)]
    failed: list[Exception] = []

    def one(order: list[bytes]) -> None:
        try:
            act(order)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=[order]) for order in (bodies, bodies[::-1]) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_many_who_keep_the_same_contents_at_once_all_succeed(database: Database) -> None:
    assert both_ways(lambda bodies: keep(database, store_contents(by_digest(*bodies)))) == []
    assert count(database, "contents") == 3_000


# --- the index of a data set


def test_a_data_set_knows_its_conversations(database: Database, contents: PostgresContents) -> None:
    keep(database, store_conversations("a", [conversation(1, 1), conversation(2, 2)], False))
    keep(database, store_conversations("b", [conversation(3, 3)], False))
    assert contents.known_conversations("a", ["c1", "c3", "c9"]) == {"c1": digest(b"body 1")}
    assert contents.known_conversations("a", []) == {}


def test_the_content_of_a_query_is_found_by_its_id(database: Database, contents: PostgresContents) -> None:
    rows = [conversation(number, number) for number in range(1, 4)]
    keep(database, store_contents(by_digest(b"body 1", b"body 2")), store_conversations("a", rows, False))
    keep(database, store_conversations("b", [conversation(1, 9)], False))
    assert contents.of_queries("a", [1, 2, 3, 9]) == {1: b"body 1", 2: b"body 2"}
    assert contents.of_queries("b", [1, 9]) == {9: b"body 1"}
    assert contents.of_queries("a", []) == {}


@pytest.mark.parametrize("again", [conversation(1, 7), conversation(7, 1)])
def test_a_conversation_and_a_query_are_in_a_data_set_once(
    database: Database, again: NewConversation
) -> None:
    keep(database, store_conversations("a", [conversation(1, 1)], False))
    with pytest.raises(psycopg.errors.UniqueViolation):
        keep(database, store_conversations("a", [again], False))
    assert count(database, "conversations") == 1


def test_a_data_set_that_is_cleared_forgets_its_conversations_alone(
    database: Database, contents: PostgresContents
) -> None:
    keep(database, store_contents(by_digest(b"body 1")))
    for dataset in ("a", "b"):
        keep(database, store_conversations(dataset, [conversation(1, 1)], False))
    keep(database, store_conversations("a", [conversation(2, 2)], True))
    assert contents.known_conversations("a", ["c1", "c2"]) == {"c2": digest(b"body 2")}
    assert contents.of_queries("b", [1]) == {1: b"body 1"}


# --- vectors


def vector(*values: float) -> Vectors:
    return np.array(values, np.float32)


def same(found: dict[bytes, Vectors], expected: dict[bytes, Vectors]) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[one], expected[one]) for one in found)


ONE, TWO, THREE = (digest(word) for word in (b"one", b"two", b"three"))


def test_a_vector_comes_back_to_the_bit_in_its_space_alone(embeddings: PostgresEmbeddings) -> None:
    odd = vector(1e-45, -0.0, np.pi, 3.4e38)
    embeddings.put(SPACE, {ONE: odd, TWO: vector(0, 0, 0, 1)})
    embeddings.put(OTHER, {ONE: vector(1, 1, 1, 1)})
    found = embeddings.get(SPACE, [ONE, TWO, THREE])
    assert same(found, {ONE: odd, TWO: vector(0, 0, 0, 1)})
    assert found[ONE].tobytes() == odd.tobytes()
    assert same(embeddings.get(OTHER, [ONE, TWO]), {ONE: vector(1, 1, 1, 1)})
    assert embeddings.get(SPACE, []) == {}


def test_the_first_vector_of_a_text_stays(embeddings: PostgresEmbeddings) -> None:
    embeddings.put(SPACE, {ONE: vector(1, 0, 0, 0)})
    embeddings.put(SPACE, {ONE: vector(0, 1, 0, 0), TWO: vector(0, 0, 1, 0)})
    expected = {ONE: vector(1, 0, 0, 0), TWO: vector(0, 0, 1, 0)}
    assert same(embeddings.get(SPACE, [ONE, TWO]), expected)


def test_missing_are_those_without_a_vector_in_the_space(embeddings: PostgresEmbeddings) -> None:
    assert embeddings.missing(SPACE, [ONE, TWO]) == {ONE, TWO}
    embeddings.put(SPACE, {ONE: vector(1, 0, 0, 0)})
    assert embeddings.missing(SPACE, [ONE, TWO]) == {TWO}
    assert embeddings.missing(OTHER, [ONE]) == {ONE}
    assert embeddings.missing(SPACE, []) == set()


def test_many_who_embed_the_same_texts_at_once_all_succeed(
    database: Database, embeddings: PostgresEmbeddings
) -> None:
    def put(texts: list[bytes]) -> None:
        embeddings.put(SPACE, {digest(text): vector(1, 2, 3, 4) for text in texts})

    assert both_ways(put) == []
    assert count(database, "embeddings") == 3_000


def test_a_space_takes_one_number_however_many_processes_use_it(database: Database) -> None:
    for _ in range(5):
        PostgresEmbeddings(database).missing(SPACE, [ONE])
    PostgresEmbeddings(database).missing(OTHER, [ONE])
    with database.connection() as connection:
        numbers = connection.execute("SELECT space_id, revision FROM log.spaces ORDER BY 1").fetchall()
    assert numbers == [(1, "r1"), (2, "r2")]


def test_two_who_use_a_new_space_at_once_get_the_same_number(database: Database) -> None:
    users = [PostgresEmbeddings(database) for _ in range(6)]
    threads = [threading.Thread(target=one.put, args=[SPACE, {ONE: vector(1, 0, 0, 0)}]) for one in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one._ids[SPACE] for one in users} == {users[0]._ids[SPACE]}
    assert count(database, "embeddings") == 1


@pytest.fixture
def loaded(database: Database, embeddings: PostgresEmbeddings) -> None:
    """Data set `a`: queries 10, 20, ..., 250, some without a vector; two each share a text."""
    rows = [conversation(number, number * 10, b"text %d" % (number // 2)) for number in range(1, 26)]
    keep(database, store_conversations("a", rows, False))
    keep(database, store_conversations("b", [conversation(99, 15, b"text 1")], False))
    texts = [number for number in range(13) if number % 5]
    embeddings.put(SPACE, {digest(b"text %d" % number): vector(number, 1, 0, 0) for number in texts})


EMBEDDED = [number * 10 for number in range(1, 26) if number // 2 % 5]


@pytest.mark.usefixtures("loaded")
def test_queries_are_paged_through_in_order(embeddings: PostgresEmbeddings) -> None:
    found = embeddings.queries("a", 10, 240, 3)
    assert found == [(n * 10, digest(b"text %d" % (n // 2)), digest(b"body %d" % n)) for n in (2, 3, 4)]
    assert [one for one, _, _ in embeddings.queries("a", 220, 240, 9)] == [230, 240]
    assert embeddings.queries("a", 250, 999, 9) == []


@pytest.mark.usefixtures("loaded")
def test_vectors_of_queries_come_in_the_order_of_their_ids(embeddings: PostgresEmbeddings) -> None:
    ids, vectors = embeddings.of_queries("a", SPACE, np.array([250, 20, 10, 40, 15, 30]))
    assert ids.tolist() == [20, 30, 40, 250]
    assert vectors[:, 0].tolist() == [1, 1, 2, 12]
    nobody, nothing = embeddings.of_queries("a", SPACE, np.array([10], np.int64))
    assert (nobody.shape, nothing.shape) == ((0,), (0, 4))


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_a_source_has_every_vector_in_order_as_often_as_it_is_read(
    embeddings: PostgresEmbeddings, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(adapters.contents, "CHUNK", chunk)
    source = embeddings.source("a", SPACE, 250)
    for _ in range(2):
        chunks = list(source.chunks())
        assert max(len(ids) for ids, _ in chunks) == min(chunk, len(EMBEDDED))
        assert np.concatenate([ids for ids, _ in chunks]).tolist() == EMBEDDED
        rows = np.concatenate([vectors for _, vectors in chunks])
        assert rows[:, 0].tolist() == [one // 20 for one in EMBEDDED]
    assert (source.count, source.dimension) == (len(EMBEDDED), 4)


@pytest.mark.usefixtures("loaded")
def test_a_source_counts_the_vectors_that_it_has_and_ends_where_it_is_told(
    embeddings: PostgresEmbeddings,
) -> None:
    source = embeddings.source("a", SPACE, 100)
    ids = np.concatenate([ids for ids, _ in source.chunks()]).tolist()
    assert ids == [one for one in EMBEDDED if one <= 100]
    assert source.count == len(ids)
    empty = embeddings.source("a", OTHER, 250)
    assert empty.count == len(list(empty.chunks())) == 0
