"""Which queries filters mean: by what is known of them, by the clusters as people have them."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.bootstrap import Container
from adapters.selection import ReadModelSelection
from commands.curation import DeleteCluster, MoveQuery
from domain.errors import Conflict, DomainError, Invalid, NotFound, Unavailable
from tests.stories import cluster, conversation, import_rows, load, project, request_load, request_run


@pytest.fixture
def selection(shared: Container) -> ReadModelSelection:
    return ReadModelSelection(shared.database, patience_s=0)


def chosen(selection: ReadModelSelection, **filters: Any) -> list[int]:  # noqa: ANN401
    _, found = selection.select(selection.checked(filters), 0)
    return [int(query_id) for some in found for query_id in some]


@pytest.fixture
def ids(shared: Container, dataset: str) -> list[int]:
    """Four conversations: two about rain, in German, labelled; two about money."""
    job = request_load(shared, dataset)
    rows = [
        conversation(1, "will it rain", f"{dataset}-1", language="German", metadata={"label": "weather"}),
        conversation(2, "rain today", f"{dataset}-2", language="German", metadata={"label": "weather"}),
        conversation(3, "my money back", f"{dataset}-3", model="small", metadata={"domain": "shop"}),
        conversation(4, "money and rain", f"{dataset}-4", model="small"),
    ]
    import_rows(shared, job, rows, dataset)
    project(shared)
    return chosen(ReadModelSelection(shared.database), dataset=dataset)


def test_each_filter_narrows_and_all_hold(
    selection: ReadModelSelection, ids: list[int], dataset: str
) -> None:
    def of(**filters: Any) -> list[int]:  # noqa: ANN401
        return [ids.index(one) for one in chosen(selection, dataset=dataset, **filters)]

    assert of() == [0, 1, 2, 3]
    assert of(language="German") == [0, 1]
    assert of(model="small") == [2, 3]
    assert of(label="weather", text="today") == [1]
    assert of(domain="shop") == [2]
    assert of(text="rain -today") == [0, 3]
    assert of(conversation_id=f"{dataset}-3") == [2]
    assert of(query_ids=[ids[3], ids[0], ids[3]]) == [0, 3]
    assert of(query_ids=[ids[3], ids[0]], model="small") == [3]
    assert of(sql_filter="query_text LIKE '%money%' AND domain IS NULL") == [3]
    assert of(since="2024-01-01T00:00:00Z") == []


def test_clusters_are_those_that_people_have_now(
    shared: Container, selection: ReadModelSelection, dataset: str
) -> None:
    ids = load(shared, "a", "b", "c", "d", "e", dataset=dataset)
    run_id = cluster(shared, [0, 0, 1, -1, 2], clusters=3, dataset=dataset)
    shared.bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=1))
    shared.bus.handle(DeleteCluster(run_id=run_id, cluster_id=2, orphan=True))
    project(shared)
    assert chosen(selection, run_id=run_id) == ids
    assert chosen(selection, run_id=run_id, cluster_ids=[1]) == [ids[0], ids[2]]
    assert chosen(selection, run_id=run_id, cluster_ids=[-1, 0]) == [ids[1], ids[3]]
    assert chosen(selection, run_id=run_id, cluster_ids=[-2]) == [ids[4]]
    assert selection.checked({"run_id": run_id})["dataset"] == dataset


def test_what_cannot_be_meant_is_said_at_once(
    shared: Container, selection: ReadModelSelection, ids: list[int], dataset: str
) -> None:
    load(shared, "elsewhere", dataset=f"{dataset}-2")
    run_id = cluster(shared, [0, 0], clusters=1, dataset=dataset)
    pending = request_run(shared, dataset)
    project(shared)

    def refused(error: type[DomainError], words: str, **filters: Any) -> None:  # noqa: ANN401
        with pytest.raises(error, match=words):
            selection.checked(filters)

    refused(NotFound, "no data set 'nowhere'", dataset="nowhere")
    refused(NotFound, "no clustering run 'nothing'", run_id="nothing")
    refused(Conflict, "is pending", run_id=pending)
    refused(NotFound, "has no cluster 7", run_id=run_id, cluster_ids=[0, 7])
    refused(Invalid, "cluster_ids: clusters belong to a run", dataset=dataset, cluster_ids=[0])
    refused(Invalid, f"is of '{dataset}'", run_id=run_id, dataset=f"{dataset}-2")
    refused(NotFound, r"has no 0 \(1 in all\)", dataset=dataset, query_ids=[ids[0], 0])
    refused(Invalid, "since: 'soon'", dataset=dataset, since="soon")
    refused(Invalid, "has no time zone", dataset=dataset, until="2024-01-01T00:00:00")
    refused(Invalid, "sql_filter, character 1", dataset=dataset, sql_filter="drop table x")


def test_read_models_that_are_behind_are_waited_for(
    shared: Container, selection: ReadModelSelection, ids: list[int]
) -> None:
    with pytest.raises(Unavailable, match="have not reached position"):
        selection.select({"dataset": "default"}, shared.store.head() + 1)
