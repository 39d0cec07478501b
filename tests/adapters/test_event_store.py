"""The log: what is appended is whole, in order, once, and comes back as it was."""

from __future__ import annotations

import copy
import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import eventsourcing.application
import numpy as np
import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from adapters.bootstrap import Container
from adapters.database import Database
from adapters.event_store import PostgresEventStore, recorder
from adapters.event_store.recorder import APPEND_LOCK, LogRecorder, Write
from commands.curation import MoveQuery, RenameCluster
from commands.ports import Outcome, Receipt
from domain.base import Context, context
from domain.clustering import ClusteringRun
from domain.errors import Conflict, DomainError, NotFound, Stale, Unavailable, VersionConflict
from tests.runs import completed_run, requested_run, titles

RUN = "kmeans-3-20251004-170442"


@pytest.fixture
def store(container: Container) -> PostgresEventStore:
    """With a completed run of three clusters and 60 queries."""
    container.store.commit(Outcome((completed_run([n % 3 for n in range(60)]),)), "prepare")
    return container.store


def column(store: PostgresEventStore, name: str) -> list[Any]:
    with store.database.connection() as connection:
        rows = connection.execute(f"SELECT {name} FROM log.events ORDER BY position")
        return [row[0] for row in rows]


def rename(title: str, cluster_id: int = 0) -> RenameCluster:
    return RenameCluster(run_id=RUN, cluster_id=cluster_id, title=title)


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What `act` returns or raises in so many threads that begin together."""
    together = threading.Barrier(count, timeout=30)

    def one(number: int) -> Any:  # noqa: ANN401
        together.wait()
        try:
            return act(number)
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


# --- appending


def test_an_outcome_is_appended_whole_and_in_order(store: PostgresEventStore) -> None:
    before = store.head()
    run = store.load(ClusteringRun, RUN)
    run.rename(0, "One", None)
    run.rename(0, "Two", None)
    other = requested_run("other")
    receipt = store.commit(Outcome((run, other), {"answer": 42}), "TwoThings")
    assert receipt.position == store.head() == before + 3
    assert receipt.answer == {"answer": 42}
    assert receipt.types == {"curation.cluster_renamed", "clustering.created"}
    assert column(store, "position") == list(range(1, before + 4))
    assert column(store, "version")[-3:] == [run.version - 1, run.version, 1]
    assert column(store, "stream")[-3:] == [f"clustering/{RUN}", f"clustering/{RUN}", "clustering/other"]


def test_an_outcome_of_which_one_part_conflicts_leaves_nothing(store: PostgresEventStore) -> None:
    mine, theirs = store.load(ClusteringRun, RUN), store.load(ClusteringRun, RUN)
    theirs.rename(0, "Theirs", None)
    store.commit(Outcome((theirs,)), "Rename")
    before = store.head()
    mine.rename(0, "Mine", None)
    context.set(Context(idempotency_key="key"))
    outcome = Outcome((requested_run("other"), mine), {}, contents={b"\1" * 32: b"body"})
    with pytest.raises(VersionConflict):
        store.commit(outcome, "TwoThings")
    assert store.head() == before
    assert store.find(ClusteringRun, "other") is None
    assert store.answered() is None
    with store.database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM log.contents").fetchone() == (0,)


def test_an_outcome_without_events_keeps_its_answer(store: PostgresEventStore) -> None:
    before = store.head()
    context.set(Context(idempotency_key="key", request_hash="hash"))
    assert store.commit(Outcome((), {"nothing": "new"}), "Look") == Receipt({"nothing": "new"}, None)
    assert store.answered() == Receipt({"nothing": "new"}, None)
    assert store.head() == before


def test_times_of_recording_follow_the_order(store: PostgresEventStore) -> None:
    at_once(8, lambda number: store.commit(Outcome((requested_run(f"run-{number}"),)), "Request"))
    times = column(store, "recorded_at")
    assert times == sorted(times)


@pytest.mark.parametrize("size", [1, 3_000_000])
def test_an_event_comes_back_as_it_was_whatever_its_size(store: PostgresEventStore, size: int) -> None:
    run = store.load(ClusteringRun, RUN)
    text = 'a\\b\t"c"\n' + "ü" * size
    run.adopt_titles("summary", [{"cluster_id": 0, "title": text, "description": text}])
    store.commit(Outcome((run,)), "Adopt")
    assert store.at_version(ClusteringRun, RUN, run.version).cluster(0).title == text


# --- ordering


def stored(stream: str, first: int, count: int) -> list[StoredEvent]:
    return [StoredEvent(stream, first + number, "test", b"{}") for number in range(count)]


def lingering(seconds: float) -> Write:
    def linger(cursor: psycopg.Cursor[Any], position: int | None) -> None:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])

    return linger


class Writers:
    """Six at once, each with saves of 1 to 200 events to a stream of its own, until they have done theirs.

    Between its append and its commit each one lets a moment pass, as a save of any size does.
    """

    SAVES = 30

    def __init__(self, database: Database) -> None:
        self._recorder = LogRecorder(database)
        self._threads = [threading.Thread(target=self._write, args=[number]) for number in range(6)]
        self.failures: list[Exception] = []

    def _write(self, number: int) -> None:
        chance = random.Random(number)
        version = 1
        for _ in range(self.SAVES):
            events = stored(f"test/{number}", version, chance.randint(1, 200))
            try:
                self._save(events, chance.uniform(0, 0.004))
                version += len(events)
            except IntegrityError as error:
                self.failures.append(error)

    def _save(self, events: list[StoredEvent], seconds: float) -> None:
        """On a busy machine one can wait for the lock longer than is allowed: it is asked for again."""
        while True:
            with suppress(Unavailable):
                self._recorder.insert_events(events, after=[lingering(seconds)])
                return

    @contextmanager
    def writing(self) -> Iterator[Callable[[], bool]]:
        for thread in self._threads:
            thread.start()
        yield lambda: any(thread.is_alive() for thread in self._threads)
        for thread in self._threads:
            thread.join()


def tail(database: Database, writers: Writers) -> tuple[list[int], list[int]]:
    """The positions that there are, and those that a reader saw who always asked for what comes next."""
    reader, seen = LogRecorder(database), [0]

    def read() -> None:
        while found := reader.select_notifications(seen[-1], 1_000, inclusive_of_start=False):
            seen.extend(int(one.id) for one in found)

    with writers.writing() as still:
        while still():
            read()
    read()
    return [one.id for one in reader.select_notifications(None, 10**6)], seen[1:]


def by_sequence(cursor: psycopg.Cursor[Any]) -> int:
    """Where a save begins if a sequence says so: room for 1,000 from there."""
    row = cursor.execute("SELECT nextval('places') * 1000").fetchone()
    assert row is not None
    return int(row[0])


def without_lock(cursor: psycopg.Cursor[Any]) -> None:
    """Nobody waits for anybody."""


@pytest.fixture
def sequence(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    with container.database.connection() as connection:
        connection.execute("CREATE SEQUENCE places")
    monkeypatch.setattr(recorder, "_head", by_sequence)


def test_a_reader_by_position_misses_nothing(container: Container) -> None:
    writers = Writers(container.database)
    there, seen = tail(container.database, writers)
    assert writers.failures == []
    assert len(there) > 6 * Writers.SAVES
    assert seen == there == list(range(1, len(there) + 1))


@pytest.mark.usefixtures("sequence")
def test_a_reader_by_position_misses_nothing_where_positions_have_gaps(container: Container) -> None:
    there, seen = tail(container.database, Writers(container.database))
    assert seen == there


@pytest.mark.usefixtures("sequence")
def test_without_the_lock_a_reader_by_position_misses_events(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof that the two tests above can see what they are for."""
    monkeypatch.setattr(recorder, "_append_lock", without_lock)
    there, seen = tail(container.database, Writers(container.database))
    assert len(set(there) - set(seen)) > 0


