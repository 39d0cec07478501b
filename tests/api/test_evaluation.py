"""Evaluation over HTTP: a story from the test set to the adopted draft, and the same as prompts and runs."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from adapters.services.answers import failure
from commands.ports import Advice, Report
from tests import stories
from tests.browsing import Installation
from tests.evaluating import MODEL, Scripted, Suggesters, bus, suggest, work

ROWS = [
    {"ticket": "two shoes please", "category": "ORDER"},
    {"ticket": "where is my money", "category": "REFUND"},
    {"ticket": "money for the ordered vase", "category": "REFUND"},
    {"ticket": "money for the ordered chair", "category": "REFUND"},
    {"ticket": "no category"},
]


@pytest.fixture(autouse=True)
def _scripted(made: Installation) -> None:
    container = made.container
    container.waiting_bus = bus(container, Scripted(), container._wait)
    vars(container)["needs"]["suggesters"] = Suggesters()


def jsonl(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def upload(api: TestClient, name: str, rows: list[dict[str, str]] | None = None, **form: str) -> Any:  # noqa: ANN401
    files = {"file": ("cases.jsonl", jsonl(rows or ROWS))}
    form = {"test_set": name, "text_column": "ticket", **form}
    return api.post("/api/evaluation/test-sets/upload", files=files, data=form)


def prompt(api: TestClient, **more: Any) -> str:  # noqa: ANN401
    prompt_id = f"p{uuid4().hex[:8]}"
    body = {"id": prompt_id, "name": "Baseline", "template": "Label this: {ticket}", **more}
    made = api.post("/api/prompts", json=body)
    assert made.status_code == 201, made.text
    return prompt_id


def run(api: TestClient, made: Installation, prompt_id: str, test_set: str) -> str:
    body = {"template_id": prompt_id, "test_set": test_set, "model": MODEL}
    started = api.post("/api/evaluation/runs", json=body)
    assert started.status_code == 202, started.text
    return ended(made, started.json()["evaluation_run_id"])


def ended(made: Installation, run_id: str) -> str:
    work(made.container, Scripted(), run_id)
    stories.project(made.container)
    return run_id


def test_a_test_set_of_a_file_has_versions(api: TestClient) -> None:
    name = f"s{uuid4().hex[:8]}"
    first = upload(api, name)
    assert first.status_code == 201
    answer = first.json()
    assert (answer["number"], answer["cases"], answer["labels"]) == (1, 4, {"ORDER": 1, "REFUND": 3})
    assert answer["rejected"] == 1
    assert answer["errors"][0]["row"] == 5
    assert "label_column" in answer["errors"][0]["reason"]
    assert upload(api, name).json()["number"] == 1
    assert upload(api, name, ROWS[:2]).json()["number"] == 2
    path = f"/api/evaluation/test-sets/{name}"
    assert (api.get(path).json()["versions"], api.get(path).json()["cases"]) == (2, 2)
    assert [one["cases"] for one in api.get(f"{path}/versions").json()] == [2, 4]
    cases = api.get(f"{path}/versions/1/cases", params={"label": "REFUND", "limit": 1}).json()
    assert (cases["total"], cases["items"][0]["text"]) == (3, "where is my money")
    info = api.get("/api/test-set").json()
    assert (info["id"], info["version"], info["total"]) == (name, 2, 2)
    assert api.get("/api/test-set", params={"id": "unheard-of"}).status_code == 404
    assert api.get(f"{path}/versions/9").status_code == 404


def test_a_test_set_of_labelled_queries_is_drawn_by_a_seed(api: TestClient) -> None:
    name = f"s{uuid4().hex[:8]}"
    body = {"test_set": name, "filters": {"dataset": "default"}, "truth": "domain", "per_label": 3}
    answer = api.post("/api/evaluation/test-sets", json=body).json()
    assert answer["labels"] == {"domain0": 3, "domain1": 3}
    again = api.post("/api/evaluation/test-sets", json=body).json()
    assert (again["hash"], again["number"]) == (answer["hash"], 1)
    assert api.post("/api/evaluation/test-sets", json={**body, "seed": 7}).json()["hash"] != answer["hash"]
    case = api.get(f"/api/evaluation/test-sets/{name}/versions/1/cases").json()["items"][0]
    assert case["query_id"] > 0
    assert (case["text"] != "", case["gone"]) == (True, False)
    nothing = api.post("/api/evaluation/test-sets", json={**body, "filters": {"text": "unheard-of"}})
    assert (nothing.status_code, "none of these queries" in nothing.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"test_set": "a b"}, 422, "test set name"),
        ({"label_column": "truth"}, 422, "has no case"),
        ({"format": "xml"}, 422, "format must be one of"),
        ({"per_label": "0"}, 422, "per_label"),
    ],
)
def test_what_is_no_test_set_is_refused(
    api: TestClient, form: dict[str, str], status: int, words: str
) -> None:
    answer = upload(api, form.pop("test_set", "fine"), **form)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


def test_a_run_a_suggestion_its_draft_and_a_comparison(api: TestClient, made: Installation) -> None:
    name = f"s{uuid4().hex[:8]}"
    upload(api, name)
    prompt_id = prompt(api, categories=["ORDER", "REFUND"])
    before = run(api, made, prompt_id, name)
    detail = api.get(f"/api/evaluation/runs/{before}").json()
    assert (detail["status"], detail["accuracy"], detail["processed"]) == ("completed", 0.5, 4)
    assert detail["figures"]["counts"]["leaked"] == 0
    failed = api.get(f"/api/evaluation/runs/{before}/results", params={"only": "failed"}).json()
    assert [one["text"] for one in failed["items"]] == [ROWS[2]["ticket"], ROWS[3]["ticket"]]
    assert (failed["items"][0]["expected"], failed["items"][0]["predicted"]) == ("REFUND", "ORDER")
    cell = {"expected": "REFUND", "predicted": "ORDER", "limit": 1}
    assert api.get(f"/api/evaluation/runs/{before}/results", params=cell).json()["total"] == 2

    asked = api.post(f"/api/evaluation/runs/{before}/suggest", json={"examples_per_label": 1})
    assert asked.status_code == 202
    suggestion_id = asked.json()["suggestion_id"]
    path = f"/api/evaluation/suggestions/{suggestion_id}"
    assert api.get(path).json()["draft"] is None
    suggest(made.container, suggestion_id)
    stories.project(made.container)
    found = api.get(path).json()
    assert (found["status"], found["priority_categories"]) == ("draft", ["REFUND"])
    assert found["confused"][0]["terms"]
    assert len(found["draft"]["examples"]) == 1
    assert "REFUND" in found["draft"]["descriptions"]
    refused = api.post(f"{path}/adopt", json={})
    assert (refused.status_code, "has not been evaluated" in refused.json()["detail"]) == (409, True)

    after = ended(made, api.post(f"{path}/evaluate", json={}).json()["evaluation_run_id"])
    which = {"before": before, "after": after}
    compared = api.get("/api/evaluation/compare", params=which).json()
    assert (compared["cases"], compared["left_out"], compared["fixed"]) == (3, 1, 0)
    every = api.get("/api/evaluation/compare", params={**which, "with_leaked": True}).json()
    assert (every["cases"], every["fixed"], every["p_value"]) == (4, 1, 1.0)
    fixed = api.get(
        "/api/evaluation/compare/cases", params={**which, "with_leaked": True, "outcome": "fixed"}
    ).json()
    assert [(one["predicted_before"], one["predicted_after"]) for one in fixed["items"]] == [
        ("ORDER", "REFUND")
    ]
    adopted = api.post(f"{path}/adopt", json={"reason": "better"}).json()
    assert adopted["data"]["template_number"] == 2
    assert api.get(f"/api/prompts/{prompt_id}").json()["version"] == 2
    assert api.post(f"{path}/discard", json={"reason": "no"}).status_code == 409
    listed = api.get("/api/evaluation/suggestions", params={"template_id": prompt_id}).json()["items"]
    assert [(one["status"], one["evaluated"]) for one in listed] == [("adopted", [after])]


def test_runs_on_other_cases_are_not_compared(api: TestClient, made: Installation) -> None:
    prompt_id = prompt(api, categories=["ORDER", "REFUND"])
    upload(api, f"{prompt_id}-1")
    upload(api, f"{prompt_id}-2", ROWS[:2])
    runs = [run(api, made, prompt_id, f"{prompt_id}-{number}") for number in (1, 2)]
    answer = api.get("/api/evaluation/compare", params={"before": runs[0], "after": runs[1]})
    assert (answer.status_code, "different cases" in answer.json()["detail"]) == (409, True)


def test_a_run_is_drawn(api: TestClient, made: Installation) -> None:
    prompt_id = prompt(api, categories=["ORDER", "REFUND"])
    upload(api, prompt_id)
    path = f"/api/evaluation/runs/{run(api, made, prompt_id, prompt_id)}/plot"
    drawn = api.get(path, params={"kind": "classes"})
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert f"{prompt_id} v1, {MODEL} on {prompt_id} v1" in drawn.text
    started = api.post(
        "/api/evaluation/runs", json={"template_id": prompt_id, "test_set": prompt_id, "model": MODEL}
    )
    pending = started.json()["evaluation_run_id"]
    assert api.get(f"/api/evaluation/runs/{pending}/plot").status_code == 409
    assert api.post(f"/api/evaluation/runs/{pending}/resume", json={}).status_code == 409
    stopped = api.post(f"/api/evaluation/runs/{pending}/cancel")
    assert (stopped.status_code, stopped.json()["status"]) == (202, "cancelling")
    assert api.get(f"/api/runs/{pending}").json()["status"] == "running"


# --- prompts


def test_a_prompt_from_its_making_to_its_end(api: TestClient) -> None:
    upload(api, "newest")
    prompt_id = prompt(api)
    path = f"/api/prompts/{prompt_id}"
    found = api.get(path).json()
    assert (found["template"], found["categories"]) == ("Label this: {ticket}", ["ORDER", "REFUND"])
    assert (
        api.post("/api/prompts", json={"id": prompt_id, "name": "x", "template": "{ticket}"}).status_code
        == 409
    )
    edited = api.put(
        path, json={"template": "Which is it? {ticket}", "categories": ["ORDER", "OTHER"]}
    ).json()
    assert (edited["name"], edited["version"]) == ("Baseline", 2)
    assert edited["categories"] == ["ORDER", "OTHER"]
    refused = api.put(path, json={"template": "Which is it?"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/template")
    assert refused.json()["detail"].startswith("template: it lacks {ticket}")
    assert prompt_id in [one["id"] for one in api.get("/api/prompts").json()]
    assert api.delete(path).json()["status"] == "deleted"
    assert api.get(path).status_code == 404
    assert prompt_id not in [one["id"] for one in api.get("/api/prompts").json()]


@pytest.mark.parametrize(
    ("changes", "pointer"), [({"id": ""}, "/body/id"), ({"categories": []}, "/categories")]
)
def test_a_prompt_without_a_name_or_without_categories_is_refused(
    api: TestClient, changes: dict[str, Any], pointer: str
) -> None:
    upload(api, "newest")
    before = api.get("/api/prompts").json()
    body = {"id": "empty", "name": "Baseline", "template": "{ticket}", **changes}
    refused = api.post("/api/prompts", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert api.get("/api/prompts").json() == before


def test_what_is_not_there_is_called_a_prompt(api: TestClient) -> None:
    upload(api, "newest")
    for refused in (
        api.put("/api/prompts/nope", json={"template": "{ticket}"}),
        api.delete("/api/prompts/nope"),
        api.post("/api/runs", json={"prompt_id": "nope"}),
    ):
        assert (refused.status_code, refused.json()["detail"]) == (404, "there is no prompt 'nope'")
    gone = prompt(api, categories=["ORDER", "REFUND"])
    api.delete(f"/api/prompts/{gone}")
    refused = api.post("/api/runs", json={"prompt_id": gone})
    assert (refused.status_code, f"prompt {gone!r} was deleted" in refused.json()["detail"]) == (404, True)
    misnamed = api.post("/api/prompts", json={"id": "a b", "name": "x", "template": "{ticket}"})
    assert (misnamed.status_code, misnamed.json()["detail"].split(":")[0]) == (422, "id 'a b'")


def test_a_run_in_the_words_of_prompts(api: TestClient, made: Installation) -> None:
    prompt_id = prompt(api, categories=["ORDER", "REFUND"])
    upload(api, prompt_id)
    started = api.post("/api/runs", json={"prompt_id": prompt_id, "model": MODEL})
    assert (started.status_code, started.json()["status"]) == (202, "pending")
    run_id = ended(made, started.json()["id"])
    detail = api.get(f"/api/runs/{run_id}").json()
    assert (detail["status"], detail["prompt_id"]) == ("completed", prompt_id)
    assert {name: detail["metrics"][name] for name in ("overall_accuracy", "correct", "total")} == {
        "overall_accuracy": 0.5,
        "correct": 2,
        "total": 4,
    }
    assert detail["metrics"]["category_stats"]["REFUND"]["total"] == 3
    assert detail["confusion_matrix"] == {"ORDER": {"ORDER": 1}, "REFUND": {"ORDER": 2, "REFUND": 1}}
    assert detail["failed_cases"][0] == {
        "test_id": 3,
        "ticket": "money for the ordered vase",
        "expected": "REFUND",
        "predicted": "ORDER",
    }
    assert len(detail["results"]) == 4
    assert [one["id"] for one in api.get("/api/runs", params={"prompt_id": prompt_id}).json()] == [run_id]
    summary = api.get("/api/metrics/summary").json()
    (mine,) = [one for one in summary["prompts"] if one["prompt_id"] == prompt_id]
    assert (mine["runs"], mine["mean_accuracy"], mine["latest"]["evaluation_run_id"]) == (1, 0.5, run_id)
    assert api.post("/api/runs").status_code == 422

    body = {
        "prompt_id": prompt_id,
        "prompt_template": "Label this: {ticket}",
        "metrics": detail["metrics"],
        "category_stats": detail["metrics"]["category_stats"],
        "confusion_matrix": detail["confusion_matrix"],
        "failed_cases": detail["failed_cases"],
    }
    advice = api.post("/api/suggest", json=body).json()
    assert advice["priority_categories"] == ["REFUND"]
    assert "50.0 % of 4 cases are right (2)" in advice["analysis"]
    assert any("ordered" in words for words in advice["suggestions"])
    shares = {name: one["accuracy"] for name, one in body["category_stats"].items()}
    assert api.post("/api/suggest", json={**body, "category_stats": shares}).json() == advice
    uncounted = api.post("/api/suggest", json={**body, "category_stats": {"OTHER": 0.5}})
    assert (uncounted.status_code, "category_stats.OTHER" in uncounted.json()["detail"]) == (422, True)
    spoilt = api.post("/api/suggest", json={**body, "metrics": {"correct": "2"}})
    assert (spoilt.status_code, "metrics.correct" in spoilt.json()["detail"]) == (422, True)
    silent = api.post("/api/suggest", json={**body, "prompt_template": "Label this."})
    assert silent.json()["errors"][0]["pointer"] == "/prompt_template"
    assert silent.json()["detail"].startswith("prompt_template: it lacks {ticket}")


class Denied:
    """A suggester whose provider does not take the key."""

    def get(self, model: str) -> Denied:
        return self

    def suggest(self, report: Report) -> Advice:
        raise failure("openai/gpt-4o", 401, "no such key", {}, None)


def test_a_provider_that_refuses_has_failed_and_not_the_caller(api: TestClient, made: Installation) -> None:
    vars(made.container)["needs"]["suggesters"] = Denied()
    body = {
        "prompt_id": "p1",
        "prompt_template": "Label this: {ticket}",
        "metrics": {"correct": 0, "total": 1},
        "category_stats": {"ORDER": {"correct": 0, "total": 1}},
        "confusion_matrix": {},
        "failed_cases": [],
        "model": "openai/gpt-4o",
    }
    answer = api.post("/api/suggest", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
    assert answer.json()["detail"] == "openai/gpt-4o refused: HTTP 401: no such key"
