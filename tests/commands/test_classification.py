"""A classification run is checked, worked off by a job that can be repeated, and asks about nothing twice."""

from __future__ import annotations

import time
from typing import Any

import pytest

from adapters.bootstrap import Container
from commands import runs
from commands.classification import (
    RequestClassification,
    run_cancelled,
    run_classification,
)
from commands.classification import answers as gathering
from commands.curation import MoveQuery
from commands.datasets import EraseConversation
from commands.ports import Labelled
from domain.base import Context, context
from domain.classification import ClassificationRun
from domain.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from tests.classifying import (
    Scripted,
    ScriptedBatches,
    bus,
    cancel,
    chunks,
    labelled,
    request,
    resume,
    run_of,
    template,
    work,
)
from tests.stories import AT, cluster, load, logged, project

TEXTS = ("refund please", "weather today", "refund now", "hello", "weather again")


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def ids(container: Container, dataset: str) -> list[int]:
    found = load(container, *TEXTS, dataset=dataset)
    project(container)
    return found


# --- the request


def test_a_request_keeps_what_is_to_be_done(container: Container, ids: list[int], dataset: str) -> None:
    run_id = request(container, dataset, execution={"mode": "sync", "rpm": 60}, text="refund")
    run = run_of(container, run_id)
    assert run_id.startswith("classify-scripted-20251004-170442")
    assert (run.status, run.dataset, run.template_number) == ("pending", dataset, 1)
    assert (run.labels, run.filters) == (
        ["refund", "weather", "other"],
        {"dataset": dataset, "text": "refund"},
    )


def test_what_is_wrong_is_said_at_once(container: Container, ids: list[int], dataset: str) -> None:
    with pytest.raises(NotFound, match="no data set 'nowhere'"):
        request(container, "nowhere")
    with pytest.raises(Invalid, match="sql_filter, character 1"):
        request(container, dataset, sql_filter="1; DROP TABLE queries")


# --- the job


def test_every_query_gets_a_label_or_an_error(container: Container, ids: list[int], dataset: str) -> None:
    run_id = request(container, dataset)
    told: list[tuple[int, int | None]] = []
    by = Scripted(broken={"hello"})
    work(container, run_id, by, told=lambda done, total: told.append((done, total)))
    refund, weather, again, hello, more = ids
    expected = {refund: "refund", weather: "weather", again: "refund", more: "weather"}
    assert labelled(container, run_id) == expected
    (chunk,) = chunks(container, run_id)
    assert chunk.errors == [{"query_id": hello, "error": "the answer was no label"}]
    assert chunk.reasoning == ["It is refund.", "It is weather.", "It is refund.", "It is weather."]
    usage = {"calls": 5, "input_tokens": 50, "output_tokens": 10, "cost_usd": 0.005, "seconds": 2.5}
    assert chunk.usage == pytest.approx({**usage, "cached": 0})
    assert (chunk.prompt, told) == (by.prompt, [(5, 5)])
    assert logged(container, run_id) == [
        "classification.created",
        "classification.population_selected",
        "classification.results_recorded",
        "classification.completed",
    ]


def test_only_what_the_filters_mean_is_asked_about(
    container: Container, ids: list[int], dataset: str
) -> None:
    run = cluster(container, [0, 0, 1, 1, 1], clusters=2, dataset=dataset)
    container.bus.handle(MoveQuery(run_id=run, query_id=ids[0], to_cluster_id=1))
    project(container)
    run_id = request(container, dataset, run_id=run, cluster_ids=[1])
    work(container, run_id)
    assert sorted(labelled(container, run_id)) == [ids[0], *ids[2:]]
    sampled = request(container, dataset, sample=2, seed=1)
    work(container, sampled)
    assert len(labelled(container, sampled)) == 2


def test_a_run_about_nothing_fails(container: Container, ids: list[int], dataset: str) -> None:
    run_id = request(container, dataset, text="nobody says this")
    work(container, run_id)
    assert run_of(container, run_id).status == "failed"


def test_a_run_waits_for_the_read_models(container: Container, ids: list[int], dataset: str) -> None:
    run_id = request(container, dataset)
    work(container, run_id)
    event = container.store.events(ClassificationRun, run_id, [2])[2]
    assert event.position >= container.store.positions(ClassificationRun, run_id, [1])[1]


