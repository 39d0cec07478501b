"""Which cluster became which, in stories and by what always holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.matching import best_pairs
from domain.clustering import Partition
from domain.clustering import lineage as lineage_module
from domain.clustering.lineage import Kind, Lineage, Matrix, Places, match, neighbourhood
from domain.errors import Invalid
from domain.values import ERASED, NOISE, ORPHAN

MODELS = st.dictionaries(st.integers(1, 40), st.integers(ERASED, 5), max_size=40)
RENUMBERINGS = st.permutations(range(6))


def partition_of(model: dict[int, int]) -> Partition:
    ids = sorted(model)
    return Partition(np.array(ids, np.int64), np.array([model[one] for one in ids], np.int32))


def moves(*flows: tuple[int, int, int]) -> tuple[Partition, Partition]:
    """Two runs of the same queries, by how many are in which old and which new cluster."""
    pairs = [(old, new) for old, new, count in flows for _ in range(count)]
    older = partition_of({query: old for query, (old, _) in enumerate(pairs)})
    return older, partition_of({query: new for query, (_, new) in enumerate(pairs)})


def clusters_of(partition: Partition) -> list[int]:
    return sorted({*partition.labels.tolist()} - {NOISE, ORPHAN, ERASED})


def lineage_of(
    older: Partition, newer: Partition, similarity: Matrix | None = None, threshold: float = 0.3
) -> Lineage:
    return match(
        older, newer, clusters_of(older), clusters_of(newer), best_pairs, similarity, threshold=threshold
    )


def links(lineage: Lineage, kind: Kind) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(link.old, link.new) for link in lineage.of_kind(kind)]


def summary(lineage: Lineage) -> dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]:
    kinds: tuple[Kind, ...] = ("continuation", "split", "merge", "birth", "death")
    return {kind: found for kind in kinds if (found := links(lineage, kind))}


# --- what always holds


def renumbered(model: dict[int, int], names: Sequence[int]) -> dict[int, int]:
    return {query: names[label] if label >= 0 else label for query, label in model.items()}


@given(MODELS, RENUMBERINGS)
@example({}, range(6))
def test_a_run_with_other_numbers_continues_in_all(model: dict[int, int], names: list[int]) -> None:
    older, newer = partition_of(model), partition_of(renumbered(model, names))
    lineage = lineage_of(older, newer)
    assert summary(lineage).keys() <= {"continuation"}
    assert {old: lineage.target_of(old) for old in range(6)} == {
        old: names[old] if old in clusters_of(older) else None for old in range(6)
    }
    assert all(link.evidence[0].score == 1 for link in lineage.links)


@given(MODELS, MODELS, st.none() | st.integers(0, 2**32 - 1), st.floats(0.01, 1))
def test_every_cluster_is_told_of(
    old: dict[int, int], new: dict[int, int], seed: int | None, threshold: float
) -> None:
    older, newer = partition_of(old), partition_of(new)
    shape = (len(clusters_of(older)), len(clusters_of(newer)))
    similarity = None if seed is None else np.random.default_rng(seed).uniform(-1, 1, shape)
    lineage = lineage_of(older, newer, similarity, threshold)

    told_old = Counter(one for link in lineage.links for one in link.old if link.kind != "death")
    told_new = Counter(one for link in lineage.links for one in link.new if link.kind != "birth")
    gone, born = links(lineage, "death"), links(lineage, "birth")
    assert gone == [((one,), ()) for one in clusters_of(older) if not told_old[one]]
    assert born == [((), (one,)) for one in clusters_of(newer) if not told_new[one]]
    targets = [one for old_id in clusters_of(older) if (one := lineage.target_of(old_id)) is not None]
    assert len({*targets}) == len(targets) == len(links(lineage, "continuation"))
    for link in lineage.of_kind("continuation"):
        assert link.evidence[0].score >= round(threshold, 4)
    for split in lineage.of_kind("split"):
        assert len(split.old) == 1 < len(split.new) == len(split.evidence)
        assert all(part.share_of_new >= 0.5 for part in split.evidence)
    for merge in lineage.of_kind("merge"):
        assert len(merge.new) == 1 < len(merge.old) == len(merge.evidence)
        assert all(part.share_of_old >= 0.5 for part in merge.evidence)


@given(MODELS, MODELS)
def test_the_evidence_is_what_can_be_counted(old: dict[int, int], new: dict[int, int]) -> None:
    both = [one for one in {*old} & {*new} if ERASED not in (old[one], new[one])]
    for link in lineage_of(partition_of(old), partition_of(new)).links:
        for one in link.evidence:
            here = {query for query in both if old[query] == one.old}
            there = {query for query in both if new[query] == one.new}
            assert one.overlap == len(here & there)
            assert one.share_of_old == round(len(here & there) / len(here), 4)
            assert one.share_of_new == round(len(here & there) / len(there), 4)
            assert one.jaccard == one.score == round(len(here & there) / len(here | there), 4)
            assert one.similarity is None


@given(MODELS, MODELS, RENUMBERINGS)
def test_numbers_say_nothing(old: dict[int, int], new: dict[int, int], names: list[int]) -> None:
    """Which of two equals is the continuation may change with the numbers; nothing else does."""
    plain = lineage_of(partition_of(old), partition_of(new))
    other = lineage_of(partition_of(old), partition_of(renumbered(new, names)))
    for kind in ("split", "merge"):
        expected = {(was, tuple(sorted(names[one] for one in now))) for was, now in links(plain, kind)}
        assert {*links(other, kind)} == expected
    plain_sum, other_sum = (
        sum(link.evidence[0].score for link in lineage.of_kind("continuation")) for lineage in (plain, other)
    )
    assert plain_sum == pytest.approx(other_sum, abs=1e-3)


@given(MODELS, MODELS)
def test_backwards_in_time_the_continuations_are_the_same(old: dict[int, int], new: dict[int, int]) -> None:
    """Of equals it may be others, with the same scores."""
    there, back = (
        lineage_of(partition_of(one), partition_of(other)).of_kind("continuation")
        for one, other in ((old, new), (new, old))
    )
    sums = [sum(link.evidence[0].score for link in found) for found in (there, back)]
    assert sums[0] == pytest.approx(sums[1], abs=1e-3)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_first_choices_of_each_other_are_not_separated(rows: int, columns: int, seed: int) -> None:
    """Runs of disjoint queries, so that the scores are the centroids' similarity."""
    older = partition_of({query: query for query in range(rows)})
    newer = partition_of({100 + query: query for query in range(columns)})
    similarity = np.random.default_rng(seed).uniform(-0.2, 1, (rows, columns))
    lineage = lineage_of(older, newer, similarity)
    for old in range(rows):
        new = int(similarity[old].argmax())
        if similarity[:, new].argmax() == old and similarity[old, new] >= 0.3:
            assert lineage.target_of(old) == new


