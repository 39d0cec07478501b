"""What may happen to a clustering run, and what may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from domain.clustering import Changes, Cluster, ClusteringRun, Plan
from domain.clustering.cluster import MAX_DESCRIPTION, MAX_TITLE
from domain.errors import Conflict, DomainError, Invalid, NotFound
from domain.values import NOISE, unpack
from tests.given import given
from tests.runs import CENTROIDS, SPACE, assign, complete, completed_run, requested_run, titles

Decide = Callable[[ClusteringRun], Any]


def failed_run() -> ClusteringRun:
    run = requested_run()
    run.fail("out of memory")
    return run


def retired_run() -> ClusteringRun:
    run = completed_run()
    run.retire()
    return run


# --- how it comes to be


def test_a_request_keeps_what_the_result_will_depend_on() -> None:
    run = requested_run()
    (created,) = run.collect_events()
    assert type(created) is ClusteringRun.Created
    assert created.parameters == {"n_clusters": 3, "seed": 42}
    assert (created.dataset, created.last_query_id, created.queries) == ("default", 6, 6)
    assert run.id == "clustering/kmeans-3-20251004-170442"
    assert run.name == run.run_id


def test_a_chunk_is_recorded_with_its_confidences() -> None:
    event = (
        given(requested_run())
        .when(lambda run: assign(run, 0, [1, 2, 3], [0, 1, 0]))
        .then(ClusteringRun.QueriesAssigned, chunk=0, count=3)
    )
    assert unpack(event.query_ids).tolist() == [1, 2, 3]
    assert unpack(event.cluster_ids).tolist() == [0, 1, 0]
    assert unpack(event.confidence).tolist() == [0, 5_000, 10_000]


def test_chunks_add_up_to_a_partition() -> None:
    run = requested_run()
    assign(run, 0, [1, 2], [0, 1])
    assign(run, 1, [5, 9], [1, NOISE])
    assert run.partition.members(1).tolist() == [2, 5]
    assert run.chunks == 2


def test_a_repeated_chunk_changes_nothing() -> None:
    run = requested_run()
    assign(run, 0, [1, 2], [0, 1])
    given(run).when(lambda run: assign(run, 0, [1, 2], [0, 1])).then_nothing()


def test_a_chunk_that_leaves_a_gap_is_refused() -> None:
    late = given(requested_run()).when(lambda run: assign(run, 1, [5], [0]))
    late.refuses(Conflict, "waits for chunk 0, not for chunk 1")


@pytest.mark.parametrize("run", [completed_run(), failed_run(), retired_run()], ids=lambda run: run.status)
def test_a_chunk_that_comes_too_late_changes_nothing(run: ClusteringRun) -> None:
    given(run).when(lambda run: assign(run, run.chunks, [7], [0])).then_nothing()


def test_completion_makes_the_clusters_of_the_result() -> None:
    run = requested_run()
    assign(run, 0, [1, 2], [0, 1])
    event = given(run).when(complete).then(ClusteringRun.Completed, num_clusters=3, centroids=CENTROIDS)
    assert event.space == vars(SPACE)
    assert run.clusters == {0: Cluster(), 1: Cluster(), 2: Cluster()}
    assert (run.status, run.next_cluster_id) == ("completed", 3)


def test_noise_is_a_cluster_when_there_is_some() -> None:
    assert sorted(completed_run([0, NOISE, 0], clusters=1).clusters) == [NOISE, 0]
    assert sorted(completed_run([NOISE, NOISE], clusters=0).clusters) == [NOISE]


@pytest.mark.parametrize("run", [completed_run(), failed_run(), retired_run()], ids=lambda run: run.status)
@pytest.mark.parametrize("decide", [complete, lambda run: run.fail("again")], ids=["complete", "fail"])
def test_an_end_comes_once(run: ClusteringRun, decide: Decide) -> None:
    given(run).when(decide).then_nothing()


def test_a_failure_keeps_its_reason_in_a_form_that_can_be_stored() -> None:
    failing = given(requested_run()).when(lambda run: run.fail("bad \0 and \ud800"))
    failing.then(ClusteringRun.Failed, error="bad \N{REPLACEMENT CHARACTER} and ?")
    assert failing.aggregate.status == "failed"


@pytest.mark.parametrize("run", [requested_run(), completed_run(), failed_run()], ids=lambda run: run.status)
def test_any_run_retires_with_its_data_set(run: ClusteringRun) -> None:
    given(run).when(lambda run: run.retire()).then(ClusteringRun.Retired)
    given(run).when(lambda run: run.retire()).then_nothing()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"description": "a\0b"},
        {"description": "\ud83d"},
        {"parameters": {"metric": ["\0"]}},
        {"parameters": {"eps": float("nan")}},
        {"parameters": {"max_points": 2**63}},
        {"embedding": {"model\udcff": "x"}},
    ],
)
def test_a_request_that_cannot_be_kept_is_refused(spoilt: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "run_id": "r",
        "dataset": "default",
        "algorithm": "kmeans",
        "parameters": {},
        "embedding": {},
        "last_query_id": 1,
        "queries": 1,
        "description": None,
    }
    assert ClusteringRun(**arguments).pending_events
    with pytest.raises(Invalid, match=next(iter(spoilt))):
        ClusteringRun(**{**arguments, **spoilt})


# --- titles


def test_titles_of_a_summary_run_are_shown() -> None:
    run = completed_run()
    event = (
        given(run)
        .when(lambda run: run.adopt_titles("s1", titles("s1", 0, 2)))
        .then(ClusteringRun.ClustersTitled, summary_run_id="s1")
    )
    assert event.titles == titles("s1", 0, 2)
    assert run.cluster(0) == Cluster("s1 0", "by s1: 0", "s1")
    assert run.cluster(1) == Cluster()


def test_the_titles_of_a_later_run_replace_those_of_an_earlier_one() -> None:
    run = completed_run()
    run.adopt_titles("s1", titles("s1", 0, 1))
    run.adopt_titles("s2", titles("s2", 1))
    assert (run.cluster(0).title, run.cluster(1).title) == ("s1 0", "s2 1")
    assert run.cluster(1).summary_run_id == "s2"


def test_what_is_shown_already_is_no_event() -> None:
    run = completed_run()
    run.adopt_titles("s1", titles("s1", 0, 1))
    given(run).when(lambda run: run.adopt_titles("s1", titles("s1", 0, 1))).then_nothing()
    given(run).when(lambda run: run.adopt_titles("s1", titles("s1", 1, 2))).then(
        ClusteringRun.ClustersTitled, titles=titles("s1", 2)
    )


def test_many_titles_are_several_events() -> None:
    run = completed_run([0], clusters=2_001)
    run.collect_events()
    run.adopt_titles("s1", titles("s1", *range(2_001)))
    assert [len(one.titles) for one in run.collect_events()] == [1_000, 1_000, 1]


def test_a_title_by_a_person_wins_over_any_later_summary_run() -> None:
    run = completed_run()
    run.rename(0, "Mine", None)
    run.adopt_titles("s1", titles("s1", 0))
    assert (run.cluster(0).title, run.cluster(0).description) == ("Mine", "by s1: 0")
    run.rename(0, None, "My words")
    run.adopt_titles("s2", titles("s2", 0))
    assert (run.cluster(0).title, run.cluster(0).description) == ("Mine", "My words")


def test_a_description_by_a_person_does_not_hold_the_title() -> None:
    run = completed_run()
    run.adopt_titles("s1", titles("s1", 0))
    run.rename(0, None, "My words")
    run.adopt_titles("s2", titles("s2", 0))
    assert (run.cluster(0).title, run.cluster(0).description) == ("s2 0", "My words")


def test_the_event_of_titles_holds_titles_alone() -> None:
    more = [{**titles("s1", 0)[0], "representative_query_ids": [1, 2], "num_queries": 2}]
    adopting = given(completed_run()).when(lambda run: run.adopt_titles("s1", more))
    assert adopting.then(ClusteringRun.ClustersTitled).titles == titles("s1", 0)


def test_titles_of_clusters_that_never_were_are_passed_over() -> None:
    run = completed_run()
    event = (
        given(run)
        .when(lambda run: run.adopt_titles("s1", titles("s1", 1, 9)))
        .then(ClusteringRun.ClustersTitled)
    )
    assert event.titles == titles("s1", 1)
    given(run).when(lambda run: run.adopt_titles("s1", titles("s1", 9))).then_nothing()


def test_a_removed_cluster_is_titled_for_the_case_that_it_comes_back() -> None:
    run = completed_run()
    run.delete(1, None)
    given(run).when(lambda run: run.adopt_titles("s1", titles("s1", 1))).then(
        ClusteringRun.ClustersTitled, titles=titles("s1", 1)
    )
    assert 1 not in run.clusters
    assert run.removed == {1: Cluster("s1 1", "by s1: 1", "s1")}


# --- renaming


def test_a_rename_says_what_was_and_what_is() -> None:
    run = completed_run()
    run.adopt_titles("s1", titles("s1", 1))
    given(run).when(lambda run: run.rename(1, "Tax", None)).then(
        ClusteringRun.ClusterRenamed,
        cluster_id=1,
        was_title="s1 1",
        title="Tax",
        was_description="by s1: 1",
        description="by s1: 1",
        was_edited=[],
    )
    assert run.cluster(1) == Cluster("s1 1", "by s1: 1", "s1", own_title="Tax")
    assert (run.cluster(1).title, run.cluster(1).description) == ("Tax", "by s1: 1")
    assert (run.cluster(1).title_edited, run.cluster(1).description_edited) == (True, False)


def test_a_rename_says_which_words_a_person_had_written_before() -> None:
    run = completed_run()
    run.rename(0, "One", None)
    event = given(run).when(lambda run: run.rename(0, "Two", "words")).then(ClusteringRun.ClusterRenamed)
    assert event.was_edited == ["title"]
    assert event.changes().clusters == {
        0: ({"own_title": "One", "own_description": None}, {"own_title": "Two", "own_description": "words"})
    }


def test_a_rename_answers_with_what_was_before() -> None:
    run = completed_run()
    run.rename(0, "One", "first")
    assert run.rename(0, "Two", None) == Cluster(own_title="One", own_description="first")


def test_a_rename_to_the_same_changes_nothing() -> None:
    run = completed_run()
    run.rename(0, "One", "first")
    given(run).when(lambda run: run.rename(0, "One", None)).then_nothing()
    given(run).when(lambda run: run.rename(0, "One", "first")).then_nothing()


def test_a_rename_of_nothing_is_refused() -> None:
    given(completed_run()).when(lambda run: run.rename(0, None, None)).refuses(Invalid, "a title, a desc")


def test_the_longest_text_is_taken_and_one_more_character_is_not() -> None:
    run = completed_run()
    given(run).when(lambda run: run.rename(0, "x" * MAX_TITLE, "y" * MAX_DESCRIPTION)).then(
        ClusteringRun.ClusterRenamed, title="x" * MAX_TITLE, description="y" * MAX_DESCRIPTION
    )
    given(run).when(lambda run: run.rename(0, "x" * (MAX_TITLE + 1), None)).refuses(Invalid, "title has 201")
    given(run).when(lambda run: run.rename(0, None, "y" * (MAX_DESCRIPTION + 1))).refuses(
        Invalid, "description has 4001 characters; 4000 are allowed"
    )


ODD = {
    "empty": "",
    "blank": " \t\n",
    "NUL": "a\0b",
    "escape": "\x1b[31mred",
    "carriage return": "a\rb",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "lone high surrogate": "a\ud83d",
    "lone low surrogate": "\ude00b",
}


@pytest.mark.parametrize("field", ["title", "description"])
@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_text_that_nobody_can_read_or_keep_is_refused(field: str, text: str) -> None:
    other = {"title": None, "description": None}
    given(completed_run()).when(lambda run: run.rename(0, **{**other, field: text})).refuses(Invalid, field)


@pytest.mark.parametrize("text", ["Ünïcödé 🙂 \U0010fffd", "two\nlines\tand a tab", "\u202eright to left"])
def test_any_script_is_taken_as_it_is_written(text: str) -> None:
    run = completed_run()
    given(run).when(lambda run: run.rename(0, text, text)).then(ClusteringRun.ClusterRenamed, title=text)
    assert run.cluster(0).description == text


# --- moving


def test_a_move_says_whence_and_whither() -> None:
    run = completed_run([0, 0, 1])
    moving = given(run).when(lambda run: run.move([2], 1))
    moving.then(ClusteringRun.QueriesMoved, query_ids=[2], was=[0], cluster_id=1)
    assert run.partition.members(1).tolist() == [2, 3]


def test_a_move_of_many_is_one_edit() -> None:
    run = completed_run([0, 1, 2, 1, 0, 2])
    moving = given(run).when(lambda run: run.move([6, 1, 6, 4, 2], 2))
    moving.then(ClusteringRun.QueriesMoved, query_ids=[1, 2, 4], was=[0, 1, 1], cluster_id=2)
    assert run.partition.members(2).tolist() == [1, 2, 3, 4, 6]


def test_a_move_answers_with_the_clusters_that_were_left_and_with_what_cannot_be_moved() -> None:
    was, failed = completed_run([0, 0, 1]).move([3, 99, 1, -1, 2**70], 0)
    assert was == {1: 0, 3: 1}
    words = "query {} is not part of run kmeans-3-20251004-170442"
    assert failed == {one: words.format(one) for one in (99, -1, 2**70)}


def test_a_move_to_where_it_is_changes_nothing() -> None:
    given(completed_run([0, 0, 1])).when(lambda run: run.move([3], 1)).then_nothing()


@pytest.mark.parametrize("ids", [[], [99], [2**70, -1]])
def test_a_move_of_nothing_that_is_there_changes_nothing(ids: list[int]) -> None:
    given(completed_run()).when(lambda run: run.move(ids, 1)).then_nothing()


def test_an_erased_query_is_not_there() -> None:
    run = completed_run()
    run.erase(np.array([1]))
    assert run.move([1, 2], 1) == ({2: 0}, {1: f"query 1 is not part of run {run.run_id}"})
    with pytest.raises(NotFound, match="query 1 is not part of run"):
        run.label_of(1)


def test_noise_is_moved_like_any_other_and_stays_a_cluster() -> None:
    run = completed_run([NOISE, 0], clusters=1)
    run.move([1], 0)
    given(run).when(lambda run: run.move([1], NOISE)).then(
        ClusteringRun.QueriesMoved, was=[0], cluster_id=NOISE
    )


@pytest.mark.parametrize(
    ("decide", "words"),
    [
        (lambda run: run.label_of(99), "query 99 is not part of run"),
        (lambda run: run.label_of(2**70), "is not part of run"),
        (lambda run: run.label_of(-1), "query -1 is not part of run"),
        (lambda run: run.rename(9, "x", None), "has no cluster 9"),
        (lambda run: run.rename(2**70, "x", None), "has no cluster"),
    ],
)
def test_what_is_not_there_cannot_be_edited(decide: Decide, words: str) -> None:
    given(completed_run()).when(decide).refuses(NotFound, words)


@pytest.mark.parametrize("cluster_id", [9, NOISE, 2**70])
def test_nothing_is_moved_to_where_there_is_no_cluster(cluster_id: int) -> None:
    moving = given(completed_run()).when(lambda run: run.move([1], cluster_id))
    moving.refuses(Conflict, f"has no cluster {cluster_id}")


# --- in which states it can be edited

EDITS: dict[str, Decide] = {
    "rename": lambda run: run.rename(0, "x", None),
    "move": lambda run: run.move([1], 1),
    "merge": lambda run: run.merge([0], 1),
    "split": lambda run: run.split(0, [1], "x", None),
    "delete": lambda run: run.delete(0, None),
    "annotate": lambda run: run.annotate(0, {"notes": "x"}),
    "flag": lambda run: run.flag(0, ["x"]),
    "undo": lambda run: run.take_back(Plan([], [], Changes())),
    "adopt": lambda run: run.adopt_titles("s1", titles("s1", 0)),
}
STATES: list[tuple[Callable[[], ClusteringRun], type[DomainError], str]] = [
    (requested_run, Conflict, "is pending: only a completed run can be edited"),
    (failed_run, Conflict, "is failed"),
    (retired_run, NotFound, "was cleared together with data set 'default'"),
]


@pytest.mark.parametrize("decide", EDITS.values(), ids=EDITS.keys())
@pytest.mark.parametrize(("make", "error", "words"), STATES, ids=[make.__name__ for make, _, _ in STATES])
def test_only_a_completed_run_is_edited(
    make: Callable[[], ClusteringRun], error: type[DomainError], words: str, decide: Decide
) -> None:
    given(make()).when(decide).refuses(error, words)


def test_a_confidence_stands_as_a_whole_number_that_fits() -> None:
    run = requested_run()
    run.assign(0, np.array([1, 2]), np.array([0, 0]), np.array([0.00004, 1.0], np.float32))
    event: Any = run.collect_events()[-1]
    assert unpack(event.confidence).dtype == np.uint16
    assert unpack(event.confidence).tolist() == [0, 10_000]
