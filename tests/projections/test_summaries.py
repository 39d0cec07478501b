"""Summary runs as rows: what each said, whatever was edited since."""

from __future__ import annotations

import pytest

from adapters.bootstrap import Container
from commands.curation import RenameCluster
from commands.ports import ClusterName, NotNamed, ToldApart, Usage
from commands.runs import Fail
from commands.summaries import (
    CancelSummary,
    RecordSummaries,
    RecordToldApart,
    ResumeSummary,
)
from domain.summaries import SummaryRun
from projections.summaries import (
    failures,
    find_summary,
    find_summary_run,
    list_summary_runs,
    summaries,
    summary_runs,
)
from tests.stories import clear, cluster, load, name, names, project, request_summary, rows


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    load(container, "a", "b", dataset=dataset)
    return cluster(container, [0, 1], clusters=2, dataset=dataset)


def record(container: Container, summary_run_id: str, *cluster_ids: int) -> None:
    some = names("animal", *cluster_ids)
    sizes = dict.fromkeys(cluster_ids, 7)
    container.bus.handle(RecordSummaries(summary_run_id=summary_run_id, names=some, sizes=sizes))


def test_a_request_is_a_pending_summary_run(container: Container, run_id: str) -> None:
    summary_run_id = request_summary(container, run_id, alias="v1")
    project(container)
    (row,) = rows(container, summary_runs, summary_run_id=summary_run_id)
    assert (row["status"], row["summarised"], row["alias"], row["model"]) == (
        "pending",
        0,
        "v1",
        "local/c-tf-idf",
    )
    assert (row["run_id"], row["parameters"], row["completed_at"]) == (run_id, {"max_queries": 5}, None)


@pytest.mark.parametrize("batch", [1, 1_000])
def test_names_are_counted_as_they_come(container: Container, run_id: str, batch: int) -> None:
    summary_run_id = request_summary(container, run_id)
    record(container, summary_run_id, 0)
    record(container, summary_run_id, 0, 1)
    project(container, batch)
    (row,) = rows(container, summary_runs, summary_run_id=summary_run_id)
    assert (row["status"], row["summarised"]) == ("pending", 2)
    shown = rows(container, summaries, summary_run_id=summary_run_id)
    assert [(one["cluster_id"], one["title"], one["num_queries"]) for one in shown] == [
        (0, "animal 0", 7),
        (1, "animal 1", 7),
    ]
    assert shown[0]["representative_query_ids"] == [1, 2]


def test_a_completed_one_keeps_what_it_said_when_people_edit(container: Container, run_id: str) -> None:
    summary_run_id = name(container, run_id, "animal", 0, 1)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Mine"))
    project(container)
    with container.database.engine.connect() as connection:
        run = find_summary_run(connection, summary_run_id)
        said = find_summary(connection, summary_run_id, 0)
        assert find_summary(connection, summary_run_id, 9) is None
        assert find_summary_run(connection, "nowhere") is None
    assert run is not None
    assert said is not None
    assert (run["status"], run["summarised"]) == ("completed", 2)
    assert run["completed_at"] > run["created_at"]
    assert said["title"] == "animal 0"


def test_what_answers_took_is_added_up_with_what_failed_and_what_has_no_topic(
    container: Container, run_id: str
) -> None:
    summary_run_id = request_summary(container, run_id)
    took = Usage(1, 10, 2, 0.25, 0.5)
    answers = [
        ClusterName(0, "Mixed", "Two things.", [1], "bread and cards", "name_cluster.v1@ab", took),
        NotNamed(1, "no answer", took + Usage(2, 3, 0, None, 1.0, 1)),
    ]
    command = RecordSummaries(summary_run_id=summary_run_id, names=answers, sizes={0: 1})
    container.bus.handle(command)
    project(container, 1)
    (row,) = rows(container, summary_runs, summary_run_id=summary_run_id)
    assert (row["summarised"], row["incoherent"], row["failed"]) == (1, 1, 1)
    assert row["usage"] == vars(Usage(4, 23, 4, None, 2.0, 1))
    (said,) = rows(container, summaries, summary_run_id=summary_run_id)
    assert (said["incoherent"], said["prompt"]) == ("bread and cards", "name_cluster.v1@ab")
    (failed,) = rows(container, failures, summary_run_id=summary_run_id)
    assert (failed["cluster_id"], failed["error"]) == (1, "no answer")


