"""A summary run by the real clients of providers, against servers that fail as providers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.bootstrap import HANDLERS, Container
from adapters.providers import SettingsLanguageModels, SettingsNamers
from commands.bus import Bus, bind
from commands.ports import Usage
from commands.summaries import RequestSummary, ResumeSummary, run_summary
from domain.errors import Refused
from domain.summaries import SummaryRun
from domain.values import digest
from tests.naming import ByLetters, summary_of, titles_of
from tests.protocols.server import Asked, ProtocolServer, Refusal, Said, Status, Words
from tests.runs import SPACE
from tests.stories import AT, cluster, load

CLUSTERS = {0: "aaa", 1: "bbb", 2: "ccc", 3: "ddd"}


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    """Four clusters of two queries, each about one letter."""
    texts = [f"{letters} {letters[0]} {more}" for letters in CLUSTERS.values() for more in ("x", "y")]
    load(container, *texts, dataset=dataset)
    vectors = zip(map(digest, map(str.encode, texts)), ByLetters().embed(texts), strict=True)
    container.embeddings.put(SPACE, dict(vectors))
    return cluster(container, [0, 0, 1, 1, 2, 2, 3, 3], clusters=4, dataset=dataset)


@pytest.fixture
def installation(container: Container, language_models: SettingsLanguageModels) -> dict[str, Any]:
    needs = {**container.needs, "namers": SettingsNamers(language_models), "embedders": ByLetters()}
    return {**needs, "bus": Bus(container.store, HANDLERS, needs)}


def ask_for(installation: dict[str, Any], run_id: str, model: str, **parameters: Any) -> str:  # noqa: ANN401
    command = RequestSummary(run_id=run_id, model=model, alias=None, parameters=parameters, at=AT)
    return str(installation["bus"].handle(command).answer["summary_run_id"])


def work(installation: dict[str, Any], summary_run_id: str) -> None:
    bind(run_summary, installation)(summary_run_id, progress=lambda done, total: None)


def about(asked: Asked) -> int:
    """The cluster that a question shows in the middle."""
    central = asked.text.partition("central queries:\n- ")[2]
    return next(one for one, letters in CLUSTERS.items() if central.startswith(letters))


def naming(**others: Said) -> Callable[[Asked], Said]:
    """Each cluster by its number, or what is said of `c2`."""

    def answer(asked: Asked) -> Said:
        one = about(asked)
        name = {"incoherent": "", "title": f"Letters {one}", "description": f"About {one}."}
        return others.get(f"c{one}", name)

    return answer


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_passes_is_waited_for_and_what_does_not_fit_is_asked_again(
    installation: dict[str, Any],
    container: Container,
    run_id: str,
    provider: str,
    request: pytest.FixtureRequest,
) -> None:
    server: ProtocolServer = request.getfixturevalue(provider)
    server.answer = naming()
    no_title = {"incoherent": "", "title": " ", "description": "About."}
    server.script.extend([Status(429, retry_after=0.01), Status(503), {"title": "alone"}, no_title])
    summary_run_id = ask_for(installation, run_id, f"{provider}/some-model", concurrency=1)
    work(installation, summary_run_id)
    assert titles_of(container, run_id) == {one: f"Letters {one}" for one in CLUSTERS}
    assert [one.complaint is not None for one in server.asked[:5]] == [False, False, False, True, True]
    assert "title is empty" in str(server.asked[4].complaint)


def test_a_cluster_that_always_fails_is_recorded_and_the_rest_is_paid_for_once(
    installation: dict[str, Any], container: Container, run_id: str, openai: ProtocolServer
) -> None:
    openai.answer = naming(c2=Words("no JSON at all"), c3=Refusal())
    summary_run_id = ask_for(installation, run_id, "openai/some-model", concurrency=4)
    work(installation, summary_run_id)
    summary = summary_of(container, summary_run_id)
    assert (summary.status, sorted(summary.summaries), sorted(summary.failures)) == (
        "completed",
        [0, 1],
        [2, 3],
    )
    assert all(summary.failures.values())
    assert took(container, summary_run_id).calls == len(openai.asked)
    openai.answer = naming()
    openai.asked.clear()
    installation["bus"].handle(ResumeSummary(summary_run_id=summary_run_id))
    work(installation, summary_run_id)
    assert sorted(map(about, openai.asked)) == [2, 3]
    assert titles_of(container, run_id) == {one: f"Letters {one}" for one in CLUSTERS}


def test_answers_that_were_heard_but_not_recorded_are_not_paid_for_again(
    installation: dict[str, Any],
    container: Container,
    run_id: str,
    openai: ProtocolServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a worker that dies between an answer and its record."""
    openai.answer = naming()
    summary_run_id = ask_for(installation, run_id, "openai/some-model", concurrency=1)
    with monkeypatch.context() as dying:
        dying.setattr(SummaryRun, "record", lambda *record: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            work(installation, summary_run_id)
    heard = len(openai.asked)
    work(installation, summary_run_id)
    assert len(openai.asked) == heard == 4
    assert took(container, summary_run_id).cached == 4


def test_a_key_that_is_wrong_ends_the_run_with_the_reason(
    installation: dict[str, Any], container: Container, run_id: str, openai: ProtocolServer
) -> None:
    openai.answer = lambda asked: Status(401, "Incorrect API key provided")
    summary_run_id = ask_for(installation, run_id, "openai/some-model")
    with pytest.raises(Refused, match="Incorrect API key"):
        work(installation, summary_run_id)
    assert summary_of(container, summary_run_id).summaries == {}


def test_titles_that_are_alike_are_shown_to_the_model_together(
    installation: dict[str, Any], container: Container, run_id: str, openai: ProtocolServer
) -> None:
    def answer(asked: Asked) -> Said:
        if "are called" in asked.text:
            return {"titles": [{"cluster_id": one, "title": f"Kind {one}"} for one in CLUSTERS]}
        return {"incoherent": "", "title": "Letters", "description": "About letters."}

    openai.answer = answer
    summary_run_id = ask_for(installation, run_id, "openai/some-model")
    work(installation, summary_run_id)
    assert titles_of(container, run_id) == {one: f"Kind {one}" for one in CLUSTERS}
    assert len(openai.asked) == 5


def took(container: Container, summary_run_id: str) -> Usage:
    sql = "SELECT data -> 'usage' FROM log.events WHERE stream = %s AND data -> 'usage' IS NOT NULL"
    with container.database.connection() as connection:
        rows = connection.execute(sql, [f"summary/{summary_run_id}"]).fetchall()
    return sum((Usage(**row[0]) for row in rows), Usage())
