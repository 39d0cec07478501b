"""A command is decided once, whatever happens between the decision and the one who hears of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import commands.bus
from adapters.bootstrap import HANDLERS, Container
from commands.bus import TRIES, Bus, bind
from commands.curation import RenameCluster
from commands.curation.edits import rename_cluster
from commands.ports import EventStore, Outcome, Receipt
from domain.base import Context, context
from domain.clustering import ClusteringRun
from domain.errors import Conflict, DomainError, Invalid, NotFound, Stale, Unavailable, VersionConflict
from tests.stories import cluster, load, logged


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    load(container, "one", "two", "three", dataset=dataset)
    return cluster(container, [0, 0, 1], clusters=2, dataset=dataset)


Ask = Callable[..., None]


@pytest.fixture
def asked(dataset: str) -> Ask:
    """From now on in this test, requests come with this key."""

    def ask(key: str | None, request_hash: str | None = "same", scope: str = "", **more: Any) -> None:  # noqa: ANN401
        now = Context(actor="anna", idempotency_key=key, request_hash=request_hash, **more)
        context.set(replace(now, key_scope=dataset + scope))

    return ask


def rename(run_id: str, title: str, cluster_id: int = 0) -> RenameCluster:
    return RenameCluster(run_id=run_id, cluster_id=cluster_id, title=title)


def title(container: Container, run_id: str, cluster_id: int = 0) -> str | None:
    return container.store.load(ClusteringRun, run_id).cluster(cluster_id).title


def renames(container: Container, run_id: str) -> int:
    return logged(container, run_id).count("curation.cluster_renamed")


# --- idempotency


@pytest.mark.parametrize("request_hash", ["same", None])
def test_the_same_key_gives_the_stored_answer(
    asked: Ask, container: Container, run_id: str, request_hash: str | None
) -> None:
    asked("key-1", request_hash)
    first = container.bus.handle(rename(run_id, "Tax"))
    second = container.bus.handle(rename(run_id, "Tax"))
    assert second.answer == first.answer
    assert second.position == first.position == container.store.head()
    assert renames(container, run_id) == 1


def test_the_stored_answer_is_that_of_then(asked: Ask, container: Container, run_id: str) -> None:
    asked("key-1")
    container.bus.handle(rename(run_id, "Tax"))
    asked("key-2")
    container.bus.handle(rename(run_id, "Law"))
    asked("key-1")
    assert container.bus.handle(rename(run_id, "Tax")).answer["new_title"] == "Tax"
    assert title(container, run_id) == "Law"


def test_the_same_key_with_another_body_is_refused(asked: Ask, container: Container, run_id: str) -> None:
    asked("key-1", "one body")
    container.bus.handle(rename(run_id, "Tax"))
    asked("key-1", "another body")
    with pytest.raises(Invalid, match="Idempotency-Key 'key-1' was used for another request"):
        container.bus.handle(rename(run_id, "Law"))
    assert title(container, run_id) == "Tax"


def test_holders_of_different_keys_may_choose_the_same_one(
    asked: Ask, container: Container, run_id: str
) -> None:
    asked("key-1", scope="anna")
    container.bus.handle(rename(run_id, "Tax"))
    asked("key-1", "other", scope="ben")
    container.bus.handle(rename(run_id, "Law"))
    assert title(container, run_id) == "Law"


def test_a_refusal_does_not_use_the_key_up(asked: Ask, container: Container, run_id: str) -> None:
    asked("key-1")
    with pytest.raises(NotFound):
        container.bus.handle(rename(run_id, "Tax", cluster_id=9))
    assert container.bus.handle(rename(run_id, "Tax")).answer["new_title"] == "Tax"


def test_what_changes_nothing_is_answered_the_same_again(
    asked: Ask, container: Container, run_id: str
) -> None:
    container.bus.handle(rename(run_id, "Tax"))
    asked("key-1")
    answers = [container.bus.handle(rename(run_id, "Tax")) for _ in range(2)]
    assert [one.position for one in answers] == [None, None]
    assert answers[0].answer == answers[1].answer


def test_two_requests_at_once_with_one_key_are_decided_once(
    asked: Ask, container: Container, run_id: str
) -> None:
    at_once, mine = threading.Barrier(2, timeout=10), threading.local()

    def both_have_decided(cmd: RenameCluster, store: EventStore) -> Outcome:
        outcome = rename_cluster(cmd, store)
        if not hasattr(mine, "decided"):
            mine.decided = True
            at_once.wait()
        return outcome

    bus = Bus(container.store, {RenameCluster: both_have_decided}, {})
    receipts: list[Receipt] = []

    def request() -> None:
        asked("key-1")
        receipts.append(bus.handle(rename(run_id, "Tax")))

    threads = [threading.Thread(target=request) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receipts[0].answer == receipts[1].answer
    assert receipts[0].position == receipts[1].position
    assert renames(container, run_id) == 1


# --- others change the same thing


class Meanwhile:
    """A handler of renames, between whose decision and commit something else happens `times` times."""

    def __init__(self, other: Callable[[int], object], times: int = 1) -> None:
        self._other = other
        self._times = times
        self.calls = 0

    def __call__(self, cmd: RenameCluster, store: EventStore) -> Outcome:
        outcome = rename_cluster(cmd, store)
        self.calls += 1
        if self.calls <= self._times:
            self._other(self.calls)
        return outcome

    def bus(self, container: Container) -> Bus:
        def handle(cmd: RenameCluster, store: EventStore) -> Outcome:
            return self(cmd, store)

        return Bus(container.store, {RenameCluster: handle}, {})


def by_another(container: Container, run_id: str) -> Callable[[int], object]:
    """Another request, with a key of its own, that renames cluster 1."""

    def other(number: int) -> None:
        token = context.set(Context(actor="ben"))
        container.bus.handle(rename(run_id, f"Other {number}", cluster_id=1))
        context.reset(token)

    return other


def test_a_version_conflict_is_decided_anew(container: Container, run_id: str) -> None:
    handler = Meanwhile(by_another(container, run_id))
    receipt = handler.bus(container).handle(rename(run_id, "Tax"))
    assert handler.calls == 2
    assert receipt.position == container.store.head()
    assert (title(container, run_id), title(container, run_id, 1)) == ("Tax", "Other 1")


def test_too_many_conflicts_are_one_for_the_caller(container: Container, run_id: str) -> None:
    handler = Meanwhile(by_another(container, run_id), times=100)
    with pytest.raises(Conflict, match="too many changes of the same thing at once"):
        handler.bus(container).handle(rename(run_id, "Tax"))
    assert handler.calls == TRIES
    assert title(container, run_id) is None


def test_many_who_edit_one_run_at_once_all_get_through(container: Container, dataset: str) -> None:
    load(container, *"abcdefgh", dataset=dataset)
    run_id = cluster(container, range(8), clusters=8, dataset=dataset)
    failed: list[Exception] = []

    def edit(cluster_id: int) -> None:
        try:
            for number in range(3):
                container.bus.handle(rename(run_id, f"Title {number}", cluster_id))
        except Conflict as error:
            failed.append(error)

    threads = [threading.Thread(target=edit, args=[one]) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {title(container, run_id, one) for one in range(8)} == {"Title 2"}
    assert renames(container, run_id) == 24


def test_a_stale_version_is_refused(container: Container, run_id: str) -> None:
    version = container.store.load(ClusteringRun, run_id).version
    context.set(Context(expected_version=version - 1))
    with pytest.raises(Stale, match=f"at version {version}, not {version - 1}; read it again") as refusal:
        container.bus.handle(rename(run_id, "Tax"))
    assert refusal.value.details == [{"version": version}]


def test_the_version_that_was_seen_is_edited_and_answered_with_the_next(
    container: Container, run_id: str
) -> None:
    version = container.store.load(ClusteringRun, run_id).version
    context.set(Context(expected_version=version))
    assert container.bus.handle(rename(run_id, "Tax")).answer["version"] == version + 1


def test_who_named_a_version_does_not_overwrite_what_came_between(container: Container, run_id: str) -> None:
    context.set(Context(expected_version=container.store.load(ClusteringRun, run_id).version))
    handler = Meanwhile(by_another(container, run_id))
    with pytest.raises(Stale, match="it was changed since you read it"):
        handler.bus(container).handle(rename(run_id, "Tax"))
    assert handler.calls == 1
    assert title(container, run_id) is None


# --- the database goes away


class Unheard:
    """A store whose connection is lost around the first commits: before them or after them."""

    def __init__(
        self,
        store: Any,  # noqa: ANN401
        lost: int,
        *,
        committed: bool,
        error: type[DomainError] = Unavailable,
    ) -> None:
        self._store = store
        self._error = error
        self._lost = lost
        self._committed = committed

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._store, name)

    def commit(self, outcome: Outcome, command: str) -> Receipt:
        self._lost -= 1
        if self._lost < 0:
            return self._store.commit(outcome, command)  # type: ignore[no-any-return]
        if self._committed:
            self._store.commit(outcome, command)
        raise self._error("the connection is lost")


@pytest.mark.parametrize("key", ["key-1", None])
@pytest.mark.parametrize("request_hash", ["same", None])
def test_a_success_that_was_not_heard_is_asked_of_the_log(
    asked: Ask, container: Container, run_id: str, key: str | None, request_hash: str | None
) -> None:
    asked(key, request_hash)
    bus = Bus(Unheard(container.store, 1, committed=True), HANDLERS, container.needs)
    receipt = bus.handle(rename(run_id, "Tax"))
    assert receipt.answer["new_title"] == "Tax"
    assert receipt.position == container.store.head()
    assert renames(container, run_id) == 1


@pytest.mark.parametrize("error", [Unavailable, VersionConflict])
def test_a_success_that_was_not_heard_is_no_stale_version(
    asked: Ask, container: Container, run_id: str, error: type[DomainError]
) -> None:
    """A conflict may be with oneself: the driver's own second try, after a first that nobody heard of."""
    version = container.store.load(ClusteringRun, run_id).version
    asked("key-1", expected_version=version)
    unheard = Unheard(container.store, 1, committed=True, error=error)
    bus = Bus(unheard, HANDLERS, container.needs)
    assert bus.handle(rename(run_id, "Tax")).answer["version"] == version + 1


