"""A hierarchy by the real clients of providers, against servers that fail as providers do."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from adapters.bootstrap import HANDLERS, Container
from adapters.providers import SettingsLanguageModels, SettingsTaxonomists
from commands.bus import Bus, bind
from commands.curation import RenameCluster
from commands.hierarchy import CancelHierarchy, RequestHierarchy, ResumeHierarchy, run_hierarchy
from commands.jobs import WORK
from domain.errors import Refused
from domain.hierarchy import TOP, Hierarchy
from domain.values import digest
from tests.naming import ByLetters
from tests.protocols.server import Asked, ProtocolServer, Said, Status, Words
from tests.runs import SPACE
from tests.stories import AT, cluster, load

TOPICS = ["bread", "pasta", "loans", "taxes", "xyzzy"]
KINDS = {"Food": {"bread", "pasta"}, "Money": {"loans", "taxes"}}
LEVEL = {"bread": "Food", "pasta": "Food", "loans": "Money", "taxes": "Money", "xyzzy": None}


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    texts = [f"{topic} {topic[0]} {more}" for topic in TOPICS for more in ("x", "y")]
    load(container, *texts, dataset=dataset)
    vectors = zip(map(digest, map(str.encode, texts)), ByLetters().embed(texts), strict=True)
    container.embeddings.put(SPACE, dict(vectors))
    labels = [at for at in range(len(TOPICS)) for _ in range(2)]
    found = cluster(container, labels, clusters=len(TOPICS), dataset=dataset)
    for at, topic in enumerate(TOPICS):
        container.bus.handle(RenameCluster(run_id=found, cluster_id=at, title=topic, description=topic))
    return found


@pytest.fixture
def installation(container: Container, language_models: SettingsLanguageModels) -> dict[str, Any]:
    needs = {**container.needs, "taxonomists": SettingsTaxonomists(language_models)}
    return {**needs, "bus": Bus(container.store, HANDLERS, needs)}


def ask_for(installation: dict[str, Any], run_id: str, model: str, **asked: Any) -> str:  # noqa: ANN401
    given = {"target_levels": 2, "merge_ratio": 0.4, "concurrency": 1, **asked}
    command = RequestHierarchy(run_id=run_id, model=model, at=AT, **given)
    return str(installation["bus"].handle(command).answer["hierarchy_run_id"])


def work(installation: dict[str, Any], name: str) -> None:
    bind(run_hierarchy, installation)(name, progress=lambda done, total: None)


def fail(installation: dict[str, Any], name: str, error: str) -> None:
    """As the queue does when it has given a job up."""
    made = WORK["arrange"].failed
    assert made is not None
    installation["bus"].handle(made({"hierarchy_run_id": name}, error))


def step(asked: Asked) -> str:
    fields = asked.schema["properties"]
    if "categories" in fields:
        merging = "merged_from" in str(fields["categories"])
        return "deduplicate" if merging else "propose"
    return "assign" if "category" in fields else "rename"


def sensible(asked: Asked) -> Said:
    """As a good model would: two kinds, xyzzy under none."""
    match step(asked):
        case "propose":
            return {"categories": [{"title": one, "description": one} for one in KINDS]}
        case "deduplicate":
            some = [(one, at) for at, one in enumerate(KINDS, 1)]
            return {"categories": [{"title": n, "description": n, "merged_from": [at]} for n, at in some]}
        case "assign":
            wanted = LEVEL[topic_of(asked)]
            return {"category": numbered(asked)[wanted] if wanted else 0}
        case _:
            kind = next(one for one in KINDS if any(topic in asked.text for topic in KINDS[one]))
            return {"title": f"All {kind.lower()}", "description": kind}


def numbered(asked: Asked) -> dict[str, int]:
    return {title: int(at) for at, title in re.findall(r"^(\d+)\. (\w+)", asked.text, re.M)}


def topic_of(asked: Asked) -> str:
    return next(one for one in TOPICS if f"- {one}: " in asked.text)


def tree_of(container: Container, name: str) -> dict[str | None, set[str]]:
    tree = container.store.load(Hierarchy, name).tree
    found: dict[str | None, set[str]] = {}
    for one in tree.leaves:
        place = tree.places[one]
        found.setdefault(None if place == TOP else tree.category(place).title, set()).add(TOPICS[one])
    return found


WHOLE = {"All food": {"bread", "pasta"}, "All money": {"loans", "taxes"}, None: {"xyzzy"}}


def status(container: Container, name: str) -> str:
    return container.store.load(Hierarchy, name).status


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_passes_is_waited_for_and_what_does_not_fit_is_asked_again(
    installation: dict[str, Any],
    container: Container,
    run_id: str,
    provider: str,
    request: pytest.FixtureRequest,
) -> None:
    server: ProtocolServer = request.getfixturevalue(provider)
    server.answer = sensible
    server.script.extend([Status(429, retry_after=0.01), {"category": 1}, {"categories": []}])
    name = ask_for(installation, run_id, f"{provider}/some-model")
    work(installation, name)
    assert tree_of(container, name) == WHOLE
    assert [one.complaint is not None for one in server.asked[:5]] == [False, False, True, True, False]
    assert Counter(map(step, server.asked)) == {"propose": 4, "deduplicate": 1, "assign": 5, "rename": 2}


def test_a_list_that_drops_a_proposal_is_asked_for_again(
    installation: dict[str, Any], container: Container, run_id: str, openai: ProtocolServer
) -> None:
    def answer(asked: Asked) -> Said:
        if step(asked) == "deduplicate" and asked.complaint is None:
            return {"categories": [{"title": "Food", "description": "", "merged_from": [1]}]}
        return sensible(asked)

    openai.answer = answer
    name = ask_for(installation, run_id, "openai/some-model")
    work(installation, name)
    assert tree_of(container, name) == WHOLE
    assert any("exactly one category" in str(one.complaint) for one in openai.asked)


def test_a_question_that_always_fails_stops_nothing_else_and_is_counted(
    installation: dict[str, Any], container: Container, run_id: str, openai: ProtocolServer
) -> None:
    def answer(asked: Asked) -> Said:
        lost = step(asked) == "assign" and topic_of(asked) == "bread"
        return Words("no JSON at all") if lost or step(asked) == "deduplicate" else sensible(asked)

    openai.answer = answer
    name = ask_for(installation, run_id, "openai/some-model")
    work(installation, name)
    assert tree_of(container, name) == {**WHOLE, "All food": {"pasta"}, None: {"bread", "xyzzy"}}
    with container.database.connection() as connection:
        sql = "SELECT data::text FROM log.events WHERE stream = %s"
        log = [
            row[0] for row in connection.execute(sql, [container.store.load(Hierarchy, name).id]).fetchall()
        ]
    assert sum(bool(re.search(r'"error": ?"', one)) for one in log) == 2


@pytest.mark.parametrize(
    ("lost", "why"), [("propose", "no category was proposed"), ("assign", "none of 5 nodes could be")]
)
def test_a_step_without_any_answer_fails_the_run_which_is_gone_on_with(
    installation: dict[str, Any],
    container: Container,
    run_id: str,
    openai: ProtocolServer,
    lost: str,
    why: str,
) -> None:
    openai.answer = lambda asked: Words("no JSON at all") if step(asked) == lost else sensible(asked)
    name = ask_for(installation, run_id, "openai/some-model")
    with pytest.raises(Refused, match=why) as refused:
        work(installation, name)
    fail(installation, name, str(refused.value))
    assert status(container, name) == "failed"
    before = Counter(map(step, openai.asked))
    openai.answer = sensible
    openai.asked.clear()
    installation["bus"].handle(ResumeHierarchy(hierarchy_run_id=name))
    work(installation, name)
    assert (status(container, name), tree_of(container, name)) == ("completed", WHOLE)
    assert before.keys() & Counter(map(step, openai.asked)).keys() == {lost}, "nothing is paid twice"


def test_a_key_that_is_wrong_ends_the_run_with_the_reason(
    installation: dict[str, Any], container: Container, run_id: str, anthropic: ProtocolServer
) -> None:
    anthropic.answer = lambda asked: Status(401, "invalid x-api-key")
    name = ask_for(installation, run_id, "anthropic/some-model")
    with pytest.raises(Refused, match="invalid x-api-key"):
        work(installation, name)


def test_a_worker_that_dies_has_not_lost_what_was_paid_for(
    installation: dict[str, Any],
    container: Container,
    run_id: str,
    openai: ProtocolServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openai.answer = sensible
    name = ask_for(installation, run_id, "openai/some-model")
    with monkeypatch.context() as dying:
        dying.setattr(Hierarchy, "record_assignments", lambda *record: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            work(installation, name)
    work(installation, name)
    assert tree_of(container, name) == WHOLE
    assert Counter(map(step, openai.asked)) == {"propose": 1, "deduplicate": 1, "assign": 5, "rename": 2}


def test_one_that_is_cancelled_asks_no_more_and_is_gone_on_with(
    installation: dict[str, Any],
    container: Container,
    run_id: str,
    openai: ProtocolServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("commands.runs.LOOKED_EVERY_S", -1.0)
    name = ask_for(installation, run_id, "openai/some-model")

    def cancelling(asked: Asked) -> Said:
        if step(asked) == "assign":
            installation["bus"].handle(CancelHierarchy(hierarchy_run_id=name))
        return sensible(asked)

    openai.answer = cancelling
    work(installation, name)
    asked = Counter(map(step, openai.asked))
    assert (status(container, name), asked) == ("cancelled", {"propose": 1, "deduplicate": 1, "assign": 1})
    assert len(container.store.load(Hierarchy, name).assigned) == 1
    openai.answer = sensible
    installation["bus"].handle(ResumeHierarchy(hierarchy_run_id=name))
    work(installation, name)
    assert tree_of(container, name) == WHOLE
    assert Counter(map(step, openai.asked)) == {"propose": 1, "deduplicate": 1, "assign": 5, "rename": 2}
