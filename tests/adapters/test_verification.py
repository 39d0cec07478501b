"""Whatever is changed by hand in the log, the rows or the vectors of a run is named; what is not, is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapters.bootstrap import Container
from adapters.read_store import alone
from adapters.vectors import VectorStore
from adapters.verification import LOOKED_AT_TWICE, Verification, Wrong
from commands.curation import FlagCluster, MoveQueries, RenameCluster, SplitCluster
from commands.ports import Outcome, Point
from commands.summaries import RecordTitlesEmbedded
from domain.clustering import ClusteringRun
from domain.errors import Conflict, NotFound, Unavailable
from domain.values import ERASED, NOISE, Space, digest
from projections.search import QUERIES, TITLES, alias_of, title_point
from projections.verification import named
from tests.browsing import Installation, browsed, cluster, conversation, load, project, summarise

OTHER = np.eye(1, 16, dtype=np.float32)[0]


@pytest.fixture(scope="module")
def made(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with browsed(server, tmp_path_factory.mktemp("verified")) as installation:
        installation.container.listen()
        yield installation


class Story:
    """A run of 24 queries, six in each of three clusters and the noise, named, edited and projected."""

    def __init__(self, made: Installation, dataset: str) -> None:
        self.made = made
        self.container = made.container
        self.ids = load(made, dataset, [conversation(n, (0, 1, 2, -1)[n % 4]) for n in range(24)])
        labels = {one: (0, 1, 2, NOISE)[n % 4] for n, one in enumerate(self.ids)}
        self.dataset, self.run = dataset, cluster(made, dataset, labels)
        self.summary = summarise(made, self.run, "first")
        self.container.bus.handle(MoveQueries(run_id=self.run, query_ids=self.ids[:1], to_cluster_id=1))
        self.container.bus.handle(FlagCluster(run_id=self.run, cluster_id=2, add=["odd"]))
        self.project()

    def project(self) -> None:
        project(self.container)

    def execute(self, sql: str, *values: object) -> None:
        with self.container.database.connection() as connection:
            run_no = "(SELECT run_no FROM clustering.runs WHERE run_id = %(run)s)"
            named_values = {"run": self.run, **{f"v{at}": value for at, value in enumerate(values)}}
            connection.execute(sql.replace("RUN", run_no), named_values)

    @property
    def index(self) -> VectorStore:
        assert self.container.vectors is not None
        return self.container.vectors

    @property
    def space(self) -> Space:
        return self.made.embedder.space

    def point(self, kind: str, point_id: int | str) -> Point:
        (found,) = self.index.retrieve(alias_of(kind, self.space), [point_id])
        return found

    def write(self, kind: str, point: Point) -> None:
        self.index.upsert(alias_of(kind, self.space), [point])

    def verified(self) -> dict[str, Any]:
        return self.container.verification.verify(self.run)


@pytest.fixture
def story(made: Installation, dataset: str) -> Story:
    return Story(made, dataset)


def test_a_run_that_nobody_has_touched_is_ok(story: Story) -> None:
    assert story.verified() == {
        "run_id": story.run,
        "status": "ok",
        "issues": [],
        "sqlite_summary_count": 4,
        "chroma_summary_count": 4,
        "embedding_space": {**vars(story.space), "name": story.space.name},
    }


# --- the rows

ROWS: list[tuple[str, str]] = [
    (
        "UPDATE clustering.memberships SET cluster_id = 2 WHERE run_no = RUN AND query_id = %(v1)s",
        "queries that are in another cluster in the read model than in the log: 1 ({1} in 2 instead of 1)",
    ),
    (
        "DELETE FROM clustering.memberships WHERE run_no = RUN AND query_id = %(v2)s",
        "queries that the log has and the read model has not: 1 ({2})",
    ),
    (
        "INSERT INTO clustering.memberships VALUES (RUN, 987654321, 0, 0, 0.5)",
        "queries that the read model has and the log has not: 1 (987654321)",
    ),
    (
        "UPDATE clustering.clusters SET own_title = 'x' WHERE run_no = RUN AND cluster_id >= 1",
        "clusters whose own_title is another in the read model than in the log: 2 (1, 2)",
    ),
    (
        "UPDATE clustering.clusters SET flags = '{{}}' WHERE run_no = RUN",
        "clusters whose flags is another in the read model than in the log: 1 (2)",
    ),
    (
        "UPDATE clustering.clusters SET size = 9 WHERE run_no = RUN AND cluster_id = -1",
        "clusters whose size is another in the read model than in the log: 1 (-1)",
    ),
    (
        "DELETE FROM clustering.clusters WHERE run_no = RUN AND cluster_id = 0",
        "clusters that the log has and the read model has not: 1 (0)",
    ),
    (
        "INSERT INTO clustering.clusters (run_no, cluster_id, size) VALUES (RUN, 77, 0)",
        "clusters that the read model has and the log has not: 1 (77)",
    ),
    (
        "UPDATE clustering.runs SET num_queries = 7 WHERE run_id = %(run)s",
        "the run's num_queries is 7 in the read model, and 24 by the log",
    ),
    (
        'UPDATE clustering.runs SET space = space || \'{{"revision": "2"}}\' WHERE run_id = %(run)s',
        "the run's space is",
    ),
    ("DELETE FROM datasets.queries WHERE query_id = %(v3)s", "without a row in the read model: 1 ({3})"),
    (
        "UPDATE datasets.queries SET model = 'x' WHERE query_id = %(v3)s",
        "points whose payload is not what the read model says: 1 ({3})",
    ),
]


@pytest.mark.parametrize(("sql", "issue"), ROWS, ids=[issue[:60] for _, issue in ROWS])
def test_a_row_that_was_changed_by_hand_is_named(story: Story, sql: str, issue: str) -> None:
    story.execute(sql.replace("{{", "{").replace("}}", "}"), *story.ids[:4])
    answer = story.verified()
    assert answer["status"] == "mismatch"
    assert [one for one in answer["issues"] if issue.format(*story.ids) in one], answer["issues"]


def test_a_run_that_has_no_row_is_named(story: Story) -> None:
    story.execute("DELETE FROM clustering.runs WHERE run_id = %(run)s")
    assert story.verified()["issues"] == [f"the read model has no run {story.run}"]


# --- the vectors


def drop_point(story: Story) -> str:
    story.index.delete(alias_of(QUERIES, story.space), story.ids[5:7])
    return f"queries of the run without a point: 2 ({story.ids[5]}, {story.ids[6]})"


def turn_point(story: Story) -> str:
    story.write(QUERIES, replace(story.point(QUERIES, story.ids[5]), vector=OTHER))
    return f"points whose vector is not the one of their text: 1 ({story.ids[5]})"


def relabel_point(story: Story) -> str:
    story.write(QUERIES, replace(story.point(QUERIES, story.ids[5]), payload={"dataset": "other"}))
    return f"points whose payload is not what the read model says: 1 ({story.ids[5]})"


def drop_title(story: Story) -> str:
    story.index.delete(alias_of(TITLES, story.space), [title_point(story.run, 1, None)])
    return "titles without a point: 1 (of clusters 1)"


def turn_title(story: Story) -> str:
    point_id = title_point(story.run, 1, story.summary)
    story.write(TITLES, replace(story.point(TITLES, point_id), vector=OTHER))
    return "points of titles whose vector is not the one of their text: 1 (of clusters 1)"


def relabel_title(story: Story) -> str:
    point_id = title_point(story.run, 1, None)
    story.write(TITLES, replace(story.point(TITLES, point_id), payload={"run_id": "another"}))
    return "points of titles whose payload is not what the log says: 1 (of clusters 1)"


def invent_title(story: Story) -> str:
    payload = {"run_id": story.run, "cluster_id": 77, "summary_run_id": ""}
    story.write(TITLES, Point(title_point(story.run, 77, None), OTHER, payload))
    return "points of titles that the log does not have: 1 (of clusters 77)"


CHANGES = [drop_point, turn_point, relabel_point, drop_title, turn_title, relabel_title, invent_title]


@pytest.mark.parametrize("change", CHANGES)
def test_a_point_that_was_changed_by_hand_is_named(story: Story, change: Callable[[Story], str]) -> None:
    issue = change(story)
    answer = story.verified()
    assert (answer["status"], answer["issues"]) == ("mismatch", [issue])
    assert answer["chroma_summary_count"] == (3 if change is drop_title else 4)


# --- the log, and what lies beside it


def test_an_event_that_was_changed_by_hand_is_named(story: Story) -> None:
    sql = (
        "UPDATE log.events SET data = replace(data::text, '\"odd\"', '\"even\"')::{kind}"
        " WHERE stream = 'clustering/' || %(run)s AND type = 'curation.flags_changed'"
    )
    with story.container.database.connection() as connection:
        row = connection.execute(
            "SELECT data_type FROM information_schema.columns WHERE table_schema = 'log'"
            " AND table_name = 'events' AND column_name = 'data'"
        ).fetchone()
    assert row is not None
    story.execute(sql.format(kind=row[0]))
    story.container.store.forget()
    issue = "clusters whose flags is another in the read model than in the log: 1 (2)"
    assert story.verified()["issues"] == [issue]


def test_a_vector_that_is_gone_from_beside_the_log_is_named(story: Story) -> None:
    text = story.made.rows[story.ids[5]]["query"]
    same = [one for one in story.ids if story.made.rows[one]["query"] == text]
    with story.container.database.connection() as connection:
        connection.execute("DELETE FROM log.embeddings WHERE sha256 = %s", [digest(text.encode())])
    issue = f"queries of the run without a vector beside the log: {len(same)} ({named(same)})"
    try:
        assert story.verified()["issues"] == [issue]
    finally:
        vectors = {digest(text.encode()): story.made.embedder.embed([text])[0]}
        story.container.embeddings.put(story.space, vectors)


def test_titles_in_another_space_are_named(story: Story) -> None:
    other = replace(story.space, revision="2")
    sha256 = digest(b"a title")
    story.container.embeddings.put(other, {sha256: OTHER})
    command = RecordTitlesEmbedded(run_id=story.run, space=other, texts={2: sha256.hex()})
    story.container.bus.handle(command)
    story.project()
    (issue,) = story.verified()["issues"]
    assert (
        issue
        == f"titles in the space {other.name}, while the run is in {story.space.name}: 1 (of clusters 2)"
    )


# --- what goes on meanwhile


def policies_reach(story: Story, position: int) -> None:
    with story.container.database.connection() as connection:
        connection.execute("UPDATE policies.checkpoint SET position = %s", [position])


def test_a_title_that_search_never_heard_of_is_named_when_nothing_is_under_way(story: Story) -> None:
    story.container.bus.handle(RenameCluster(run_id=story.run, cluster_id=2, title="Another"))
    story.project()
    policies_reach(story, 0)
    assert story.verified()["status"] == "ok"
    policies_reach(story, story.container.store.head())
    (issue,) = story.verified()["issues"]
    assert issue == "clusters whose title in search is not the shown one: 1 (2)"
    policies_reach(story, 0)


def test_edits_that_go_on_are_no_difference(story: Story) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def edit() -> None:
        try:
            number = 0
            while not stop.is_set():
                number += 1
                target, moved = number % 3, story.ids[number % 24 : number % 24 + 3]
                bus = story.container.waiting_bus
                bus.handle(MoveQueries(run_id=story.run, query_ids=moved, to_cluster_id=target))
                bus.handle(RenameCluster(run_id=story.run, cluster_id=target, title=f"T{number}"))
                if number % 5 == 0:
                    split = SplitCluster(run_id=story.run, cluster_id=target, query_ids=moved[:1], title="S")
                    bus.handle(split)
                    project(story.container)
        except BaseException as error:
            failed.append(error)

    def follow() -> None:
        while not stop.is_set():
            project(story.container)

    follower = threading.Thread(target=follow)
    editor = threading.Thread(target=edit)
    editor.start()
    follower.start()
    try:
        found = [story.verified()["issues"] for _ in range(6)]
    finally:
        stop.set()
        editor.join()
        follower.join()
    assert failed == []
    assert found == [[]] * 6
    assert story.container.store.load(ClusteringRun, story.run).version > 12


def test_what_was_erased_between_two_looks_is_no_difference(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    verification = story.container.verification
    compared = verification._compared

    def erased_first(dataset: str, space: Space, ids: Any) -> dict[str, list[int]]:  # noqa: ANN401
        if not (run := story.container.store.load(ClusteringRun, story.run)).partition.sizes().get(ERASED):
            run.erase(np.array(story.ids[:2]))
            story.container.store.commit(Outcome((run,)), "Erase")
            story.index.delete(alias_of(QUERIES, story.space), story.ids[:2])
            story.project()
        return compared(dataset, space, ids)

    monkeypatch.setattr(verification, "_compared", erased_first)
    assert story.verified()["issues"] == []
    assert story.verified()["status"] == "ok"


def test_more_than_can_be_looked_at_twice_stands() -> None:
    wrong = Wrong()
    wrong.add({"odd": list(range(900)), "fine": []})
    wrong.add({"odd": list(range(900, 2_000))})
    assert wrong.sentences() == ["odd: 2000 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1990 more)"]
    assert len(wrong.ids["odd"]) == LOOKED_AT_TWICE + 1


# --- refusals


def test_read_models_that_do_not_follow_are_no_difference_but_a_reason_to_wait(story: Story) -> None:
    container = story.container
    behind = Verification(
        container.database, container.store, container.embeddings, story.index, lambda position: False
    )
    with pytest.raises(Unavailable, match="have not reached position"):
        behind.verify(story.run)


def test_not_during_a_rebuild(story: Story) -> None:
    with (
        alone(story.container.database, "search"),
        pytest.raises(Conflict, match="'search' is being rebuilt"),
    ):
        story.verified()


def test_a_run_without_a_result_is_refused(made: Installation, story: Story) -> None:
    container: Container = made.container
    with pytest.raises(NotFound):
        container.verification.verify("no-such-run")
    with pytest.raises(Conflict, match="is pending"):
        container.verification.verify(made.pending_run_id)
    run = container.store.load(ClusteringRun, story.run)
    run.retire()
    container.store.commit(Outcome((run,)), "Clear")
    with pytest.raises(NotFound, match="was cleared"):
        story.verified()


def test_a_process_without_vectors_cannot_tell(story: Story) -> None:
    container = story.container
    blind = Verification(
        container.database, container.store, container.embeddings, None, lambda position: True
    )
    with pytest.raises(Unavailable, match="no vector engine"):
        blind.verify(story.run)
