"""Naming over HTTP: what a run took, what it left, and whose titles are shown."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from adapters.language_models import LanguageModel, Question
from commands.bus import bind
from commands.jobs import WORK
from domain.clustering import ClusteringRun
from tests.browsing import TOPICS, Installation, cluster, conversation, load, project
from tests.scripted import Scripted

ASK = {"provider": "openai", "model": "scripted"}


class Models:
    """One model. It says that cluster 1 has no topic, and nothing of cluster 2 as long as it is shy."""

    def __init__(self) -> None:
        self.shy = True
        self.title = "Topic"
        self.asked: list[Question] = []

    def get(self, name: str, local: str = "") -> LanguageModel:
        model = Scripted(self._answer)
        self.asked = model.asked
        return model

    def _answer(self, question: Question) -> dict[str, Any] | str:
        if question.key == 2 and self.shy:
            return "the model answered 3 times with what does not fit"
        incoherent = "Two topics are mixed." if question.key == 1 else ""
        return {
            "incoherent": incoherent,
            "title": f"{self.title} {question.key}",
            "description": f"About {question.key}.",
        }


@pytest.fixture
def models(made: Installation, monkeypatch: pytest.MonkeyPatch) -> Models:
    models = Models()
    monkeypatch.setattr(made.container.needs["namers"], "_language_models", models)
    return models


@pytest.fixture
def run_id(made: Installation) -> str:
    """Four clusters, one of them the noise, without any title."""
    dataset = f"d{uuid4().hex[:12]}"
    ids = load(made, dataset, [conversation(n, list(TOPICS)[n % 4]) for n in range(24)])
    return cluster(made, dataset, {one: list(TOPICS)[n % 4] for n, one in enumerate(ids)})


def work(made: Installation, summary_run_id: str) -> None:
    needs = {**made.container.needs, "bus": made.container.bus, "progress": lambda done, total: None}
    bind(WORK["summarise"].run, needs)(summary_run_id=summary_run_id)
    project(made.container)


def asked(api: TestClient, made: Installation, run_id: str, **fields: Any) -> str:  # noqa: ANN401
    """A summary run that was asked for and worked at."""
    answer = api.post("/api/summaries", json={**ASK, "run_id": run_id, **fields}, headers={"X-Actor": "ada"})
    assert answer.status_code == 202, answer.text
    summary_run_id = str(answer.json()["data"]["summary_run_id"])
    work(made, summary_run_id)
    return summary_run_id


def titles(api: TestClient, run_id: str, **chosen: Any) -> dict[int, str | None]:  # noqa: ANN401
    answer = api.get(f"/api/clustering/runs/{run_id}/clusters", params={"sort": "cluster_id", **chosen})
    assert answer.status_code == 200, answer.text
    return {one["cluster_id"]: one["title"] for one in answer.json()["items"]}


def test_a_run_says_what_it_took_what_has_no_topic_and_what_failed(
    made: Installation, api: TestClient, models: Models, run_id: str
) -> None:
    summary_run_id = asked(api, made, run_id, alias="v1", max_queries=4, seed=7, concurrency=2, rpm=90)
    summary = api.get(f"/api/summaries/{summary_run_id}").json()
    assert (summary["status"], summary["summarised"], summary["incoherent"], summary["failed"]) == (
        "completed",
        3,
        1,
        1,
    )
    assert summary["failures"] == [
        {"cluster_id": 2, "error": "the model answered 3 times with what does not fit"}
    ]
    assert summary["usage"] == {
        "calls": 3,
        "input_tokens": 600,
        "output_tokens": 60,
        "cost_usd": pytest.approx(0.03),
        "seconds": 1.5,
        "cached": 0,
    }
    assert summary["parameters"] == {"max_queries": 4, "seed": 7, "concurrency": 2, "rpm": 90}
    assert titles(api, run_id) == {-1: "Unclustered", 0: "Topic 0", 1: "Topic 1", 2: None}
    one = api.get(f"/api/summaries/{summary_run_id}/clusters/1").json()
    assert (one["title"], one["incoherent"], one["num_queries"]) == ("Topic 1", "Two topics are mixed.", 6)
    assert len(one["representative_queries"]) == 3
    failed = api.get(f"/api/summaries/{summary_run_id}/clusters/2")
    assert failed.status_code == 404
    assert "it failed: the model answered 3 times" in failed.json()["detail"]


def test_what_is_left_is_done_by_a_resume(
    made: Installation, api: TestClient, models: Models, run_id: str
) -> None:
    summary_run_id = asked(api, made, run_id)
    models.shy = False
    answer = api.post(f"/api/summaries/{summary_run_id}/resume")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["Location"] == f"/api/summaries/{summary_run_id}"
    work(made, summary_run_id)
    assert [question.key for question in models.asked] == [2]
    summary = api.get(f"/api/summaries/{summary_run_id}").json()
    assert (summary["status"], summary["summarised"], summary["failed"], summary["failures"]) == (
        "completed",
        4,
        0,
        [],
    )
    assert summary["usage"]["calls"] == 4
    assert titles(api, run_id)[2] == "Topic 2"
    again = api.post(f"/api/summaries/{summary_run_id}/resume")
    assert (again.status_code, "nothing is left" in again.json()["detail"]) == (409, True)


def test_what_has_no_topic_is_a_bad_cluster_of_the_run_that_is_shown_or_asked_for(
    made: Installation, api: TestClient, models: Models, run_id: str
) -> None:
    path = f"/api/curation/runs/{run_id}/select-bad-clusters"

    def hits(**chosen: str) -> list[tuple[int, str, str]]:
        project(made.container)
        items = api.get(path, params={"heuristics": "incoherent", **chosen}).json()["items"]
        return [(one["cluster_id"], one["reasons"][0]["detail"], one["incoherent"]) for one in items]

    assert hits() == []
    asked(api, made, run_id, alias="model")
    why = "Two topics are mixed."
    assert hits() == [(1, why, why)]
    asked(api, made, run_id, provider="local", model="c-tf-idf")
    assert hits() == []
    assert hits(alias="model") == [(1, why, why)]


def test_one_cluster_alone(made: Installation, api: TestClient, models: Models, run_id: str) -> None:
    asked(api, made, run_id)
    models.title = "Other"
    one = asked(api, made, run_id, cluster_id=0)
    shown = {-1: "Unclustered", 0: "Other 0", 1: "Topic 1", 2: None}
    assert titles(api, run_id) == titles(api, run_id, summary_run_id=one) == shown
    items = api.get(f"/api/clustering/runs/{run_id}/clusters", params={"sort": "cluster_id"}).json()["items"]
    assert [item["summary_run_id"] == one for item in items] == [False, True, False, False]
    absent = api.post("/api/summaries", json={**ASK, "run_id": run_id, "cluster_id": 9})
    assert (absent.status_code, "has no cluster 9" in absent.json()["detail"]) == (409, True)


def test_which_titles_are_shown_is_chosen_and_is_history(
    made: Installation, api: TestClient, models: Models, run_id: str
) -> None:
    models.shy = False
    first = asked(api, made, run_id, alias="v1")
    models.title = "Kind"
    second = asked(api, made, run_id, alias="v2", show=False)
    assert titles(api, run_id)[0] == "Topic 0"
    assert titles(api, run_id, alias="v2")[0] == "Kind 0"
    head = made.container.store.head()
    answer = api.post(f"/api/summaries/{second}/show", json={"reason": "reads better"})
    assert answer.status_code == 200, answer.text
    project(made.container)
    assert titles(api, run_id) == {-1: "Unclustered", 0: "Kind 0", 1: "Kind 1", 2: "Kind 2"}
    assert titles(api, run_id, as_of=head)[0] == "Topic 0"
    assert titles(api, run_id, as_of=head, summary_run_id=second)[0] == "Kind 0"
    event = api.get(f"/api/events/{head + 1}").json()
    assert (event["type"], event["reason"]) == ("clustering.clusters_titled", "reads better")
    found = api.get("/api/search/clusters", params={"text": "Kind 1 About 1.", "run_id": run_id}).json()
    assert (found["items"][0]["cluster_id"], found["items"][0]["title"]) == (1, "Kind 1")
    again = api.post(f"/api/summaries/{second}/show")
    assert "X-Event-Position" not in again.headers
    assert api.post("/api/summaries/nowhere/show").status_code == 404
    exported = api.get("/api/export/download", params={"run_id": run_id, "format": "json"}).json()
    older = api.get("/api/export/download", params={"run_id": run_id, "format": "json", "alias": "v1"}).json()
    then = {"run_id": run_id, "format": "json", "summary_run_id": second, "as_of": head}
    past = api.get("/api/export/download", params=then).json()
    for rows, word in ((exported, "Kind"), (older, "Topic"), (past, "Kind")):
        names = {row["cluster_id"]: row["cluster_title"] for row in rows}
        assert names == {-1: "Unclustered", **{one: f"{word} {one}" for one in range(3)}}
    assert first != second


def test_words_of_people_give_way_only_when_asked_and_come_back(
    made: Installation, api: TestClient, models: Models, run_id: str
) -> None:
    models.shy = False
    mine = {"title": "Mine"}
    api.post("/api/curation/clusters/0/rename", params={"run_id": run_id}, json=mine)
    first = asked(api, made, run_id)
    assert titles(api, run_id)[0] == "Mine"
    models.title = "Kind"
    asked(api, made, run_id, replace_edited=True)
    assert titles(api, run_id)[0] == "Kind 0"
    edit = api.get(f"/api/curation/runs/{run_id}/audit").json()["items"][0]
    assert (edit["edit_type"], edit["editor"]) == ("release_titles", "ada")
    answer = api.post(f"/api/curation/edits/{edit['edit_id']}/undo", params={"run_id": run_id})
    assert answer.status_code == 200, answer.text
    project(made.container)
    assert titles(api, run_id) == {-1: "Unclustered", 0: "Mine", 1: "Kind 1", 2: "Kind 2"}
    api.post(f"/api/summaries/{first}/show", json={"replace_edited": True})
    project(made.container)
    assert titles(api, run_id)[0] == "Topic 0"


def test_a_run_is_cancelled_and_gone_on_with(
    made: Installation, api: TestClient, models: Models, run_id: str
) -> None:
    answer = api.post("/api/summaries", json={**ASK, "run_id": run_id})
    summary_run_id = answer.json()["data"]["summary_run_id"]
    cancelled = api.post(f"/api/summaries/{summary_run_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    work(made, summary_run_id)
    assert models.asked == []
    assert api.get(f"/api/summaries/{summary_run_id}").json()["status"] == "cancelled"
    listed = api.get("/api/summaries", params={"run_id": run_id, "status": "cancelled"}).json()["items"]
    assert [one["summary_run_id"] for one in listed] == [summary_run_id]
    api.post(f"/api/summaries/{summary_run_id}/resume")
    work(made, summary_run_id)
    assert api.get(f"/api/summaries/{summary_run_id}").json()["summarised"] == 3
    late = api.post(f"/api/summaries/{summary_run_id}/cancel")
    assert (late.status_code, "nothing to cancel" in late.json()["detail"]) == (409, True)


@pytest.mark.parametrize("path", ["clusters", "clusters/0"])
def test_a_summary_run_that_is_not_one_of_the_run_is_not_found(
    made: Installation, api: TestClient, run_id: str, path: str
) -> None:
    """Another run's would show nothing, and nobody would know why."""
    project(made.container)
    for wrong in ("nobody", made.summary_run_id):
        answer = api.get(f"/api/clustering/runs/{run_id}/{path}", params={"summary_run_id": wrong})
        assert (answer.status_code, wrong in answer.json()["detail"]) == (404, True)
        head = made.container.store.head()
        then = {"summary_run_id": wrong, "as_of": head}
        assert api.get(f"/api/clustering/runs/{run_id}/{path}", params=then).status_code == 404


@pytest.fixture(autouse=True)
def no_wait(made: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing follows the log here but `project`: reads of ended jobs do not wait for it."""
    monkeypatch.setattr(type(made.container), "wait_for_head", lambda self: None)


def test_titles_of_a_run_need_the_run(api: TestClient) -> None:
    answer = api.get("/api/export", params={"dataset": "default", "alias": "v1"})
    assert (answer.status_code, "give run_id as well" in answer.json()["detail"]) == (422, True)


def test_the_titles_of_all_are_told_apart(
    made: Installation, api: TestClient, models: Models, run_id: str
) -> None:
    """The model calls them alike, and has no better idea when it sees them together."""

    def alike(question: Question) -> dict[str, Any] | str:
        named = {"incoherent": "", "title": "Questions", "description": "About."}
        return named if question.schema["required"] != ["titles"] else "no idea"

    models._answer = alike  # type: ignore[method-assign]
    asked(api, made, run_id)
    found = titles(api, run_id)
    assert found[0] == "Questions"
    assert len(set(found.values())) == 4
    run = made.container.store.load(ClusteringRun, run_id)
    assert {one: cluster.title for one, cluster in run.clusters.items()} == found
