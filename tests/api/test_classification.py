"""Classification runs over HTTP: launched, followed, read from every side."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from commands.ports import Labelled
from projections.classification import queries
from tests import classifying
from tests.browsing import Installation, cluster, conversation, load, project
from tests.classifying import Scripted

RUNS = "/api/classification/runs"


class Classified:
    """Twelve queries in three clusters, of refunds, of code and of weather, and a run over all of them."""

    def __init__(self, api: TestClient, made: Installation, dataset: str) -> None:
        self.api = api
        self.made = made
        self.dataset = dataset
        self.ids = load(made, dataset, [conversation(n, n % 3) for n in range(12)])
        self.clustering = cluster(made, dataset, {one: n % 3 for n, one in enumerate(self.ids)})
        classifying.template(made.container)
        project(made.container)
        self.run_id = self.create(filters={"run_id": self.clustering})["classification_run_id"]
        self.work()
        self.path = f"{RUNS}/{self.run_id}"

    def create(self, status: int = 202, **body: Any) -> dict[str, Any]:  # noqa: ANN401
        whole = {"template_id": "topics", "provider": "local", "model": "nearest", **body}
        answer = self.api.post(RUNS, json=whole)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def work(self, run_id: str | None = None, by: Scripted | None = None) -> None:
        project(self.made.container)
        classifying.work(self.made.container, run_id or self.run_id, by)
        project(self.made.container)

    def get(self, path: str, **params: Any) -> Any:  # noqa: ANN401
        answer = self.api.get(f"{self.path}{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def listed(self, path: str, **params: Any) -> list[int]:  # noqa: ANN401
        return [self.ids.index(one["query"]["id"]) for one in self.get(path, **params)["items"]]


@pytest.fixture(scope="module")
def classified(api: TestClient, made: Installation) -> Classified:
    return Classified(api, made, "classified")


REFUND, WEATHER = [0, 9], [2, 5, 8, 11]


def expected(classified: Classified) -> dict[str, list[int]]:
    """Label → places of the queries that begin with it."""
    found: dict[str, list[int]] = {}
    for place, query_id in enumerate(classified.ids):
        first = classified.made.rows[query_id]["query"].split()[0]
        label = first if first in classifying.LABELS else "other"
        found.setdefault(label, []).append(place)
    return found


def test_a_run_is_launched_and_followed(classified: Classified) -> None:
    created = classified.create(
        filters={"dataset": "classified", "text": "refund"}, alias="mine", concurrency=2
    )
    assert (created["status"], created["provider"], created["model"]) == ("pending", "local", "nearest")
    run_id = created["classification_run_id"]
    status = classified.api.get(f"{RUNS}/{run_id}/status").json()
    assert status == {"run_id": run_id, "status": "pending", "processed": 0, "total": None, "errors": 0}
    classified.work(run_id)
    status = classified.api.get(f"{RUNS}/{run_id}/status").json()
    assert (status["status"], status["processed"], status["total"]) == ("completed", 4, 4)
    detail = classified.api.get(f"{RUNS}/{run_id}").json()
    assert detail["execution"] == {"mode": "sync", "concurrency": 2}
    assert detail["filters"] == {"dataset": "classified", "text": "refund"}
    assert (detail["metrics"]["calls"], detail["metrics"]["seconds_per_call"]) == (4, 0.5)
    listed = classified.api.get(RUNS, params={"alias": "mine"}).json()
    assert [one["classification_run_id"] for one in listed["items"]] == [run_id]


def test_the_same_key_launches_one_run(classified: Classified) -> None:
    body = {
        "template_id": "topics",
        "provider": "local",
        "model": "nearest",
        "filters": {"dataset": "classified"},
    }
    key = {"Idempotency-Key": "once"}
    answers = [classified.api.post(RUNS, json=body, headers=key).json() for _ in range(2)]
    assert answers[0]["classification_run_id"] == answers[1]["classification_run_id"]


def test_errors_show_and_are_mended_by_a_resume(classified: Classified) -> None:
    run_id = classified.create(filters={"dataset": "classified"})["classification_run_id"]
    text = classified.made.rows[classified.ids[0]]["query"]
    classified.work(run_id, Scripted(broken={text}))
    detail = classified.api.get(f"{RUNS}/{run_id}").json()
    assert detail["latest_errors"] == [f"query {classified.ids[0]}: the answer was no label"]
    assert (detail["error_count"], detail["processed_queries"]) == (1, 12)
    failed = classified.api.get(f"{RUNS}/{run_id}/results", params={"kind": "failed"}).json()["items"]
    assert [(one["query"]["id"], one["label"], one["error"]) for one in failed] == [
        (classified.ids[0], None, "the answer was no label")
    ]
    again = classified.api.post(f"{RUNS}/{run_id}/resume", json={"execution": {"rpm": 5}})
    assert (again.status_code, again.json()["status"], again.json()["attempt"]) == (202, "running", 2)
    classified.work(run_id)
    assert classified.api.get(f"{RUNS}/{run_id}").json()["error_count"] == 0
    assert classified.api.post(f"{RUNS}/{run_id}/resume").status_code == 409


def test_a_run_is_cancelled(classified: Classified) -> None:
    run_id = classified.create(filters={"dataset": "classified"})["classification_run_id"]
    answer = classified.api.post(f"{RUNS}/{run_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    project(classified.made.container)
    assert classified.api.get(f"{RUNS}/{run_id}/status").json()["status"] == "cancelled"
    assert classified.api.post(f"{RUNS}/{run_id}/cancel").status_code == 409


def test_results_are_read_from_every_side(classified: Classified) -> None:
    by_label = expected(classified)
    assert classified.listed("/results") == list(range(12))
    for label, places in by_label.items():
        assert classified.listed("/results", label=label) == places
        assert classified.listed(f"/labels/{label}") == places
    assert classified.listed("/results", query="please") == [1, 3, 5, 7, 9, 11]
    assert classified.listed("/labels/refund", search="please") == [
        one for one in by_label["refund"] if one % 2
    ]
    assert classified.listed("/clusters/1") == [1, 4, 7, 10]
    assert classified.listed("/clusters/1", search="please") == [1, 7]
    first = classified.get("/results", limit=5)
    assert (first["total"], first["pages"]) == (12, 3)
    rest = classified.listed("/results", limit=5, cursor=first["next_cursor"])
    assert rest == [5, 6, 7, 8, 9]
    one = first["items"][0]
    assert (one["confidence"], one["reasoning"]) == (pytest.approx(0.9), "It is refund.")


def test_labels_are_counted_and_crossed_with_clusters(classified: Classified) -> None:
    by_label = {label: len(places) for label, places in expected(classified).items()}
    stats = classified.get("/stats", truth="label")
    assert (stats["label_distribution"], stats["query_count"]) == (by_label, 12)
    assert stats["agreement"] == {"truth": "label", "compared": 8, "agreed": 0, "accuracy": 0.0}
    pivot = classified.get("/pivot")
    assert pivot["clustering_run_id"] == classified.clustering
    by_cluster = {one["cluster_id"]: one["counts"] for one in pivot["clusters_to_labels"]}
    assert {int(one): many for one, many in stats["cluster_distribution"].items()} == by_cluster
    turned = {
        (one["label"], int(cluster_id)): many
        for one in pivot["labels_to_clusters"]
        for cluster_id, many in one["counts"].items()
    }
    assert turned == {
        (label, cluster_id): many
        for cluster_id, counts in by_cluster.items()
        for label, many in counts.items()
    }
    assert sum(turned.values()) == 12
    assert pivot["outside"] == 0


def test_clusters_are_crossed_as_they_were(classified: Classified) -> None:
    head = classified.made.container.store.head()
    before = classified.get("/pivot")
    moved = classified.api.post(
        "/api/curation/queries/move",
        params={"run_id": classified.clustering},
        json={"query_ids": [classified.ids[0]], "to_cluster_id": 2},
    )
    assert moved.status_code == 200, moved.text
    project(classified.made.container)
    assert classified.get("/pivot") != before
    assert classified.get("/pivot", as_of=head) == before
    assert 0 in classified.listed("/clusters/2")
    assert 0 in classified.listed("/clusters/0", as_of=head)


def test_another_clustering_run_can_be_named(classified: Classified, made: Installation) -> None:
    pivot = classified.get("/pivot", clustering_run_id=made.run_id)
    assert (pivot["clusters_to_labels"], pivot["outside"]) == ([], 12)
    run_id = classified.create(filters={"dataset": "classified"})["classification_run_id"]
    project(made.container)
    answer = classified.api.get(f"{RUNS}/{run_id}/pivot")
    assert (answer.status_code, "clustering_run_id" in answer.json()["detail"]) == (422, True)
    assert classified.api.get(f"{RUNS}/{run_id}/stats").json()["cluster_distribution"] == {}


def exported(classified: Classified, **params: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    promised = classified.get("/export", format="jsonl", **params)
    answer = classified.api.get(promised["download_url"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-event-position"] == str(promised["position"])
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == promised["row_count"]
    return rows


def test_results_are_a_file(classified: Classified, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve, of which five are in memory at a time."""
    monkeypatch.setattr(queries, "AT_ONCE", 5)
    rows = exported(classified)
    assert [row["query_id"] for row in rows] == classified.ids
    made = classified.made.rows[classified.ids[0]]
    assert rows[0] == {
        "query_id": classified.ids[0],
        "conversation_id": made["conversation_id"],
        "dataset": "classified",
        "query_text": made["query"],
        "label": "refund",
        "current_label": "refund",
        "confidence": pytest.approx(0.9),
        "reasoning": "It is refund.",
        "error": None,
        "classification_run_id": classified.run_id,
        "template_id": "topics",
        "template_number": 1,
        "model": "local/nearest",
    }
    by_label = expected(classified)
    for label, places in by_label.items():
        found = exported(classified, label=label)
        assert [classified.ids.index(row["query_id"]) for row in found] == places
    assert len(exported(classified, query="please")) == 6
    assert exported(classified, kind="failed") == []
    named = classified.api.get(f"{classified.path}/export/download").headers["content-disposition"]
    assert named == f'attachment; filename="{classified.run_id}.csv"'


