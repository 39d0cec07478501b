"""Conversations in: each once, in bounded batches, with everything beside the log that a replay needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.bootstrap import Container
from commands.datasets import EndLoad, RequestEmbedding, RequestLoad, loading, run_load
from commands.datasets.loading import batches
from commands.ports import BadRow, Conversation
from domain.content import decode_content, decode_manifest
from domain.datasets import Dataset
from domain.errors import Conflict, Invalid, NotFound
from domain.values import digest
from tests.stories import (
    FINGERPRINT,
    SOURCE,
    conversation,
    import_rows,
    load,
    logged,
    query_ids,
    request_load,
)


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


def dataset_of(container: Container, name: str) -> Dataset:
    return container.store.load(Dataset, name)


# --- requests


def test_the_first_load_makes_the_data_set(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset, {"limit": 3})
    assert logged(container, dataset) == ["dataset.created", "dataset.load_requested"]
    assert dataset_of(container, dataset).job(job_id).options == {"limit": 3}


def test_a_second_load_goes_into_the_same_one(container: Container, dataset: str) -> None:
    request_load(container, dataset)
    request_load(container, dataset)
    assert logged(container, dataset).count("dataset.created") == 1


@pytest.mark.parametrize("name", ["", "a b", "../a", "x" * 65, "a\0", "\ud800"])
def test_a_data_set_of_an_odd_name_is_refused(container: Container, name: str) -> None:
    command = RequestLoad(dataset=name, job_id="j", kind="upload", source=SOURCE, options={})
    with pytest.raises(Invalid, match="data set name"):
        container.bus.handle(command)


# --- batches


def test_a_batch_becomes_queries_and_content(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    rows = [conversation(1, "how?", "a", language="en", metadata={"x": 1}), conversation(2, "why?", "b")]
    import_rows(container, job_id, rows, dataset)
    first, second = query_ids(container, dataset)
    bodies = container.contents.of_queries(dataset, [first, second])
    content = decode_content(bodies[first])
    assert (content.query, content.language, content.metadata) == ("how?", "en", {"x": 1})
    assert [turn.role for turn in content.turns] == ["user", "assistant"]
    assert second == first + 1
    state = dataset_of(container, dataset)
    assert (state.queries, state.last_query_id, state.job(job_id).rows_read) == (2, second, 2)


def test_the_manifest_lists_what_the_batch_brought(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    position = import_rows(container, job_id, [conversation(1, "how?", "a")], dataset).position
    with container.database.connection() as connection:
        sql = "SELECT data ->> 'manifest' FROM log.events WHERE position = %s"
        row = connection.execute(sql, [position]).fetchone()
    assert row is not None
    manifest = bytes.fromhex(row[0])
    ids, digests = decode_manifest(container.contents.get([manifest])[manifest])
    assert ids == ["a"]
    assert digests == list(container.contents.known_conversations(dataset, ["a"]).values())


def test_the_text_of_a_query_is_addressed_for_its_vector(container: Container, dataset: str) -> None:
    load(container, "how?", "how?", dataset=dataset)
    rows = container.embeddings.queries(dataset, 0, 2**62, 10)
    assert [text for _, text, _ in rows] == [digest(b"how?")] * 2


def test_ids_of_queries_are_given_once_over_all_data_sets(container: Container, dataset: str) -> None:
    mine = load(container, "one", "two", dataset=dataset)
    theirs = load(container, "one", "two", dataset=f"{dataset}-2")
    assert len({*mine, *theirs}) == 4


def test_a_row_without_an_id_gets_one_from_its_source_and_its_number(
    container: Container, dataset: str
) -> None:
    job_id = request_load(container, dataset)
    import_rows(container, job_id, [conversation(7, "how?")], dataset)
    known = container.contents.known_conversations(dataset, [f"{FINGERPRINT[:16]}-7"])
    assert len(known) == 1


def test_a_repeated_batch_changes_nothing(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    rows = [conversation(1, "how?", "a"), conversation(2, "why?", "b")]
    import_rows(container, job_id, rows, dataset)
    head = container.store.head()
    assert import_rows(container, job_id, rows, dataset).position is None
    assert container.store.head() == head
    assert len(query_ids(container, dataset)) == 2


@pytest.mark.parametrize("named", [True, False])
def test_loading_the_same_again_adds_nothing(container: Container, dataset: str, named: bool) -> None:
    rows = [conversation(at, f"q{at}", f"id{at}" if named else None) for at in (1, 2, 3)]
    import_rows(container, request_load(container, dataset), rows, dataset)
    before = query_ids(container, dataset)
    again = request_load(container, dataset)
    import_rows(container, again, rows, dataset)
    job = dataset_of(container, dataset).job(again)
    assert (job.imported, job.skipped, job.rejected) == (0, 3, 0)
    assert query_ids(container, dataset) == before


def test_the_same_file_in_another_data_set_is_loaded_there(container: Container, dataset: str) -> None:
    rows = [conversation(1, "how?", "a")]
    for name in (dataset, f"{dataset}-2"):
        import_rows(container, request_load(container, name), rows, name)
    assert len(query_ids(container, dataset)) == len(query_ids(container, f"{dataset}-2")) == 1


@pytest.mark.parametrize(("skip_existing", "rejected", "skipped"), [(False, 1, 0), (True, 0, 1)])
def test_an_id_with_other_content_is_rejected_or_passed_over(
    container: Container, dataset: str, skip_existing: bool, rejected: int, skipped: int
) -> None:
    import_rows(container, request_load(container, dataset), [conversation(1, "how?", "a")], dataset)
    job_id = request_load(container, dataset)
    other = [conversation(1, "how so?", "a")]
    import_rows(container, job_id, other, dataset, skip_existing=skip_existing)
    job = dataset_of(container, dataset).job(job_id)
    assert (job.rejected, job.skipped, job.imported) == (rejected, skipped, 0)
    bodies = container.contents.of_queries(dataset, query_ids(container, dataset))
    assert [decode_content(body).query for body in bodies.values()] == ["how?"]


def test_a_bad_row_costs_none_of_those_beside_it(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    bad = BadRow(2, "must be a JSON object")
    import_rows(container, job_id, [conversation(1, "one", "a"), bad, conversation(3, "three", "c")], dataset)
    job = dataset_of(container, dataset).job(job_id)
    assert (job.imported, job.rejected, job.rows_read) == (2, 1, 3)


def test_a_batch_of_bad_rows_reserves_no_ids(container: Container, dataset: str) -> None:
    (before,) = load(container, "one", dataset=dataset)
    import_rows(container, request_load(container, dataset), [BadRow(1, "bad"), BadRow(2, "bad")], dataset)
    assert load(container, "two", dataset=dataset) == [before + 1]


def test_no_content_is_kept_of_rows_that_were_not_taken(container: Container, dataset: str) -> None:
    rows = [conversation(1, "how?", "a")]
    import_rows(container, request_load(container, dataset), rows, dataset)
    with container.database.connection() as connection:
        before = connection.execute("SELECT count(*) FROM log.contents").fetchone()
    import_rows(container, request_load(container, dataset), [conversation(1, "other", "a")], dataset)
    with container.database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM log.contents").fetchone() == before


def test_a_batch_for_a_job_that_nobody_asked_for_is_not_found(container: Container, dataset: str) -> None:
    request_load(container, dataset)
    with pytest.raises(NotFound, match="has no job 'other'"):
        import_rows(container, "other", [conversation(1, "how?", "a")], dataset)


# --- the end


def test_an_embedding_that_was_asked_for_is_requested_with_the_end(
    container: Container, dataset: str
) -> None:
    embedding = {"provider": "wordllama", "model": "l2_supercat_256", "options": {}}
    job_id = request_load(container, dataset, {"embedding": embedding})
    import_rows(container, job_id, [conversation(1, "how?", "a")], dataset)
    container.bus.handle(EndLoad(dataset=dataset, job_id=job_id))
    assert logged(container, dataset)[-2:] == ["dataset.load_completed", "dataset.embedding_requested"]
    assert dataset_of(container, dataset).job(f"{job_id}-embed").source["model"] == "l2_supercat_256"
    assert container.bus.handle(EndLoad(dataset=dataset, job_id=job_id)).position is None


def test_nothing_is_embedded_where_nothing_was_loaded(container: Container, dataset: str) -> None:
    embedding = {"provider": "wordllama", "model": "l2_supercat_256", "options": {}}
    job_id = request_load(container, dataset, {"embedding": embedding})
    import_rows(container, job_id, [BadRow(1, "bad")], dataset)
    container.bus.handle(EndLoad(dataset=dataset, job_id=job_id))
    assert logged(container, dataset)[-1] == "dataset.load_completed"
    with pytest.raises(Invalid, match="has no queries to embed; load some first"):
        container.bus.handle(
            RequestEmbedding(dataset=dataset, job_id="e", provider="wordllama", model="l2_supercat_256")
        )


def test_a_load_that_failed_is_not_completed_by_a_late_worker(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    container.bus.handle(EndLoad(dataset=dataset, job_id=job_id, error="gone"))
    with pytest.raises(Conflict, match="has failed already"):
        container.bus.handle(EndLoad(dataset=dataset, job_id=job_id))


# --- the job


class Listed:
    """A source of rows that are at hand. It says from where it was read."""

    name = "listed.jsonl"
    fingerprint = FINGERPRINT

    def __init__(self, rows: list[Conversation | BadRow], breaks_at: int | None = None) -> None:
        self._rows = rows
        self._breaks_at = breaks_at
        self.total = len(rows)
        self.read_after: list[int] = []
        self.released = 0

    def open(self, source: Mapping[str, Any], options: Mapping[str, Any]) -> Listed:
        return self

    def release(self, source: Mapping[str, Any]) -> None:
        self.released += 1

    def rows(self, after: int = 0) -> Iterator[Conversation | BadRow]:
        self.read_after.append(after)
        for row in self._rows[after:]:
            if row.row == self._breaks_at:
                raise ConnectionResetError
            yield row


def run(container: Container, dataset: str, job_id: str, source: Listed) -> list[tuple[int, int | None]]:
    told: list[tuple[int, int | None]] = []
    run_load(
        dataset,
        job_id,
        bus=container.bus,
        store=container.store,
        sources=source,
        progress=lambda done, total: told.append((done, total)),
    )
    return told


def test_a_job_goes_on_where_it_stopped(
    container: Container, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH_ROWS", 2)
    rows: list[Conversation | BadRow] = [conversation(at, f"q{at}", f"id{at}") for at in range(1, 8)]
    job_id = request_load(container, dataset)
    broken = Listed(rows, breaks_at=6)
    with pytest.raises(ConnectionResetError):
        run(container, dataset, job_id, broken)
    assert dataset_of(container, dataset).job(job_id).rows_read == 4
    whole = Listed(rows)
    assert run(container, dataset, job_id, whole) == [(4, 7), (6, 7), (7, 7)]
    assert (broken.read_after, whole.read_after) == ([0], [4])
    assert (broken.released, whole.released) == (0, 1)
    assert len(query_ids(container, dataset)) == 7
    assert dataset_of(container, dataset).job(job_id).status == "completed"


def test_a_job_that_has_ended_is_not_run_again(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    source = Listed([conversation(1, "how?", "a")])
    run(container, dataset, job_id, source)
    run(container, dataset, job_id, source)
    assert source.read_after == [0]


# --- how large a batch is

ROWS = st.lists(
    st.builds(
        lambda text, note: conversation(1, "x" * text, metadata={"note": "y" * note}),
        st.integers(1, 30),
        st.integers(0, 30),
    )
    | st.builds(BadRow, st.integers(1, 9), st.just("bad")),
    max_size=30,
)


def characters(row: Conversation | BadRow) -> int:
    """At least: without what stands around the text in JSON."""
    if isinstance(row, BadRow):
        return 0
    return sum(len(turn["content"]) for turn in row.turns) + len(row.metadata["note"])


@given(ROWS, st.integers(1, 7), st.integers(1, 200))
def test_batches_hold_all_rows_and_are_bounded_by_rows_and_characters(
    rows: list[Conversation | BadRow], most: int, most_characters: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "BATCH_ROWS", most)
        patch.setattr(loading, "BATCH_CHARACTERS", most_characters)
        made = list(batches(iter(rows)))
    assert [row for batch in made for row in batch] == rows
    assert all(batch for batch in made)
    assert max(map(len, made), default=0) <= most
    assert all(sum(map(characters, batch[:-1])) < most_characters for batch in made)


def test_rows_are_read_no_further_than_a_batch_needs() -> None:
    read: list[int] = []

    def rows() -> Iterator[Conversation | BadRow]:
        for at in range(1, 6):
            read.append(at)
            yield BadRow(at, "bad")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "BATCH_ROWS", 2)
        next(batches(rows()))
    assert read == [1, 2]