def test_without_the_lock_writers_take_the_same_positions(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_append_lock", without_lock)
    writers = Writers(container.database)
    tail(container.database, writers)
    assert writers.failures != []


# --- the same command twice


@pytest.fixture
def dropped_after_commit(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first so many appends are committed, and then their connection is lost before anybody heard."""
    left = [0]
    doomed: set[int] = set()
    append, commit = LogRecorder._append, psycopg.Connection.commit

    def appending(self: LogRecorder, cursor: psycopg.Cursor[Any], *rest: Any) -> Any:  # noqa: ANN401
        if left[0]:
            left[0] -= 1
            doomed.add(id(cursor.connection))
        return append(self, cursor, *rest)

    def committing(self: psycopg.Connection[Any]) -> None:
        commit(self)
        if id(self) in doomed:
            doomed.discard(id(self))
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(LogRecorder, "_append", appending)
    monkeypatch.setattr(psycopg.Connection, "commit", committing)
    return left


@pytest.mark.parametrize("dropped", [0, 1, 5])
def test_a_command_that_is_sent_fifty_times_at_once_has_one_effect(
    container: Container, store: PostgresEventStore, dropped_after_commit: list[int], dropped: int
) -> None:
    before = store.head()
    dropped_after_commit[0] = dropped

    def send(_: int) -> Receipt:
        context.set(Context(actor="anna", idempotency_key="key", request_hash="hash"))
        return container.bus.handle(rename("Tax"))

    receipts = at_once(50, send)
    assert {type(one) for one in receipts} == {Receipt}
    assert [one.answer for one in receipts] == [receipts[0].answer] * 50
    assert {one.position for one in receipts} == {before + 1}
    assert store.head() == before + 1


def test_a_success_that_nobody_heard_of_is_answered_as_one(
    container: Container, store: PostgresEventStore, dropped_after_commit: list[int]
) -> None:
    before = store.head()
    dropped_after_commit[0] = 1
    assert container.bus.handle(rename("Tax")).answer["new_title"] == "Tax"
    assert store.head() == before + 1
    assert dropped_after_commit == [0]


# --- different commands at once


def history(store: PostgresEventStore) -> list[tuple[str | None, str | None]]:
    events = store.application.events.get(f"clustering/{RUN}")
    renamed = (one for one in events if isinstance(one, ClusteringRun.ClusterRenamed))
    return [(one.was_title, one.title) for one in renamed]


def test_two_renames_at_once_both_settle_one_after_the_other(
    container: Container, store: PostgresEventStore
) -> None:
    receipts = at_once(2, lambda number: container.bus.handle(rename(f"Title {number}")))
    assert {type(one) for one in receipts} == {Receipt}
    (nothing, first), (was, last) = history(store)
    assert (nothing, was) == (None, first)
    assert {first, last} == {"Title 0", "Title 1"}
    assert store.load(ClusteringRun, RUN).cluster(0).title == last


def test_of_two_renames_of_one_version_at_once_one_is_refused(
    container: Container, store: PostgresEventStore
) -> None:
    seen = store.load(ClusteringRun, RUN).version

    def edit(number: int) -> Receipt:
        context.set(Context(expected_version=seen))
        return container.bus.handle(rename(f"Title {number}"))

    receipts = at_once(2, edit)
    assert {type(one) for one in receipts} == {Receipt, Stale}
    assert [was for was, _ in history(store)] == [None]


def test_many_who_move_queries_at_once_leave_each_in_one_cluster(
    container: Container, store: PostgresEventStore
) -> None:
    def edit(number: int) -> list[Any]:
        chance = random.Random(number)
        done: list[Any] = []
        for _ in range(6):
            query_id, to = chance.randint(1, 60), chance.choice([0, 1, 2, 9])
            try:
                command = MoveQuery(run_id=RUN, query_id=query_id, to_cluster_id=to)
                done.append((query_id, container.bus.handle(command).position))
            except DomainError as error:
                done.append(error)
        return done

    results = [one for done in at_once(16, edit) for one in done]
    refused = [one for one in results if isinstance(one, DomainError)]
    assert {type(one) for one in refused} <= {NotFound, Conflict}
    assert len(refused) < len(results)
    run = PostgresEventStore(container.database).load(ClusteringRun, RUN)
    assert run.partition.query_ids.tolist() == list(range(1, 61))
    assert set(run.partition.labels.tolist()) <= {0, 1, 2}
    moved = [one for one in store.application.events.get(run.id) if isinstance(one, run.QueriesMoved)]
    assert len(moved) == sum(isinstance(one, tuple) and one[1] is not None for one in results)
    assert_moves_are_a_chain(moved, run)


def assert_moves_are_a_chain(moved: Sequence[Any], run: ClusteringRun) -> None:
    """Each move takes its query from where the one before has put it, and the last is where it is."""
    where = {query_id: (query_id - 1) % 3 for query_id in range(1, 61)}
    for one in moved:
        assert [where[query_id] for query_id in one.query_ids] == one.was
        where.update(dict.fromkeys(one.query_ids, one.cluster_id))
    assert where == {query_id: run.partition.cluster_of(query_id) for query_id in where}


def test_who_cannot_append_in_time_is_told_so_and_gets_through_later(
    container: Container, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.bus.PATIENCE_S", 0.2)
    before = store.head()
    with psycopg.connect(container.database.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [APPEND_LOCK])
        with pytest.raises(Unavailable, match="somebody else holds a lock"):
            container.bus.handle(rename("Tax"))
    assert store.head() == before
    assert container.bus.handle(rename("Tax")).position == before + 1


# --- loading


def test_what_does_not_exist_is_not_found(store: PostgresEventStore) -> None:
    assert store.find(ClusteringRun, "other") is None
    with pytest.raises(NotFound, match="there is no clustering run 'other'"):
        store.load(ClusteringRun, "other")
    with pytest.raises(NotFound, match="'other' at version 1"):
        store.at_version(ClusteringRun, "other", 1)


def test_what_is_loaded_is_a_copy(store: PostgresEventStore) -> None:
    store.load(ClusteringRun, RUN).rename(0, "never committed", None)
    assert store.load(ClusteringRun, RUN).cluster(0).title is None


def test_what_another_process_has_decided_is_loaded(container: Container, store: PostgresEventStore) -> None:
    assert store.load(ClusteringRun, RUN).cluster(0).title is None
    other = PostgresEventStore(container.database)
    run = other.load(ClusteringRun, RUN)
    run.rename(0, "by another", None)
    other.commit(Outcome((run,)), "Rename")
    assert store.load(ClusteringRun, RUN).cluster(0).title == "by another"


def test_query_ids_are_given_once(container: Container) -> None:
    firsts = at_once(20, lambda number: container.store.reserve_query_ids(number + 1))
    given = sorted(zip(firsts, range(1, 21), strict=True))
    assert given[0][0] == 1
    assert all(first + count == following for (first, count), (following, _) in itertools.pairwise(given))


# --- snapshots


def edited(store: PostgresEventStore, edits: int, seed: int) -> None:
    """So many edits of all kinds, in saves of up to 100 events."""
    chance = random.Random(seed)
    while edits:
        run = store.load(ClusteringRun, RUN)
        for _ in range(min(edits, chance.randint(1, 100))):
            cluster_id, word = chance.randrange(3), str(chance.random())
            match chance.randrange(4):
                case 0:
                    run.rename(cluster_id, word, None)
                case 1:
                    run.rename(cluster_id, None, word)
                case 2:
                    run.adopt_titles(word, titles(word, 0, 1, 2))
                case _:
                    query_id = chance.randint(1, 60)
                    run.move([query_id], (int(run.partition.cluster_of(query_id) or 0) + 1) % 3)
            edits -= 1
        store.commit(Outcome((run,)), "Edit")


def state(run: ClusteringRun) -> dict[str, Any]:
    return {name: value for name, value in vars(run).items() if name != "partition"} | {
        "query_ids": run.partition.query_ids.tolist(),
        "labels": run.partition.labels.tolist(),
    }


def replayed(store: PostgresEventStore) -> ClusteringRun:
    run: Any = None
    events: Any = store.application.events.get(f"clustering/{RUN}")
    for one in events:
        run = one.mutate(run)
    assert isinstance(run, ClusteringRun)
    return run


def test_a_snapshot_and_what_came_after_it_are_the_whole_history(store: PostgresEventStore) -> None:
    for seed in range(4):
        edited(store, 200, seed)
        store.take_snapshot(ClusteringRun, RUN)
    edited(store, 200, 4)
    fresh = PostgresEventStore(store.database)
    loaded = fresh.load(ClusteringRun, RUN)
    assert state(loaded) == state(replayed(store)) == state(store.load(ClusteringRun, RUN))
    assert loaded.version == 1_003
    for version in (2, 3, 4, 203, 204, 205, 777, 1_003):
        at = fresh.at_version(ClusteringRun, RUN, version)
        assert at.version == version
        assert np.array_equal(at.partition.query_ids, loaded.partition.query_ids)


def test_with_a_snapshot_what_came_before_it_is_not_read(store: PostgresEventStore) -> None:
    edited(store, 50, 0)
    store.take_snapshot(ClusteringRun, RUN)
    expected = state(store.load(ClusteringRun, RUN))
    with store.database.connection() as connection:
        connection.execute("DELETE FROM log.events WHERE version <= 53")
    assert state(PostgresEventStore(store.database).load(ClusteringRun, RUN)) == expected


def test_a_snapshot_of_the_same_version_changes_nothing(store: PostgresEventStore) -> None:
    for _ in range(2):
        store.take_snapshot(ClusteringRun, RUN)
    with store.database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM log.snapshots").fetchone() == (1,)


def test_an_aggregate_is_copied_while_nobody_brings_it_up_to_date(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is made attribute by attribute: an event between two of them would tear it apart."""
    alone: list[bool] = []

    def copying(aggregate: Any) -> Any:  # noqa: ANN401
        alone.append(store._alone(aggregate.id).locked())
        return copy.deepcopy(aggregate)

    monkeypatch.setattr(eventsourcing.application, "deepcopy", copying)
    store.load(ClusteringRun, RUN)
    store.take_snapshot(ClusteringRun, RUN)
    assert alone == [True, True]
