"""The log over HTTP: in pages, and as a stream that goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
from fastapi.testclient import TestClient

from api import audit
from commands.curation import RenameCluster
from domain.base import context
from projections import audit as audit_read
from projections.audit import EventPage
from tests.api.test_queries import get
from tests.browsing import Installation

STREAM = {"Accept": "text/event-stream"}


def test_events_say_who_when_and_what(api: TestClient, made: Installation) -> None:
    page = get(api, "/api/events", type="curation.queries_moved")
    (moved,) = page["items"]
    assert page["next_cursor"] is None
    assert page["head"] == made.container.store.head()
    assert (moved["stream"], moved["actor"]) == (f"clustering/{made.run_id}", "ada")
    assert moved["data"] == {"query_ids": [made.moved_to_noise], "was": [0], "cluster_id": -1}
    assert get(api, f"/api/events/{moved['position']}") == moved
    assert moved["time"] <= moved["recorded_at"]


def test_pages_of_events(api: TestClient) -> None:
    everything = get(api, "/api/events", limit=1_000)["items"]
    for order in ("asc", "desc"):
        seen: list[dict[str, Any]] = []
        after: dict[str, Any] = {}
        while True:
            page = get(api, "/api/events", limit=4, order=order, **after)
            seen += page["items"]
            if page["next_cursor"] is None:
                break
            after = {"after": page["next_cursor"]}
        assert seen == (everything if order == "asc" else everything[::-1])


def test_long_texts_are_left_out_unless_asked_for(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_read, "LONGEST_TEXT", 10)
    asked = {"type": "clustering.queries_assigned", "limit": 1}
    (cut,) = get(api, "/api/events", **asked)["items"]
    (whole,) = get(api, "/api/events", **asked, full=True)["items"]
    assert cut["data"]["query_ids"] == {"packed": len(whole["data"]["query_ids"])}
    assert get(api, f"/api/events/{cut['position']}") == whole


@pytest.mark.parametrize(
    ("path", "params", "status", "named"),
    [
        ("/api/events", {"limit": 1_001}, 422, "limit"),
        ("/api/events", {"after": -1}, 422, "after"),
        ("/api/events", {"order": "up"}, 422, "order"),
        ("/api/events", {"since": "soon"}, 422, "since"),
        ("/api/events", {"stream": "\0"}, 422, "stream"),
        ("/api/events/0", {}, 422, "position"),
        ("/api/events/999999999", {}, 404, "event 999999999"),
    ],
)
def test_what_the_log_refuses(
    api: TestClient, path: str, params: dict[str, Any], status: int, named: str
) -> None:
    assert named in get(api, path, status, **params)["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "params", "named"),
    [
        ({}, {"order": "desc"}, "order"),
        ({"Last-Event-ID": "first"}, {}, "Last-Event-ID"),
        ({"Last-Event-ID": str(2**63)}, {}, "Last-Event-ID"),
    ],
)
def test_what_a_stream_refuses(
    api: TestClient, headers: dict[str, str], params: dict[str, Any], named: str
) -> None:
    answer = api.get("/api/events", headers={**STREAM, **headers}, params=params)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]


def test_no_more_streams_than_allowed(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "FOLLOWERS", 0)
    assert api.get("/api/events", headers=STREAM).status_code == 503


# --- the stream ----------------------------------------------------------------------------------


@contextmanager
def following(
    served: str, headers: dict[str, str] | None = None, **params: str | int
) -> Iterator[Iterator[dict[str, Any]]]:
    with httpx.stream(
        "GET", f"{served}/api/events", headers={**STREAM, **(headers or {})}, params=params, timeout=10
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield messages(answer)


def messages(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    one: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name in ("id", "event", "data"):
            one[name] = value
        elif not line and one:
            yield {**one, "data": orjson.loads(one["data"])}
            one = {}


def rename(made: Installation, title: str) -> int:
    command = RenameCluster(run_id=made.run_id, cluster_id=1, title=title)
    position = made.container.bus.handle(command).position
    assert position is not None
    return position


def test_a_stream_begins_where_it_is_told_and_goes_on(
    api: TestClient, made: Installation, served: str
) -> None:
    everything = get(api, "/api/events", limit=1_000)["items"]
    with following(served, after=3) as stream:
        for item in everything[3:]:
            message = next(stream)
            assert (message["id"], message["event"]) == (str(item["position"]), item["type"])
            assert audit.EventResponse.model_validate(message["data"]).model_dump(mode="json") == item
        for title in ("One more", "And another"):
            position = rename(made, title)
            message = next(stream)
            assert message["id"] == str(position)
            assert message["data"]["data"]["title"] == title


def test_a_lost_connection_is_taken_up_again(made: Installation, served: str) -> None:
    head = made.container.store.head()
    position = rename(made, "While nobody listened")
    with following(served, {"Last-Event-ID": str(head)}, after=1) as stream:
        assert next(stream)["id"] == str(position)


def test_a_stream_has_only_what_is_asked_for(made: Installation, served: str) -> None:
    with following(served, type="curation.cluster_renamed", actor="nobody in particular") as stream:
        rename(made, "By the system")
        found: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: found.extend([next(stream)]))
        reader.start()
        context.set(replace(context.get(), actor="nobody in particular"))
        position = rename(made, "By somebody")
        reader.join(timeout=10)
    assert [one["id"] for one in found] == [str(position)]


def test_a_stream_survives_a_reset_of_the_log(
    made: Installation, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions begin anew: what is behind the old one would never come."""
    pages = [
        EventPage([], None, 50),
        EventPage([], None, 2),
        EventPage([{"position": 1, "type": "dataset.created"}], None, 2),
    ]
    asked: list[int] = []

    def told(container: object, followed: object, after: int) -> EventPage:
        asked.append(after)
        return pages[min(len(asked), len(pages)) - 1]

    monkeypatch.setattr(audit, "_read", told)
    monkeypatch.setattr(audit, "LOOK_S", 0.01)
    with following(served, after=7) as stream:
        assert next(stream)["id"] == "1"
    assert asked[:3] == [7, 50, 0]


def test_a_server_that_ends_does_not_wait_for_its_readers(made: Installation, served: str) -> None:
    """`served` itself asserts that it has ended."""
    stream = httpx.stream("GET", f"{served}/api/events", headers=STREAM, timeout=10)
    answer = stream.__enter__()
    assert next(messages(answer))["id"] == "1"
