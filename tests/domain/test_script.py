"""Edits as they are written down, made on a run: the events of its methods, or a refusal in words."""

from __future__ import annotations

from typing import Any

import pytest

from domain.clustering import ClusteringRun
from domain.clustering.script import KINDS, apply_edit, read_edit
from domain.errors import Conflict, DomainError, Invalid, NotFound
from tests.given import given
from tests.runs import completed_run, replayed, stored


def a_run() -> ClusteringRun:
    """Clusters 0, 1 and 2 with the queries 1 2, 3 4 and 5 6."""
    return completed_run()


MADE: list[tuple[dict[str, Any], type, dict[str, Any]]] = [
    (
        {"type": "rename", "cluster_id": 1, "title": "Cards"},
        ClusteringRun.ClusterRenamed,
        {"cluster_id": 1, "title": "Cards", "description": None},
    ),
    (
        {"type": "move", "query_ids": [3, 1], "to_cluster_id": 2},
        ClusteringRun.QueriesMoved,
        {"query_ids": [1, 3], "was": [0, 1], "cluster_id": 2},
    ),
    (
        {"type": "merge", "source_cluster_ids": [2, 1], "target_cluster_id": 0, "new_title": "All"},
        ClusteringRun.ClustersMerged,
        {"source_cluster_ids": [1, 2], "target_cluster_id": 0},
    ),
    (
        {"type": "split", "cluster_id": 1, "query_ids": [4], "new_title": "Visa", "new_description": ""},
        ClusteringRun.ClusterSplit,
        {"cluster_id": 1, "new_cluster_id": 3},
    ),
    (
        {"type": "delete", "cluster_id": 1, "orphan": True},
        ClusteringRun.ClusterDeleted,
        {"cluster_id": 1, "move_to_cluster_id": None},
    ),
    (
        {"type": "delete", "cluster_id": 1, "orphan": False, "move_to_cluster_id": 2},
        ClusteringRun.ClusterDeleted,
        {"cluster_id": 1, "move_to_cluster_id": 2},
    ),
    (
        {"type": "metadata", "cluster_id": 1, "quality": "low", "reason": "I read 20 of them"},
        ClusteringRun.MetadataChanged,
        {
            "cluster_id": 1,
            "clusters": [{"cluster_id": 1, "was": {"quality": None}, "now": {"quality": "low"}}],
        },
    ),
    (
        {"type": "flags", "cluster_id": 1, "flags": ["review"], "remove": ["done"]},
        ClusteringRun.FlagsChanged,
        {"cluster_id": 1, "added": ["review"], "removed": []},
    ),
]


@pytest.mark.parametrize(("spec", "kind", "fields"), MADE, ids=[one[0]["type"] for one in MADE])
def test_an_edit_is_one_event(spec: dict[str, Any], kind: type, fields: dict[str, Any]) -> None:
    given(a_run()).when(lambda run: apply_edit(run, spec)).then(kind, **fields)


def test_every_kind_of_edit_is_tried_here() -> None:
    assert {spec["type"] for spec, _, _ in MADE} == set(KINDS)


def test_null_takes_metadata_away_and_what_is_not_given_stays() -> None:
    run = a_run()
    apply_edit(run, {"type": "metadata", "cluster_id": 1, "quality": "low", "notes": "odd"})
    apply_edit(run, {"type": "metadata", "cluster_id": 1, "quality": None})
    assert (run.cluster(1).quality, run.cluster(1).notes) == (None, "odd")


