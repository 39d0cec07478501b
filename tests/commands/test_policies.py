"""Which event sets off which job; everything else sets off nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adapters.bootstrap import Container
from adapters.jobs import PoliciesProjection
from commands.bus import bind
from commands.jobs import WORK
from commands.policies import POLICIES, SNAPSHOT_EVERY, Job, jobs_for
from domain.classification import ClassificationRun
from domain.clustering import ClusteringRun
from domain.datasets import Dataset
from domain.evaluation import EvaluationRun, Suggestion
from domain.hierarchy import Hierarchy
from domain.summaries import SummaryRun
from tests.domain.test_evaluation import requested as requested_evaluation
from tests.domain.test_evaluation import suggestion
from tests.domain.test_golden import recorded_types
from tests.runs import completed_run, stored, titles
from tests.stories import cluster, load
from tests.trees import HIERARCHY_ID, completed_hierarchy, resumed_hierarchy


def loading() -> Dataset:
    made = Dataset("default")
    made.request_load("load-1", "upload", {"name": "a.jsonl"}, {})
    made.request_embedding("embed-1", "wordllama", "l2_supercat_256", {})
    made.fail_load("load-1", "broken")
    made.erase("c1", [1], 0, 0)
    return made


def run() -> ClusteringRun:
    made = completed_run()
    made.adopt_titles("s1", titles("s1", 0))
    made.rename(1, "Tax", None)
    made.erase(np.array([1]))
    made.request_extension("x1", 9, 0.5)
    return made


def resumed() -> SummaryRun:
    made = SummaryRun("s1", RUN_ID, None, "local/c-tf-idf", {})
    made.fail("no key")
    made.resume([0])
    return made


def classification() -> ClassificationRun:
    fields = ["default", "topics", 1, "ab" * 32, ["refund"], "local/nearest", None, {}, {}, {}]
    made = ClassificationRun("classify-1", *fields)  # type: ignore[arg-type]
    made.select_population(2, "cd" * 32, 7)
    made.request_ingest("i1", "out.jsonl")
    made.fail("no key")
    made.resume({})
    made.cancel()
    return made


def evaluation() -> EvaluationRun:
    made = requested_evaluation()
    made.end({}, "no key")
    made.resume({})
    return made


def event_of(aggregate: Any, kind: type) -> Any:  # noqa: ANN401
    return next(stored(one) for one in aggregate.collect_events() if type(one) is kind)


RUN_ID = "kmeans-3-20251004-170442"
SUMMARY = SummaryRun("s1", RUN_ID, None, "local/c-tf-idf", {})
COMPLETED = event_of(run(), ClusteringRun.Completed)
CLASSIFY = {"classification_run_id": "classify-1"}
EXPECTED = [
    (
        event_of(loading(), Dataset.LoadRequested),
        Job("load", "load-1", {"dataset": "default", "job_id": "load-1"}),
    ),
    (
        event_of(loading(), Dataset.EmbeddingRequested),
        Job("embed", "embed-1", {"dataset": "default", "job_id": "embed-1"}),
    ),
    (
        event_of(loading(), Dataset.LoadFailed),
        Job("release", "release-load-1", {"dataset": "default", "job_id": "load-1"}),
    ),
    (event_of(loading(), Dataset.ConversationErased), Job("tidy", "tidy", {})),
    *(
        (event_of(classification(), kind), Job("classify", "classify-1", CLASSIFY))
        for kind in (ClassificationRun.Created, ClassificationRun.Resumed)
    ),
    (
        event_of(classification(), ClassificationRun.IngestRequested),
        Job("ingest", "classify-1-i1", {**CLASSIFY, "ingest_id": "i1"}),
    ),
    (
        event_of(classification(), ClassificationRun.CancelRequested),
        Job("cancel_classification", "classify-1-cancel", CLASSIFY),
    ),
    *(
        (event_of(evaluation(), kind), Job("evaluate", "e1", {"evaluation_run_id": "e1"}))
        for kind in (EvaluationRun.Created, EvaluationRun.Resumed)
    ),
    (event_of(suggestion(), Suggestion.Created), Job("suggest", "s1", {"suggestion_id": "s1"})),
    (event_of(run(), ClusteringRun.Created), Job("cluster", RUN_ID, {"run_id": RUN_ID})),
    (event_of(SUMMARY, SummaryRun.Created), Job("summarise", "s1", {"summary_run_id": "s1"})),
    (event_of(resumed(), SummaryRun.Resumed), Job("summarise", "s1", {"summary_run_id": "s1"})),
    (
        event_of(run(), ClusteringRun.ClustersTitled),
        Job("embed_titles", f"titles-{RUN_ID}", {"run_id": RUN_ID, "cluster_id": None}),
    ),
    (
        event_of(run(), ClusteringRun.ClusterRenamed),
        Job("embed_titles", f"titles-{RUN_ID}-1", {"run_id": RUN_ID, "cluster_id": 1}),
    ),
    (
        event_of(run(), ClusteringRun.ExtensionRequested),
        Job("extend", f"{RUN_ID}-x1", {"run_id": RUN_ID, "extension_id": "x1"}),
    ),
    (
        event_of(completed_hierarchy(), Hierarchy.Created),
        Job("arrange", HIERARCHY_ID, {"hierarchy_run_id": HIERARCHY_ID}),
    ),
    (
        event_of(resumed_hierarchy(), Hierarchy.Resumed),
        Job("arrange", HIERARCHY_ID, {"hierarchy_run_id": HIERARCHY_ID}),
    ),
    (
        event_of(completed_hierarchy(), Hierarchy.Completed),
        Job("follow", f"follow-{RUN_ID}", {"run_id": RUN_ID}),
    ),
    (COMPLETED, Job("snapshot", f"snapshot-clustering/{RUN_ID}-3", {"run_id": RUN_ID})),
    (COMPLETED, Job("measure", f"measure-{RUN_ID}", {"run_id": RUN_ID})),
]


@pytest.mark.parametrize(("event", "job"), EXPECTED, ids=[type(one).__qualname__ for one, _ in EXPECTED])
def test_an_event_sets_off_its_job(event: Any, job: Job) -> None:  # noqa: ANN401
    found = [(one.task, one.key, one.arguments) for one in jobs_for(event)]
    assert (job.task, job.key, job.arguments) in found
    assert len(found) == len([one for one, _ in EXPECTED if one is event])


REGROUPED: list[tuple[str, Callable[[ClusteringRun], Any], bool]] = [
    ("move", lambda one: one.move([1], 2), True),
    ("merge", lambda one: one.merge([0], 2), True),
    ("split", lambda one: one.split(0, [1], "New", None), True),
    ("merge of an empty one", lambda one: one.merge([3], 2), True),
    ("erase", lambda one: one.erase(np.array([1])), True),
    ("flag", lambda one: one.flag(0, ["odd"]), False),
    ("rename", lambda one: one.rename(0, "New", None), False),
    ("titles", lambda one: one.adopt_titles("s1", titles("s1", 0)), False),
]


@pytest.mark.parametrize(
    ("edit", "measured"), [one[1:] for one in REGROUPED], ids=[one[0] for one in REGROUPED]
)
def test_measures_follow_edits_that_regroup(edit: Callable[[ClusteringRun], Any], measured: bool) -> None:
    edited = completed_run([0, 0, 1, 1], clusters=4)
    edited.collect_events()
    edit(edited)
    (event,) = edited.collect_events()
    jobs = [(one.key, one.delay_s) for one in jobs_for(stored(event)) if one.task == "measure"]
    assert jobs == ([(f"measure-{RUN_ID}", 1)] if measured else [])
    assert type(event) in PoliciesProjection.handles


TITLED: list[tuple[str, Callable[[ClusteringRun], Any], list[int], list[int]]] = [
    ("rename", lambda one: one.rename(0, "New", None), [0], [0]),
    ("split", lambda one: one.split(0, [1], "New", None), [4], []),
    ("merge", lambda one: one.merge([0], 2), [], [0]),
    ("merge with other words", lambda one: one.merge([0], 2, "New"), [2], [0, 2]),
    ("delete", lambda one: one.delete(0, None), [], [0]),
    ("flag", lambda one: one.flag(0, ["odd"]), [], []),
    ("annotate", lambda one: one.annotate(0, {"notes": "x"}), [], []),
    ("move", lambda one: one.move([1], 2), [], []),
]


@pytest.mark.parametrize(
    ("edit", "titled", "back"), [one[1:] for one in TITLED], ids=[one[0] for one in TITLED]
)
def test_search_follows_the_words_of_an_edit_and_of_its_undo(
    edit: Callable[[ClusteringRun], Any], titled: list[int], back: list[int]
) -> None:
    edited: Any = completed_run([0, 0, 1, 1], clusters=4)
    edited.collect_events()
    edit(edited)
    (event,) = edited.collect_events()
    assert titles_embedded(event) == titled
    version = event.originator_version
    edited.take_back(edited.plan(version, {version: event.changes()}, redo=False))
    assert titles_embedded(edited.collect_events()[0]) == back


@pytest.mark.parametrize("edit", [one[1] for one in TITLED], ids=[one[0] for one in TITLED])
def test_hierarchies_follow_what_makes_or_removes_clusters(edit: Callable[[ClusteringRun], Any]) -> None:
    edited: Any = completed_run([0, 0, 1, 1], clusters=4)
    there = set(edited.clusters)
    edited.collect_events()
    edit(edited)
    (event,) = edited.collect_events()
    found = [job.key for job in jobs_for(stored(event)) if job.task == "follow"]
    assert found == ([f"follow-{RUN_ID}"] if set(edited.clusters) != there else [])


def titles_embedded(event: Any) -> list[int]:  # noqa: ANN401
    return [job.arguments["cluster_id"] for job in jobs_for(stored(event)) if job.task == "embed_titles"]


def test_every_policy_is_looked_at() -> None:
    assert {type(event) for event, _ in EXPECTED} - ClusteringRun.EDITS == set(POLICIES)


def test_every_job_can_be_run_by_a_worker() -> None:
    assert {job.task for _, job in EXPECTED} == set(WORK)


def test_what_follows_the_log_hears_of_every_event_that_has_a_policy() -> None:
    assert set(POLICIES) <= PoliciesProjection.handles


def test_other_events_set_nothing_off() -> None:
    silent = (
        set(recorded_types().values()) - set(POLICIES) - ClusteringRun.EDITS - {ClusteringRun.QueriesErased}
    )
    events = [*loading().collect_events(), *run().collect_events(), *ended().collect_events()]
    heard = [one for one in events if type(one) in silent]
    assert {type(one) for one in heard} >= {Dataset.Created, ClusteringRun.QueriesAssigned, SummaryRun.Failed}
    assert [jobs_for(one) for one in heard] == [[]] * len(heard)


def ended() -> SummaryRun:
    summary = SummaryRun("s2", RUN_ID, None, "local/c-tf-idf", {})
    summary.fail("no")
    return summary


def test_a_run_with_many_edits_gets_a_snapshot_now_and_then() -> None:
    edited = completed_run([0, 1])
    for number in range(2 * SNAPSHOT_EVERY):
        edited.move([1], number % 2)
    events = edited.collect_events()
    found = [
        one.originator_version for one in events[3:] if any(job.task == "snapshot" for job in jobs_for(one))
    ]
    assert found == [SNAPSHOT_EVERY, 2 * SNAPSHOT_EVERY]


def test_an_event_that_is_due_for_both_sets_both_off() -> None:
    edited = completed_run([0, 1])
    for number in range(SNAPSHOT_EVERY - edited.version - 1):
        edited.move([1], (number + 1) % 2)
    edited.rename(0, "Tax", None)
    event = edited.collect_events()[-1]
    assert event.originator_version == SNAPSHOT_EVERY
    assert [job.task for job in jobs_for(event)] == ["embed_titles", "snapshot"]


def test_the_jobs_of_a_failure_say_what_failed() -> None:
    job = {"dataset": "default", "job_id": "load-1"}
    failed = {name: work.failed for name, work in WORK.items() if work.failed}
    commands: dict[str, Any] = {
        "load": failed["load"](job, "why"),
        "embed": failed["embed"](job, "why"),
        "cluster": failed["cluster"]({"run_id": RUN_ID}, "why"),
        "summarise": failed["summarise"]({"summary_run_id": "s1"}, "why"),
        "classify": failed["classify"](CLASSIFY, "why"),
        "ingest": failed["ingest"]({**CLASSIFY, "ingest_id": "i1"}, "why"),
        "arrange": failed["arrange"]({"hierarchy_run_id": "h1"}, "why"),
        "evaluate": failed["evaluate"]({"evaluation_run_id": "e1"}, "why"),
        "suggest": failed["suggest"]({"suggestion_id": "s1"}, "why"),
        "extend": failed["extend"]({"run_id": RUN_ID, "extension_id": "x1"}, "why"),
    }
    assert set(commands) == set(failed)
    assert {one.error for one in commands.values()} == {"why"}


def test_a_snapshot_that_is_taken_is_used(shared: Container, dataset: str) -> None:
    load(shared, "one", "two", dataset=dataset)
    run_id = cluster(shared, [0, 1], clusters=2, dataset=dataset)
    before = shared.store.load(ClusteringRun, run_id)
    bind(WORK["snapshot"].run, shared.needs)(run_id=run_id)
    with shared.database.connection() as connection:
        connection.execute("DELETE FROM log.events WHERE stream = %s", [before.id])
    shared.store.forget()
    assert vars(shared.store.load(ClusteringRun, run_id)) == vars(before)
