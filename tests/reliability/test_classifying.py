"""A worker that is killed in the middle of a classification run: nothing recorded is lost or asked again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from adapters.bootstrap import Container
from domain.classification import ClassificationRun
from domain.values import unpack
from tests import classifying
from tests.reliability.processes import Nursery, until
from tests.stories import load, project

QUERIES = 400


def recorded(container: Container, run_id: str) -> list[int]:
    """Query ids in the order of the log."""
    run = classifying.run_of(container, run_id)
    events = container.store.events(ClassificationRun, run_id, range(1, run.version + 1)).values()
    chunks = [one for one in events if isinstance(one, ClassificationRun.ResultsRecorded)]
    return [int(query_id) for one in chunks for query_id in unpack(one.query_ids)]


def test_a_killed_worker_loses_and_repeats_nothing_that_was_recorded(
    container: Container, nursery: Nursery, tmp_path: Path
) -> None:
    ids = load(container, *(f"refund {number}" for number in range(QUERIES)))
    project(container)
    with container.database.connection() as connection:  # nobody is to do the load again
        connection.execute("UPDATE policies.checkpoint SET position = %s", [container.store.head()])
    run_id = classifying.request(container, "default")
    notes, url = tmp_path / "notes", container.settings.database_url
    assert url is not None
    environment = {
        "LMSYS_HOME": str(tmp_path),
        "LMSYS_DATABASE_URL": url.get_secret_value(),
        "LMSYS_LOG_LEVEL": "ERROR",
        "LMSYS_JOB_HEARTBEAT_SECONDS": "0.3",
        "LMSYS_JOB_STALLED_SECONDS": "1",
    }
    first = nursery.start("tests.reliability.classifying", str(notes), **environment)
    until(lambda: 0 < len(recorded(container, run_id)) < QUERIES, "some are recorded")
    nursery.kill(first)
    before = recorded(container, run_id)
    assert 0 < len(before) < QUERIES
    second = nursery.start("tests.reliability.classifying", str(notes), **environment)
    until(lambda: classifying.run_of(container, run_id).has_ended, "the run has ended")
    nursery.kill(second)
    assert classifying.run_of(container, run_id).status == "completed"
    assert recorded(container, run_id)[: len(before)] == before
    assert sorted(recorded(container, run_id)) == ids
    asked = Counter(map(int, notes.read_text().split()))
    assert {query_id for query_id, times in asked.items() if times > 1} & set(before) == set()
    assert asked.keys() == set(ids)
