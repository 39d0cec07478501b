"""Erasing a conversation: what goes, what others keep, and what does not come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapters.bootstrap import Container
from commands.curation import MoveQueries, ReverseEdit
from commands.datasets import EraseConversation
from commands.embedding import RecordEmbedded
from commands.templates import PutTemplate
from domain.base import context
from domain.clustering import ClusteringRun
from domain.datasets import Dataset
from domain.errors import Invalid, NotFound
from domain.templates import Example, Label, Template, TemplateContent
from domain.values import ERASED, digest
from projections.clustering import clusters, memberships
from projections.datasets import datasets, queries
from projections.templates import versions
from tests.runs import SPACE
from tests.stories import (
    clear,
    cluster,
    complete,
    conversation,
    import_rows,
    load,
    logged,
    project,
    query_ids,
    record,
    request_load,
    request_run,
    rows,
)


@pytest.fixture(autouse=True)
def _reason() -> None:
    context.set(replace(context.get(), reason="asked for"))


def erase(container: Container, dataset: str, conversation_id: str) -> dict[str, Any]:
    command = EraseConversation(dataset=dataset, conversation_id=conversation_id)
    return container.bus.handle(command).answer


def bring(container: Container, dataset: str, **texts: str) -> list[int]:
    """Loaded under these ids, with a vector for each text; the new query ids."""
    before = query_ids(container, dataset)
    job_id = request_load(container, dataset)
    lines = [conversation(row, text, one) for row, (one, text) in enumerate(texts.items(), 1)]
    import_rows(container, job_id, lines, dataset)
    ids = [one for one in query_ids(container, dataset) if one not in before]
    vectors = {digest(text.encode()): np.full(4, len(text), np.float32) for text in texts.values()}
    container.embeddings.put(SPACE, vectors)
    if ids:
        embedded = {"first_query_id": ids[0], "last_query_id": ids[-1], "count": len(ids)}
        container.bus.handle(RecordEmbedded(dataset=dataset, space=SPACE, **embedded))
    return ids


def has_vector(container: Container, text: str) -> bool:
    return bool(container.embeddings.get(SPACE, [digest(text.encode())]))


def test_content_and_vector_go_and_the_fact_stays(container: Container) -> None:
    first, second = bring(container, "a", x="secret", y="other")
    answer = erase(container, "a", "x")
    assert answer == {
        "dataset": "a",
        "conversation_id": "x",
        "query_ids": [first],
        "runs": [],
        "also_held_by": 0,
    }
    assert container.contents.of_queries("a", [first, second]).keys() == {second}
    assert (has_vector(container, "secret"), has_vector(container, "other")) == (False, True)
    assert query_ids(container, "a") == [second]
    assert logged(container, "a")[-1] == "dataset.conversation_erased"
    with container.database.connection() as connection:
        sql = "SELECT data - 'timestamp', meta ->> 'reason' FROM (SELECT data::jsonb, meta FROM log.events"
        row = connection.execute(f"{sql} ORDER BY position DESC LIMIT 1) AS last").fetchone()
    event = {"conversation_id": "x", "query_ids": [first], "queries": 1, "also_held_by": 0}
    assert row == (event, "asked for")


def test_a_second_time_says_the_same_and_changes_nothing(container: Container) -> None:
    bring(container, "a", x="secret", y="other")
    run_id = cluster(container, [0, 1], 2, "a")
    first = erase(container, "a", "x")
    head = container.store.head()
    assert erase(container, "a", "x") == first
    assert first["runs"] == [run_id]
    assert container.store.head() == head


def test_what_never_was_is_not_found_and_a_reason_is_asked_for(container: Container) -> None:
    bring(container, "a", x="secret")
    with pytest.raises(NotFound, match="data set 'a' has no conversation 'y'"):
        erase(container, "a", "y")
    with pytest.raises(NotFound, match="there is no dataset 'b'"):
        erase(container, "b", "x")
    context.set(replace(context.get(), reason=" "))
    with pytest.raises(Invalid, match="reason is missing"):
        erase(container, "a", "x")


def test_what_another_conversation_has_as_well_stays_until_that_is_erased(container: Container) -> None:
    bring(container, "a", x="shared", y="shared")
    (in_b,) = bring(container, "b", x="shared")
    assert erase(container, "a", "x")["also_held_by"] == 2
    assert erase(container, "a", "y")["also_held_by"] == 1
    assert container.contents.of_queries("b", [in_b]).keys() == {in_b}
    assert has_vector(container, "shared")
    ids, _ = container.embeddings.of_queries("b", SPACE, np.array([in_b]))
    assert ids.tolist() == [in_b]
    assert erase(container, "b", "x")["also_held_by"] == 0
    assert not has_vector(container, "shared")
    with container.database.connection() as connection:
        left = connection.execute("SELECT count(*) FROM log.contents").fetchone()
    assert left == (2,), "the manifests, which name ids and digests"


def test_the_vector_of_a_title_of_the_same_words_stays(container: Container) -> None:
    from commands.summaries import RecordTitlesEmbedded

    bring(container, "a", x="billing", y="other")
    run_id = cluster(container, [0, 0], 1, "a")
    texts = {0: digest(b"billing").hex()}
    container.bus.handle(RecordTitlesEmbedded(run_id=run_id, space=SPACE, texts=texts))
    erase(container, "a", "x")
    assert has_vector(container, "billing")


def test_the_same_file_does_not_bring_it_back(container: Container) -> None:
    bring(container, "a", x="secret", y="other")
    erase(container, "a", "x")
    job_id = request_load(container, "a")
    lines = [conversation(1, "secret", "x"), conversation(2, "other", "y"), conversation(3, "new", "z")]
    import_rows(container, job_id, lines, "a", skip_existing=True)
    job = container.store.load(Dataset, "a").job(job_id)
    assert (job.imported, job.skipped, job.rejected) == (1, 1, 1)
    event = container.store.events(Dataset, "a", [container.store.load(Dataset, "a").version])
    assert next(iter(event.values())).errors == [{"row": 1, "reason": "conversation 'x' was erased"}]
    assert not has_vector(container, "secret")
    with container.database.connection() as connection:
        left = connection.execute("SELECT count(*) FROM log.contents").fetchone()
    assert left == (4,), "two manifests, and what y and z said"


def test_a_data_set_that_was_cleared_is_searched_as_well(container: Container) -> None:
    bring(container, "a", x="before", y="kept")
    clear_ended(container, "a")
    (again,) = bring(container, "a", x="after")
    answer = erase(container, "a", "x")
    assert len(answer["query_ids"]) == 2
    assert again in answer["query_ids"]
    assert not has_vector(container, "before")
    assert not has_vector(container, "after")
    assert has_vector(container, "kept")
    clear_ended(container, "a")
    assert len(erase(container, "a", "y")["query_ids"]) == 1
    assert not has_vector(container, "kept")
    assert bring(container, "a", y="kept") == []


def clear_ended(container: Container, dataset: str) -> None:
    """Its loads end first."""
    from commands.datasets import EndLoad

    for job_id in container.store.load(Dataset, dataset).jobs:
        container.bus.handle(EndLoad(dataset=dataset, job_id=job_id))
    clear(container, dataset)


def test_examples_of_templates_go_with_it(container: Container) -> None:
    (first, _) = bring(container, "a", x="secret", y="shared")
    bring(container, "b", y="shared")
    examples = (
        Example("shortened", "l", query_id=first),
        Example("secret", "l"),
        Example("shared", "l"),
        Example("mine", "l"),
    )
    was = TemplateContent("T", (Label("l"),), examples=examples)
    container.bus.handle(PutTemplate(content=was))
    container.bus.handle(PutTemplate(content=replace(was, description="x")))
    container.bus.handle(PutTemplate(content=TemplateContent("U", (Label("l"),))))
    project(container)
    erase(container, "a", "x")
    erase(container, "a", "y")
    now = container.store.load(Template, "t")
    for number in (1, 2):
        assert [one.text for one in now.at(number).examples] == ["shared", "mine"], "another has said it, too"
    assert now.version_with(was.template_hash) == 1
    assert container.contents.get([bytes.fromhex(was.template_hash)]) == {}
    assert container.store.load(Template, "u").version == 1
    project(container)
    shown = {row["body"] for row in rows(container, versions, template_id="t")}
    assert shown == {now.at(1).body.decode(), now.at(2).body.decode()}
    assert [one for one in container.read_models.verify("templates") if not one["equal"]] == []
    with container.database.connection() as connection:
        logged_text = connection.execute("SELECT string_agg(data::text, '') FROM log.events").fetchone()
    assert logged_text is not None
    assert "secret" not in logged_text[0]
    assert "shortened" not in logged_text[0]


# --- read models and runs


def test_rows_and_members_go_and_a_rebuild_says_the_same(container: Container) -> None:
    ids = bring(container, "a", x="secret", y="other", z="third")
    run_id = cluster(container, [0, 0, 1], 2, "a")
    project(container)
    answer = erase(container, "a", "x")
    assert answer["runs"] == [run_id]
    project(container)
    assert [row["query_id"] for row in rows(container, queries, dataset="a")] == ids[1:]
    assert rows(container, datasets, name="a")[0]["queries"] == 2
    assert [row["query_id"] for row in rows(container, memberships)] == ids[1:]
    assert [row["size"] for row in rows(container, clusters)] == [1, 1]
    for name in ("datasets", "clustering"):
        assert [one for one in container.read_models.verify(name) if not one["equal"]] == []


def test_in_one_batch_with_the_load_the_rows_are_the_same(container: Container) -> None:
    """A rebuild meets the load when the content is gone already, and the erasure later."""
    bring(container, "a", x="secret", y="other")
    bring(container, "b", x="secret")
    erase(container, "a", "x")
    bring(container, "a", z="third")
    project(container)
    assert [row["conversation_id"] for row in rows(container, queries, dataset="a")] == ["y", "z"]
    assert [row["queries"] for row in rows(container, datasets)] == [2, 1]
    assert len(rows(container, queries, dataset="b")) == 1


def test_an_edit_of_an_erased_query_is_undone_without_it(container: Container) -> None:
    ids = bring(container, "a", x="secret", y="other", z="third")
    run_id = cluster(container, [0, 0, 1], 2, "a")
    container.bus.handle(MoveQueries(run_id=run_id, query_ids=ids[:2], to_cluster_id=1))
    erase(container, "a", "x")
    container.bus.handle(ReverseEdit(run_id=run_id))
    run = container.store.load(ClusteringRun, run_id)
    assert run.partition.labels.tolist() == [ERASED, 0, 1]
    project(container)
    assert container.read_models.verify("clustering")[0]["equal"]


@pytest.mark.parametrize("recorded", [0, 1, 2])
def test_a_run_that_is_still_recorded_forgets_it_too(container: Container, recorded: int) -> None:
    """The job has read the query before, and brings it in a chunk before the erasure or after it."""
    ids = bring(container, "a", x="secret", y="other", z="third")
    run_id = request_run(container, "a", 2)
    chunks = [(ids[:2], [0, 0]), (ids[2:], [1])]
    for at in range(recorded):
        record(container, run_id, at, *chunks[at])
    erase(container, "a", "x")
    for at in range(recorded, 2):
        record(container, run_id, at, *chunks[at])
    complete(container, run_id, 2)
    run = container.store.load(ClusteringRun, run_id)
    assert run.partition.labels.tolist() == [ERASED, 0, 1]
    project(container)
    assert [row["query_id"] for row in rows(container, memberships)] == ids[1:]
    assert [row["size"] for row in rows(container, clusters)] == [1, 1]


def test_a_retired_run_is_left_alone(container: Container) -> None:
    bring(container, "a", x="secret", y="other")
    run_id = cluster(container, [0, 1], 2, "a")
    clear_ended(container, "a")
    erase(container, "a", "x")
    assert logged(container, run_id)[-1] == "clustering.retired"


def test_a_vector_that_was_computed_meanwhile_is_not_kept(container: Container) -> None:
    (first, second) = load(container, "secret", "other", dataset="a")
    conversation_ids = [row["conversation_id"] for row in _index(container)]
    erase(container, "a", conversation_ids[0])
    vectors = {digest(text.encode()): np.ones(4, np.float32) for text in ("secret", "other")}
    container.embeddings.put_queries("a", first, second, SPACE, vectors)
    assert (has_vector(container, "secret"), has_vector(container, "other")) == (False, True)


def _index(container: Container) -> list[dict[str, Any]]:
    with container.database.connection() as connection:
        cursor = connection.execute("SELECT conversation_id FROM log.conversations ORDER BY query_id")
        return [{"conversation_id": row[0]} for row in cursor]