@given(MODELS, MODELS, st.booleans())
def test_it_comes_back_from_an_event(old: dict[int, int], new: dict[int, int], similar: bool) -> None:
    older, newer = partition_of(old), partition_of(new)
    similarity = np.eye(len(clusters_of(older)), len(clusters_of(newer)), dtype=np.float32)
    lineage = lineage_of(older, newer, similarity if similar else None)
    assert Lineage.from_dict(orjson.loads(orjson.dumps(lineage.as_dict()))) == lineage


# --- stories


@given(st.integers(1, 30), st.integers(1, 30))
def test_one_cluster_in_two(first: int, second: int) -> None:
    older, newer = moves((0, 7, first), (0, 8, second), (1, 1, 10))
    lineage = lineage_of(older, newer)
    substantial = min(first, second) >= 0.1 * max(first, second)
    assert links(lineage, "split") == ([((0,), (7, 8))] if substantial else [])
    assert lineage.target_of(0) in ({7, 8} if first == second else {7 if first > second else 8})
    assert lineage.target_of(1) == 1
    assert links(lineage, "merge") == links(lineage, "death") == []
    assert len(links(lineage, "birth")) == (0 if substantial else 1)


@given(st.integers(1, 30), st.integers(1, 30))
def test_two_clusters_in_one(first: int, second: int) -> None:
    older, newer = moves((3, 0, first), (4, 0, second), (5, 1, 10))
    lineage = lineage_of(older, newer)
    assert links(lineage, "merge") == [((3, 4), (0,))]
    heir, other = (3, 4) if first > second else (4, 3)
    if first != second:
        assert (lineage.target_of(heir), lineage.target_of(other)) == (0, None)
    assert len(links(lineage, "continuation")) == 2
    assert links(lineage, "birth") == links(lineage, "death") == links(lineage, "split") == []