def test_chunks_are_bounded(
    container: Container, ids: list[int], dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "RECORDED_AT_ONCE", 2)
    run_id = request(container, dataset)
    work(container, run_id)
    assert [event.count for event in chunks(container, run_id)] == [2, 2, 1]
    monkeypatch.setattr(gathering, "RECORDED_AT_ONCE", 100)
    monkeypatch.setattr(runs, "CHARACTERS_AT_ONCE", 1)
    run_id = request(container, dataset)
    work(container, run_id)
    assert [event.count for event in chunks(container, run_id)] == [1, 1, 1, 1, 1]


def test_the_log_quotes_nobody(container: Container, dataset: str) -> None:
    secret = "my number is 4711 0815 2222 3333 and my name is Ada"
    load(container, secret, f"refund: {secret}", dataset=dataset)
    project(container)
    told = Labelled(0, "other", 0.5, f"The person says: {secret}", None)
    by = Scripted(answers={secret: told, f"refund: {secret}": Labelled(0, None, error=f"no: {secret}")})
    run_id = request(container, dataset)
    work(container, run_id, by)
    (chunk,) = chunks(container, run_id)
    assert (chunk.reasoning, chunk.errors[0]["error"][:4]) == (["The person says: …"], "no: ")
    assert "4711" not in str(vars(chunk))


def test_a_label_that_the_template_does_not_have_is_an_error(
    container: Container, ids: list[int], dataset: str
) -> None:
    by = Scripted(answers={"hello": Labelled(0, "greeting", 2.0)})
    run_id = request(container, dataset)
    work(container, run_id, by)
    (chunk,) = chunks(container, run_id)
    assert chunk.errors[0]["error"] == "the answer was 'greeting', which is no label of the template"


def test_a_text_that_is_gone_is_missing(container: Container, ids: list[int], dataset: str) -> None:
    run_id = request(container, dataset)
    sent: list[int] = []

    def erase(done: int) -> None:
        if not sent:
            sent.append(done)
            with_reason(
                container, EraseConversation(dataset=dataset, conversation_id=id_of(container, ids[3]))
            )

    work(container, run_id, Scripted(before=erase))
    run = run_of(container, run_id)
    assert run.status == "completed"
    assert len(labelled(container, run_id)) + _missing(container, run_id) == 5


def _missing(container: Container, run_id: str) -> int:
    run = run_of(container, run_id)
    event = container.store.events(ClassificationRun, run_id, [run.version])[run.version]
    return int(event.missing)


def with_reason(container: Container, command: Any) -> None:  # noqa: ANN401
    token = context.set(Context(reason="asked for"))
    container.bus.handle(command)
    context.reset(token)


def id_of(container: Container, query_id: int) -> str:
    with container.database.connection() as connection:
        sql = "SELECT conversation_id FROM log.conversations WHERE query_id = %s"
        row = connection.execute(sql, [query_id]).fetchone()
    assert row is not None
    return str(row[0])


def test_texts_erased_before_their_turn_are_missing(
    container: Container, ids: list[int], dataset: str
) -> None:
    run_id = request(container, dataset)
    work(container, run_id, Scripted(ends=0))
    with_reason(container, EraseConversation(dataset=dataset, conversation_id=id_of(container, ids[3])))
    resume(container, run_id)
    work(container, run_id)
    assert (run_of(container, run_id).status, _missing(container, run_id)) == ("completed", 1)
    assert ids[3] not in labelled(container, run_id)


# --- what goes wrong


def test_a_second_try_asks_about_the_rest(container: Container, ids: list[int], dataset: str) -> None:
    """As where a worker dies, or a provider is away for a while."""
    run_id = request(container, dataset)

    def away(done: int) -> None:
        if done == 2:
            raise Unavailable("nobody answers")

    first = Scripted(before=away)
    with pytest.raises(Unavailable):
        tried(container, run_id, first)
    assert len(labelled(container, run_id)) == 2
    second = Scripted()
    work(container, run_id, second)
    assert first.asked + second.asked == list(TEXTS)
    assert len(labelled(container, run_id)) == 5


