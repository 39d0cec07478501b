"""A run extended from the command line."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api

STARTED = {"run_id": "run", "extension_id": "extend-1", "status": "pending"}
PENDING: dict[str, Any] = {
    "extension_id": "extend-1",
    "status": "pending",
    "after_query_id": 10,
    "last_query_id": 20,
    "confidence_floor": 0.05,
    "added": None,
    "orphaned": None,
    "error": None,
    "requested_at": "2026-01-01T00:00:00Z",
    "ended_at": None,
}
DONE = {**PENDING, "status": "completed", "added": 1_200, "orphaned": 7}
BEFORE = {**DONE, "extension_id": "extend-0", "added": 1}


def listed(*found: dict[str, Any]) -> dict[str, Any]:
    return {"run_id": "run", "extensions": [*found, BEFORE]}


def started(api: Api, *states: dict[str, Any]) -> None:
    api.on("POST", "/api/clustering/runs/run/extend", STARTED)
    api.on("GET", "/api/clustering/runs/run/extensions", *(listed(one) for one in states))


def test_a_run_is_extended(lmsys: Lmsys, api: Api) -> None:
    started(api, PENDING, PENDING, DONE)
    told = lmsys("extend", "run", "--confidence-floor", "0.1")
    assert (told.exit_code, told.stdout) == (0, "1,200 queries added, 7 of them orphaned\n")
    assert told.stderr.endswith("to see these: lmsys edit orphaned run\n")
    assert api.asked[0].json == {"confidence_floor": 0.1}
    assert len(api.of("GET")) == 3


def test_as_json_it_is_the_extension(lmsys: Lmsys, api: Api) -> None:
    started(api, {**DONE, "orphaned": 0})
    told = lmsys("extend", "run", "--json")
    assert json.loads(told.stdout) == {**DONE, "orphaned": 0}
    assert "orphaned run" not in told.stderr


def test_one_need_not_wait(lmsys: Lmsys, api: Api) -> None:
    started(api, PENDING)
    assert lmsys("extend", "run", "--no-wait").stdout == "extend-1\n"
    assert api.of("GET") == []


def test_one_may_wait_for_so_long(lmsys: Lmsys, api: Api) -> None:
    started(api, PENDING)
    told = lmsys("extend", "run", "--timeout", "0.02")
    assert told.exit_code == 1
    assert "the work goes on: lmsys extensions run" in told.stderr


def test_an_extension_that_failed_is_a_failure(lmsys: Lmsys, api: Api) -> None:
    started(api, {**DONE, "status": "failed", "error": "the key is wrong"})
    told = lmsys("extend", "run")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.splitlines()[-2:] == [
        "lmsys: the extension extend-1 of run run failed: the key is wrong",
        "  1,200 queries had been added and stay; the next one goes on from there",
    ]


def test_nothing_new_is_told(lmsys: Lmsys, api: Api) -> None:
    api.fail("POST", "/api/clustering/runs/run/extend", 409, "no queries were loaded into 'default' since")
    told = lmsys("extend", "run")
    assert (told.exit_code, told.stderr) == (1, "lmsys: no queries were loaded into 'default' since\n")


def test_extensions_are_listed(lmsys: Lmsys, api: Api) -> None:
    started(api, DONE)
    lines = lmsys("extensions", "run").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["extend-1", "completed", "1,200"],
        ["extend-0", "completed", "1"],
    ]
    assert json.loads(lmsys("extensions", "run", "--json").stdout) == listed(DONE)
