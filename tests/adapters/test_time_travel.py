"""States of the past: read once, shared, bounded, and forgotten with the log."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.bootstrap import Container
from adapters.time_travel import TimeTravel
from adapters.time_travel.kept import Kept
from commands.curation import MoveQueries, RenameCluster
from commands.tags import AddTag
from domain.clustering import ClusteringRun
from domain.errors import Invalid
from tests import stories


@pytest.fixture
def run_id(container: Container) -> str:
    stories.load(container, *(f"query {number}" for number in range(8)))
    return stories.cluster(container, [0, 0, 0, 1, 1, 1, -1, -1], 2)


def edited(container: Container, command: Any) -> int:  # noqa: ANN401
    position = container.bus.handle(command).position
    assert position is not None
    return position


def test_states_are_those_of_their_versions(container: Container, run_id: str) -> None:
    travel = container.time_travel
    ids = stories.query_ids(container)
    at = [edited(container, MoveQueries(run_id=run_id, query_ids=[one], to_cluster_id=1)) for one in ids[:3]]
    container.store.take_snapshot(ClusteringRun, run_id)
    at += [edited(container, RenameCluster(run_id=run_id, cluster_id=1, title=f"t{n}")) for n in range(2)]
    states = [travel.run(run_id, position) for position in at]
    assert [one.sizes.get(0, 0) for one in states] == [2, 1, 0, 0, 0]
    assert [one.run.clusters[1].title for one in states] == [None, None, None, "t0", "t1"]
    assert [sorted(one.run.history.in_force) for one in states] == [
        list(range(states[0].run.version, one.run.version + 1)) for one in states
    ]


def test_a_state_is_read_once_and_its_ids_are_shared(container: Container, run_id: str) -> None:
    travel = TimeTravel(container.store)
    begin = container.store.head()
    renamed = edited(container, RenameCluster(run_id=run_id, cluster_id=1, title="t"))
    first = travel.run(run_id, begin)
    assert travel.run(run_id, begin) is first
    assert travel.run(run_id, renamed).run.partition.query_ids is first.run.partition.query_ids


def test_what_is_edited_afterwards_leaves_a_state_as_it_was(container: Container, run_id: str) -> None:
    """Also the newest, which the commands have in memory as well."""
    newest = container.time_travel.run(run_id, container.store.head())
    before = newest.run.partition.labels.tolist()
    ids = stories.query_ids(container)
    edited(container, MoveQueries(run_id=run_id, query_ids=ids, to_cluster_id=0))
    edited(container, RenameCluster(run_id=run_id, cluster_id=1, title="t"))
    assert newest.run.partition.labels.tolist() == before
    assert newest.run.clusters[1].title is None


def test_a_log_that_begins_anew_is_another(container: Container, run_id: str) -> None:
    """The same id, version and positions, and other clusters."""
    position = container.store.head()
    assert container.time_travel.run(run_id, position).sizes[0] == 3
    container.reset()
    stories.load(container, *(f"query {number}" for number in range(8)))
    assert stories.cluster(container, [0, 1, 1, 1, 1, 1, -1, -1], 2) == run_id
    assert container.time_travel.run(run_id, position).sizes[0] == 1


def test_a_time_means_the_last_event_up_to_then(container: Container, run_id: str) -> None:
    travel, head = container.time_travel, container.store.head()
    times = [travel.time_of(position) for position in range(1, head + 1)]
    for position, at in enumerate(times, 1):
        assert at is not None
        assert travel.position(at.isoformat()) == position
        assert travel.position(at.replace(tzinfo=None).isoformat()) == position
    assert travel.position("2000-01-01") == 0
    container.bus.handle(AddTag(name="begin", position=2))
    assert travel.position("begin") == 2
    with pytest.raises(Invalid, match="future"):
        travel.position("2999-01-01T00:00:00Z")


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    kept: Kept[str] = Kept(10)
    for name, size in (("a", 4), ("b", 4), ("a", 4), ("c", 2)):
        kept.put(name, name.upper(), size)
    kept.get("b")
    kept.put("d", "D", 3)
    assert [kept.get(name) for name in "abcd"] == [None, "B", "C", "D"]
    kept.put("huge", "H", 11)
    assert kept.get("huge") is None
    assert kept.values() == ["B", "C", "D"]
    kept.put("e", "E", 10)
    assert kept.get("e") == "E"