def test_one_cluster_in_twenty() -> None:
    """No part is like enough to take over the edits, but all are known to come from it."""
    lineage = lineage_of(*moves(*((0, part, 5) for part in range(20))))
    assert summary(lineage) == {"split": [((0,), tuple(range(20)))]}
    assert lineage.target_of(0) is None


def test_twenty_clusters_in_one() -> None:
    lineage = lineage_of(*moves(*((part, 0, 5) for part in range(20))))
    assert summary(lineage) == {"merge": [(tuple(range(20)), (0,))]}


def test_two_crumbs_are_no_split() -> None:
    """Most of it is noise now: what is left of it is a continuation of neither."""
    lineage = lineage_of(*moves((0, NOISE, 90), (0, 1, 5), (0, 2, 5)))
    assert summary(lineage) == {"birth": [((), (1,)), ((), (2,))], "death": [((0,), ())]}


def test_a_cluster_may_split_and_a_part_of_it_merge() -> None:
    lineage = lineage_of(*moves((0, 5, 60), (0, 6, 40), (1, 6, 5), (2, 6, 5)))
    assert summary(lineage) == {
        "continuation": [((0,), (5,))],
        "split": [((0,), (5, 6))],
        "merge": [((1, 2), (6,))],
    }


def test_a_half_is_not_most() -> None:
    lineage = lineage_of(*moves((0, 0, 5), (0, 1, 5), (1, 0, 5), (1, 1, 5)))
    assert {*summary(lineage)} == {"continuation"}
    assert {lineage.target_of(0), lineage.target_of(1)} == {0, 1}


def test_evidence_stands_in_the_order_of_the_clusters() -> None:
    lineage = lineage_of(*moves((9, 2, 6), (9, 4, 3), (9, 3, 3)))
    [split] = lineage.of_kind("split")
    assert (split.old, split.new) == ((9,), (2, 3, 4))
    assert [(one.old, one.new, one.overlap) for one in split.evidence] == [(9, 2, 6), (9, 3, 3), (9, 4, 3)]


def test_the_larger_part_is_the_continuation_whatever_the_sum() -> None:
    """0→0 has 0.5. The scores of 0→1 and 1→0 are a third each, more in all."""
    lineage = lineage_of(*moves((0, 0, 12), (0, 1, 6), (1, 0, 6)))
    assert summary(lineage) == {
        "continuation": [((0,), (0,))],
        "split": [((0,), (0, 1))],
        "merge": [((0, 1), (0,))],
    }


def test_what_lies_below_the_threshold_pushes_no_one_aside() -> None:
    """1→1 has 0.35 and is nobody's first choice; 1→2 and 2→1 have more in all, and neither is enough."""
    older, newer = partition_of({1: 0, 2: 1, 3: 2}), partition_of({11: 0, 12: 1, 13: 2})
    similarity = np.array([[0.9, 0.0, 0.0], [0.4, 0.35, 0.29], [0.0, 0.36, 0.0]])
    assert lineage_of(older, newer, similarity, 0.3).target_of(2) == 1
    similarity[2, 1] = 0.29
    lineage = lineage_of(older, newer, similarity, 0.3)
    assert [lineage.target_of(old) for old in (0, 1, 2)] == [0, 1, None]