# --- what is no edit


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "the edit lacks the field type"),
        ({"type": "explode"}, "type is 'explode'; it is one of rename, move, merge"),
        ({"type": ["merge"]}, "type is \\['merge'\\]; it is one of"),
        ({"type": "merge", "source_cluster_ids": [1]}, "the edit lacks the field target_cluster_id"),
        ({"type": "rename", "cluster_id": 1, "titel": "x"}, "there is no field titel"),
        ({"type": "rename", "cluster_id": True}, "cluster_id: Expected int | str, got bool"),
        ({"type": "rename", "cluster_id": 2**70}, "cluster_id: Expected int <= 2147483647"),
        ({"type": "delete", "cluster_id": -2}, "cluster_id: Expected int >= -1"),
        ({"type": "rename", "cluster_id": "first"}, "cluster_id: neither the id of a cluster nor"),
        ({"type": "move", "query_ids": [1, 2**63], "to_cluster_id": 1}, r"query_ids\[1\]: Expected int <="),
        ({"type": "move", "query_ids": ["1"], "to_cluster_id": 1}, r"query_ids\[0\]: Expected int, got str"),
        ({"type": "move", "query_ids": [], "to_cluster_id": 1}, "query_ids is empty"),
        ({"type": "metadata", "cluster_id": 1}, "give coherence_score, quality or notes"),
        ({"type": "metadata", "cluster_id": 1, "quality": "great"}, "quality: Invalid enum value 'great'"),
        ({"type": "metadata", "cluster_id": 1, "coherence_score": 9}, "coherence_score is 9; it goes from 1"),
        ({"type": "flags", "cluster_id": 1}, "give flags to add, or to remove"),
        ({"type": "delete", "cluster_id": 1}, "give either orphan=true or move_to_cluster_id"),
        ({"type": "delete", "cluster_id": 1, "orphan": True, "move_to_cluster_id": 0}, "give either orphan"),
    ],
)
def test_what_is_no_edit_is_refused_by_the_name_of_its_field(spec: dict[str, Any], words: str) -> None:
    given(a_run()).when(lambda run: apply_edit(run, spec)).refuses(Invalid, words)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ({"type": "rename", "cluster_id": 9, "title": "x"}, NotFound, "has no cluster 9"),
        ({"type": "merge", "source_cluster_ids": [9], "target_cluster_id": 0}, Conflict, "has no cluster 9"),
        (
            {"type": "split", "cluster_id": 1, "query_ids": [1], "new_title": "x"},
            Conflict,
            "not in cluster 1: 1",
        ),
    ],
)
def test_what_the_run_refuses_is_refused(spec: dict[str, Any], error: type[DomainError], words: str) -> None:
    given(a_run()).when(lambda run: apply_edit(run, spec)).refuses(error, words)


def test_a_move_takes_all_of_its_queries_or_none() -> None:
    spec = {"type": "move", "query_ids": [1, 77], "to_cluster_id": 2}
    given(a_run()).when(lambda run: apply_edit(run, spec)).refuses(Conflict, "names 1 queries that are not")


# --- clusters that are yet to be made


def test_a_later_edit_names_the_cluster_that_an_earlier_one_makes() -> None:
    run = a_run()
    made = {4: apply_edit(run, {"type": "split", "cluster_id": 0, "query_ids": [2], "new_title": "x"})}
    assert made == {4: 3}
    known = {place: cluster for place, cluster in made.items() if cluster is not None}
    apply_edit(run, {"type": "rename", "cluster_id": "new:4", "title": "Two"}, known)
    apply_edit(run, {"type": "move", "query_ids": [5], "to_cluster_id": "new:4"}, known)
    assert run.cluster(3).title == "Two"
    assert run.partition.members(3).tolist() == [2, 5]
    assert replayed([stored(one) for one in run.collect_events()]).partition == run.partition


def test_a_cluster_that_nothing_has_made_is_refused() -> None:
    spec = {"type": "delete", "cluster_id": "new:0", "orphan": True}
    given(a_run()).when(lambda run: apply_edit(run, spec)).refuses(Conflict, "new:0 stands for what edit 0")


def test_an_edit_that_was_read_once_can_be_made_again_and_again() -> None:
    edit = read_edit({"type": "flags", "cluster_id": 0, "flags": ["review"]})
    for run in (a_run(), a_run()):
        apply_edit(run, edit)
        assert run.cluster(0).flags == ("review",)
