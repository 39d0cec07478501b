"""Comparisons against plain dicts and against scikit-learn."""

from __future__ import annotations

from collections import Counter
from math import comb, log

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from domain.clustering import Partition
from domain.clustering.comparison import (
    Comparison,
    compare,
    expected_mutual_information,
    moved_queries,
)
from domain.values import ERASED, NOISE, ORPHAN

LABELS = st.integers(ERASED, 4)
MODELS = st.dictionaries(st.integers(1, 30), LABELS, max_size=25)
SIZES = st.lists(st.integers(1, 8), min_size=1, max_size=6)


def partition_of(model: dict[int, int]) -> Partition:
    ids = sorted(model)
    return Partition(np.array(ids, np.int64), np.array([model[one] for one in ids], np.int32))


def partition(*labels: int) -> Partition:
    """Queries 1, 2, ... with these labels."""
    return partition_of(dict(enumerate(labels, 1)))


def shared_by(before: dict[int, int], after: dict[int, int]) -> list[int]:
    return [one for one in sorted({*before} & {*after}) if ERASED not in (before[one], after[one])]


def alone(one: dict[int, int], other: dict[int, int]) -> int:
    return sum(query not in other and label != ERASED for query, label in one.items())


def flows_of(comparison: Comparison) -> list[tuple[int, int, int]]:
    flows = comparison.flows
    return list(zip(flows.from_labels.tolist(), flows.to_labels.tolist(), flows.counts.tolist(), strict=True))


@given(MODELS, MODELS)
def test_it_counts_what_dicts_count(before: dict[int, int], after: dict[int, int]) -> None:
    comparison = compare(partition_of(before), partition_of(after))
    both = shared_by(before, after)
    table = Counter((before[one], after[one]) for one in both)
    assert comparison.shared == len(both)
    assert comparison.only_before == alone(before, after)
    assert comparison.only_after == alone(after, before)
    assert comparison.moved == sum(before[one] != after[one] for one in both)
    assert flows_of(comparison) == [(*pair, table[pair]) for pair in sorted(table)]


@given(MODELS, st.lists(LABELS, max_size=25), st.lists(LABELS, max_size=5))
def test_a_later_moment_is_compared_as_any_other(
    before: dict[int, int], now: list[int], more: list[int]
) -> None:
    """The short way, for the same queries and perhaps more behind them, counts like the long way."""
    after = dict(zip(sorted(before), now, strict=False))
    after = {one: after.get(one, label) for one, label in before.items()}
    after |= {100 + place: label for place, label in enumerate(more)}
    both = shared_by(before, after)
    for comparison in (
        compare(partition_of(before), partition_of(after)),
        compare(partition_of(after), partition_of(before)),
    ):
        assert comparison.shared == len(both)
        assert comparison.moved == sum(before[one] != after[one] for one in both)
        assert comparison.only_before + comparison.only_after == sum(label != ERASED for label in more)


def test_states_of_one_run_share_their_ids() -> None:
    first = partition(0, 0, 1)
    second = Partition(first.query_ids, np.array([0, 2, 1], np.int32))
    assert flows_of(compare(first, second)) == [(0, 0, 1), (0, 2, 1), (1, 1, 1)]


def test_the_erased_count_nowhere() -> None:
    before = partition_of({1: 0, 2: ERASED, 3: 0, 4: ERASED, 5: 0})
    after = partition_of({1: ERASED, 2: 0, 3: 0, 6: ERASED, 7: 0})
    comparison = compare(before, after)
    assert (comparison.shared, comparison.only_before, comparison.only_after) == (1, 1, 1)
    assert flows_of(comparison) == [(0, 0, 1)]


def test_ids_far_apart_need_no_table() -> None:
    far = 2**31 - 1
    comparison = compare(partition(far, far, 0, ORPHAN), partition(NOISE, far, far, far))
    assert flows_of(comparison) == [(ORPHAN, far, 1), (0, far, 1), (far, NOISE, 1), (far, far, 1)]


@given(
    MODELS,
    MODELS,
    st.integers(0, 5),
    st.integers(0, 5),
    st.none() | LABELS,
    st.none() | LABELS,
)
def test_a_page_of_the_moved(
    before: dict[int, int],
    after: dict[int, int],
    offset: int,
    limit: int,
    from_label: int | None,
    to_label: int | None,
) -> None:
    moved = [
        (one, before[one], after[one])
        for one in shared_by(before, after)
        if before[one] != after[one] and from_label in (None, before[one]) and to_label in (None, after[one])
    ]
    page = moved_queries(partition_of(before), partition_of(after), offset, limit, from_label, to_label)
    assert list(zip(*(column.tolist() for column in page), strict=True)) == moved[offset : offset + limit]


# --- agreement


