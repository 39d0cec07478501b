"""Classification runs as rows: counted as they come, and the same however the events are batched."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.bootstrap import Container
from commands.classification import CancelClassification, ResumeClassification
from commands.curation import DeleteCluster, MoveQuery
from commands.datasets import EraseConversation
from commands.ports import BatchState
from domain.base import Context, context
from projections.classification import (
    ResultFilter,
    agreement,
    count_results,
    counts,
    cross,
    find_run,
    label_counts,
    latest_errors,
    list_results,
    list_runs,
    results,
    runs,
)
from projections.clustering import runs as clustering_runs
from projections.queries import QueryFilter
from tests.classifying import LABELS, Scripted, ScriptedBatches, request, run_of, work
from tests.stories import clear, cluster, conversation, import_rows, load, project, request_load, rows

TEXTS = ("refund please", "weather today", "refund now", "hello", "weather again")


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def ids(container: Container, dataset: str) -> list[int]:
    found = load(container, *TEXTS, dataset=dataset)
    project(container)
    return found


def classified(container: Container, dataset: str, by: Scripted | None = None, **filters: Any) -> str:  # noqa: ANN401
    run_id = request(container, dataset, **filters)
    work(container, run_id, by)
    return run_id


def row_of(container: Container, run_id: str) -> dict[str, Any]:
    (row,) = rows(container, runs, classification_run_id=run_id)
    return row


def labels_of(container: Container, run_id: str) -> dict[int, str | None]:
    found = rows(container, results, run_no=row_of(container, run_id)["run_no"])
    return {one["query_id"]: None if one["label"] is None else LABELS[one["label"]] for one in found}


def counted(container: Container, run_id: str) -> dict[str, int]:
    found = rows(container, counts, run_no=row_of(container, run_id)["run_no"])
    return {LABELS[one["label"]]: one["results"] for one in found}


def test_a_request_is_a_pending_run(container: Container, ids: list[int], dataset: str) -> None:
    run_id = request(container, dataset)
    project(container)
    row = row_of(container, run_id)
    assert (row["status"], row["total"], row["answered"], row["labels"]) == ("pending", None, 0, list(LABELS))
    assert (row["template_id"], row["template_number"], row["attempt"]) == ("topics", 1, 1)


@pytest.mark.parametrize("batch", [1, 2, 1_000])
def test_results_errors_and_usage_are_counted(
    container: Container, ids: list[int], dataset: str, batch: int
) -> None:
    run_id = classified(container, dataset, Scripted(broken={"hello"}))
    project(container, batch)
    row = row_of(container, run_id)
    assert (row["status"], row["total"], row["answered"], row["failed"]) == ("completed", 5, 4, 1)
    assert (row["missing"], row["calls"], row["input_tokens"], row["output_tokens"]) == (0, 5, 50, 10)
    assert (row["cost_usd"], row["call_seconds"]) == pytest.approx((0.005, 2.5))
    expected = dict(zip(ids, ["refund", "weather", "refund", None, "weather"], strict=True))
    assert labels_of(container, run_id) == expected
    assert counted(container, run_id) == {"refund": 2, "weather": 2}
    (result,) = rows(container, results, query_id=ids[0])
    assert (result["confidence"], result["reasoning"]) == (pytest.approx(0.9), "It is refund.")


@pytest.mark.parametrize("batch", [1, 3, 1_000])
def test_an_answer_takes_the_place_of_an_error(
    container: Container, ids: list[int], dataset: str, batch: int
) -> None:
    run_id = classified(container, dataset, Scripted(broken={"hello", "refund now"}))
    for broken in ({"hello"}, set[str]()):
        container.bus.handle(ResumeClassification(classification_run_id=run_id))
        work(container, run_id, Scripted(broken=broken))
    project(container, batch)
    row = row_of(container, run_id)
    assert (row["attempt"], row["answered"], row["failed"], row["calls"]) == (3, 5, 0, 8)
    assert counted(container, run_id) == {"refund": 2, "weather": 2, "other": 1}
    assert labels_of(container, run_id)[ids[3]] == "other"


def test_how_a_run_stands(container: Container, ids: list[int], dataset: str) -> None:
    run_id = classified(container, dataset, Scripted(ends=2))
    project(container)
    row = row_of(container, run_id)
    assert row["status"] == "failed"
    assert "stopped before 3 queries" in row["error"]
    container.bus.handle(ResumeClassification(classification_run_id=run_id))
    container.bus.handle(CancelClassification(classification_run_id=run_id))
    project(container)
    row = row_of(container, run_id)
    assert (row["status"], row["error"], row["completed_at"]) == ("cancelling", None, None)
    work(container, run_id)
    project(container)
    assert (row_of(container, run_id)["status"], row_of(container, run_id)["answered"]) == ("cancelled", 2)


def test_open_batches_are_counted(container: Container, ids: list[int], dataset: str) -> None:
    batches = ScriptedBatches(states={f"batch-{n}": BatchState(ended=False) for n in (1, 2)})
    run_id = request(container, dataset, batches=batches, execution={"mode": "batch"})
    work(container, run_id, batches=batches)
    project(container)
    row = row_of(container, run_id)
    assert (row["batches"], row["answered"], row["status"]) == (2, 1, "running")


# --- what others decide


@pytest.mark.parametrize("batch", [1, 2, 1_000])
def test_results_of_an_erased_conversation_go(
    container: Container, ids: list[int], dataset: str, batch: int
) -> None:
    first = classified(container, dataset, Scripted(broken={"hello"}))
    second = classified(container, dataset)
    for place in (0, 3):
        erase(container, dataset, ids[place])
    project(container, batch)
    for run_id in (first, second):
        row = row_of(container, run_id)
        assert (row["answered"], row["failed"], row["missing"]) == (3, 0, 2)
        assert sorted(labels_of(container, run_id)) == [ids[1], ids[2], ids[4]]
    assert counted(container, second) == {"refund": 1, "weather": 2, "other": 0}


def test_an_answer_that_comes_after_the_erasure_is_not_shown(
    container: Container, ids: list[int], dataset: str
) -> None:
    run_id = request(container, dataset)
    work(
        container,
        run_id,
        Scripted(before=lambda done: erase(container, dataset, ids[0]) if not done else None),
    )
    project(container)
    row = row_of(container, run_id)
    assert (row["answered"], row["missing"], row["total"]) == (4, 1, 5)
    assert ids[0] not in labels_of(container, run_id)
    assert len(run_of(container, run_id).answered) == 5


def erase(container: Container, dataset: str, query_id: int) -> None:
    with container.database.connection() as connection:
        sql = "SELECT conversation_id FROM log.conversations WHERE query_id = %s"
        row = connection.execute(sql, [query_id]).fetchone()
    assert row is not None
    token = context.set(Context(reason="asked for"))
    container.bus.handle(EraseConversation(dataset=dataset, conversation_id=row[0]))
    context.reset(token)


def test_a_cleared_data_set_takes_its_runs_along(container: Container, ids: list[int], dataset: str) -> None:
    other = f"{dataset}-other"
    load(container, "refund", dataset=other)
    project(container)
    stays = classified(container, other)
    goes = request(container, dataset)
    work(container, goes, Scripted(ends=2))
    project(container)
    run_no = row_of(container, goes)["run_no"]
    clear(container, dataset)
    container.bus.handle(ResumeClassification(classification_run_id=goes))
    work(container, goes)
    project(container)
    assert rows(container, runs, dataset=dataset) == rows(container, results, run_no=run_no) == []
    assert rows(container, counts, run_no=run_no) == []
    assert len(labels_of(container, stays)) == 1


# --- questions


@pytest.fixture
def asked(container: Container, dataset: str) -> tuple[str, str, list[int]]:
    """A run over a clustering run, and the ids of its queries: two clusters, noise, an orphan; labelled."""
    job = request_load(container, dataset)
    given = [
        conversation(n, text, f"{dataset}-{n}", metadata={"label": label} if label else {})
        for n, (text, label) in enumerate(
            zip(TEXTS, ["refund", "refund", None, "other", "weather"], strict=True), 1
        )
    ]
    import_rows(container, job, given, dataset)
    clustering = cluster(container, [0, 0, 1, -1, 1], clusters=3, dataset=dataset)
    project(container)
    run_id = classified(container, dataset)
    project(container)
    return run_id, clustering, sorted(labels_of(container, run_id))


def run_no_of(container: Container, clustering: str) -> int:
    (row,) = rows(container, clustering_runs, run_id=clustering)
    return int(row["run_no"])


def test_clusters_and_labels_are_crossed_as_they_are_and_were(
    container: Container, asked: tuple[str, str, list[int]]
) -> None:
    run_id, clustering, ids = asked
    before = container.store.head()
    container.bus.handle(MoveQuery(run_id=clustering, query_id=ids[0], to_cluster_id=1))
    container.bus.handle(DeleteCluster(run_id=clustering, cluster_id=0, orphan=True))
    project(container)
    run_no = row_of(container, run_id)["run_no"]
    clustered = run_no_of(container, clustering)
    with container.database.engine.connect() as connection:
        now = [
            (one.cluster_id, LABELS[one.label], one.results) for one in cross(connection, run_no, clustered)
        ]
        past = container.time_travel.run(clustering, before)
        then = [
            (one.cluster_id, LABELS[one.label], one.results)
            for one in cross(connection, run_no, None, past, before)
        ]
        early = cross(connection, run_no, clustered, None, run_no)
    assert now == [(-2, "weather", 1), (-1, "other", 1), (1, "refund", 2), (1, "weather", 1)]
    assert then == [
        (-1, "other", 1),
        (0, "refund", 1),
        (0, "weather", 1),
        (1, "refund", 1),
        (1, "weather", 1),
    ]
    assert early == []


def test_labels_are_compared_with_those_of_the_data(
    container: Container, asked: tuple[str, str, list[int]]
) -> None:
    run_no = row_of(container, asked[0])["run_no"]
    with container.database.engine.connect() as connection:
        assert agreement(connection, run_no, "label") == (4, 3)
        assert agreement(connection, run_no, "domain") == (0, 0)
        assert label_counts(connection, run_no) == {0: 2, 1: 2, 2: 1}
        assert label_counts(connection, run_no, container.store.head()) == {0: 2, 1: 2, 2: 1}
        assert label_counts(connection, run_no, 0) == {}


def test_results_are_listed_and_counted_alike(
    container: Container, asked: tuple[str, str, list[int]], dataset: str
) -> None:
    run_id, clustering, ids = asked
    run_no, clustered = row_of(container, run_id)["run_no"], run_no_of(container, clustering)
    of_all = QueryFilter(dataset=dataset)
    cases = [
        (ResultFilter(run_no, of_all), [0, 1, 2, 3, 4]),
        (ResultFilter(run_no, of_all, labels=(0,)), [0, 2]),
        (ResultFilter(run_no, of_all, labels=(0, 2)), [0, 2, 3]),
        (ResultFilter(run_no, of_all, "failed"), []),
        (ResultFilter(run_no, of_all, "all"), [0, 1, 2, 3, 4]),
        (ResultFilter(run_no, QueryFilter(dataset=dataset, text="again")), [4]),
        (ResultFilter(run_no, QueryFilter(run_no=clustered, cluster_ids=(1,))), [2, 4]),
        (ResultFilter(run_no, of_all, position=0), []),
    ]
    with container.database.engine.connect() as connection:
        for where, places in cases:
            found = list_results(connection, where, 10)
            assert [ids.index(one["query_id"]) for one in found] == places
            assert count_results(connection, where) == len(places)
        page = list_results(connection, cases[0][0], 2, after=ids[1])
        assert [one["query_id"] for one in page] == ids[2:4]
        assert (page[0]["query_text"], page[0]["label"]) == ("refund now", 0)


def test_runs_are_listed_by_what_they_are(container: Container, ids: list[int], dataset: str) -> None:
    run_id = classified(container, dataset, Scripted(broken={"hello"}))
    other = request(container, dataset, text="refund")
    project(container)
    with container.database.engine.connect() as connection:
        found, total = list_runs(connection, 10, 0, dataset=dataset)
        assert ([one["classification_run_id"] for one in found], total) == ([other, run_id], 2)
        assert [one["processed"] for one in found] == [0, 5]
        assert list_runs(connection, 10, 0, dataset=dataset, status="completed")[1] == 1
        assert list_runs(connection, 10, 0, dataset=dataset, run_id="nothing")[1] == 0
        errors = latest_errors(connection, found[1]["run_no"], 5)
        assert errors == [{"query_id": ids[3], "error": "the answer was no label"}]
        assert find_run(connection, "nothing") is None


def test_how_far_a_job_is_shows_before_it_is_recorded(
    container: Container, ids: list[int], dataset: str
) -> None:
    run_id = request(container, dataset)
    work(container, run_id, Scripted(ends=1))
    container.bus.handle(ResumeClassification(classification_run_id=run_id))
    project(container)
    with container.database.connection() as connection:
        sql = "INSERT INTO ops.progress (job_id, processed, total) VALUES (%s, 4, 5)"
        connection.execute(sql, [run_id])
    with container.database.engine.connect() as connection:
        row = find_run(connection, run_id)
    assert row is not None
    assert (row["answered"], row["processed"]) == (1, 4)
