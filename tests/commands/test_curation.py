"""Commands of curation: what they answer, what they refuse, and that each is one event or none."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.bootstrap import Container
from commands.curation import (
    AnnotateCluster,
    DeleteCluster,
    FlagCluster,
    MergeClusters,
    MoveQueries,
    MoveQuery,
    RenameCluster,
    ReverseEdit,
    SplitCluster,
    edit_in_full,
)
from commands.curation import edits as module
from commands.ports import Receipt
from domain.base import Context, context
from domain.clustering import ClusteringRun
from domain.errors import Conflict, Invalid, NotFound, Stale
from domain.values import ORPHAN
from tests.runs import completed_run
from tests.stories import cluster, load, logged, name, query_ids, request_run


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    """The queries of the data set are in the clusters 0 0 1 1 2."""
    load(container, *"abcde", dataset=dataset)
    return cluster(container, [0, 0, 1, 1, 2], clusters=3, dataset=dataset)


@pytest.fixture
def ids(container: Container, run_id: str, dataset: str) -> list[int]:
    return query_ids(container, dataset)


def version_of(container: Container, run_id: str) -> int:
    return container.store.load(ClusteringRun, run_id).version


def title(container: Container, run_id: str, cluster_id: int = 0) -> str | None:
    return container.store.load(ClusteringRun, run_id).cluster(cluster_id).title


def edit_id(receipt: Receipt) -> int:
    assert receipt.position is not None
    return receipt.position


# --- what they answer


def test_a_rename_answers_with_both_names_and_the_new_version(container: Container, run_id: str) -> None:
    version = version_of(container, run_id)
    first = container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Tax")).answer
    assert first == {
        "old_title": None,
        "new_title": "Tax",
        "old_description": None,
        "new_description": None,
        "version": version + 1,
        "changed": True,
        "dry_run": False,
    }
    second = RenameCluster(run_id=run_id, cluster_id=0, title="Law", description="of the land")
    answer = container.bus.handle(second).answer
    assert (answer["old_title"], answer["new_description"], answer["version"]) == (
        "Tax",
        "of the land",
        version + 2,
    )


def test_a_move_answers_with_both_clusters(container: Container, run_id: str, ids: list[int]) -> None:
    receipt = container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=1))
    assert (receipt.answer["from_cluster_id"], receipt.answer["to_cluster_id"]) == (0, 1)
    again = container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=1))
    assert again.position is None
    assert again.answer == {**receipt.answer, "from_cluster_id": 1, "changed": False}


def test_a_move_of_many_moves_what_it_can_and_names_the_rest(
    container: Container, run_id: str, ids: list[int]
) -> None:
    wanted = [ids[0], ids[2], 2**62, ids[4], ids[0]]
    answer = container.bus.handle(MoveQueries(run_id=run_id, query_ids=wanted, to_cluster_id=1)).answer
    assert (answer["moved"], answer["failed"]) == (3, 1)
    assert answer["errors"] == [{"query_id": 2**62, "error": f"query {2**62} is not part of run {run_id}"}]
    assert logged(container, run_id).count("curation.queries_moved") == 1
    members = container.store.load(ClusteringRun, run_id).partition.members(1)
    assert members.tolist() == sorted([ids[0], ids[2], ids[3], ids[4]])


def test_a_merge_answers_with_what_moved_and_suggests_a_title(container: Container, run_id: str) -> None:
    name(container, run_id, "named", 0, 1, 2)
    command = MergeClusters(run_id=run_id, source_cluster_ids=[2, 1, 1], target_cluster_id=0)
    answer = container.bus.handle(command).answer
    assert (answer["source_cluster_ids"], answer["target_cluster_id"]) == ([1, 2], 0)
    assert (answer["queries_moved"], answer["new_title"]) == (3, "named 0")
    assert answer["suggested_title"] == "named 1 / named 0 / named 2"


@pytest.mark.parametrize(
    ("sizes", "titles", "suggested"),
    [
        ([8, 2], ["Tax", "Law"], "Tax"),
        ([7, 3], ["Tax", "Law"], "Tax / Law"),
        ([3, 7], ["Tax", "Law"], "Law / Tax"),
        ([5, 5], ["Tax", "Tax"], "Tax"),
        ([5, 5], ["Tax", None], "Tax"),
        ([5, 5], [None, None], None),
        ([5, 4], ["x" * 150, "y" * 150], "x" * 150),
    ],
)
def test_the_title_that_is_suggested(
    sizes: list[int], titles: list[str | None], suggested: str | None
) -> None:
    run = completed_run([at for at, size in enumerate(sizes) for _ in range(size)], clusters=2)
    for at, one in enumerate(titles):
        if one:
            run.rename(at, one, None)
    assert module.suggested_title(run, [0, 1, 0, 9]) == suggested


def test_a_split_answers_with_the_new_cluster(container: Container, run_id: str, ids: list[int]) -> None:
    command = SplitCluster(run_id=run_id, cluster_id=0, query_ids=ids[:1], title="New")
    answer = container.bus.handle(command).answer
    assert (answer["original_cluster_id"], answer["new_cluster_id"], answer["queries_moved"]) == (0, 3, 1)


def test_a_deletion_answers_with_what_became_of_the_members(container: Container, run_id: str) -> None:
    orphaned = container.bus.handle(DeleteCluster(run_id=run_id, cluster_id=0, orphan=True)).answer
    moved = container.bus.handle(DeleteCluster(run_id=run_id, cluster_id=1, move_to_cluster_id=2)).answer
    wanted = ("query_count", "status", "moved_to")
    assert [orphaned[one] for one in wanted] == [2, "orphaned", None]
    assert [moved[one] for one in wanted] == [2, "moved", 2]


def test_an_orphan_is_moved_from_no_cluster(container: Container, run_id: str, ids: list[int]) -> None:
    container.bus.handle(DeleteCluster(run_id=run_id, cluster_id=0, orphan=True))
    receipt = container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=1))
    assert receipt.answer["from_cluster_id"] == ORPHAN


def test_notes_and_flags_are_answered_as_they_are_now(container: Container, run_id: str) -> None:
    command = AnnotateCluster(run_id=run_id, cluster_id=0, metadata={"quality": "low", "notes": "odd"})
    container.bus.handle(command)
    answer = container.bus.handle(FlagCluster(run_id=run_id, cluster_id=0, add=["check"])).answer
    assert {one: answer[one] for one in ("coherence_score", "quality", "notes", "flags")} == {
        "coherence_score": None,
        "quality": "low",
        "notes": "odd",
        "flags": ["check"],
    }


# --- dry runs


def edits(run_id: str, ids: list[int]) -> list[Any]:
    """One of each kind, each of which would change something."""
    of_run: dict[str, Any] = {"run_id": run_id, "dry_run": True}
    return [
        RenameCluster(**of_run, cluster_id=0, title="Tax"),
        MoveQuery(**of_run, query_id=ids[0], to_cluster_id=1),
        MoveQueries(**of_run, query_ids=ids[:2], to_cluster_id=1),
        MergeClusters(**of_run, source_cluster_ids=[1], target_cluster_id=0, title="Both"),
        SplitCluster(**of_run, cluster_id=0, query_ids=ids[:1], title="New"),
        DeleteCluster(**of_run, cluster_id=0, orphan=True),
        AnnotateCluster(**of_run, cluster_id=0, metadata={"notes": "x"}),
        FlagCluster(**of_run, cluster_id=0, add=["x"]),
    ]


def test_a_dry_run_answers_as_if_and_changes_nothing(
    container: Container, run_id: str, ids: list[int]
) -> None:
    before, head = container.store.load(ClusteringRun, run_id), container.store.head()
    for command in edits(run_id, ids):
        receipt = container.bus.handle(command)
        assert receipt.position is None
        assert (receipt.answer["dry_run"], receipt.answer["changed"]) == (True, False)
        assert receipt.answer["version"] == before.version
    assert container.store.head() == head
    assert vars(container.store.load(ClusteringRun, run_id)) == vars(before)
    assert container.bus.handle(edits(run_id, ids)[4]).answer["new_cluster_id"] == 3


def test_a_dry_run_refuses_what_would_be_refused(container: Container, run_id: str) -> None:
    command = MergeClusters(run_id=run_id, source_cluster_ids=[9], target_cluster_id=0, dry_run=True)
    with pytest.raises(Conflict, match="no cluster 9"):
        container.bus.handle(command)


# --- what they refuse


@pytest.mark.parametrize(
    ("words_of_title", "words"),
    [("", "title must not be empty"), ("x" * 201, "201 characters"), ("\ud800", "title holds a lone")],
)
def test_a_title_that_will_not_do_is_refused(
    container: Container, run_id: str, words_of_title: str, words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title=words_of_title))
    assert "curation.cluster_renamed" not in logged(container, run_id)


def test_a_run_that_is_not_there_is_not_found(container: Container) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        container.bus.handle(RenameCluster(run_id="nowhere", cluster_id=0, title="x"))


def test_a_run_that_is_not_completed_cannot_be_edited(container: Container, dataset: str) -> None:
    (query_id,) = load(container, "one", dataset=dataset)
    run_id = request_run(container, dataset)
    for command in (
        MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=0),
        MergeClusters(run_id=run_id, source_cluster_ids=[1], target_cluster_id=0),
        ReverseEdit(run_id=run_id),
    ):
        with pytest.raises(Conflict, match="is pending: only a completed run can be edited"):
            container.bus.handle(command)


def test_a_move_from_a_stale_view_is_refused(container: Container, run_id: str, ids: list[int]) -> None:
    context.set(Context(expected_version=1))
    with pytest.raises(Stale, match="read it again"):
        container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[0], to_cluster_id=1))
    with pytest.raises(Stale, match="read it again"):
        container.bus.handle(ReverseEdit(run_id=run_id))


@pytest.mark.parametrize("more", [{}, {"orphan": True, "move_to_cluster_id": 1}])
def test_a_deletion_says_where_the_queries_go(
    container: Container, run_id: str, more: dict[str, Any]
) -> None:
    with pytest.raises(Invalid, match="give either orphan=true or move_to_cluster_id"):
        container.bus.handle(DeleteCluster(run_id=run_id, cluster_id=0, **more))


def test_no_request_names_more_queries_than_are_allowed(
    container: Container, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUERIES", 2)
    with pytest.raises(Invalid, match="query_ids has 3 entries; 2 are allowed"):
        container.bus.handle(MoveQueries(run_id=run_id, query_ids=[1, 2, 3], to_cluster_id=1))


def test_a_number_that_no_answer_can_hold_is_refused(container: Container, run_id: str) -> None:
    with pytest.raises(Invalid, match="query_ids is a whole number of more than 64 bits"):
        container.bus.handle(MoveQueries(run_id=run_id, query_ids=[1, 2**70], to_cluster_id=1))


# --- undo and redo


def renamed(container: Container, run_id: str, *titles: str) -> list[int]:
    return [
        edit_id(container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title=one))) for one in titles
    ]


def test_an_edit_is_undone_by_its_id(container: Container, run_id: str) -> None:
    (edit,) = renamed(container, run_id, "Tax")
    version = version_of(container, run_id)
    answer = container.bus.handle(ReverseEdit(edit_id=edit)).answer
    assert answer == {
        "run_id": run_id,
        "edits": [{"edit_id": edit, "version": version, "edit_type": "rename"}],
        "blockers": [],
        "queries_moved": 0,
        "clusters_changed": [0],
        "clusters_restored": [],
        "clusters_removed": [],
        "version": version + 1,
        "changed": True,
        "dry_run": False,
    }
    assert title(container, run_id) is None
    container.bus.handle(ReverseEdit(edit_id=edit, redo=True))
    assert title(container, run_id) == "Tax"


def test_what_is_undone_already_is_named_as_the_caller_knows_it(container: Container, run_id: str) -> None:
    (edit,) = renamed(container, run_id, "Tax")
    with pytest.raises(Conflict, match=f"edit {edit} is not undone"):
        container.bus.handle(ReverseEdit(edit_id=edit, redo=True))
    container.bus.handle(ReverseEdit(edit_id=edit))
    with pytest.raises(Conflict, match=f"edit {edit} is not in force any more"):
        container.bus.handle(ReverseEdit(edit_id=edit, cascade=True, dry_run=True))


def test_what_stands_in_the_way_is_named_and_goes_along_when_asked(container: Container, run_id: str) -> None:
    first, second = renamed(container, run_id, "Tax", "Law")
    words = rf"cannot be undone alone: 1 edit came later and touched the same.*: {second} \(rename\)"
    with pytest.raises(Conflict, match=words) as refusal:
        container.bus.handle(ReverseEdit(edit_id=first))
    (blocker,) = refusal.value.details
    assert (blocker["edit_id"], blocker["edit_type"]) == (second, "rename")
    seen = container.bus.handle(ReverseEdit(edit_id=first, dry_run=True)).answer
    assert ([one["edit_id"] for one in seen["blockers"]], title(container, run_id)) == ([second], "Law")
    done = container.bus.handle(ReverseEdit(edit_id=first, cascade=True)).answer
    assert [one["edit_id"] for one in done["edits"]] == [second, first]
    assert title(container, run_id) is None
    with pytest.raises(
        Conflict,
        match=rf"cannot be redone alone: 1 edit that it was made on must be redone first.*: {first} ",
    ):
        container.bus.handle(ReverseEdit(edit_id=second, redo=True))


def test_a_redo_never_takes_anything_back(container: Container, run_id: str) -> None:
    (first,) = renamed(container, run_id, "Tax")
    container.bus.handle(ReverseEdit(edit_id=first))
    (second,) = renamed(container, run_id, "Law")
    tries: list[dict[str, Any]] = [{}, {"cascade": True}, {"dry_run": True}]
    for more in tries:
        with pytest.raises(Conflict, match=rf"1 edit came since and touched the same.*: {second} \(rename\)"):
            container.bus.handle(ReverseEdit(edit_id=first, redo=True, **more))


def test_undo_after_undo_and_redo_after_redo(container: Container, run_id: str, ids: list[int]) -> None:
    begin = container.store.load(ClusteringRun, run_id)
    renamed(container, run_id, "Tax", "Law")
    container.bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[1, 2], target_cluster_id=0))
    container.bus.handle(SplitCluster(run_id=run_id, cluster_id=0, query_ids=ids[:2], title="New"))
    container.bus.handle(DeleteCluster(run_id=run_id, cluster_id=3, orphan=True))
    end = container.store.load(ClusteringRun, run_id)
    for _ in range(5):
        container.bus.handle(ReverseEdit(run_id=run_id))
    back = container.store.load(ClusteringRun, run_id)
    assert (back.partition, back.clusters) == (begin.partition, begin.clusters)
    with pytest.raises(Conflict, match="no edit in force that could be undone"):
        container.bus.handle(ReverseEdit(run_id=run_id))
    for _ in range(5):
        container.bus.handle(ReverseEdit(run_id=run_id, redo=True))
    again = container.store.load(ClusteringRun, run_id)
    assert (again.partition, again.clusters) == (end.partition, end.clusters)
    with pytest.raises(Conflict, match="no undone edit that could be done again"):
        container.bus.handle(ReverseEdit(run_id=run_id, redo=True))


def test_an_undo_says_which_clusters_come_and_go(container: Container, run_id: str, ids: list[int]) -> None:
    merge = MergeClusters(run_id=run_id, source_cluster_ids=[1], target_cluster_id=0)
    first = edit_id(container.bus.handle(merge))
    split = SplitCluster(run_id=run_id, cluster_id=0, query_ids=ids[:1], title="New")
    second = edit_id(container.bus.handle(split))
    answer = container.bus.handle(ReverseEdit(edit_id=second)).answer
    assert (answer["clusters_restored"], answer["clusters_removed"], answer["queries_moved"]) == ([], [3], 1)
    answer = container.bus.handle(ReverseEdit(edit_id=first)).answer
    assert (answer["clusters_restored"], answer["clusters_removed"], answer["queries_moved"]) == ([1], [], 2)


def test_what_is_no_edit_is_not_found(container: Container, run_id: str, dataset: str) -> None:
    with container.database.connection() as connection:
        streams = [f"dataset/{dataset}", f"clustering/{run_id}"]
        sql = "SELECT min(position) FROM log.events WHERE stream = ANY(%s) GROUP BY stream"
        positions = [row[0] for row in connection.execute(sql, [streams])]
    for position in [*positions, 0, -1, 2**70, container.store.head() + 1]:
        with pytest.raises(NotFound):
            container.bus.handle(ReverseEdit(edit_id=position))
        with pytest.raises(NotFound):
            edit_in_full(container.store, position)


def test_an_edit_of_another_run_is_not_undone_by_mistake(
    container: Container, run_id: str, dataset: str
) -> None:
    other = cluster(container, [0], clusters=1, dataset=dataset)
    (edit,) = renamed(container, run_id, "Tax")
    with pytest.raises(Conflict, match=f"edit {edit} belongs to run {run_id}, not to {other}"):
        container.bus.handle(ReverseEdit(edit_id=edit, run_id=other))
    with pytest.raises(Invalid, match="give the id of an edit, or a run"):
        container.bus.handle(ReverseEdit())


def test_an_edit_in_full(container: Container, run_id: str, ids: list[int]) -> None:
    command = DeleteCluster(run_id=run_id, cluster_id=1, orphan=True)
    edit = edit_id(container.bus.handle(command))
    version = version_of(container, run_id)
    back = edit_id(container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[2], to_cluster_id=0)))
    assert edit_in_full(container.store, edit) == {
        "edit_id": edit,
        "run_id": run_id,
        "version": version,
        "edit_type": "delete",
        "state": "in force",
        "moves": [{"from": 1, "to": ORPHAN, "query_ids": ids[2:4]}],
        "clusters": [{"cluster_id": 1, "was": {}, "now": None}],
        "of": [],
        "queries_moved": 2,
        "clusters_changed": [1],
        "clusters_restored": [],
        "clusters_removed": [1],
        "blockers": [{"edit_id": back, "version": version + 1, "edit_type": "move"}],
    }
    undo = edit_id(container.bus.handle(ReverseEdit(edit_id=edit, cascade=True)))
    found = edit_in_full(container.store, edit)
    assert (found["state"], found["blockers"]) == ("undone", [])
    found = edit_in_full(container.store, undo)
    assert (found["state"], [one["edit_id"] for one in found["of"]]) == ("in force", [back, edit])
    container.bus.handle(ReverseEdit(edit_id=undo))
    found = edit_in_full(container.store, undo)
    assert (found["state"], found["blockers"]) == ("undone", [])


def test_a_summary_that_was_asked_for_before_a_cluster_went_is_completed(
    container: Container, run_id: str
) -> None:
    deletion = edit_id(container.bus.handle(DeleteCluster(run_id=run_id, cluster_id=1, orphan=True)))
    name(container, run_id, "late", 0, 1, 2)
    assert title(container, run_id, 0) == "late 0"
    container.bus.handle(ReverseEdit(edit_id=deletion))
    assert title(container, run_id, 1) == "late 1"
