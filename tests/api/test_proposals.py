"""An agent proposes over HTTP, a person looks at what it comes to, and decides."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from adapters.bootstrap import Container
from api.app import create_app
from commands.access import CreateKey, hash_key, new_key
from projections.proposals import proposals
from tests.browsing import Installation, cluster, conversation, load, project
from tests.stories import rows

MERGE = {"type": "merge", "source_cluster_ids": [1], "target_cluster_id": 0, "new_title": "Money and code"}
RENAME = {"type": "rename", "cluster_id": 2, "title": "Weather", "reason": "all of them ask for it"}
AGENT = {"X-Actor": "agent"}
ANNA = {"X-Actor": "anna"}


@pytest.fixture
def run(made: Installation, dataset: str) -> str:
    """Clusters 0, 1 and 2 of 8 queries each, and 8 of noise."""
    ids = load(made, dataset, [conversation(n, (0, 1, 2, -1)[n % 4]) for n in range(32)])
    run_id = cluster(made, dataset, {one: (0, 1, 2, -1)[n % 4] for n, one in enumerate(ids)})
    project(made.container)
    return run_id


def ask(answer: Any, status: int = 200) -> Any:  # noqa: ANN401
    assert answer.status_code == status, answer.text
    return answer.json()


def propose(api: TestClient, run_id: str, *edits: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    body = {"edits": edits, "reason": "near each other", **more}
    path = f"/api/curation/runs/{run_id}/proposals"
    proposed: dict[str, Any] = ask(api.post(path, json=body, headers=AGENT), 201)
    return proposed


def of(proposal: dict[str, Any], word: str = "") -> str:
    return f"/api/curation/proposals/{proposal['proposal_id']}{word}"


def test_an_agent_proposes_and_a_person_accepts(api: TestClient, made: Installation, run: str) -> None:
    proposed = propose(api, run, MERGE, RENAME, title="Tidy up", source="nightly check")
    (listed,) = ask(api.get(f"/api/curation/runs/{run}/proposals", params={"status": "pending"}))["items"]
    assert (listed["proposal_id"], listed["title"], listed["edit_count"], listed["proposed_by"]) == (
        proposed["proposal_id"],
        "Tidy up",
        2,
        "agent",
    )
    answer = api.get(of(proposed))
    shown = ask(answer)
    assert shown["edits"] == [MERGE, RENAME]
    assert shown["impact"] == proposed["impact"]
    assert shown["impact"]["before"]["gini"] == 0
    assert shown["impact"]["after"]["gini"] == pytest.approx(1 / 6)
    accepted = ask(
        api.post(
            of(proposed, "/accept"),
            json={"reason": "yes"},
            headers={**ANNA, "If-Match": answer.headers["etag"]},
        )
    )
    assert (accepted["status"], accepted["edits_made"], accepted["conflicts"]) == ("accepted", 2, [])
    clusters = ask(api.get(f"/api/clustering/runs/{run}/clusters"))["items"]
    titles = {one["cluster_id"]: one["title"] for one in clusters}
    assert titles == {-1: None, 0: "Money and code", 2: "Weather"}
    decided = ask(api.get(of(proposed)))
    assert (decided["decided_by"], decided["decision_reason"], decided["edit_id"]) == (
        "anna",
        "yes",
        accepted["edit_id"],
    )
    assert decided["impact"] == accepted["impact"]
    history = ask(api.get(f"/api/curation/runs/{run}/audit"))["items"]
    assert [one["edit_type"] for one in history] == ["accept_proposal", "rename", "merge"]
    assert {one["editor"] for one in history} == {"anna"}
    assert len({one["caused_by"] for one in history}) == 1
    ask(api.post(f"/api/curation/edits/{accepted['edit_id']}/undo"))
    clusters = ask(api.get(f"/api/clustering/runs/{run}/clusters"))["items"]
    assert {one["cluster_id"]: one["num_queries"] for one in clusters} == dict.fromkeys((-1, 0, 1, 2), 8)


def test_conflicts_are_listed_edit_by_edit(api: TestClient, run: str) -> None:
    proposed = propose(api, run, MERGE, RENAME)
    mine = {"title": "Sky"}
    edit = ask(api.post("/api/curation/clusters/2/rename", params={"run_id": run}, json=mine))
    (row,) = [one for one in ask(api.get(of(proposed)))["impact"]["edits"] if one["touched_since"]]
    named = [{"edit_id": edit["edit_id"], "version": edit["version"], "edit_type": "rename"}]
    assert (row["index"], row["touched_by"]) == (1, named)
    dry = ask(api.post(of(proposed, "/accept"), params={"dry_run": True}))
    assert (dry["status"], dry["dry_run"]) == ("pending", True)
    assert [one["index"] for one in dry["conflicts"]] == [1]
    refused = ask(api.post(of(proposed, "/accept")), 409)
    assert [(one["index"], one["edits"]) for one in refused["errors"]] == [(1, named)]
    ask(api.post(of(proposed, "/accept"), params={"force": True}))
    shown = ask(api.get(of(proposed)))
    assert (shown["forced"], [one["index"] for one in shown["made"]]) == (True, [0, 1])


def test_a_stale_view_is_not_accepted(api: TestClient, run: str) -> None:
    proposed = propose(api, run, MERGE)
    ask(api.post("/api/curation/clusters/2/rename", params={"run_id": run}, json={"title": "Sky"}))
    seen = {"If-Match": f'"{proposed["version"]}"'}
    ask(api.post(of(proposed, "/accept"), headers=seen), 412)
    assert ask(api.get(of(proposed)))["status"] == "pending"


def test_a_rejection_needs_a_reason_and_keeps_it(api: TestClient, run: str) -> None:
    proposed = propose(api, run, MERGE)
    ask(api.post(of(proposed, "/reject"), json={}), 422)
    ask(api.post(of(proposed, "/reject"), json={"reason": " "}), 422)
    ask(api.post(of(proposed, "/reject"), json={"reason": "two topics"}, headers=ANNA))
    shown = ask(api.get(of(proposed)))
    assert (shown["status"], shown["decided_by"]) == ("rejected", "anna")
    assert shown["decision_reason"] == "two topics"
    assert shown["impact"] == proposed["impact"]
    ask(api.post(of(proposed, "/accept")), 409)


def test_edits_that_cannot_be_made_are_named_by_index(api: TestClient, run: str) -> None:
    path = f"/api/curation/runs/{run}/proposals"
    bad = {"type": "merge", "source_cluster_ids": [77], "target_cluster_id": 0}
    body = {"reason": "so", "edits": [RENAME, bad, {"type": "rename", "cluster_id": "x"}]}
    refused = ask(api.post(path, json=body), 422)
    assert [one["index"] for one in refused["errors"]] == [1, 2]
    assert "cluster_id: neither the id of a cluster nor" in refused["errors"][1]["detail"]
    assert ask(api.get(path))["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"edits": [RENAME]},
        {"edits": [], "reason": "x"},
        {"edits": "x", "reason": "x"},
        {"edits": [RENAME], "reason": "x" * 2_001},
    ],
)
def test_what_is_no_proposal_is_refused(api: TestClient, run: str, body: dict[str, Any]) -> None:
    ask(api.post(f"/api/curation/runs/{run}/proposals", json=body), 422)


def test_what_is_not_there_is_not_found(api: TestClient, run: str) -> None:
    body = {"edits": [RENAME], "reason": "x"}
    ask(api.post("/api/curation/runs/nowhere/proposals", json=body), 404)
    ask(api.get("/api/curation/runs/nowhere/proposals"), 404)
    ask(api.get("/api/curation/proposals/none"), 404)
    ask(api.post("/api/curation/proposals/none/accept"), 404)
    ask(api.post("/api/curation/proposals/none/reject", json={"reason": "x"}), 404)


def test_the_list_goes_from_the_newest_and_by_status(api: TestClient, run: str) -> None:
    names = [propose(api, run, RENAME)["proposal_id"] for _ in range(3)]
    ask(api.post(f"/api/curation/proposals/{names[1]}/reject", json={"reason": "no"}))
    path = f"/api/curation/runs/{run}/proposals"
    assert [one["proposal_id"] for one in ask(api.get(path))["items"]] == names[::-1]
    pending = ask(api.get(path, params={"status": "pending"}))
    assert ([one["proposal_id"] for one in pending["items"]], pending["total"]) == ([names[2], names[0]], 2)
    first = ask(api.get(path, params={"limit": 2}))
    rest = ask(api.get(path, params={"limit": 2, "cursor": first["next_cursor"]}))
    assert [one["proposal_id"] for one in rest["items"]] == names[:1]
    ask(api.get(path, params={"status": "lost"}), 422)


def test_the_same_request_again_makes_no_second_proposal(api: TestClient, run: str) -> None:
    body = {"edits": [RENAME], "reason": "once"}
    path, once = f"/api/curation/runs/{run}/proposals", {"Idempotency-Key": f"once-{run}"}
    first, second = (ask(api.post(path, json=body, headers=once), 201) for _ in range(2))
    assert first == second
    assert ask(api.get(path))["total"] == 1


def test_the_contract_says_what_an_edit_is(api: TestClient) -> None:
    schemas = ask(api.get("/openapi.json"))["components"]["schemas"]
    kinds = schemas["ProposalRequest"]["properties"]["edits"]["items"]["oneOf"]
    assert {one["properties"]["type"]["enum"][0] for one in kinds} == {
        "rename",
        "move",
        "merge",
        "split",
        "delete",
        "metadata",
        "flags",
    }


# --- with keys


@pytest.fixture
def guarded(made: Installation) -> TestClient:
    app = create_app(made.container.settings.model_copy(update={"auth": True}))
    app.state.container = made.container
    return TestClient(app, raise_server_exceptions=False)


def key(container: Container, name: str) -> dict[str, str]:
    word = new_key()
    container.bus.handle(CreateKey(name=name, key_hash=hash_key(word)))
    project(container)
    return {"X-API-Key": word, "X-Actor": "somebody else"}


def test_with_keys_who_proposed_and_who_decided_are_the_holders(
    guarded: TestClient, made: Installation, run: str
) -> None:
    robot, anna = (key(made.container, f"{name}-{run[-6:]}") for name in ("robot", "anna"))
    path = f"/api/curation/runs/{run}/proposals"
    body = {"edits": [RENAME], "reason": "x"}
    assert guarded.post(path, json=body).status_code == 401
    proposed = ask(guarded.post(path, json=body, headers=robot), 201)
    ask(guarded.post(of(proposed, "/accept"), headers=anna))
    shown = ask(guarded.get(of(proposed), headers=anna))
    assert (shown["proposed_by"].split("-")[0], shown["decided_by"].split("-")[0]) == ("robot", "anna")


# --- what heuristics find


def test_what_heuristics_find_becomes_a_proposal(api: TestClient, run: str) -> None:
    path = f"/api/curation/runs/{run}/select-bad-clusters/proposals"
    limits: dict[str, Any] = {"min_size": 0, "max_share": 0.2, "heuristics": "too_large"}
    dry = ask(api.post(path, params={**limits, "dry_run": True}), 201)
    assert dry["proposal_id"] is None
    proposed = ask(api.post(path, params=limits, headers=AGENT), 201)
    shown = ask(api.get(of(proposed)))
    assert (shown["source"], shown["reason"]) == ("select-bad-clusters", "found by heuristics: 3 too_large")
    assert [(one["type"], one["flags"]) for one in shown["edits"]] == [("flags", ["review"])] * 3
    ask(api.post(of(proposed, "/accept"), json={"only": [0]}))
    again = ask(api.post(path, params=limits), 201)
    assert len(again["impact"]["edits"]) == 2
    ask(api.post(path, params={**limits, "max_share": 0.9}), 409)
    ask(api.post(path, params={"max_share": 7}), 422)


# --- the rows


def test_the_rows_are_made_of_the_log_alone(api: TestClient, made: Installation, run: str) -> None:
    first, second, third = (propose(api, run, RENAME) for _ in range(3))
    ask(api.post(of(first, "/accept")))
    ask(api.post(of(second, "/reject"), json={"reason": "so already"}))
    assert [one["status"] for one in rows(made.container, proposals, run_id=run)].count("pending") == 1
    answer = made.container.read_models.verify("proposals")
    assert [one["differences"] for one in answer] == [[]]
    assert ask(api.get(of(third)))["status"] == "pending"