def test_a_commit_that_did_not_happen_is_tried_again(container: Container, run_id: str) -> None:
    bus = Bus(Unheard(container.store, 2, committed=False), HANDLERS, container.needs)
    bus.handle(rename(run_id, "Tax"))
    assert title(container, run_id) == "Tax"
    assert renames(container, run_id) == 1


def test_a_database_that_stays_away_is_waited_for_only_so_long(
    container: Container, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands.bus, "PATIENCE_S", 0.2)
    bus = Bus(Unheard(container.store, 1_000, committed=False), HANDLERS, container.needs)
    with pytest.raises(Unavailable, match="the connection is lost"):
        bus.handle(rename(run_id, "Tax"))
    assert title(container, run_id) is None


# --- what hears of it


def test_who_waits_for_read_models_is_told_the_position_and_the_topics(
    container: Container, run_id: str
) -> None:
    told: list[Receipt] = []
    bus = Bus(container.store, HANDLERS, container.needs, told.append)
    receipt = bus.handle(rename(run_id, "Tax"))
    assert told == [receipt]
    assert receipt.types == {"curation.cluster_renamed"}


def test_nobody_is_told_of_a_refusal(container: Container, run_id: str) -> None:
    told: list[Receipt] = []
    bus = Bus(container.store, HANDLERS, container.needs, told.append)
    with pytest.raises(NotFound):
        bus.handle(rename(run_id, "Tax", cluster_id=9))
    assert told == []