def test_the_threshold_itself_is_enough() -> None:
    older, newer = moves((0, 0, 3), (0, NOISE, 7))
    assert lineage_of(older, newer, threshold=0.3).target_of(0) == 0
    assert lineage_of(older, newer, threshold=0.31).target_of(0) is None


def test_noise_and_orphans_and_the_erased_are_never_matched() -> None:
    older, newer = moves((NOISE, 0, 5), (ORPHAN, 1, 5), (ERASED, 2, 5), (0, NOISE, 5), (1, ERASED, 5))
    given_ids = [NOISE, ORPHAN, ERASED, 0, 1, 2]
    lineage = match(older, newer, given_ids, given_ids, best_pairs)
    assert summary(lineage) == {
        "birth": [((), (0,)), ((), (1,)), ((), (2,))],
        "death": [((0,), ()), ((1,), ()), ((2,), ())],
    }


def test_only_clusters_that_are_named_take_part() -> None:
    older, newer = moves((0, 0, 5), (1, 1, 5))
    assert summary(match(older, newer, [0], [1], best_pairs)) == {
        "birth": [((), (1,))],
        "death": [((0,), ())],
    }


# --- centroids


def test_runs_of_other_queries_are_matched_by_centroids() -> None:
    older, newer = partition_of({1: 0, 2: 1, 3: 2}), partition_of({11: 0, 12: 1, 13: 2})
    similarity = np.array([[0.1, 0.9, 0.3], [0.8, 0.2, 0.2], [-0.9, np.nan, 0.2]])
    lineage = lineage_of(older, newer, similarity)
    assert summary(lineage) == {
        "continuation": [((0,), (1,)), ((1,), (0,))],
        "birth": [((), (2,))],
        "death": [((2,), ())],
    }
    [evidence] = lineage.links[0].evidence
    assert (evidence.overlap, evidence.jaccard, evidence.similarity, evidence.score) == (0, 0, 0.9, 0.9)
    assert summary(lineage_of(older, newer)).keys() == {"birth", "death"}


def test_runs_of_the_same_queries_are_matched_by_overlap_alone() -> None:
    older, newer = moves((0, 0, 8), (1, 1, 8))
    assert links(lineage_of(older, newer, 1 - np.eye(2)), "continuation") == [((0,), (0,)), ((1,), (1,))]


def test_centroids_count_by_the_share_of_members_that_the_other_run_lacks() -> None:
    older = partition_of(dict.fromkeys(range(1, 11), 0))
    newer = partition_of(dict.fromkeys(range(6, 11), 0) | dict.fromkeys(range(21, 26), 0))
    [link] = lineage_of(older, newer, np.array([[0.6]])).links
    [evidence] = link.evidence
    assert (evidence.overlap, evidence.jaccard, evidence.similarity) == (5, 1, 0.6)
    assert evidence.score == pytest.approx(0.5 * 1 + 0.5 * 0.6)
    assert lineage_of(older, newer).links[0].evidence[0].score == 1
    [apart] = lineage_of(older, newer, np.array([[-0.6]])).links[0].evidence
    assert (apart.similarity, apart.score) == (-0.6, 0.5)


def test_clusters_without_members_are_matched_by_centroids() -> None:
    older, newer = moves((0, 0, 3))
    lineage = match(older, newer, [0, 1], [0, 2], best_pairs, np.array([[0.2, 0.95], [1.0, 0.9]]))
    assert [lineage.target_of(0), lineage.target_of(1)] == [0, 2]


def test_rows_and_columns_stand_in_the_order_of_the_ids_given() -> None:
    older, newer = partition_of({1: 0, 2: 1}), partition_of({11: 0, 12: 1})
    similarity = np.array([[0.5, 0.5, 0.5], [0.0, 0.5, 0.9], [0.8, 0.5, 0.0]])
    lineage = match(older, newer, [NOISE, 1, 0], [1, NOISE, 0], best_pairs, similarity)
    assert [lineage.target_of(0), lineage.target_of(1)] == [1, 0]