def tried(container: Container, run_id: str, by: Scripted) -> None:
    project(container)
    run_classification(
        run_id,
        bus=bus(container, by),
        store=container.store,
        contents=container.contents,
        selection=container.needs["selection"],  # type: ignore[arg-type]
        classifiers=by,
        batch_classifiers=ScriptedBatches(),
        progress=lambda done, total: None,
        again=lambda delay_s: None,
    )


def test_a_provider_that_says_no_ends_the_run_and_a_resume_goes_on(
    container: Container, ids: list[int], dataset: str
) -> None:
    run_id = request(container, dataset)

    def refuse(done: int) -> None:
        if done == 3:
            raise Refused("the key is not valid")

    work(container, run_id, Scripted(before=refuse, broken={"weather today"}))
    run = run_of(container, run_id)
    assert (run.status, len(run.answered), len(run.failed)) == ("failed", 2, 1)
    resume(container, run_id, concurrency=1)
    by = Scripted()
    work(container, run_id, by)
    assert by.asked == ["weather today", "hello", "weather again"]
    assert by.limits[0].concurrency == 1
    assert run_of(container, run_id).status == "completed"
    assert len(labelled(container, run_id)) == 5


def test_a_classifier_that_stops_by_itself_leaves_the_run_unfinished(
    container: Container, ids: list[int], dataset: str
) -> None:
    run_id = request(container, dataset)
    work(container, run_id, Scripted(ends=3))
    run = run_of(container, run_id)
    assert (run.status, len(run.answered)) == ("failed", 3)


def test_tokens_are_counted_over_all_attempts(container: Container, ids: list[int], dataset: str) -> None:
    run_id = request(container, dataset, execution={"mode": "sync", "tokens": 60})
    first = Scripted(ends=3)
    work(container, run_id, first)
    resume(container, run_id)
    second = Scripted(ends=2)
    work(container, run_id, second)
    assert [one.tokens for one in (*first.limits, *second.limits)] == [60, 24]
    load(container, "more of it", dataset=dataset)
    again = request(container, dataset, execution={"mode": "sync", "tokens": 12})
    project(container)
    work(container, again, Scripted(ends=1))
    resume(container, again)
    third = Scripted()
    work(container, again, third)
    assert (third.asked, run_of(container, again).status) == ([], "failed")


# --- cancelling


def pause() -> None:
    """So long that the job asks again whether it is cancelled."""
    time.sleep(runs.LOOKED_EVERY_S)


def test_a_cancel_keeps_what_is_under_way_and_a_resume_goes_on(
    container: Container, ids: list[int], dataset: str
) -> None:
    run_id = request(container, dataset)

    def cancel_second(done: int) -> None:
        if done == 1:
            cancel(container, run_id)
            pause()

    first, second = Scripted(before=cancel_second), Scripted()
    work(container, run_id, first)
    assert (run_of(container, run_id).status, len(first.asked)) == ("cancelled", 2)
    work(container, run_id, Scripted(before=lambda done: pytest.fail("nobody is to ask")))
    resume(container, run_id)
    work(container, run_id, second)
    assert first.asked + second.asked == list(TEXTS)
    assert run_of(container, run_id).status == "completed"


def test_where_no_job_is_at_work_a_cancel_ends_the_run(
    container: Container, ids: list[int], dataset: str
) -> None:
    run_id = request(container, dataset)
    work_until_unavailable(container, run_id)
    cancel(container, run_id)
    run_cancelled(run_id, bus=container.bus, store=container.store, batch_classifiers=ScriptedBatches())
    assert run_of(container, run_id).status == "cancelled"
    run_cancelled(run_id, bus=container.bus, store=container.store, batch_classifiers=ScriptedBatches())
    with pytest.raises(Conflict, match="has ended already"):
        cancel(container, run_id)


def work_until_unavailable(container: Container, run_id: str) -> None:
    def away(done: int) -> None:
        raise Unavailable("nobody answers")

    with pytest.raises(Unavailable):
        tried(container, run_id, Scripted(before=away))


def test_another_version_of_the_template_is_named_by_its_hash(container: Container) -> None:
    template(container)
    command = RequestClassification(
        template_id="topics", template_hash="ffff", model="local/scripted", filters={}, at=AT
    )
    with pytest.raises(NotFound, match="has no version with template_hash 'ffff'"):
        bus(container).handle(command)