def test_a_command_leaves_the_context_as_it_was(asked: Ask, container: Container, run_id: str) -> None:
    asked(None)
    before = context.get()
    container.bus.handle(rename(run_id, "Tax"))
    assert context.get() is before


# --- requests that change nothing in the log


def test_without_a_key_it_is_done_each_time(container: Container) -> None:
    calls = iter(range(9))
    assert [container.bus.once(lambda: {"call": next(calls)}) for _ in range(2)] == [{"call": 0}, {"call": 1}]


@pytest.mark.parametrize("request_hash", ["same", None])
def test_with_a_key_it_is_done_once(asked: Ask, container: Container, request_hash: str | None) -> None:
    asked("key-1", request_hash)
    calls = iter(range(9))
    assert [container.bus.once(lambda: {"call": next(calls)}) for _ in range(2)] == [{"call": 0}] * 2


def test_another_body_under_the_same_key_is_refused_here_too(asked: Ask, container: Container) -> None:
    asked("key-1", "one body")
    container.bus.once(lambda: {})
    asked("key-1", "another body")
    with pytest.raises(Invalid, match="was used for another request"):
        container.bus.once(lambda: {})


def test_who_comes_second_gets_the_answer_of_the_first(asked: Ask, container: Container) -> None:
    asked("key-1")

    def while_another_is_quicker() -> dict[str, Any]:
        container.bus.once(lambda: {"by": "the other"})
        return {"by": "me"}

    assert container.bus.once(while_another_is_quicker) == {"by": "the other"}


# --- what handlers need


def test_a_handler_gets_what_it_names_and_the_rest_stays_open() -> None:
    def handler(command: str, store: str, extra: str = "none") -> tuple[str, str, str]:
        return command, store, extra

    bound = bind(handler, {"store": "the store", "never": "asked for"})
    assert bound("a command") == ("a command", "the store", "none")
    assert bound("a command", extra="more") == ("a command", "the store", "more")


def test_every_event_says_who_why_and_whence(container: Container, run_id: str) -> None:
    now = Context(actor="anna", reason="clearer", correlation_id="c1", causation_id="c0", idempotency_key="k")
    context.set(replace(now, request_hash="h"))
    container.bus.handle(rename(run_id, "Tax"))
    with container.database.connection() as connection:
        row = connection.execute("SELECT meta FROM log.events ORDER BY position DESC LIMIT 1").fetchone()
    assert row is not None
    assert row[0] == {
        "actor": "anna",
        "reason": "clearer",
        "correlation_id": "c1",
        "causation_id": "c0",
        "idempotency_key": "k",
        "command": "RenameCluster",
    }