@pytest.mark.parametrize("size", [255, 256, 600])
def test_many_clusters_are_scored_in_pieces(size: int) -> None:
    names = np.random.default_rng(size).permutation(size)
    ids = np.arange(2 * size)
    older = Partition(ids, np.repeat(np.arange(size, dtype=np.int32), 2))
    newer = Partition(ids, np.repeat(names.astype(np.int32), 2))
    lineage = lineage_of(older, newer, np.zeros((size, size), np.float32))
    assert [lineage.target_of(old) for old in range(size)] == names.tolist()


# --- what is refused, and what is not asked


def never(scores: Matrix) -> tuple[Places, Places]:
    raise AssertionError("there is nothing to assign")


def test_without_clusters_nothing_is_assigned() -> None:
    nothing, something = partition_of({}), partition_of({1: 0})
    assert match(nothing, nothing, [], [], never).links == ()
    assert summary(match(nothing, something, [], [0], never)) == {"birth": [((), (0,))]}
    assert summary(match(something, nothing, [0], [], never, np.empty((1, 0)))) == {"death": [((0,), ())]}


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
def test_a_threshold_that_says_nothing_is_refused(threshold: float) -> None:
    with pytest.raises(Invalid, match="threshold is"):
        match(partition_of({}), partition_of({}), [], [], best_pairs, threshold=threshold)


def test_similarity_must_fit_the_clusters() -> None:
    older, newer = moves((0, 0, 3), (1, 0, 3))
    with pytest.raises(Invalid, match=r"similarity is \(1, 2\).*\(2, 1\)"):
        match(older, newer, [0, 1], [0], best_pairs, np.ones((1, 2)))


# --- what different clusters have in common as well


def rows_of(*angles: float) -> Matrix:
    return np.array([[np.cos(one), np.sin(one)] for one in angles], np.float32)


def test_a_neighbourhood_is_the_cosine_to_the_nearest_other_cluster() -> None:
    assert neighbourhood(rows_of(0, 0.2, 1)) == pytest.approx(np.cos(0.2))
    assert neighbourhood(rows_of(0, 0.5), rows_of(0, 0.3, 0.6)) == pytest.approx(np.cos(0.3))
    assert neighbourhood(rows_of(0, np.pi)) == 0
    assert neighbourhood(rows_of(0, 0)) == pytest.approx(0.99)


def test_without_neighbours_nothing_is_known_of_a_neighbourhood() -> None:
    assert neighbourhood() == neighbourhood(rows_of(0), np.zeros((5, 2))) == 0
    assert neighbourhood(np.concatenate([np.zeros((3, 2)), rows_of(0, 0.2)])) == pytest.approx(np.cos(0.2))


def test_a_neighbourhood_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(3).normal(size=(40, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    whole = neighbourhood(rows)
    monkeypatch.setattr(lineage_module, "ROWS_AT_ONCE", 7)
    assert neighbourhood(rows) == pytest.approx(whole)


@pytest.mark.parametrize(("cosine", "score"), [(0.5, 0.0), (0.6, 0.0), (0.8, 0.5), (1.0, 1.0)])
def test_a_cosine_that_different_clusters_have_as_well_counts_for_nothing(
    cosine: float, score: float
) -> None:
    older, newer = partition_of({1: 0}), partition_of({2: 0})
    lineage = match(older, newer, [0], [0], best_pairs, np.array([[cosine]]), threshold=0.1, apart=0.6)
    found = lineage.of_kind("continuation")
    assert [one.evidence[0].score for one in found] == ([score] if score else [])
    assert all(one.evidence[0].similarity == cosine for one in found)


@pytest.mark.parametrize("apart", [-0.1, 1.0, float("nan")])
def test_what_tells_clusters_apart_is_a_cosine(apart: float) -> None:
    empty = partition_of({})
    with pytest.raises(Invalid, match="apart is"):
        match(empty, empty, [], [], best_pairs, apart=apart)
