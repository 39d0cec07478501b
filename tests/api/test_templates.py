"""Templates over HTTP: a story from the first version to the last, files, and what is refused."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.testclient import TestClient

from tests import classifying, stories
from tests.browsing import Installation, conversation, load

BODY = {
    "description": "What customers ask for",
    "version": "1.0",
    "labels": [{"name": "billing", "description": "Invoices and refunds"}, "login", "other"],
    "prompt": "Which of {labels} is it?\n{text}",
    "examples": [{"text": "why was I charged twice?", "label": "billing"}],
}
MINE = {"X-Actor": "ada"}


class Desk:
    """The template of one test."""

    def __init__(self, api: TestClient) -> None:
        self.api = api
        self.name = f"Support {uuid4().hex[:8]}"
        self.id = self.name.lower().replace(" ", "-")
        self.path = f"/api/templates/{self.id}"

    def create(self, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        return self.post("", {"name": self.name, **BODY, **more}, 201, of_all=True)

    def post(
        self,
        path: str,
        body: dict[str, Any],
        status: int = 200,
        *,
        of_all: bool = False,
        **how: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        base = "/api/templates" if of_all else self.path
        return self.told(self.api.post(f"{base}{path}", json=body, **{"headers": MINE, **how}), status)

    def put(self, body: dict[str, Any], status: int = 200, **how: Any) -> dict[str, Any]:  # noqa: ANN401
        return self.told(self.api.put(self.path, json=body, **how), status)

    def get(self, path: str = "", status: int = 200, **params: Any) -> dict[str, Any]:  # noqa: ANN401
        return self.told(self.api.get(f"{self.path}{path}", params=params), status)

    def told(self, answer: httpx.Response, status: int) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def desk(api: TestClient) -> Desk:
    return Desk(api)


def test_a_template_is_made_and_read(desk: Desk) -> None:
    answer = desk.api.post("/api/templates", json={"name": desk.name, **BODY})
    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, desk.path)
    assert answer.headers["ETag"] == f'"{made["template_hash"]}"'
    read = desk.api.get(desk.path)
    assert (read.json(), read.headers["ETag"]) == (made, answer.headers["ETag"])
    assert (made["template_id"], made["number"], made["source"]) == (desk.id, 1, "db")
    assert (made["version"], made["labels"]) == ("1.0", ["billing", "login", "other"])
    assert made["label_definitions"][0] == {"name": "billing", "description": "Invoices and refunds"}
    assert made["examples"][0]["label"] == "billing"


def test_post_overwrites_by_a_new_version(desk: Desk) -> None:
    desk.create()
    unchanged = desk.post("", {"name": desk.name, **BODY}, of_all=True)
    assert unchanged["number"] == 1
    again = desk.post("", {"name": desk.name, **BODY, "labels": ["a"], "examples": []}, of_all=True)
    assert (again["number"], again["labels"]) == (2, ["a"])
    other = desk.post("", {"name": desk.name.upper(), "labels": ["a"]}, 201, of_all=True)
    assert other["template_id"] == f"{desk.id}-2", "another name that comes to the same id"
    named = desk.post("", {"template_id": desk.id, "name": "Help", "labels": ["a"]}, of_all=True)
    assert (named["number"], named["name"]) == (3, "Help")


def test_put_needs_the_hash_that_was_seen(desk: Desk) -> None:
    first = desk.create()
    refused = desk.put({"description": "x"}, 422)
    assert "template_hash is missing" in refused["detail"]
    second = desk.put({"description": "x", "template_hash": first["template_hash"]})
    assert (second["number"], second["description"]) == (2, "x")
    assert (second["labels"], second["version"]) == (first["labels"], "1.0"), "what is left out stays"
    stale = desk.put({"description": "y", "template_hash": first["template_hash"]}, 412)
    assert stale["errors"][0]["template_hash"] == second["template_hash"]
    desk.put({"description": "y"}, 412, headers={"If-Match": f'"{first["template_hash"]}"'})
    third = desk.put({"description": None}, headers={"If-Match": f'"{second["template_hash"]}"'})
    assert (third["number"], third["description"]) == (3, None)
    assert desk.put({"name": "x"}, 412, headers={"If-Match": '"3"'})["detail"].startswith("If-Match 3:")
    desk.put({"name": "x"}, 400, headers={"If-Match": '"abc"'})


def test_the_hash_of_a_template_is_no_version_of_a_run(desk: Desk, made: Installation) -> None:
    path = f"/api/curation/runs/{made.run_id}/undo"
    answer = desk.api.post(path, json={}, headers={"If-Match": '"' + "a" * 64 + '"'})
    assert answer.status_code == 412


def test_every_version_stays_and_comes_back(desk: Desk) -> None:
    first = desk.create()
    second = desk.put(
        {
            "labels": ["billing", "login", "praise"],
            "prompt": "Say why.\n{text}",
            "template_hash": first["template_hash"],
        }
    )
    listed = desk.get("/versions")
    assert [one["number"] for one in listed["items"]] == [2, 1]
    assert (listed["items"][1]["made_by"], listed["items"][1]["example_count"]) == ("ada", 1)
    old = desk.get("/versions/1")
    assert (old["template_hash"], old["labels"]) == (first["template_hash"], first["labels"])
    between = desk.get("/diff", **{"from": 1, "to": 2})
    assert (between["labels_added"], between["labels_removed"]) == (["praise"], ["other"])
    assert between["labels_described"][0]["name"] == "billing"
    assert "+Say why." in between["prompt"]
    assert between["translations"] == {"billing": "billing", "login": "login", "other": None}
    back = desk.post("/rollback", {"number": 1, "reason": "no, as it was"})
    assert (back["number"], back["template_hash"]) == (3, first["template_hash"])
    assert desk.get("/versions")["items"][0]["rolled_back_to"] == 1
    assert desk.get("/diff", **{"from": 1})["same"]
    desk.post("/rollback", {"number": 9}, 404)
    desk.post("/rollback", {"number": 1, "template_hash": second["template_hash"]}, 412)
    assert desk.get("/versions/9", 404)["status"] == 404


def test_deleted_is_not_gone(desk: Desk) -> None:
    made = desk.create()
    answer = desk.api.delete(desk.path, params={"reason": "of no use"})
    assert answer.json()["status"] == "deleted"
    assert "a rollback or a POST brings it back" in desk.get(status=404)["detail"]
    assert desk.get(include_deleted=True)["deleted"]
    assert desk.get("/versions")["total"] == 1
    assert desk.api.delete(desk.path).status_code == 404
    desk.put({"name": "x", "template_hash": made["template_hash"]}, 404)
    desk.get("/export", 404)
    listed = {"text": desk.id}
    assert desk.api.get("/api/templates", params=listed).json()["total"] == 0
    assert desk.api.get("/api/templates", params={**listed, "include_deleted": True}).json()["total"] == 1
    back = desk.post("/rollback", {"number": 1})
    assert (back["deleted"], back["number"]) == (False, 2)
    desk.api.delete(desk.path)
    assert desk.post("", {"name": desk.name, **BODY}, of_all=True)["number"] == 3


def test_a_list_is_searched(desk: Desk) -> None:
    desk.create(labels=["billing", desk.id])
    found = [
        desk.api.get("/api/templates", params=one).json()["total"]
        for one in ({"label": desk.id}, {"text": desk.id.upper()}, {"label": "100%"}, {"text": "%"})
    ]
    assert found == [1, 1, 0, 0]
    page = desk.api.get("/api/templates", params={"label": desk.id, "source": "db"}).json()
    assert (page["items"][0]["template_id"], page["items"][0]["label_count"]) == (desk.id, 2)
    assert desk.api.get("/api/templates", params={"label": desk.id, "source": "yaml"}).json()["total"] == 0


# --- labels


def test_labels_migrate_after_a_dry_run(desk: Desk) -> None:
    desk.create()
    changes = [
        {"kind": "rename", "from": "login", "to": {"name": "access", "description": "Signing in"}},
        {"kind": "split", "from": "billing", "to": ["invoice", "refund"]},
    ]
    tried = desk.post("/labels/migrate", {"changes": changes, "dry_run": True})
    assert (tried["number"], tried["undecided"], tried["examples_left_out"]) == (2, ["billing"], 1)
    assert desk.get("/versions")["total"] == 1
    made = desk.post("/labels/migrate", {"changes": changes, "reason": "two teams"})
    assert made == {**tried, "dry_run": False}
    assert desk.get()["labels"] == ["invoice", "refund", "access", "other"]
    assert desk.get("/versions")["items"][0]["changes"] == made["changes"]
    words = desk.get("/diff", **{"from": 1})["translations"]
    assert words == {"billing": None, "login": "access", "other": "other"}
    refused = desk.post("/labels/migrate", {"changes": changes}, 422)
    assert "the template has no label 'login'" in refused["detail"]


def test_a_migration_says_how_many_results_it_concerns(desk: Desk, made: Installation, dataset: str) -> None:
    load(made, dataset, [conversation(n, topic) for n, topic in enumerate((0, 0, 2, -1, -1))])
    classifying.template(made.container, desk.id)
    stories.project(made.container)
    for _ in range(2):
        run_id = classifying.request(made.container, dataset, template_id=desk.id)
        classifying.work(made.container, run_id)
    stories.project(made.container)
    rename = {"kind": "rename", "from": "other", "to": "rest"}
    first = desk.post("/labels/migrate", {"changes": [rename]})
    everything = sum(first["results"].values())
    merge = {"kind": "merge", "from": ["refund", "rest"], "to": "all"}
    tried = desk.post("/labels/migrate", {"changes": [merge], "dry_run": True})
    assert tried["results"]["rest"] == first["results"]["other"] == everything > 0
    retire = {"kind": "retire", "from": ["rest", "weather"]}
    retired = desk.post("/labels/migrate", {"changes": [retire], "dry_run": True})
    assert retired["results_undecided"] == sum(retired["results"].values()) > 0
    assert sum(tried["results"].values()) + retired["results"]["weather"] == 10


# --- files


def test_an_export_comes_to_the_same_hash(desk: Desk) -> None:
    made = desk.create()
    exported = desk.api.get(f"{desk.path}/export")
    assert exported.headers["content-type"].startswith("application/yaml")
    assert exported.text == made["yaml_content"]
    data = sync(desk, (f"{desk.id}.yaml", exported.content))["data"]
    assert (data["unchanged"], data["templates"][0]["template_hash"]) == (1, made["template_hash"])


def sync(desk: Desk, *files: tuple[str, bytes], headers: Any = None) -> dict[str, Any]:  # noqa: ANN401
    form = [("files", (name, body, "application/yaml")) for name, body in files]
    answer = desk.api.post("/api/templates/sync", files=form, headers=headers)
    return desk.told(answer, 200)


def test_good_files_beside_bad_are_taken(desk: Desk, made: Installation) -> None:
    good = f"name: {desk.name}\nlabels: [a, b]\n".encode()
    other = f"name: {desk.name} other\nlabels: [a]\n".encode()
    bad = b"name: x\nlabels: [a, a]\nprompt: nothing\n"
    key = {"Idempotency-Key": uuid4().hex}
    files = [("a.yaml", good), ("b.yaml", bad), ("c.yaml", other), ("d.yaml", b"name: \xff")]
    answer = sync(desk, *files, headers=key)
    assert answer["status"] == "partly"
    data = answer["data"]
    assert [data[one] for one in ("created", "updated", "unchanged")] == [2, 0, 0]
    assert data["rejected"] == [
        {"file": "b.yaml", "line": 2, "reason": "label 'a' stands there twice"},
        {
            "file": "b.yaml",
            "line": 3,
            "reason": "it lacks {text}, the place of the text that is to be labelled",
        },
        {"file": "d.yaml", "line": 1, "reason": "this is no UTF-8"},
    ]
    stories.project(made.container)
    assert sync(desk, *files, headers=key) == answer, "the same request again changes nothing"
    again = sync(desk, ("a.yaml", good.replace(b"[a, b]", b"[a, c]")), ("c.yaml", other))
    assert (again["status"], again["data"]["updated"], again["data"]["unchanged"]) == ("synced", 1, 1)
    assert desk.get()["source"] == "yaml"
    assert sync(desk, ("b.yaml", bad))["status"] == "rejected"


def test_yaml_in_a_request_must_agree_with_what_stands_beside_it(desk: Desk) -> None:
    text = f"name: {desk.name}\nversion: 3\nlabels: [a, b]\n"
    made = desk.post("", {"yaml_content": text}, 201, of_all=True)
    assert (made["template_id"], made["version"], made["source"]) == (desk.id, "3", "yaml")
    same = {"yaml_content": text, "name": desk.name, "labels": ["a", "b"], "version": "3"}
    assert desk.post("", same, of_all=True)["number"] == 1
    refused = desk.post("", {**same, "labels": ["a"]}, 422, of_all=True)
    assert refused["detail"].startswith("labels: it is not what yaml_content says")
    assert desk.post("", {**same, "version": "4"}, 422, of_all=True)["detail"].startswith("version:")
    revised = {"yaml_content": text.replace("b]", "c]"), "template_hash": made["template_hash"]}
    assert desk.put(revised)["labels"] == ["a", "c"]
    wrong = desk.post("", {"yaml_content": "name: x\nlabels: 7\n"}, 422, of_all=True)
    assert wrong["errors"][0]["line"] == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": []}, "labels: there are 0"),
        ({"labels": None}, "labels: Expected `array`"),
        ({"labels": ["a", "A"]}, "labels/1: label 'A' cannot be told from 'a'"),
        ({"labels": ["x" * 201]}, "labels/0: it has 201 characters"),
        ({"labels": ["a\0"]}, "NUL"),
        (
            {"examples": [{"text": "x", "label": "nobody"}]},
            "examples/0/label: 'nobody' is none of the labels",
        ),
        ({"examples": [{"text": "x"}]}, "missing required field `label`"),
        (
            {"examples": [{"text": "x", "label": "other", "note": "y"}]},
            "examples/0/note: there is no such field",
        ),
        ({"prompt": "{labels}"}, "prompt: it lacks {text}"),
        ({"prompt": "{text} {__class__}"}, "{__class__} at line 1, column 8"),
        ({"schema_module": "my.schemas"}, "give answer_schema"),
        ({"answer_schema": {"type": "object", "properties": {}}}, "lacks `label`"),
        ({"answer_schema": {"type": 7}}, "answer_schema/type: 7 is not valid"),
        ({"template_id": "a b"}, "template_id 'a b'"),
    ],
)
def test_what_is_no_template(desk: Desk, change: dict[str, Any], words: str) -> None:
    refused = desk.post("", {"name": desk.name, **BODY, "examples": [], **change}, 422, of_all=True)
    assert words in refused["detail"]
    desk.get(status=404)