@pytest.mark.parametrize("batch", [1, 1_000])
def test_a_resume_forgets_what_failed_and_how_it_ended(container: Container, run_id: str, batch: int) -> None:
    summary_run_id = request_summary(container, run_id)
    command = RecordSummaries(summary_run_id=summary_run_id, names=[NotNamed(1, "no")], sizes={})
    container.bus.handle(command)
    container.bus.handle(Fail(kind=SummaryRun, name=summary_run_id, error="no key"))
    container.bus.handle(ResumeSummary(summary_run_id=summary_run_id))
    project(container, batch)
    (row,) = rows(container, summary_runs, summary_run_id=summary_run_id)
    assert (row["status"], row["failed"], row["error"], row["completed_at"]) == ("pending", 0, None, None)
    assert rows(container, failures, summary_run_id=summary_run_id) == []
    container.bus.handle(CancelSummary(summary_run_id=summary_run_id))
    project(container, batch)
    (row,) = rows(container, summary_runs, summary_run_id=summary_run_id)
    assert (row["status"], row["completed_at"] is None) == ("cancelled", False)


def test_a_title_that_was_told_apart_is_the_one_that_the_run_gave(container: Container, run_id: str) -> None:
    summary_run_id = request_summary(container, run_id)
    record(container, summary_run_id, 0, 1)
    apart = [ToldApart(1, "Apes", "tell_apart.v1@ab", Usage(1))]
    container.bus.handle(RecordToldApart(summary_run_id=summary_run_id, titles=apart))
    project(container)
    said = rows(container, summaries, summary_run_id=summary_run_id)
    assert [one["title"] for one in said] == ["animal 0", "Apes"]
    (row,) = rows(container, summary_runs, summary_run_id=summary_run_id)
    assert row["usage"]["calls"] == 1


def test_a_failed_one_says_why(container: Container, run_id: str) -> None:
    summary_run_id = request_summary(container, run_id)
    container.bus.handle(Fail(kind=SummaryRun, name=summary_run_id, error="no key"))
    project(container)
    (row,) = rows(container, summary_runs, summary_run_id=summary_run_id)
    assert (row["status"], row["error"]) == ("failed", "no key")


@pytest.mark.parametrize("batch", [1, 1_000])
def test_clearing_removes_the_names_of_its_runs(
    container: Container, dataset: str, run_id: str, batch: int
) -> None:
    other = f"{dataset}-2"
    load(container, "a", dataset=other)
    kept = name(container, cluster(container, [0], clusters=1, dataset=other), "animal", 0)
    gone = name(container, run_id, "animal", 0, 1)
    clear(container, dataset)
    project(container, batch)
    assert rows(container, summary_runs, summary_run_id=gone) == []
    assert rows(container, summaries, summary_run_id=gone) == []
    assert len(rows(container, summaries, summary_run_id=kept)) == 1


@pytest.mark.parametrize("batch", [1, 1_000])
def test_a_job_that_still_names_a_cleared_run_leaves_nothing(
    container: Container, dataset: str, run_id: str, batch: int
) -> None:
    summary_run_id = request_summary(container, run_id)
    clear(container, dataset)
    record(container, summary_run_id, 0)
    container.bus.handle(Fail(kind=SummaryRun, name=summary_run_id, error="its run was cleared"))
    project(container, batch)
    assert rows(container, summary_runs, summary_run_id=summary_run_id) == []
    assert rows(container, summaries, summary_run_id=summary_run_id) == []


def test_they_are_listed_newest_first_and_by_what_is_wanted(container: Container, run_id: str) -> None:
    first = name(container, run_id, "animal", 0, alias="v1")
    second = request_summary(container, run_id)
    project(container)
    with container.database.engine.connect() as connection:

        def listed(limit: int = 10, offset: int = 0, **wanted: str | None) -> tuple[list[str], int]:
            filters = {"run_id": run_id, "alias": None, "status": None} | wanted
            page, total = list_summary_runs(connection, limit, offset, **filters)
            return [row["summary_run_id"] for row in page], total

        assert listed() == ([second, first], 2)
        assert listed(1, 1) == ([first], 2)
        assert listed(alias="v1") == ([first], 1)
        assert listed(status="pending") == ([second], 1)
        assert listed(run_id="nowhere") == ([], 0)
