"""Jobs as the log knows them, with how far a running one is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from adapters.bootstrap import Container
from commands.datasets import EndEmbedding, EndLoad, RequestEmbedding
from commands.ports import BadRow, Conversation
from projections import jobs
from tests.runs import SPACE
from tests.stories import SOURCE, conversation, import_rows, load, project, request_load, rows


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


def found(container: Container, job_id: str, batch: int | None = None) -> dict[str, Any]:
    project(container, batch)
    with container.database.engine.connect() as connection:
        job = jobs.find(connection, job_id)
    assert job is not None
    return job


Row = Conversation | BadRow


def bad(*numbers: int) -> Sequence[BadRow]:
    return [BadRow(number, f"row {number} is bad") for number in numbers]


def test_a_job_waits_runs_and_ends(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    waiting = found(container, job_id)
    assert (waiting["status"], waiting["job_type"], waiting["dataset"]) == ("pending", "upload", dataset)
    import_rows(container, job_id, [conversation(1, "a", "a")], dataset)
    running = found(container, job_id)
    assert (running["status"], running["processed"], running["completed_at"]) == ("running", 1, None)
    container.bus.handle(EndLoad(dataset=dataset, job_id=job_id))
    ended = found(container, job_id)
    assert (ended["status"], ended["processed"], ended["imported"]) == ("completed", 1, 1)
    assert ended["completed_at"] >= ended["created_at"]


def test_the_source_of_a_job_is_kept(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    project(container)
    assert rows(container, jobs.jobs, job_id=job_id)[0]["source"] == SOURCE


@pytest.mark.parametrize("batch", [1, 1_000])
def test_what_became_of_the_rows_adds_up(container: Container, dataset: str, batch: int) -> None:
    load(container, "x", dataset=dataset)
    job_id = request_load(container, dataset)
    first: list[Row] = [conversation(1, "a", "a"), *bad(2), conversation(3, "a", "a")]
    import_rows(container, job_id, first, dataset)
    more: list[Row] = [*bad(4), conversation(5, "other", "a"), conversation(6, "b", "b")]
    import_rows(container, job_id, more, dataset)
    job = found(container, job_id, batch)
    assert (job["processed"], job["imported"], job["skipped"], job["rejected"]) == (6, 2, 1, 3)
    assert [one["row"] for one in job["errors"]] == [2, 4, 5]
    assert job["errors"][0]["reason"] == "row 2 is bad"


def test_a_failed_job_says_why(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    container.bus.handle(EndLoad(dataset=dataset, job_id=job_id, error="chats.jsonl is not there any more"))
    job = found(container, job_id)
    assert (job["status"], job["error"]) == ("failed", "chats.jsonl is not there any more")


@pytest.mark.parametrize("batch", [1, 1_000])
def test_an_embedding_is_a_job_too(container: Container, dataset: str, batch: int) -> None:
    load(container, "a", "b", dataset=dataset)
    for job_id, end in (("done", {"space": SPACE, "embedded": 2}), ("broken", {"error": "no key"})):
        ask = RequestEmbedding(dataset=dataset, job_id=dataset + job_id, provider="openai", model="m")
        container.bus.handle(ask)
        container.bus.handle(EndEmbedding(dataset=dataset, job_id=dataset + job_id, **end))
    done, broken = (found(container, dataset + one, batch) for one in ("done", "broken"))
    assert (done["job_type"], done["status"], done["processed"]) == ("backfill", "completed", 2)
    assert (broken["status"], broken["error"]) == ("failed", "no key")
    assert rows(container, jobs.jobs, job_id=done["job_id"])[0]["source"] == {
        "provider": "openai",
        "model": "m",
    }


def test_a_job_that_has_begun_runs_and_says_how_far_it_is(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    with container.database.connection() as connection:
        connection.execute(
            "INSERT INTO ops.progress (job_id, processed, total) VALUES (%s, 40, 100)", [job_id]
        )
    job = found(container, job_id)
    assert (job["status"], job["processed"], job["total"]) == ("running", 40, 100)
    assert job["rate"] > 0


def test_the_active_ones_and_the_last_to_end_are_found(container: Container, dataset: str) -> None:
    first, second, third = (request_load(container, dataset) for _ in range(3))
    container.bus.handle(EndLoad(dataset=dataset, job_id=second))
    container.bus.handle(EndLoad(dataset=dataset, job_id=first))
    project(container)
    with container.database.engine.connect() as connection:
        assert [row["job_id"] for row in jobs.active(connection, dataset)] == [third]
        last = jobs.last_ended(connection, dataset)
        assert last is not None
        assert last["job_id"] == first
        assert jobs.last_ended(connection, "nowhere") is None
        assert jobs.find(connection, "nowhere") is None
        assert third in [row["job_id"] for row in jobs.active(connection, None)]
