"""Somebody proposes, somebody decides: nothing changes before, and all of it or nothing after."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from adapters.bootstrap import Container
from commands.curation import (
    AcceptProposal,
    DeleteCluster,
    MergeClusters,
    MoveQuery,
    ProposeEdits,
    RejectProposal,
    RenameCluster,
    ReverseEdit,
    SplitCluster,
    present_impact,
)
from commands.ports import Outcome, Receipt
from domain.base import Context, context
from domain.clustering import ClusteringRun
from domain.errors import Conflict, DomainError, Invalid, NotFound, Stale
from domain.proposals import Proposal
from tests.stories import AT, clear, cluster, load, logged, query_ids, request_run


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def run_id(container: Container, dataset: str) -> str:
    """Clusters 0, 1 and 2 of two queries each."""
    load(container, *(f"q{number}" for number in range(6)), dataset=dataset)
    return cluster(container, [0, 0, 1, 1, 2, 2], clusters=3, dataset=dataset)


@pytest.fixture
def ids(container: Container, dataset: str, run_id: str) -> list[int]:
    return query_ids(container, dataset)


MERGE = {"type": "merge", "source_cluster_ids": [1], "target_cluster_id": 0, "new_title": "Cards"}
RENAME = {"type": "rename", "cluster_id": 2, "title": "Weather"}


def propose(container: Container, run_id: str, *edits: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    given = {"title": None, "reason": "they say the same", "source": None, "at": AT, **more}
    return container.bus.handle(ProposeEdits(run_id=run_id, edits=edits, **given)).answer


def accept(container: Container, proposal: dict[str, Any], **how: Any) -> Receipt:  # noqa: ANN401
    return container.bus.handle(AcceptProposal(proposal_id=proposal["proposal_id"], **how))


def run_of(container: Container, run_id: str) -> ClusteringRun:
    return container.store.load(ClusteringRun, run_id)


def refused(call: Any, kind: type[DomainError] = Conflict) -> DomainError:  # noqa: ANN401
    with pytest.raises(kind) as error:
        call()
    return error.value


# --- proposing


def test_a_proposal_changes_nothing_and_says_what_it_would_do(container: Container, run_id: str) -> None:
    version = run_of(container, run_id).version
    answer = propose(container, run_id, MERGE, RENAME)
    assert answer["proposal_id"].startswith("proposal-20251004-170442")
    assert (answer["status"], answer["version"], answer["impact"]["queries_moved"]) == ("pending", version, 2)
    assert answer["impact"]["counts"] == {"made": 0, "removed": 1, "renamed": 2, "resized": 1, "noted": 0}
    assert [one["clusters_changed"] for one in answer["impact"]["edits"]] == [[0, 1], [2]]
    assert run_of(container, run_id).version == version
    assert logged(container, answer["proposal_id"]) == ["proposal.created"]


def test_proposals_of_one_second_have_names_of_their_own(container: Container, run_id: str) -> None:
    first, second = (propose(container, run_id, RENAME)["proposal_id"] for _ in range(2))
    assert first != second


def test_a_dry_run_keeps_nothing(container: Container, run_id: str) -> None:
    head = container.store.head()
    answer = propose(container, run_id, MERGE, dry_run=True)
    assert (answer["proposal_id"], answer["impact"]["queries_moved"]) == (None, 2)
    assert container.store.head() == head


def test_edits_that_cannot_be_made_are_refused_with_a_reason_each(container: Container, run_id: str) -> None:
    head = container.store.head()
    away = {"type": "delete", "cluster_id": 1, "orphan": True}
    error = refused(lambda: propose(container, run_id, MERGE, away, RENAME))
    assert error.details == [{"index": 1, "detail": f"run {run_id} has no cluster 1"}]
    strange: list[dict[str, Any]] = [
        MERGE,
        {"type": "explode"},
        {"type": "rename"},
        {"type": "rename", "cluster_id": 3, "title": "x"},
    ]
    error = refused(lambda: propose(container, run_id, *strange), Invalid)
    assert [one["index"] for one in error.details] == [1, 2, 3]
    assert 'what the edit at index n makes is called "new:n"' in error.details[2]["detail"]
    assert container.store.head() == head


@pytest.mark.parametrize(
    ("edits", "more", "words"),
    [
        ([], {}, "a proposal has 1 to 500"),
        ([RENAME] * 501, {}, "there are 501; a proposal has 1 to 500"),
        ([RENAME], {"reason": " "}, "reason must not be empty"),
        ([RENAME], {"title": ""}, "title must not be empty"),
        ([RENAME], {"source": "x" * 201}, "source has 201 characters"),
        ([{"type": "move", "query_ids": [1] * 100_001, "to_cluster_id": 1}], {}, "they name 100001 queries"),
    ],
)
def test_what_is_no_proposal_is_refused(
    container: Container, run_id: str, edits: list[dict[str, Any]], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        propose(container, run_id, *edits, **more)


def test_a_proposal_of_what_is_so_already_is_refused(
    container: Container, run_id: str, ids: list[int]
) -> None:
    with pytest.raises(Invalid, match="the edits would change nothing"):
        propose(container, run_id, {"type": "move", "query_ids": ids[:2], "to_cluster_id": 0})


def test_a_run_that_cannot_be_edited_gets_no_proposals(
    container: Container, run_id: str, dataset: str
) -> None:
    with pytest.raises(Conflict, match="only a completed run"):
        propose(container, request_run(container, dataset), RENAME)
    with pytest.raises(NotFound):
        propose(container, "nowhere", RENAME)


# --- accepting


def test_all_edits_are_made_at_once_and_one_undo_takes_them_back(
    container: Container, run_id: str, ids: list[int]
) -> None:
    before = run_of(container, run_id)
    split = {"type": "split", "cluster_id": 2, "query_ids": [ids[5]], "new_title": "Snow"}
    proposal = propose(container, run_id, MERGE, split, {**RENAME, "cluster_id": "new:1"})
    context.set(Context(actor="anna"))
    receipt = accept(container, proposal, reason="yes")
    run = run_of(container, run_id)
    assert (run.cluster(0).title, run.cluster(3).title, 1 in run.clusters) == ("Cards", "Weather", False)
    assert receipt.answer["version"] == run.version == before.version + 4
    assert receipt.answer["edits_made"] == 3
    assert logged(container, run_id)[-4:] == [
        "curation.clusters_merged",
        "curation.cluster_split",
        "curation.cluster_renamed",
        "curation.proposal_accepted",
    ]
    container.bus.handle(ReverseEdit(edit_id=receipt.position))
    again = run_of(container, run_id)
    assert again.partition == before.partition
    assert again.clusters == before.clusters


def test_its_edits_name_the_proposal_as_their_cause_and_who_accepted_as_their_author(
    container: Container, run_id: str
) -> None:
    context.set(Context(actor="robot"))
    proposal = propose(container, run_id, MERGE, RENAME)
    context.set(Context(actor="anna", reason="fine", causation_id="a click"))
    accept(container, proposal, reason="fine")
    name = proposal["proposal_id"]
    with container.database.connection() as connection:
        found = connection.execute(
            "SELECT position, type, meta ->> 'actor', meta ->> 'causation_id' FROM log.events"
            " WHERE stream IN (%s, %s) AND type !~ '^clustering' ORDER BY position",
            [Proposal.stream(name), ClusteringRun.stream(run_id)],
        ).fetchall()
    (created, *_, author, cause), *rest = found
    assert (author, cause) == ("robot", None)
    assert {(who, why) for *_, who, why in rest} == {("anna", str(created))}
    assert {kind for _, kind, *_ in rest} >= {"proposal.accepted", "curation.proposal_accepted"}


def test_some_of_the_edits_can_be_accepted(container: Container, run_id: str) -> None:
    proposal = propose(container, run_id, MERGE, RENAME)
    accept(container, proposal, only=[1])
    run = run_of(container, run_id)
    assert (1 in run.clusters, run.cluster(2).title) == (True, "Weather")
    event = container.store.events(Proposal, proposal["proposal_id"], [2])[2]
    assert (event.left_out, [one["index"] for one in event.edits]) == ([0], [1])
    assert event.impact["counts"]["renamed"] == 1


def test_an_edit_that_rests_on_one_left_out_is_refused(
    container: Container, run_id: str, ids: list[int]
) -> None:
    split = {"type": "split", "cluster_id": 2, "query_ids": [ids[5]], "new_title": "Snow"}
    proposal = propose(container, run_id, split, {**RENAME, "cluster_id": "new:0"})
    error = refused(lambda: accept(container, proposal, only=[1]))
    assert "new:0 stands for what edit 0 makes" in error.details[0]["reason"]


@pytest.mark.parametrize("only", [[], [2], [-1]])
def test_what_is_not_in_the_proposal_cannot_be_accepted(
    container: Container, run_id: str, only: list[int]
) -> None:
    proposal = propose(container, run_id, MERGE, RENAME)
    refused(lambda: accept(container, proposal, only=only), Invalid)


def test_a_dry_run_of_an_acceptance_changes_nothing(container: Container, run_id: str) -> None:
    proposal = propose(container, run_id, MERGE)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=1, title="Visa"))
    head = container.store.head()
    answer = accept(container, proposal, dry_run=True).answer
    assert (answer["status"], answer["version"], answer["dry_run"]) == (
        "pending",
        run_of(container, run_id).version,
        True,
    )
    assert [one["index"] for one in answer["conflicts"]] == [0]
    assert container.store.head() == head


def test_what_has_come_true_meanwhile_is_accepted_without_an_edit(container: Container, run_id: str) -> None:
    proposal = propose(container, run_id, RENAME)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=2, title="Weather"))
    version = run_of(container, run_id).version
    answer = accept(container, proposal).answer
    assert (answer["edits_made"], answer["version"], answer["conflicts"]) == (0, version, [])
    assert run_of(container, run_id).version == version
    assert container.store.load(Proposal, proposal["proposal_id"]).status == "accepted"


# --- others have edited meanwhile


def test_edits_elsewhere_are_no_conflict_and_are_kept(container: Container, run_id: str) -> None:
    proposal = propose(container, run_id, MERGE)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=2, title="Mine"))
    accept(container, proposal)
    assert run_of(container, run_id).cluster(2).title == "Mine"


def test_who_touched_the_same_since_is_named_and_nothing_is_half_done(
    container: Container, run_id: str, ids: list[int]
) -> None:
    proposal = propose(container, run_id, MERGE, RENAME)
    moved = container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[2], to_cluster_id=2))
    head = container.store.head()
    error = refused(lambda: accept(container, proposal))
    (conflict,) = error.details
    assert (conflict["index"], conflict["can_be_made"]) == (0, True)
    assert [(one["edit_id"], one["edit_type"]) for one in conflict["edits"]] == [(moved.position, "move")]
    assert container.store.head() == head
    accept(container, proposal, force=True)
    run = run_of(container, run_id)
    assert run.partition.members(0).tolist() == [ids[0], ids[1], ids[3]]
    assert container.store.events(Proposal, proposal["proposal_id"], [2])[2].forced


def test_what_cannot_be_made_any_more_is_not_forced(container: Container, run_id: str) -> None:
    proposal = propose(container, run_id, MERGE, RENAME)
    gone = container.bus.handle(DeleteCluster(run_id=run_id, cluster_id=1, orphan=True))
    error = refused(lambda: accept(container, proposal, force=True))
    (conflict,) = error.details
    assert (conflict["index"], conflict["can_be_made"]) == (0, False)
    assert conflict["reason"] == f"run {run_id} has no cluster 1"
    assert [one["edit_id"] for one in conflict["edits"]] == [gone.position]
    accept(container, proposal, only=[1])
    assert run_of(container, run_id).cluster(2).title == "Weather"


def test_an_edit_that_was_undone_since_was_touched_too(container: Container, run_id: str) -> None:
    renamed = container.bus.handle(RenameCluster(run_id=run_id, cluster_id=2, title="Rain"))
    proposal = propose(container, run_id, RENAME)
    undone = container.bus.handle(ReverseEdit(edit_id=renamed.position))
    (conflict,) = refused(lambda: accept(container, proposal)).details
    assert [(one["edit_id"], one["edit_type"]) for one in conflict["edits"]] == [(undone.position, "undo")]
    container.bus.handle(ReverseEdit(edit_id=renamed.position, redo=True))
    (conflict,) = refused(lambda: accept(container, proposal)).details
    assert [one["edit_id"] for one in conflict["edits"]] == [renamed.position]


def test_what_was_done_and_undone_since_is_no_conflict(container: Container, run_id: str) -> None:
    proposal = propose(container, run_id, RENAME)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=2, title="Rain"))
    container.bus.handle(ReverseEdit(run_id=run_id))
    assert accept(container, proposal).answer["conflicts"] == []


def test_a_split_of_others_does_not_take_the_place_of_a_cluster_yet_to_be_made(
    container: Container, run_id: str, ids: list[int]
) -> None:
    split = {"type": "split", "cluster_id": 2, "query_ids": [ids[5]], "new_title": "Snow"}
    proposal = propose(container, run_id, split, {**RENAME, "cluster_id": "new:0"})
    container.bus.handle(
        SplitCluster(run_id=run_id, cluster_id=0, query_ids=[ids[0]], title="Other", description=None)
    )
    accept(container, proposal)
    run = run_of(container, run_id)
    assert (run.cluster(3).title, run.cluster(4).title) == ("Other", "Weather")


def test_the_impact_of_a_pending_proposal_is_that_of_the_present(
    container: Container, run_id: str, ids: list[int]
) -> None:
    proposal = propose(container, run_id, MERGE)
    container.bus.handle(MoveQuery(run_id=run_id, query_id=ids[2], to_cluster_id=2))
    now = present_impact(container.store, proposal["proposal_id"])
    assert now["version"] == run_of(container, run_id).version
    assert now["impact"]["queries_moved"] == 1
    (edit,) = now["impact"]["edits"]
    assert (edit["touched_since"], edit["can_be_made"]) == (1, True)
    container.bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[0], target_cluster_id=2))
    (edit,) = present_impact(container.store, proposal["proposal_id"])["impact"]["edits"]
    assert (edit["can_be_made"], edit["refusal"]) == (False, f"run {run_id} has no cluster 0")
    container.bus.handle(RejectProposal(proposal_id=proposal["proposal_id"], reason="too late"))
    container.bus.handle(ReverseEdit(run_id=run_id))
    decided = present_impact(container.store, proposal["proposal_id"])
    assert (decided["version"], decided["impact"]["queries_moved"]) == (None, 0)


def test_a_run_that_has_moved_on_since_it_was_read_is_not_touched(container: Container, run_id: str) -> None:
    proposal = propose(container, run_id, MERGE)
    context.set(Context(expected_version=run_of(container, run_id).version))
    container.store.commit(_renamed(container, run_id), "test")
    with pytest.raises(Stale, match="read it again"):
        accept(container, proposal)


def _renamed(container: Container, run_id: str) -> Outcome:
    run = run_of(container, run_id)
    run.rename(2, "Rain", None)
    return Outcome((run,))


# --- rejecting, and deciding twice


def test_a_rejection_is_recorded_with_what_it_would_have_come_to(container: Container, run_id: str) -> None:
    version = run_of(container, run_id).version
    proposal = propose(container, run_id, MERGE)
    command = RejectProposal(proposal_id=proposal["proposal_id"], reason="two topics")
    answer = container.bus.handle(command).answer
    assert (answer["status"], answer["version"]) == ("rejected", version)
    event = container.store.events(Proposal, proposal["proposal_id"], [2])[2]
    assert (event.reason, event.impact["queries_moved"]) == ("two topics", 2)
    assert run_of(container, run_id).version == version


def test_it_is_decided_once(container: Container, run_id: str) -> None:
    first, second = (propose(container, run_id, one) for one in (MERGE, RENAME))
    accept(container, first)
    container.bus.handle(RejectProposal(proposal_id=second["proposal_id"], reason="no"))
    for proposal, status in ((first, "accepted"), (second, "rejected")):
        name = proposal["proposal_id"]
        for command in (AcceptProposal(proposal_id=name), RejectProposal(proposal_id=name, reason="no")):
            with pytest.raises(Conflict, match=f"{name} is {status} already"):
                container.bus.handle(command)


def test_of_many_who_decide_at_once_one_does(container: Container, run_id: str) -> None:
    proposal = propose(container, run_id, MERGE, RENAME)
    said: list[object] = []

    def decide() -> None:
        try:
            said.append(accept(container, proposal).answer["edits_made"])
        except Conflict as error:
            said.append(error.message)

    threads = [threading.Thread(target=decide) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert said.count(2) == 1
    assert said.count(f"proposal {proposal['proposal_id']} is accepted already") == 3
    assert logged(container, run_id).count("curation.proposal_accepted") == 1


def test_a_proposal_for_a_run_that_was_cleared_cannot_be_decided(
    container: Container, run_id: str, dataset: str
) -> None:
    proposal = propose(container, run_id, MERGE)
    clear(container, dataset)
    with pytest.raises(NotFound, match="was cleared together with data set"):
        accept(container, proposal)
