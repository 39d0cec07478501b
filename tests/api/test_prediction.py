"""Labels at once: one text, many texts, and as many as nobody could hold."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from adapters.providers import SettingsClassifiers
from api.app import create_app
from commands.ports import Item, Labelled, Limits, Stop, never
from domain.errors import Unavailable
from domain.templates import TemplateContent
from tests.browsing import Installation

NDJSON = {"Content-Type": "application/x-ndjson"}
YAML = "name: Weather or money\nlabels:\n  - name: weather\n    description: rain, sun\n  - name: money\n"


@pytest.fixture(scope="module")
def template(api: TestClient) -> dict[str, Any]:
    labels = [{"name": "refund", "description": "money back"}, {"name": "password", "description": "log in"}]
    examples = [{"text": "I want my money back", "label": "refund"}]
    answer = api.post("/api/templates", json={"name": "Support", "labels": labels, "examples": examples})
    assert answer.status_code in (200, 201), answer.text
    made: dict[str, Any] = answer.json()
    return made


def ask(answer: Any, status: int = 200) -> Any:  # noqa: ANN401
    assert answer.status_code == status, answer.text
    return answer.json()


def rows(answer: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def predict(api: TestClient, **body: Any) -> Any:  # noqa: ANN401
    return api.post("/api/predict", json=body)


# --- one text


def test_a_text_gets_a_label_by_the_template(api: TestClient, template: dict[str, Any]) -> None:
    found = ask(predict(api, template_id=template["template_id"], text="give me my money back"))
    assert (found["label"], found["model"]) == ("refund", "local/nearest")
    assert found["template_hash"] == template["template_hash"]
    assert 0.5 < found["confidence"] <= 1
    assert found["reasoning"].startswith("nearest to refund")


def test_a_template_may_come_along_as_yaml(api: TestClient) -> None:
    assert ask(predict(api, template_yaml=YAML, text="will it rain"))["label"] == "weather"
    refused = ask(predict(api, template_yaml="labels: [", text="x"), 422)
    assert refused["detail"].startswith("template_yaml: line 2")


def test_a_changed_template_counts_at_once(api: TestClient) -> None:
    body = {"name": "Changing", "labels": ["sea", "mountain"]}
    made = ask(api.post("/api/templates", json=body), 201)
    assert ask(predict(api, template_id=made["template_id"], text="sailing"))["label"] == "sea"
    changed = {"labels": ["boat", "mountain"], "template_hash": made["template_hash"]}
    ask(api.put(f"/api/templates/{made['template_id']}", json=changed))
    assert ask(predict(api, template_id=made["template_id"], text="sailing"))["label"] == "boat"
    ask(api.delete(f"/api/templates/{made['template_id']}"))
    ask(predict(api, template_id=made["template_id"], text="sailing"), 404)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"text": "x"}, 422, "give one of template_id and template_yaml"),
        ({"text": "x", "template_id": "a", "template_yaml": YAML}, 422, "give one of"),
        ({"text": "x", "template_id": "none"}, 404, "there is no template 'none'"),
        ({"text": "", "template_yaml": YAML}, 422, "/body/text"),
        ({"text": " \n", "template_yaml": YAML}, 422, "text: there is nothing in it"),
        ({"text": "\ud800", "template_yaml": YAML}, 422, ""),
        ({"template_yaml": YAML}, 422, "/body/text"),
        ({"text": "x", "template_yaml": YAML, "model": "none/such"}, 422, "model 'none/such' is not known"),
        ({"text": "x", "template_yaml": YAML, "provider": "none"}, 422, "model 'none/' is not known"),
    ],
)
def test_what_cannot_be_answered_says_why(
    api: TestClient, body: dict[str, Any], status: int, said: str
) -> None:
    sent = json.dumps(body).encode()
    answer = api.post("/api/predict", content=sent, headers={"Content-Type": "application/json"})
    assert said in ask(answer, status)["detail"]


def test_what_is_served_is_counted(api: TestClient, template: dict[str, Any]) -> None:
    def counted(outcome: str) -> float:
        same = {"provider": "local", "outcome": outcome}
        return REGISTRY.get_sample_value("lmsys_predictions_total", same) or 0

    before = counted("labelled"), counted("failed")
    items = [{"id": "a", "text": "money"}, {"id": "b", "text": ""}]
    rows(api.post("/api/predict/batch", json={"template_id": template["template_id"], "items": items}))
    assert (counted("labelled") - before[0], counted("failed") - before[1]) == (1, 1)


def test_no_event_says_that_it_was_asked_for(
    api: TestClient, made: Installation, template: dict[str, Any]
) -> None:
    before = made.container.store.head()
    ask(predict(api, template_id=template["template_id"], text="money"))
    assert made.container.store.head() == before


def test_who_asks_too_often_waits(made: Installation, template: dict[str, Any]) -> None:
    made.container.settings.__dict__["predict_rate"], usual = "1/hour", made.container.settings.predict_rate
    try:
        app = create_app(made.container.settings)
        app.state.container = made.container
        api = TestClient(app, client=("192.0.2.9", 1))
        ask(predict(api, template_id=template["template_id"], text="money"))
        refused = predict(api, template_id=template["template_id"], text="money")
        assert int(refused.headers["retry-after"]) > 3_000
        ask(refused, 429)
        ask(api.post("/api/predict/batch", content=b"", headers=NDJSON), 429)
    finally:
        made.container.settings.__dict__["predict_rate"] = usual


# --- many


def test_items_of_a_body_are_answered_in_order(api: TestClient, template: dict[str, Any]) -> None:
    texts = ["money back", "", "my password"]
    items = [{"id": f"i{n}", "text": text} for n, text in enumerate(texts)]
    body = {"template_id": template["template_id"], "items": items}
    first, empty, last = rows(api.post("/api/predict/batch", json=body))
    assert (first["id"], first["label"], last["id"], last["label"]) == ("i0", "refund", "i2", "password")
    assert empty == {"id": "i1", "label": "", "error": "there is nothing in the text", "line": 2}
    refused = ask(api.post("/api/predict/batch", json={**body, "items": [{"id": "x"}]}), 422)
    assert refused["errors"][0]["pointer"] == "/body/items/0/text"


def test_a_bad_line_costs_itself_alone(api: TestClient, template: dict[str, Any]) -> None:
    lines = [
        b'{"id": "a", "text": "money back"}',
        b"{oops",
        b"",
        b'{"id": 7, "text": "my password", "more": 1}',
        b'{"id": "c"}',
        b'{"text": "\xff"}',
        b'{"id": "' + b"x" * 201 + b'", "text": "y"}',
        b'{"text": "' + b"x" * (1024 * 1024) + b'"}',
        b'{"text": "money"}',
    ]
    given = {"template_id": template["template_id"]}
    answer = api.post("/api/predict/batch", params=given, content=b"\n".join(lines), headers=NDJSON)
    found = rows(answer)
    assert [(one["id"], one["label"]) for one in found if one["label"]] == [
        ("a", "refund"),
        ("7", "password"),
        ("9", "refund"),
    ]
    wrong = {one["line"]: one["error"] for one in found if not one["label"]}
    assert list(wrong) == [2, 5, 6, 7, 8]
    assert "malformed" in wrong[2]
    assert "missing required field `text`" in wrong[5]
    assert "200 characters" in wrong[7]
    assert "more than 1048576 bytes" in wrong[8]


def test_lines_need_a_template_that_is_there(api: TestClient) -> None:
    ask(api.post("/api/predict/batch", content=b"{}\n", headers=NDJSON), 422)
    given = {"template_id": "none"}
    ask(api.post("/api/predict/batch", params=given, content=b"{}\n", headers=NDJSON), 404)


class Scripted:
    """A classifier that answers in reverse order, and fails where a text says so."""

    model = "local/scripted"
    prompt = ""

    def classify(
        self, template: TemplateContent, items: Iterable[Item], limits: Limits, stop: Stop = never
    ) -> Iterator[Labelled]:
        batch = list(items)
        if any(item.text == "down" for item in batch):
            raise Unavailable("nobody answers")
        yield from (Labelled(item.key, item.text[:4], reasoning="r" * 150) for item in reversed(batch))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SettingsClassifiers, "get", lambda self, model: Scripted())


@pytest.mark.usefixtures("scripted")
def test_order_is_that_of_the_lines_whatever_that_of_the_answers(api: TestClient) -> None:
    items = [{"id": str(n), "text": f"{n:04}"} for n in range(2_500)]
    found = rows(api.post("/api/predict/batch", json={"template_yaml": YAML, "items": items}))
    assert [(one["id"], one["label"]) for one in found] == [(str(n), f"{n:04}") for n in range(2_500)]


@pytest.mark.usefixtures("scripted")
def test_where_the_classifier_fails_each_line_says_so(api: TestClient) -> None:
    items = [{"id": "1", "text": "down"}, {"id": "2", "text": "x"}]
    found = rows(api.post("/api/predict/batch", json={"template_yaml": YAML, "items": items}))
    assert [(one["id"], one["error"]) for one in found] == [("1", "nobody answers"), ("2", "nobody answers")]
    ask(predict(api, template_yaml=YAML, text="down"), 503)


# --- as many as there are

LINES = 200_000


def resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // 1024**2


class Sender(threading.Thread):
    """Sends 200,000 lines, 40 MB, for as long as they are taken."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        super().__init__()
        self._connection = connection
        self.sent = 0

    def run(self) -> None:
        for start in range(0, LINES, 500):
            lines = [json.dumps({"id": str(n), "text": f"{n:0180}"}) for n in range(start, start + 500)]
            body = ("\n".join(lines) + "\n").encode()
            self._connection.send(f"{len(body):x}\r\n".encode() + body + b"\r\n")
            self.sent += 500
        self._connection.send(b"0\r\n\r\n")


@pytest.mark.usefixtures("scripted")
def test_a_client_that_reads_slowly_is_read_slowly(served: str, template: dict[str, Any]) -> None:
    """Client and server are one process here: were anything held, its memory would grow by 40 MB or more."""
    connection = http.client.HTTPConnection(served.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", f"/api/predict/batch?template_id={template['template_id']}")
    connection.putheader("Content-Type", "application/x-ndjson")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    sender = Sender(connection)
    sender.start()
    answer = connection.getresponse()
    first = answer.readline()
    before = resident_mb()
    stands, last = sender.sent, -1
    while stands != last:
        last = stands
        sender.join(timeout=1.0)
        stands = sender.sent
    assert stands < LINES / 2
    read = [first, *answer]
    sender.join()
    assert len(read) == LINES
    assert [json.loads(read[n])["id"] for n in (0, LINES // 2, LINES - 1)] == ["0", "100000", "199999"]
    assert resident_mb() - before < 120  # the lines that were read here are 45 MB of it
    connection.close()
