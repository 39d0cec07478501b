"""Clearing takes a data set and its runs out of the read models in one step, and only what was seen."""

from __future__ import annotations

import pytest

from adapters.bootstrap import Container
from commands.datasets import EndLoad
from domain.clustering import ClusteringRun
from domain.errors import Conflict, NotFound
from tests.stories import (
    clear,
    clear_token,
    cluster,
    conversation,
    import_rows,
    load,
    logged,
    query_ids,
    request_load,
    request_run,
)


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


def test_a_token_clears_the_state_that_it_was_made_for(container: Container, dataset: str) -> None:
    load(container, "one", "two", dataset=dataset)
    answer = clear(container, dataset, clear_token(container, dataset))
    assert answer == {"dataset": dataset, "queries": 2, "runs": 0}
    assert query_ids(container, dataset) == []


def test_what_was_loaded_after_the_token_is_not_cleared_with_it(container: Container, dataset: str) -> None:
    load(container, "one", dataset=dataset)
    old = clear_token(container, dataset)
    load(container, "two", dataset=dataset)
    with pytest.raises(Conflict, match="confirm_token does not fit the present state"):
        clear(container, dataset, old)
    assert len(query_ids(container, dataset)) == 2


def test_a_token_works_once(container: Container, dataset: str) -> None:
    load(container, "one", dataset=dataset)
    old = clear_token(container, dataset)
    clear(container, dataset, old)
    with pytest.raises(Conflict, match="confirm_token"):
        clear(container, dataset, old)


@pytest.mark.parametrize("guess", ["no", "x" * 16])
def test_a_guessed_token_is_refused(container: Container, dataset: str, guess: str) -> None:
    load(container, "one", dataset=dataset)
    with pytest.raises(Conflict, match="confirm_token"):
        clear(container, dataset, guess)


def test_tokens_of_data_sets_in_the_same_state_differ(container: Container, dataset: str) -> None:
    tokens = set()
    for name in (dataset, f"{dataset}-2"):
        load(container, "one", dataset=name)
        tokens.add(clear_token(container, name))
    assert len(tokens) == 2


def test_nothing_is_cleared_under_a_running_load(container: Container, dataset: str) -> None:
    job_id = request_load(container, dataset)
    import_rows(container, job_id, [conversation(1, "one", "a")], dataset)
    with pytest.raises(Conflict, match=f"jobs under way: {job_id}"):
        clear(container, dataset)
    assert len(query_ids(container, dataset)) == 1


def test_a_data_set_that_is_not_there_is_not_found(container: Container, dataset: str) -> None:
    with pytest.raises(NotFound, match=dataset):
        clear(container, dataset, "x")


def test_runs_retire_in_the_same_step(container: Container, dataset: str) -> None:
    load(container, "one", "two", dataset=dataset)
    done = cluster(container, [0, 1], clusters=2, dataset=dataset)
    pending = request_run(container, dataset)
    assert clear(container, dataset)["runs"] == 2
    for run_id in (done, pending):
        assert container.store.load(ClusteringRun, run_id).status == "retired"
    cleared = logged(container, dataset)[-1], logged(container, done)[-1], logged(container, pending)[-1]
    assert cleared == ("dataset.cleared", "clustering.retired", "clustering.retired")


def test_a_second_clearing_counts_what_it_did_itself(container: Container, dataset: str) -> None:
    load(container, "one", dataset=dataset)
    cluster(container, [0], clusters=1, dataset=dataset)
    clear(container, dataset)
    load(container, "two", "three", dataset=dataset)
    assert clear(container, dataset) == {"dataset": dataset, "queries": 2, "runs": 0}
    assert clear(container, dataset) == {"dataset": dataset, "queries": 0, "runs": 0}


def test_runs_of_other_data_sets_stay(container: Container, dataset: str) -> None:
    other = f"{dataset}-2"
    for name in (dataset, other):
        load(container, "one", dataset=name)
    run_id = cluster(container, [0], clusters=1, dataset=other)
    clear(container, dataset)
    assert container.store.load(ClusteringRun, run_id).status == "completed"
    assert len(query_ids(container, other)) == 1


def test_the_same_conversations_can_be_loaded_again_under_new_ids(container: Container, dataset: str) -> None:
    rows = [conversation(1, "one", "a"), conversation(2, "two", "b")]
    job_id = request_load(container, dataset)
    import_rows(container, job_id, rows, dataset)
    container.bus.handle(EndLoad(dataset=dataset, job_id=job_id))
    before = query_ids(container, dataset)
    clear(container, dataset)
    import_rows(container, request_load(container, dataset), rows, dataset)
    assert len(query_ids(container, dataset)) == 2
    assert min(query_ids(container, dataset)) > max(before)
