"""History stays readable to the end: every event that was ever written makes the rows that it made then.

A column or a table that is new is not held against an old file; what stands in it is.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from adapters.bootstrap import Container
from tests.projections.golden_rows import EVENTS, ROWS, Changes, changes, missing

NAMES = sorted(path.stem for path in ROWS.glob("*.json"))


def expected(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROWS / f"{name}.json").read_text())
    return read


KNOWN = {table for name in NAMES for table in expected(name)["rows"]}
"""Tables that stand in any file: where such a table is not in a file, nothing may happen to it."""


def differences(wanted: Changes, found: Changes) -> list[str]:
    """What is not as it was: by table and side, the rows that are wanted against those that there are."""
    wrong = [f"{table} has changed" for table in found if table in KNOWN and table not in wanted]
    for table, sides in wanted.items():
        for side in ("+", "-"):
            rows = sides.get(side, [])
            columns = rows[0].keys() if rows else ()
            there = [_only(row, columns) for row in found.get(table, {}).get(side, [])]
            if sorted(map(_text, rows)) != sorted(map(_text, there)):
                wrong.append(f"{table} {side}: {rows} was, {there} is")
    return wrong


def _only(row: Mapping[str, Any], columns: Any) -> dict[str, Any]:  # noqa: ANN401
    return {name: row.get(name) for name in columns} if columns else dict(row)


def _text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def test_every_golden_event_has_its_rows() -> None:
    assert missing() == [], "write them: python -m tests.projections.golden_rows"
    assert [name for name in NAMES if not (EVENTS / f"{name}.json").exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_event_makes_the_rows_that_it_made_when_it_was_written(shared: Container, name: str) -> None:
    golden = expected(name)
    assert differences(golden["rows"], changes(shared, name, golden["after"])) == []


def test_most_events_show_in_rows() -> None:
    silent = [name for name in NAMES if not expected(name)["rows"]]
    assert len(silent) < len(NAMES) / 3


# --- these tests can fail


def test_a_row_that_is_not_as_it_was_is_seen(shared: Container) -> None:
    golden = expected("curation.queries_moved.v1")
    found = changes(shared, "curation.queries_moved.v1", golden["after"])
    assert differences(golden["rows"], found) == []
    wrong = copy.deepcopy(golden["rows"])
    wrong["clustering.memberships"]["+"][0]["cluster_id"] += 1
    assert [one.partition(" ")[0] for one in differences(wrong, found)] == ["clustering.memberships"]
    del wrong["clustering.memberships"]
    assert differences(wrong, found) == ["clustering.memberships has changed"]
    assert differences({}, {"a.table_that_is_new": {"+": [{}]}}) == []


def test_an_event_that_does_nothing_any_more_is_seen() -> None:
    golden = expected("curation.queries_moved.v1")["rows"]
    assert {one.partition(" ")[0] for one in differences(golden, {})} == set(golden)