def degenerate(first: list[int], second: list[int]) -> bool:
    """Both in single queries: 0/0 by the formula, and in scikit-learn what rounding leaves of it."""
    return len({*first}) == len(first) == len({*second})


def check_agreement(first: list[int], second: list[int]) -> None:
    comparison = compare(partition(*first), partition(*second))
    assert comparison.ari == pytest.approx(adjusted_rand_score(first, second), abs=1e-9)
    if degenerate(first, second):
        assert comparison.ami == 1.0
    else:
        assert comparison.ami == pytest.approx(adjusted_mutual_info_score(first, second), abs=1e-9)


@given(st.lists(st.tuples(st.integers(ORPHAN, 6), st.integers(ORPHAN, 6)), max_size=60))
@example([])
@example([(3, 5)])
@example([(0, 0), (0, 1), (0, 2)])
@example([(0, 0), (0, 0), (0, 0)])
@example([(0, 0), (0, 1), (1, 0), (1, 1)])
@example([(0, 0), (1, 1), (2, 2), (2, 3)])
@example([(0, 4), (0, 4), (1, 3), (NOISE, ORPHAN)])
@example([(one, one // 2) for one in range(40)])
@example([(one, -2) for one in range(40)])
def test_agreement_is_that_of_scikit_learn(labels: list[tuple[int, int]]) -> None:
    check_agreement([first for first, _ in labels], [second for _, second in labels])


@pytest.mark.parametrize("clusters", [2, 7, 300])
@pytest.mark.parametrize("changed", [0.01, 1.0])
def test_agreement_of_many_queries(clusters: int, changed: float) -> None:
    """Clusters of all sizes and windows of all widths."""
    random = np.random.default_rng(clusters)
    chance = 1 / np.arange(1, clusters + 1)
    first = random.choice(clusters, 20_000, p=chance / chance.sum())
    second = np.where(random.random(20_000) < changed, random.integers(0, clusters, 20_000), first)
    check_agreement(first.tolist(), second.tolist())


@pytest.mark.parametrize("single", [2, 3, 100, 1000])
def test_single_queries_agree_with_themselves_and_with_nothing_else(single: int) -> None:
    alone = partition(*range(single))
    assert compare(alone, partition(*reversed(range(single)))).ami == 1.0
    pair = partition(0, *range(single - 1))
    assert compare(alone, pair).ami == compare(pair, alone).ami == 0.0


def test_nothing_shared_is_no_disagreement() -> None:
    comparison = compare(partition_of({1: 0}), partition_of({2: 0}))
    assert (comparison.shared, comparison.ari, comparison.ami) == (0, 1.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40), st.permutations(range(6)))
def test_other_ids_and_the_other_direction_change_nothing(
    labels: list[tuple[int, int]], names: list[int]
) -> None:
    first, second = partition(*(one for one, _ in labels)), partition(*(one for _, one in labels))
    renamed = Partition(second.query_ids, np.array([names[one] for one in second.labels], np.int32))
    as_it_is = compare(first, second)
    for other in (compare(first, renamed), compare(second, first)):
        assert other.ari == pytest.approx(as_it_is.ari, abs=1e-12)
        assert other.ami == pytest.approx(as_it_is.ami, abs=1e-12)


def by_definition(rows: list[int], columns: list[int]) -> float:
    """Every term of Vinh, Epps and Bailey's sum, with whole binomial coefficients."""
    total = sum(rows)
    return sum(
        n / total * log(total * n / (a * b)) * (comb(a, n) * comb(total - a, b - n) / comb(total, b))
        for a in rows
        for b in columns
        for n in range(max(1, a + b - total), min(a, b) + 1)
    )


@given(SIZES)
@example([500, 200, 200, 50])
def test_the_expected_information_by_its_definition(rows: list[int]) -> None:
    total = sum(rows)
    half = [total // 2, total - total // 2] if total > 1 else [1]
    for columns in (rows, rows[::-1], half, [1] * total if total < 100 else half):
        expected = expected_mutual_information(np.array(rows), np.array(columns))
        assert expected == pytest.approx(by_definition(rows, columns), rel=1e-9, abs=1e-13)


def test_the_size_of_a_piece_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.array([1, 2, 3, 40, 54]), np.array([5, 15, 20, 60])
    whole = expected_mutual_information(rows, columns)
    monkeypatch.setattr("domain.clustering.comparison.PAIRS_AT_ONCE", 7)
    monkeypatch.setattr("domain.clustering.comparison.CELLS_AT_ONCE", 10)
    assert expected_mutual_information(rows, columns) == pytest.approx(whole, rel=1e-14)


def test_a_window_longer_than_a_table() -> None:
    """Two halves of ten thousand million queries: of each of four pairs, 500,000 values are added up."""
    half = np.array([5_000_000_000, 5_000_000_000])
    assert expected_mutual_information(half, half) == pytest.approx(0.5 / 1e10, rel=1e-3)
