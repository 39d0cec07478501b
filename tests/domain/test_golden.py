"""History stays readable: an event as it was first written is decoded to what the code of today expects.

`tests/golden/<topic>.v<version>.json` has `data` as the log has it. An event that changes gets a new class
version with an upcast; then its old file stays and gets `now`, the fields that the upcast makes of `data`.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import resolve_topic
from pydantic import TypeAdapter, ValidationError

from adapters.event_store.store import AGGREGATES
from docs.generate_events import recorded
from domain.base import Aggregate, event
from domain.clustering import Cluster, ClusteringRun, Partition
from domain.values import ERASED, NOISE
from tests.runs import MAPPER, completed_run, requested_run

FOLDER = Path(__file__).parents[1] / "golden"
FILES = sorted(FOLDER.glob("*.json"))
ENVELOPE = {"originator_id", "originator_version"}
"""Kept in columns of their own, not in the data of an event."""


def version_of(kind: type) -> int:
    return getattr(kind, "class_version", 1)


def recorded_types() -> dict[str, type]:
    """Topic → class of everything that an aggregate records; a snapshot only where one is taken."""
    return {kind.TOPIC: kind for aggregate in AGGREGATES for kind in recorded(aggregate)}


def fields_of(kind: Any) -> dict[str, Any]:  # noqa: ANN401
    """Field → type, as they are declared."""
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: hints[name] for name in names if name not in ENVELOPE}


def differences(kind: type, data: Mapping[str, Any]) -> Iterator[str]:
    """Where data of the present version does not have the fields that the class declares."""
    fields = fields_of(kind)
    yield from (f"{name} is gone" for name in data if name not in fields)
    yield from (f"{name} is new" for name in fields if name not in data)
    for name in [name for name in fields if name in data]:
        try:
            TypeAdapter(fields[name]).validate_json(orjson.dumps(data[name]), strict=True)
        except ValidationError as error:
            yield f"{name} is of another type: {error.errors()[0]['msg']}"


def decoded(golden: Mapping[str, Any]) -> Any:  # noqa: ANN401
    data = dict(golden["data"])
    if golden["class_version"] > 1:
        data["class_version"] = golden["class_version"]
    return MAPPER.to_domain_event(StoredEvent("some/stream", 7, golden["topic"], orjson.dumps(data)))


def in_json(event: Any) -> dict[str, Any]:  # noqa: ANN401
    """The fields of an event as they would stand in the log now."""
    fields = {name: value for name, value in vars(event).items() if name not in ENVELOPE}
    return typing.cast("dict[str, Any]", orjson.loads(orjson.dumps(fields)))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> dict[str, Any]:
    return typing.cast("dict[str, Any]", json.loads(request.param.read_text()))


def test_every_event_and_every_version_of_it_has_a_file() -> None:
    wanted = {
        f"{topic}.v{version}.json"
        for topic, kind in recorded_types().items()
        for version in range(1, version_of(kind) + 1)
    }
    have = {path.name for path in FILES}
    assert wanted - have == set(), "write them: {topic, class_version, data}, data as the log has it"
    assert have - wanted == set(), "no code reads these any more, but a log may hold them"


def test_a_file_is_named_after_what_it_holds(golden: dict[str, Any]) -> None:
    assert FOLDER / f"{golden['topic']}.v{golden['class_version']}.json" in FILES


def test_an_old_event_is_what_the_code_of_today_expects(golden: dict[str, Any]) -> None:
    event = decoded(golden)
    kind: object = type(event)
    assert kind is resolve_topic(golden["topic"]) is recorded_types()[golden["topic"]]
    assert isinstance(event.timestamp, datetime)
    assert event.timestamp.tzinfo is not None
    assert in_json(event) == golden.get("now", golden["data"])


def test_fields_change_only_with_the_version(golden: dict[str, Any]) -> None:
    kind = recorded_types()[golden["topic"]]
    assert list(differences(kind, golden.get("now", golden["data"]))) == [], (
        f"{golden['topic']} has changed: raise its class_version, write an upcast and a golden file"
    )


# --- the snapshot is the state of an aggregate


def test_a_snapshot_of_before_makes_the_run_of_today() -> None:
    run = decoded(json.loads((FOLDER / "clustering.state_2.v1.json").read_text())).mutate(None)
    assert type(run) is ClusteringRun
    assert set(vars(run)) == set(vars(requested_run()))
    assert run.partition == Partition(np.array([1, 2, 3, 4]), np.array([3, ERASED, 0, 0], np.int32))
    summary = "summary-c-tf-idf-20251004-170500"
    assert run.clusters == {
        0: Cluster("Bake Bread", "About bread.", summary, own_title="Bread"),
        3: Cluster(own_title="Dough", own_description="How to make dough."),
    }
    assert run.removed[1] == Cluster("Credit Card", "About cards.", summary, "Cards", flags=("checked",))
    assert [run.history.state(one) for one in (12, 13, 16)] == ["undone", "in force", "in force"]
    assert isinstance(run.created_on, datetime)
    run.rename(0, "Baking", None)
    assert run.split(0, [3], "Cake", None) == (4, 1)


def test_the_state_in_a_snapshot_is_that_of_the_present_aggregate() -> None:
    golden = json.loads((FOLDER / "clustering.state_2.v1.json").read_text())
    taken = ClusteringRun.Snapshot.take(completed_run([0, NOISE]))
    assert set(golden["data"]["state"]) == set(taken.state), "an old snapshot would lack what is new"
    written = {name for _, fields in golden["data"]["state"]["clusters"] for name in fields}
    assert written <= {field.name for field in dataclasses.fields(Cluster)}


# --- these tests can fail


class Sample(Aggregate):
    """An aggregate whose event has two versions."""

    TOPIC = "golden_sample"
    PREFIX = "golden_sample"

    class Created(Aggregate.Created):
        TOPIC = "golden_sample.created"

    class Painted(Aggregate.Event):
        TOPIC = "golden_sample.painted"
        class_version = 2
        colour: str
        coats: int

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["colour"] = state.pop("color")
            state["coats"] = 1

    def __init__(self) -> None:
        self.colour = "none"

    @staticmethod
    def create_id() -> str:
        return Sample.stream("one")

    @event(Painted)
    def paint(self, colour: str, coats: int) -> None:
        self.colour = colour


WHEN = "2025-10-04T17:04:42.123456+00:00"


def test_an_event_of_an_old_version_is_upcast() -> None:
    old = {"topic": "golden_sample.painted", "class_version": 1, "data": {"timestamp": WHEN, "color": "red"}}
    assert in_json(decoded(old)) == {"timestamp": WHEN, "colour": "red", "coats": 1}


def test_an_event_of_the_new_version_says_so() -> None:
    sample = Sample()
    sample.paint("blue", 2)
    stored = MAPPER.to_stored_event(sample.collect_events()[-1])
    assert orjson.loads(stored.state)["class_version"] == 2
    assert in_json(MAPPER.to_domain_event(stored))["colour"] == "blue"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"timestamp": WHEN, "colour": "red"}, ["coats is new"]),
        ({"timestamp": WHEN, "colour": "red", "coats": 1, "brush": 1}, ["brush is gone"]),
        (
            {"timestamp": WHEN, "colour": "red", "coats": "1"},
            ["coats is of another type: Input should be a valid integer"],
        ),
        ({"timestamp": WHEN, "colour": "red", "coats": 1}, []),
    ],
)
def test_a_changed_field_is_seen(data: dict[str, Any], found: list[str]) -> None:
    assert list(differences(Sample.Painted, data)) == found
