"""Erasing beside the log while others load, read and rebuild; and what rebuilds have left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import text

from adapters.bootstrap import Container
from adapters.contents import store_contents, store_conversations
from adapters.language_models.kept import Kept, PostgresAnswers
from adapters.read_store import alone, create_tables
from adapters.rebuild import rebuild
from commands.clustering import run_clustering
from commands.datasets import EraseConversation
from commands.ports import NewConversation
from domain.base import context
from domain.content import encode_content
from domain.errors import Conflict, Unavailable
from domain.values import digest
from projections.datasets import DatasetsProjection
from tests.commands.test_clustering import ByDirection, ByFirstLetter
from tests.runs import SPACE
from tests.stories import conversation, import_rows, project, query_ids, record, request_load, request_run

DATASETS = DatasetsProjection()


def bring(container: Container, dataset: str, **texts: str) -> list[int]:
    lines = [conversation(row, said, one) for row, (one, said) in enumerate(texts.items(), 1)]
    import_rows(container, request_load(container, dataset), lines, dataset)
    vectors = {digest(said.encode()): np.full(4, 0.5, np.float32) for said in texts.values()}
    container.embeddings.put(SPACE, vectors)
    return query_ids(container, dataset)


def erase(container: Container, dataset: str, conversation_id: str) -> dict[str, Any]:
    context.set(replace(context.get(), reason="asked for"))
    command = EraseConversation(dataset=dataset, conversation_id=conversation_id)
    return container.bus.handle(command).answer


def schemas(container: Container) -> set[str]:
    with container.database.engine.connect() as connection:
        sql = "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%\\_\\_%'"
        return set(connection.execute(text(sql)).scalars())


# --- what rebuilds have left


def test_what_rebuilds_have_left_goes(container: Container) -> None:
    bring(container, "a", x="secret")
    project(container)
    rebuild(container.database, DATASETS, container.mapper, lambda name, position: None)
    for name in ("datasets__next", "datasets__verify"):
        create_tables(container.database, DATASETS.tables, name, indexes=False)
    assert schemas(container) == {"datasets__old", "datasets__next", "datasets__verify"}
    erase(container, "a", "x")
    assert schemas(container) == set()


def test_what_is_being_filled_stays(container: Container) -> None:
    bring(container, "a", x="secret")
    create_tables(container.database, DATASETS.tables, "datasets__next", indexes=False)
    with alone(container.database, "datasets"):
        erase(container, "a", "x")
    assert schemas(container) == {"datasets__next"}


def test_a_rebuild_keeps_no_read_model_that_has_yet_to_forget(container: Container) -> None:
    bring(container, "a", x="secret", y="other")
    project(container)
    erase(container, "a", "x")
    rebuild(container.database, DATASETS, container.mapper, lambda name, position: None)
    assert schemas(container) == set()
    rebuild(container.database, DATASETS, container.mapper, lambda name, position: None)
    assert schemas(container) == {"datasets__old"}
    with container.database.engine.connect() as connection:
        kept = connection.execute(text("SELECT query_text FROM datasets__old.queries")).scalars().all()
    assert kept == ["other"]


# --- what models answered


def keep_answer(container: Container, key: bytes, *ids: int) -> None:
    answers = PostgresAnswers(container.database, days=9)
    answers.keep("openai/m", [Kept(key, {"label": "refund"}, frozenset(ids))])


def kept_answers(container: Container) -> set[bytes]:
    with container.database.connection() as connection:
        rows = connection.cursor(binary=True).execute("SELECT sha256 FROM ops.answers").fetchall()
    return {row[0] for row in rows}


def test_what_a_model_answered_about_the_text_goes(container: Container) -> None:
    first, second = bring(container, "a", x="secret", y="other")
    keep_answer(container, b"of both", first, second)
    keep_answer(container, b"of one", second)
    keep_answer(container, b"of none")
    erase(container, "a", "x")
    assert kept_answers(container) == {b"of one", b"of none"}


def test_so_does_an_answer_that_was_found_again_for_another_query(container: Container) -> None:
    [first] = bring(container, "a", x="secret")
    [second] = bring(container, "b", z="secret")
    keep_answer(container, b"key", first)
    PostgresAnswers(container.database, days=9).find({b"key": frozenset({second})})
    erase(container, "b", "z")
    assert kept_answers(container) == set()


def test_what_a_model_answers_after_the_erasure_is_not_kept(container: Container) -> None:
    first, second = bring(container, "a", x="secret", y="other")
    erase(container, "a", "x")
    keep_answer(container, b"of both", first, second)
    keep_answer(container, b"of one", second)
    assert kept_answers(container) == {b"of one"}


# --- at the same time


@contextmanager
def loading(container: Container, dataset: str, said: str) -> Iterator[None]:
    """A load of this text into a data set, which commits at the end."""
    turns = [{"role": "user", "content": said}, {"role": "assistant", "content": f"about {said}"}]
    body = encode_content(turns, "unknown", None, None, {})
    line = NewConversation("late", 10_000, digest(body), digest(said.encode()))
    with psycopg.connect(container.database.url) as connection, connection.cursor() as cursor:
        store_contents({digest(body): body})(cursor, None)
        store_conversations(dataset, [line], False)(cursor, None)
        yield


def test_a_content_that_a_load_is_about_to_share_is_not_taken_from_it(container: Container) -> None:
    bring(container, "a", x="shared")
    erasing = threading.Thread(target=erase, args=[container, "a", "x"])
    with loading(container, "b", "shared"):
        erasing.start()
        erasing.join(timeout=0.5)
        assert erasing.is_alive(), "it waits for the load"
    erasing.join(timeout=30)
    assert not erasing.is_alive()
    assert container.contents.of_queries("b", [10_000]).keys() == {10_000}
    assert container.embeddings.get(SPACE, [digest(b"shared")])
    assert query_ids(container, "a") == []


def test_a_pass_over_vectors_of_which_one_was_erased_is_broken_off(container: Container) -> None:
    first, second = bring(container, "a", x="secret", y="other")
    source = container.embeddings.source("a", SPACE, second)
    assert [ids.tolist() for ids, _ in source.chunks()] == [[first, second]]
    erase(container, "a", "x")
    with pytest.raises(Unavailable, match="conversations of data set 'a' were erased"):
        list(source.chunks())
    assert [ids.tolist() for ids, _ in container.embeddings.source("a", SPACE, second).chunks()] == [[second]]


def test_chunks_of_before_and_after_an_erasure_are_not_mixed(container: Container) -> None:
    ids = bring(container, "a", x="ant", y="bee", z="ape")
    run_id = request_run(container, "a", 2)
    record(container, run_id, 0, ids[:2], [0, 1])
    erase(container, "a", "z")
    with pytest.raises(Conflict, match=r"were erased while run .* was recorded; request a new run"):
        work(container, run_id)
    newer = request_run(container, "a", 2)
    erase(container, "a", "y")
    work(container, newer)
    assert container.contents.of_queries("a", ids).keys() == {ids[0]}


def work(container: Container, run_id: str) -> None:
    run_clustering(
        run_id,
        bus=container.bus,
        store=container.store,
        contents=container.contents,
        embeddings=container.embeddings,
        embedders=ByFirstLetter(),
        clusterer=ByDirection(),
        progress=lambda done, total: None,
    )


def test_tidying_up_takes_samples_of_texts_from_the_statistics(container: Container) -> None:
    bring(container, "a", x="quillfeather", y="other", z="third")
    project(container)
    container.contents.tidy()
    assert sampled(container, "quillfeather")
    erase(container, "a", "x")
    project(container)
    container.contents.tidy()
    assert not sampled(container, "quillfeather")


def sampled(container: Container, word: str) -> bool:
    with container.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT s::text FROM pg_stats AS s WHERE schemaname = 'datasets'"))
        return any(word in row for row in rows.scalars())
