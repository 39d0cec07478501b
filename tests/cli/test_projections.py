"""The log and the read models from the command line."""

from __future__ import annotations

import json

import pytest

import cli.projections
from tests.cli.conftest import Lmsys
from tests.cli.stand_in import BROKEN, Api, Raw, page


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.projections, "RECONNECT_S", 0.001)


def test_where_the_read_models_are(lmsys: Lmsys, api: Api) -> None:
    item = {"name": "clustering", "position": 41, "lag": 1, "lag_seconds": 0.5, "parked": 1}
    parked = [{"projection": "clustering", "position": 41, "error": "boom"}]
    api.on("GET", "/api/projections", {"head": 42, "items": [item], "parked": parked})
    told = lmsys("projections", "status")
    assert told.stdout.splitlines()[1].split() == ["clustering", "41", "1", "0.500", "1"]
    assert "boom" in told.stderr


@pytest.mark.parametrize(("word", "path"), [("clustering", "clustering"), ("--all", "all")])
def test_read_models_are_made_anew(word: str, path: str, lmsys: Lmsys, api: Api) -> None:
    rebuilt = [{"name": "clustering", "position": 42, "seconds": 1.5}]
    api.on("POST", f"/api/projections/{path}/rebuild", {"rebuilt": rebuilt})
    assert "1.500" in lmsys("projections", "rebuild", word).stdout


def test_what_is_equal_is_well(lmsys: Lmsys, api: Api) -> None:
    verified = [{"name": "clustering", "position": 42, "equal": True, "differences": []}]
    api.on("POST", "/api/projections/all/verify", {"equal": True, "verified": verified})
    told = lmsys("projections", "verify", "--all")
    assert (told.exit_code, told.stdout.splitlines()[1].split()) == (0, ["clustering", "42", "yes"])


def test_what_differs_is_shown_and_a_failure(lmsys: Lmsys, api: Api) -> None:
    shown = [{"only_in": "live", "run_no": 1, "title": "é"}]
    difference = {"projection": "clustering", "table": "clusters", "rows": 2, "shown": shown}
    verified = [{"name": "clustering", "position": 42, "equal": False, "differences": [difference]}]
    api.on("POST", "/api/projections/clustering/verify", {"equal": False, "verified": verified})
    told = lmsys("projections", "verify", "clustering")
    assert told.exit_code == 1
    assert told.stderr == (
        'clustering.clusters: 2 differ, such as [{"only_in": "live", "run_no": 1, "title": "é"}]\n'
    )


EVENT = {
    "position": 7,
    "recorded_at": "2026-01-01T00:00:00Z",
    "type": "clustering_run.cluster_renamed",
    "stream": "clustering/run",
    "actor": "ada",
    "reason": "clearer",
}


def test_events_are_listed_by_filters(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/events", page(EVENT))
    filters = {
        "stream": "clustering/run",
        "type": "t",
        "actor": "ada",
        "since": "2026-01-01",
        "until": "2027-01-01",
    }
    filters |= {"correlation_id": "c", "after": "5", "limit": "9"}
    words = [word for name, value in filters.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert "clearer" in lmsys("events", *words, "--newest").stdout
    assert api.asked[0].query == {**filters, "order": "desc"}
    assert json.loads(lmsys("events", "--json").stdout)["items"] == [EVENT]


def test_events_are_followed_over_a_lost_connection(lmsys: Lmsys, api: Api) -> None:
    def sent(position: int) -> Raw:
        return Raw(f"id: {position}\ndata: {json.dumps({**EVENT, 'position': position})}\n\n".encode())

    gone = Raw(b'{"error": {"type": "Unauthorized", "message": "the key was revoked"}}', 401)
    api.on("GET", "/api/events", {"head": 42}, sent(7), BROKEN, Raw(status=503), sent(8), gone)
    told = lmsys("events", "--follow", "--type", "t", "--after", "6")
    assert [json.loads(line)["position"] for line in told.stdout.splitlines()] == [7, 8]
    followed = api.asked[1:]
    assert [one.headers.get("last-event-id") for one in followed] == ["6", "7", "7", "7", "8"]
    assert {one.query["type"] for one in followed} == {"t"}
    assert "trying again" in told.stderr
    assert told.exit_code == 1


def test_events_are_followed_from_now_on(lmsys: Lmsys, api: Api) -> None:
    gone = Raw(b'{"error": {"type": "Unauthorized", "message": "no key"}}', 401)
    api.on("GET", "/api/events", {"items": [], "head": 42}, gone)
    lmsys("events", "-f")
    assert api.asked[1].headers["last-event-id"] == "42"


def test_following_does_not_begin_where_nobody_is(lmsys: Lmsys) -> None:
    assert lmsys("events", "--follow", "--api-url", "http://127.0.0.1:1").exit_code == 1
