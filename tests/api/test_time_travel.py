"""What is read as of a moment is what was read at that moment."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from commands.curation import (
    AnnotateCluster,
    DeleteCluster,
    FlagCluster,
    MergeClusters,
    MoveQueries,
    RenameCluster,
    ReverseEdit,
    SplitCluster,
)
from commands.datasets import ClearDataset, confirm_token
from commands.ports import Outcome
from domain.clustering import ClusteringRun
from domain.datasets import Dataset
from domain.errors import DomainError
from tests import stories
from tests.browsing import Installation, cluster, summarise

CLUSTERS = st.integers(-1, 4)


def places(most: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 23), min_size=1, max_size=most)


def of_kind(kind: type, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[type, dict[str, Any]]]:
    """Commands without their run, whose `query_ids` are places among the queries of the run."""
    return st.tuples(st.just(kind), st.fixed_dictionaries(fields))


TITLES = st.sampled_from(["Äpfel", "apples", "Zoo", "zebra", "Über"])
FLAGS = st.lists(st.sampled_from(["check", "good"]), max_size=1)
EDITS = st.one_of(
    of_kind(MoveQueries, query_ids=places(6), to_cluster_id=CLUSTERS),
    of_kind(RenameCluster, cluster_id=CLUSTERS, title=TITLES),
    of_kind(
        MergeClusters,
        source_cluster_ids=st.lists(CLUSTERS, min_size=1, max_size=2),
        target_cluster_id=CLUSTERS,
    ),
    of_kind(SplitCluster, cluster_id=CLUSTERS, query_ids=places(2), title=TITLES, description=st.none()),
    of_kind(DeleteCluster, cluster_id=CLUSTERS, orphan=st.just(True)),
    of_kind(FlagCluster, cluster_id=CLUSTERS, add=FLAGS, remove=st.just([])),
    of_kind(AnnotateCluster, cluster_id=CLUSTERS, metadata=st.just({"coherence_score": 4, "notes": "n"})),
    of_kind(ReverseEdit, redo=st.booleans(), cascade=st.just(True)),
)


def reads(run_id: str) -> dict[str, dict[str, Any]]:
    """Address → parameters of everything that can be read as of a moment."""
    run = f"/api/clustering/runs/{run_id}"
    orders = ("size", "-size", "cluster_id", "-cluster_id", "title", "-title")
    asked: dict[str, dict[str, Any]] = {
        run: {},
        f"{run}/clusters?": {"limit": 2, "page": 2},
        f"{run}/clusters#": {"alias": "named", "include_examples": 2},
        f"/api/curation/runs/{run_id}/audit": {"limit": 4},
        f"/api/curation/runs/{run_id}/orphaned": {"limit": 2, "page": 2},
        "/api/export/download?": {"run_id": run_id, "format": "jsonl"},
        "/api/export/download#": {"run_id": run_id, "format": "csv", "cluster_id": 1},
        "/api/queries#": {"run_id": run_id, "limit": 7, "page": 2},
    }
    asked |= {f"{run}/clusters?{order}": {"sort": order} for order in orders}
    for one in range(-1, 4):
        of_run = {"run_id": run_id, "cluster_id": one}
        asked[f"{run}/clusters/{one}"] = {"limit": 3}
        asked[f"{run}/clusters/{one}#"] = {"limit": 3, "page": 2, "alias": "named"}
        asked[f"/api/curation/clusters/{one}/history"] = {"run_id": run_id}
        asked[f"/api/queries?{one}"] = {**of_run, "limit": 3}
        asked[f"/api/queries?{one}#"] = {**of_run, "model": "model-1"}
    return asked


def answers(api: TestClient, run_id: str, **as_of: Any) -> dict[str, Any]:  # noqa: ANN401
    found = {}
    for name, params in reads(run_id).items():
        answer = api.get(name.split("?")[0].split("#")[0], params={**params, **as_of})
        found[name] = shown(answer) if answer.status_code == 200 else answer.status_code
    return found


def shown(answer: httpx.Response) -> Any:  # noqa: ANN401
    return answer.json() if answer.headers["content-type"] == "application/json" else answer.text


def new_run(made: Installation) -> tuple[str, list[int]]:
    ids = [one for one, row in made.rows.items() if row["dataset"] == "default"][:24]
    run_id = cluster(made, "default", {one: (-1, 0, 1, 2)[place % 4] for place, one in enumerate(ids)})
    summarise(made, run_id, "named", "named ")
    stories.project(made.container)
    return run_id, ids


def test_as_of_every_position_is_what_was_read_there(made: Installation, api: TestClient) -> None:
    @settings(
        max_examples=settings().max_examples // 25, phases=[Phase.explicit, Phase.reuse, Phase.generate]
    )
    @given(edits=st.lists(EDITS, min_size=4, max_size=9))
    def check(edits: list[tuple[type, dict[str, Any]]]) -> None:
        run_id, ids = new_run(made)
        read = {made.container.store.head(): answers(api, run_id)}
        for kind, fields in edits:
            chosen = {"query_ids": [ids[place] for place in fields.get("query_ids", ())]}
            with suppress(DomainError):
                made.container.bus.handle(
                    kind(run_id=run_id, **fields | (chosen if "query_ids" in fields else {}))
                )
            stories.project(made.container)
            read[made.container.store.head()] = answers(api, run_id)
        for position, live in read.items():
            then = answers(api, run_id, as_of=position)
            assert {name: then[name] for name in live if then[name] != live[name]} == {}, position

    check()


def test_a_run_as_it_came_to_be(made: Installation, api: TestClient) -> None:
    container = made.container
    run_id = stories.request_run(container, "default")
    read: dict[int, Any] = {}

    def look() -> None:
        stories.project(container)
        read[container.store.head()] = get(api, f"/api/clustering/runs/{run_id}").json()

    look()
    ids = [one for one, row in made.rows.items() if row["dataset"] == "default"][:6]
    for chunk in range(2):
        stories.record(container, run_id, chunk, ids[3 * chunk : 3 * chunk + 3], [0, 1, -1])
        look()
        listed = api.get("/api/queries", params={"run_id": run_id, "as_of": container.store.head()})
        assert [one["id"] for one in listed.json()["items"]] == ids[: 3 * chunk + 3]
        assert listed.json()["total"] == 3 * chunk + 3
    stories.complete(container, run_id, 2)
    look()
    for position, live in read.items():
        assert get(api, f"/api/clustering/runs/{run_id}", as_of=position).json() == live
    before = api.get(f"/api/clustering/runs/{run_id}", params={"as_of": min(read) - 1})
    assert before.status_code == 404
    assert f"it began at {min(read)}" in before.json()["detail"]


@pytest.fixture
def edited(made: Installation, api: TestClient) -> tuple[str, list[int], int]:
    """A run with a rename and a move, its queries, and the position of the rename."""
    run_id, ids = new_run(made)
    renamed = made.container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Zero")).position
    made.container.bus.handle(MoveQueries(run_id=run_id, query_ids=ids[1:2], to_cluster_id=2))
    stories.project(made.container)
    assert renamed is not None
    return run_id, ids, renamed


def get(api: TestClient, path: str, status: int = 200, /, **params: Any) -> httpx.Response:  # noqa: ANN401
    answer = api.get(path, params=params or None)
    assert answer.status_code == status, answer.text
    return answer


def test_answers_say_which_moment_they_show(
    made: Installation, api: TestClient, edited: tuple[str, list[int], int]
) -> None:
    run_id, _, renamed = edited
    head = made.container.store.head()
    for name, params in reads(run_id).items():
        path = name.split("?")[0].split("#")[0]
        live = api.get(path, params=params)
        if live.status_code == 200:
            assert live.headers["X-Event-Position"] == str(head), path
            assert "X-As-Of-Position" not in live.headers
            then = get(api, path, **params, as_of=renamed)
            assert then.headers["X-As-Of-Position"] == str(renamed), path


def test_a_moment_is_a_position_a_time_or_a_tag(
    made: Installation, api: TestClient, edited: tuple[str, list[int], int]
) -> None:
    run_id, _, renamed = edited
    path = f"/api/clustering/runs/{run_id}/clusters/0"
    at = api.get(f"/api/events/{renamed}").json()["recorded_at"]
    zoned = datetime.fromisoformat(at).astimezone().isoformat()
    api.post("/api/tags", json={"name": f"t-{renamed}", "position": renamed})
    by_position = get(api, path, as_of=renamed)
    assert by_position.json()["cluster"]["title"] == "Zero"
    for moment in (at, zoned, f"t-{renamed}"):
        answer = get(api, path, as_of=moment)
        assert (answer.json(), answer.headers["X-As-Of-Position"]) == (by_position.json(), str(renamed))
    just_before = (datetime.fromisoformat(at) - timedelta(microseconds=1)).isoformat()
    assert get(api, path, as_of=just_before).json()["cluster"]["title"] == "named refund payment money"


@pytest.mark.parametrize(
    ("as_of", "status", "words"),
    [
        ("999999999", 422, "beyond the end of the log"),
        ("2999-12-31T00:00:00Z", 422, "lies in the future"),
        ("-1", 422, "no event position"),
        ("yesterday evening", 422, "no event position"),
        ("\0", 422, "no event position"),
        ("³", 422, "no event position"),
        ("9" * 60, 422, "beyond the end"),
        ("no-such-tag", 404, "there is no tag 'no-such-tag'"),
        ("0", 404, "it began at"),
        ("1970-01-01", 404, "it began at"),
    ],
)
def test_what_no_moment_is(
    api: TestClient, edited: tuple[str, list[int], int], as_of: str, status: int, words: str
) -> None:
    answer = get(api, f"/api/clustering/runs/{edited[0]}", status, as_of=as_of)
    assert words in answer.json()["detail"]


def test_what_is_refused(api: TestClient, edited: tuple[str, list[int], int]) -> None:
    run_id, _, renamed = edited
    path = f"/api/clustering/runs/{run_id}"
    assert "no clustering run 'none'" in get(
        api, "/api/clustering/runs/none", 404, as_of=renamed
    ).text.replace('\\"', "'")
    assert "give run_id" in get(api, "/api/queries", 422, dataset="default", as_of=renamed).text
    assert "no cluster 7" in get(api, "/api/queries", 404, run_id=run_id, cluster_id=7, as_of=renamed).text
    assert get(api, f"{path}/clusters/7", 404, as_of=renamed)
    assert "alias" in get(api, f"{path}/clusters", 404, alias="later", as_of=renamed).text
    later = get(api, f"{path}/clusters", 404, summary_run_id="later", as_of=renamed).text
    assert "no summary run 'later' at position" in later


def test_a_summary_run_of_later_is_not_seen(
    made: Installation, api: TestClient, edited: tuple[str, list[int], int]
) -> None:
    run_id, _, renamed = edited
    summary = summarise(made, run_id, "later", "later ")
    stories.project(made.container)
    path = f"/api/clustering/runs/{run_id}/clusters"
    assert "alias" in get(api, path, 404, alias="later", as_of=renamed).text
    assert get(api, path, 404, summary_run_id=summary, as_of=renamed)
    head = made.container.store.head()
    rows = get(api, path, alias="later", as_of=head).json()["items"]
    assert {one["title"] for one in rows} >= {"Zero", "later python loop function"}
    shown = {one["cluster_id"]: one["title"] for one in get(api, path, as_of=renamed).json()["items"]}
    assert shown[1] == "named python loop function"


def test_pages_of_the_past_lead_through_all(api: TestClient, edited: tuple[str, list[int], int]) -> None:
    run_id, ids, renamed = edited
    for path, of_run in (
        (f"/api/clustering/runs/{run_id}/clusters/0", {}),
        ("/api/queries", {"run_id": run_id, "cluster_id": 0}),
    ):
        seen: list[int] = []
        at: dict[str, Any] = {}
        while True:
            body = get(api, path, **of_run, limit=2, as_of=renamed, **at).json()
            page = body.get("queries", body)
            seen += [one["id"] for one in page["items"]]
            if page["next_cursor"] is None:
                break
            at = {"cursor": page["next_cursor"]}
        assert seen == ids[1::4]
        assert page["total"] == len(seen)


def test_a_file_of_the_past_is_the_same_whenever_it_is_fetched(
    made: Installation, api: TestClient, edited: tuple[str, list[int], int]
) -> None:
    run_id, ids, renamed = edited
    api.post("/api/tags", json={"name": f"file-{renamed}", "position": renamed})
    promised = get(api, "/api/export", run_id=run_id, format="jsonl", as_of=f"file-{renamed}").json()
    assert promised["row_count"] == len(ids)
    first = get(api, promised["download_url"])
    assert f"{run_id}-as-of-{renamed}.jsonl" in first.headers["content-disposition"]
    api.delete(f"/api/tags/file-{renamed}")
    made.container.bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[1], target_cluster_id=0))
    stories.project(made.container)
    again = get(api, promised["download_url"])
    assert (
        again.content
        == first.content
        != get(api, "/api/export/download", run_id=run_id, format="jsonl").content
    )
    row = [one for one in first.text.splitlines() if f'"query_id":{ids[1]},' in one]
    assert '"cluster_id":0,"cluster_title":"Zero","confidence":0.875' in row[0]


def test_what_was_erased_since_is_not_shown_of_the_past(
    made: Installation, api: TestClient, edited: tuple[str, list[int], int]
) -> None:
    run_id, ids, renamed = edited
    store = made.container.store
    whole = get(api, f"/api/clustering/runs/{run_id}/clusters/0", as_of=renamed).json()
    run = store.load(ClusteringRun, run_id)
    run.erase(np.array(ids[1:2], np.int64))
    store.commit(Outcome((run,)), "EraseConversation")
    stories.project(made.container)
    left = get(api, f"/api/clustering/runs/{run_id}/clusters/0", as_of=renamed).json()
    assert left["cluster"]["num_queries"] == whole["cluster"]["num_queries"] - 1 == left["queries"]["total"]
    assert ids[1] not in [one["id"] for one in left["queries"]["items"]]
    assert get(api, f"/api/clustering/runs/{run_id}", as_of=renamed).json()["num_queries"] == len(ids) - 1
    file = get(api, "/api/export/download", run_id=run_id, format="jsonl", as_of=renamed).text
    assert len(file.splitlines()) == len(ids) - 1
    listed = get(api, "/api/queries", run_id=run_id, as_of=renamed).json()
    assert listed["total"] == len(listed["items"]) == len(ids) - 1


def test_a_run_that_was_cleared_is_read_as_of_before(made: Installation, api: TestClient) -> None:
    ids = stories.load(made.container, "one", "two", "three", "four", dataset="gone")
    made.rows |= {one: {"clusters": {}, "dataset": "gone"} for one in ids}
    run_id = cluster(made, "gone", dict(zip(ids, (0, 0, 1, 1), strict=True)))
    container = made.container
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Kept"))
    before = container.store.head()
    token = confirm_token(container.store.load(Dataset, "gone"))
    container.bus.handle(ClearDataset(dataset="gone", confirm_token=token))
    stories.project(container)
    path = f"/api/clustering/runs/{run_id}"
    assert get(api, path, 404)
    cleared = get(api, path, 404, as_of=container.store.head())
    assert "was cleared together with data set 'gone'" in cleared.json()["detail"]
    assert get(api, path, as_of=before).json()["num_queries"] == 4
    rows = get(api, f"{path}/clusters", as_of=before, sort="cluster_id").json()["items"]
    assert [(one["title"], one["num_queries"]) for one in rows] == [("Kept", 2), (None, 2)]
    detail = get(api, f"{path}/clusters/0", as_of=before).json()
    assert (detail["cluster"]["num_queries"], detail["queries"]["items"]) == (2, [])
    assert detail["queries"]["total"] == 0
    of_run = {"run_id": run_id, "as_of": before}
    assert get(api, "/api/queries", **of_run).json()["items"] == []
    assert get(api, "/api/export/download", **of_run, format="jsonl").content == b""
    assert get(api, f"/api/curation/runs/{run_id}/audit", as_of=before).json()["total"] == 1