def test_a_file_has_labels_as_given_and_as_they_are_now_and_errors(
    api: TestClient, made: Installation
) -> None:
    ids = load(made, "migrated", [conversation(n, n % 3) for n in range(12)])
    classifying.template(made.container, "moving")
    project(made.container)
    body = {"template_id": "moving", "filters": {"dataset": "migrated"}}
    run_id = api.post(RUNS, json=body).json()["classification_run_id"]
    broken = Scripted(broken={made.rows[ids[2]]["query"]})
    classifying.work(made.container, run_id, broken)
    project(made.container)
    changes = [
        {"kind": "rename", "from": "refund", "to": "money back"},
        {"kind": "retire", "from": "other"},
    ]
    moved = api.post("/api/templates/moving/labels/migrate", json={"changes": changes})
    assert moved.status_code == 200, moved.text
    project(made.container)
    answer = api.get(f"{RUNS}/{run_id}/export/download", params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert {(row["label"], row["current_label"]) for row in rows} == {
        ("refund", "money back"),
        ("other", "(undecided)"),
        ("", ""),
    }
    (failed,) = [row for row in rows if row["error"]]
    assert (failed["query_id"], failed["error"]) == (str(ids[2]), "the answer was no label")


def test_cells_of_a_file_run_nowhere(api: TestClient, made: Installation) -> None:
    bad = "=HYPERLINK(1) refund"
    one = conversation(700, 0)
    turns = [{"role": "user", "content": bad}]
    load(made, "cells", [type(one)(**{**vars(one), "query": bad, "turns": turns})])
    classifying.template(made.container, "risky", ("@SUM(A1)", "refund"))
    project(made.container)
    run_id = api.post(RUNS, json={"template_id": "risky", "filters": {"dataset": "cells"}}).json()[
        "classification_run_id"
    ]
    classifying.work(made.container, run_id, Scripted(answers={bad: Labelled(0, "@SUM(A1)", 0.5, "-1")}))
    project(made.container)
    (row,) = csv.DictReader(io.StringIO(api.get(f"{RUNS}/{run_id}/export/download").text, newline=""))
    cells = [row[name] for name in ("query_text", "label", "current_label", "reasoning")]
    assert cells == [f"'{bad}", "'@SUM(A1)", "'@SUM(A1)", "'-1"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"template_id": "nothing"}, 404, "nothing"),
        ({"template_hash": "00"}, 404, "no version with template_hash"),
        ({"model": "nothing"}, 422, "nothing"),
        ({"filters": {"dataset": "nowhere"}}, 404, "no data set"),
        ({"filters": {"run_id": "nowhere"}}, 404, "no clustering run"),
        ({"filters": {"cluster_ids": [1]}}, 422, "give run_id as well"),
        ({"filters": {"sql_filter": "1=1; DROP TABLE x"}}, 422, "sql_filter, character 1"),
        ({"filters": {"sql_filter": "mdoel = 'x'"}}, 422, "no column 'mdoel'"),
        ({"filters": {"query_ids": [2**62]}}, 404, "filters.query_ids"),
        ({"filters": {"wrong": 1}}, 422, "filters/wrong"),
        ({"execution": {"concurrency": 0}}, 422, "concurrency"),
        ({"execution": {"mode": "batch"}}, 422, "batch"),
        ({"parameters": {"a\x00": 1}}, 422, "NUL"),
    ],
)
def test_what_is_no_run(classified: Classified, body: dict[str, Any], status: int, words: str) -> None:
    answer = classified.create(status, **{"filters": {"dataset": "classified"}, **body})
    assert words in str(answer)


def test_what_is_not_there(classified: Classified) -> None:
    api, path = classified.api, classified.path
    for one in ("", "/status", "/stats", "/results", "/pivot", "/labels/refund", "/clusters/0", "/export"):
        assert api.get(f"{RUNS}/nothing{one}").status_code == 404
    assert api.post(f"{RUNS}/nothing/cancel").status_code == 404
    assert api.post(f"{RUNS}/nothing/resume").status_code == 404
    assert "no label 'nothing'" in api.get(f"{path}/labels/nothing").json()["detail"]
    assert "no label 'nothing'" in api.get(f"{path}/export/download?label=nothing").json()["detail"]
    assert api.get(f"{RUNS}/nothing/export/download").status_code == 404
    assert api.get(f"{path}/export", params={"format": "xls"}).status_code == 422
    assert "no cluster 77" in api.get(f"{path}/clusters/77").json()["detail"]
    assert api.get(f"{path}/results", params={"cursor": "x"}).status_code == 422
    assert api.get(f"{path}/pivot", params={"as_of": 10**12}).status_code == 422
    answer = api.post(f"{path}/ingest", json={"output_path": "out.jsonl"})
    assert answer.status_code in (403, 422)
