"""Loading, embedding and clearing, as a data set decides them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.datasets import MAX_REPORTED, Dataset, Row, SortedRows, check_name, sort_out
from domain.errors import Conflict, Invalid, NotFound
from tests.given import given
from tests.runs import SPACE

SOURCE = {"kind": "upload", "sha256": "aa" * 32, "name": "chats.jsonl"}
MANIFEST = "bb" * 32


def loading() -> Dataset:
    dataset = Dataset("default")
    dataset.request_load("load-1", "upload", SOURCE, {"skip_existing": True})
    return dataset


def new_rows(count: int) -> list[Row]:
    return [Row(at, f"c{at}", bytes([at]) * 32) for at in range(1, count + 1)]


def import_rows(dataset: Dataset, rows_read: int, first: int, count: int, *, job_id: str = "load-1") -> None:
    batch = SortedRows(new_rows(count), 0, [])
    dataset.import_batch(job_id, rows_read, first, batch, [], MANIFEST if count else None)


def loaded(count: int = 3) -> Dataset:
    dataset = loading()
    import_rows(dataset, count, 1, count)
    dataset.complete_load("load-1")
    return dataset


def load_failed() -> Dataset:
    dataset = loading()
    dataset.fail_load("load-1", "gone")
    return dataset


def embedding() -> Dataset:
    dataset = loaded()
    dataset.request_embedding("embed-1", "wordllama", "l2_supercat_4", {})
    return dataset


# --- names


@pytest.mark.parametrize("name", ["default", "a", "0", "lmsys-chat-1m", "A.b_c-D", "x" * 64])
def test_a_name_fit_for_an_address_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", " ", "-a", ".hidden", "_a", "a b", "a/b", "a\n", "ä", "x" * 65, "a\0", "\ud800", "a%2f"]
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="data set name"):
        check_name(name)


# --- loading


def test_a_load_is_requested_with_its_source_and_options() -> None:
    dataset = Dataset("default")
    requesting = given(dataset).when(lambda one: one.request_load("load-1", "upload", SOURCE, {"limit": 5}))
    requesting.then(
        Dataset.LoadRequested, job_id="load-1", kind="upload", source=SOURCE, options={"limit": 5}
    )
    assert dataset.jobs["load-1"].status == "pending"


@pytest.mark.parametrize(
    "decide",
    [
        lambda one: one.request_load("load-1", "upload", SOURCE, {}),
        lambda one: one.request_embedding("load-1", "wordllama", "l2_supercat_4", {}),
    ],
    ids=["load", "embedding"],
)
def test_an_id_of_a_job_is_not_given_twice(decide: Callable[[Dataset], None]) -> None:
    given(loaded()).when(decide).refuses(Conflict, "has a job load-1 already")


@pytest.mark.parametrize("name", ["a\0.jsonl", "caf\udce9.jsonl"])
def test_a_source_whose_name_cannot_be_kept_is_refused(name: str) -> None:
    requesting = given(Dataset("default")).when(
        lambda one: one.request_load("load-1", "upload", {**SOURCE, "name": name}, {})
    )
    requesting.refuses(Invalid, "source.name holds")


def test_a_batch_is_recorded_with_all_that_became_of_its_rows() -> None:
    dataset = loading()
    sorted_rows = SortedRows(new_rows(2), 3, [{"row": 4, "reason": "other content"}])
    bad = [{"row": 6, "reason": "no text"}, {"row": 2, "reason": "no user"}]
    event = (
        given(dataset)
        .when(lambda one: one.import_batch("load-1", 8, 11, sorted_rows, bad, MANIFEST))
        .then(
            Dataset.ConversationsImported,
            job_id="load-1",
            rows_read=8,
            first_query_id=11,
            count=2,
            manifest=MANIFEST,
            skipped=3,
            rejected=3,
        )
    )
    assert [one["row"] for one in event.errors] == [2, 4, 6]
    job = dataset.jobs["load-1"]
    assert (job.status, job.rows_read, job.imported, job.skipped, job.rejected) == ("running", 8, 2, 3, 3)
    assert (dataset.queries, dataset.last_query_id) == (2, 12)


@pytest.mark.parametrize("rows_read", [1, 8])
def test_a_repeated_batch_changes_nothing(rows_read: int) -> None:
    dataset = loading()
    import_rows(dataset, 8, 1, 3)
    given(dataset).when(lambda one: import_rows(one, rows_read, 99, 3)).then_nothing()
    assert (dataset.queries, dataset.last_query_id) == (3, 3)


def test_a_batch_without_anything_new_is_progress_all_the_same() -> None:
    dataset = loaded()
    dataset.request_load("load-2", "upload", SOURCE, {})
    given(dataset).when(lambda one: one.import_batch("load-2", 3, 0, SortedRows([], 3, []), [], None)).then(
        Dataset.ConversationsImported, count=0, skipped=3, manifest=None
    )
    assert (dataset.queries, dataset.last_query_id) == (3, 3)


def test_bad_rows_are_all_counted_and_the_first_ones_shown() -> None:
    dataset = loading()
    for start in (0, 80, 160):
        bad = [{"row": start + at, "reason": "empty"} for at in range(1, 81)]
        dataset.import_batch("load-1", start + 80, 0, SortedRows([], 0, []), bad, None)
    events: list[Any] = list(dataset.collect_events())
    shown = [len(one.errors) for one in events[-3:]]
    assert shown == [80, 20, 0]
    assert dataset.jobs["load-1"].reported == MAX_REPORTED
    assert dataset.jobs["load-1"].rejected == 240


def test_the_reason_of_a_bad_row_is_kept_in_a_form_that_can_be_stored() -> None:
    bad = [{"row": 1, "reason": "field '\ud800\0'"}]
    event = (
        given(loading())
        .when(lambda one: one.import_batch("load-1", 1, 0, SortedRows([], 0, []), bad, None))
        .then(Dataset.ConversationsImported)
    )
    assert event.errors == [{"row": 1, "reason": "field '?\N{REPLACEMENT CHARACTER}'"}]


def test_completion_adds_up_what_was_done() -> None:
    dataset = loading()
    import_rows(dataset, 3, 1, 3)
    import_rows(dataset, 5, 4, 2)
    given(dataset).when(lambda one: one.complete_load("load-1")).then(
        Dataset.LoadCompleted, rows_read=5, imported=5, skipped=0, rejected=0
    )
    assert dataset.jobs["load-1"].status == "completed"
    given(dataset).when(lambda one: one.complete_load("load-1")).then_nothing()


@pytest.mark.parametrize(
    "decide",
    [
        lambda one: import_rows(one, 1, 1, 1, job_id="other"),
        lambda one: one.complete_load("other"),
        lambda one: one.fail_load("other", "gone"),
        lambda one: one.complete_embedding("other", SPACE, 1),
        lambda one: one.fail_embedding("other", "gone"),
    ],
    ids=["import", "complete", "fail", "complete embedding", "fail embedding"],
)
def test_a_job_that_nobody_asked_for_is_not_found(decide: Callable[[Dataset], None]) -> None:
    given(loading()).when(decide).refuses(NotFound, "has no job 'other'")


def test_a_failed_load_says_why() -> None:
    failing = given(loading()).when(lambda one: one.fail_load("load-1", "gone\0"))
    failing.then(Dataset.LoadFailed, error="gone\N{REPLACEMENT CHARACTER}")
    assert failing.aggregate.jobs["load-1"].status == "failed"


def test_a_load_that_has_failed_cannot_be_completed() -> None:
    given(load_failed()).when(lambda one: one.complete_load("load-1")).refuses(Conflict, "has failed already")


@pytest.mark.parametrize("make", [loaded, load_failed])
def test_a_load_that_has_ended_does_not_fail(make: Callable[[], Dataset]) -> None:
    given(make()).when(lambda one: one.fail_load("load-1", "late")).then_nothing()


@pytest.mark.parametrize("make", [loaded, load_failed])
def test_a_load_that_has_ended_takes_no_more(make: Callable[[], Dataset]) -> None:
    given(make()).when(lambda one: import_rows(one, 9, 9, 1)).refuses(
        Conflict, "job load-1 of data set 'default' has (completed|failed) already"
    )


# --- embedding


def test_an_embedding_is_requested_with_its_model() -> None:
    dataset = loaded()
    given(dataset).when(lambda one: one.request_embedding("e1", "wordllama", "m", {"n": 1})).then(
        Dataset.EmbeddingRequested, job_id="e1", provider="wordllama", model="m", options={"n": 1}
    )
    assert dataset.jobs["e1"].source == {"provider": "wordllama", "model": "m"}


def test_a_stretch_of_vectors_is_recorded_once() -> None:
    dataset = loaded()
    assert dataset.embedded_up_to(SPACE) == 0
    given(dataset).when(lambda one: one.record_embedded(SPACE, 1, 3, 3)).then(
        Dataset.QueriesEmbedded, space=vars(SPACE), first_query_id=1, last_query_id=3, count=3
    )
    assert dataset.embedded_up_to(SPACE) == 3
    given(dataset).when(lambda one: one.record_embedded(SPACE, 1, 3, 3)).then_nothing()
    given(dataset).when(lambda one: one.record_embedded(SPACE, 1, 2, 2)).then_nothing()


def test_spaces_are_embedded_each_for_itself() -> None:
    dataset = loaded()
    dataset.record_embedded(SPACE, 1, 3, 3)
    other = type(SPACE)("openai", "text-embedding-3-small", 256)
    assert dataset.embedded_up_to(other) == 0
    given(dataset).when(lambda one: one.record_embedded(other, 1, 2, 2)).then(Dataset.QueriesEmbedded)


def test_an_embedding_ends_once() -> None:
    dataset = embedding()
    given(dataset).when(lambda one: one.complete_embedding("embed-1", SPACE, 3)).then(
        Dataset.EmbeddingCompleted, job_id="embed-1", embedded=3, space=vars(SPACE)
    )
    given(dataset).when(lambda one: one.complete_embedding("embed-1", SPACE, 3)).then_nothing()
    given(dataset).when(lambda one: one.fail_embedding("embed-1", "late")).then_nothing()


def test_a_failed_embedding_says_why_and_stays_failed() -> None:
    dataset = embedding()
    given(dataset).when(lambda one: one.fail_embedding("embed-1", "no key\0")).then(
        Dataset.EmbeddingFailed, error="no key\N{REPLACEMENT CHARACTER}"
    )
    given(dataset).when(lambda one: one.complete_embedding("embed-1", SPACE, 3)).then_nothing()


# --- clearing


def test_clearing_says_how_many_queries_left() -> None:
    dataset = loaded()
    given(dataset).when(lambda one: one.clear()).then(Dataset.Cleared, queries=3)
    assert dataset.queries == 0


def test_an_empty_data_set_is_cleared_without_an_event() -> None:
    dataset = loaded()
    dataset.clear()
    given(dataset).when(lambda one: one.clear()).then_nothing()


@pytest.mark.parametrize(("make", "job"), [(loading, "load-1"), (embedding, "embed-1")])
def test_nothing_is_cleared_under_a_running_job(make: Callable[[], Dataset], job: str) -> None:
    given(make()).when(lambda one: one.clear()).refuses(Conflict, f"jobs under way: {job}")


def test_a_load_that_has_begun_to_import_is_under_way() -> None:
    dataset = loading()
    import_rows(dataset, 3, 1, 3)
    given(dataset).when(lambda one: one.clear()).refuses(Conflict, "wait until they have ended")


def test_ids_go_on_after_a_clear_and_so_do_vectors() -> None:
    dataset = loaded()
    dataset.record_embedded(SPACE, 1, 3, 3)
    dataset.clear()
    dataset.request_load("load-2", "upload", SOURCE, {})
    import_rows(dataset, 2, 4, 2, job_id="load-2")
    assert (dataset.queries, dataset.last_query_id, dataset.embedded_up_to(SPACE)) == (2, 5, 3)


# --- which rows are new

IDS = st.sampled_from(["a", "b", "c", "d", "e"])
CONTENTS = st.sampled_from([b"1" * 32, b"2" * 32])
KNOWN = st.dictionaries(IDS, CONTENTS, max_size=4)


@st.composite
def batches(draw: st.DrawFn) -> list[Row]:
    pairs = draw(st.lists(st.tuples(IDS, CONTENTS), max_size=12))
    return [Row(number, *pair) for number, pair in enumerate(pairs, 1)]


def loaded_after(known: dict[str, bytes], batch: SortedRows) -> dict[str, bytes]:
    return {**known, **{row.conversation_id: row.content for row in batch.new}}


@for_all(batches(), KNOWN, st.booleans())
def test_every_row_is_new_or_skipped_or_rejected(
    rows: list[Row], known: dict[str, bytes], skip_existing: bool
) -> None:
    batch = sort_out(rows, known, skip_existing=skip_existing)
    new, rejected = [row.row for row in batch.new], [one["row"] for one in batch.rejected]
    assert len(new) + batch.skipped + len(rejected) == len(rows)
    assert len({*new, *rejected}) == len(new) + len(rejected)
    assert {*new, *rejected} <= {row.row for row in rows}


@for_all(batches(), KNOWN, st.booleans())
def test_an_id_is_new_once_and_what_is_new_was_not_known(
    rows: list[Row], known: dict[str, bytes], skip_existing: bool
) -> None:
    batch = sort_out(rows, known, skip_existing=skip_existing)
    ids = [row.conversation_id for row in batch.new]
    assert len(set(ids)) == len(ids)
    assert set(ids) == {row.conversation_id for row in rows} - set(known)


@for_all(batches(), KNOWN, st.booleans())
def test_loading_the_same_again_adds_nothing(
    rows: list[Row], known: dict[str, bytes], skip_existing: bool
) -> None:
    first = sort_out(rows, known, skip_existing=skip_existing)
    again = sort_out(rows, loaded_after(known, first), skip_existing=skip_existing)
    assert again.new == []
    assert again.skipped == first.skipped + len(first.new)
    assert again.rejected == first.rejected


@for_all(batches(), KNOWN)
def test_only_contradictions_are_rejected_and_never_when_asked_to_pass_over(
    rows: list[Row], known: dict[str, bytes]
) -> None:
    assert sort_out(rows, known, skip_existing=True).rejected == []
    batch = sort_out(rows, known, skip_existing=False)
    there = loaded_after(known, batch)
    contradicting = [row.row for row in rows if there[row.conversation_id] != row.content]
    assert [one["row"] for one in batch.rejected] == contradicting


def test_a_rejected_row_says_which_conversation_it_contradicts() -> None:
    rows: list[Any] = [Row(1, "a", b"1" * 32), Row(2, "a", b"2" * 32)]
    assert sort_out(rows, {}, skip_existing=False).rejected == [
        {"row": 2, "reason": "conversation 'a' is already loaded with other content"}
    ]
