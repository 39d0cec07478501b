"""Two partitions beside each other: what both hold, what went where, and how far they agree.

They are two moments of one run or two runs. A query that is ERASED on either side counts nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.clustering.partition import Partition
from domain.values import ERASED, Labels, QueryIds

Counts = NDArray[np.int64]
Reals = NDArray[np.float64]

TAIL = 1e-12
"""How much of a hypergeometric distribution may be left out on either side."""

PAIRS_AT_ONCE = 1 << 18
CELLS_AT_ONCE = 1 << 16
"""Half a megabyte a table: what a core's own cache holds."""


class Shared(NamedTuple):
    """Ids and labels of the queries on both sides, and the labels of those on one side only."""

    query_ids: QueryIds
    before: Labels
    after: Labels
    only_before: Labels
    only_after: Labels


class Flows(NamedTuple):
    """The contingency table without its zeros, by `from_labels`, then `to_labels`."""

    from_labels: Labels
    to_labels: Labels
    counts: Counts


class Moved(NamedTuple):
    query_ids: QueryIds
    was: Labels
    now: Labels


@dataclass(frozen=True, eq=False)
class Comparison:
    """`moved` counts shared queries whose label differs: it says something of two moments of one run,
    and nothing of two runs, whose cluster ids have nothing to do with each other.

    `ari` (adjusted Rand index) and `ami` (adjusted mutual information, arithmetic mean) are of the shared
    queries: 1 for the same partition under whatever ids, about 0 for chance, less than 0 for worse. Noise and
    orphans count as one cluster each. Both are 1 where nothing is shared.
    """

    shared: int
    only_before: int
    only_after: int
    moved: int
    flows: Flows
    ari: float
    ami: float


def compare(before: Partition, after: Partition) -> Comparison:
    both = shared_queries(before, after)
    flows = flows_between(both.before, both.after)
    stayed = int(flows.counts[flows.from_labels == flows.to_labels].sum())
    return Comparison(
        shared=len(both.query_ids),
        only_before=len(both.only_before),
        only_after=len(both.only_after),
        moved=len(both.query_ids) - stayed,
        flows=flows,
        ari=adjusted_rand_index(flows),
        ami=adjusted_mutual_information(flows),
    )


def moved_queries(
    before: Partition,
    after: Partition,
    offset: int,
    limit: int,
    from_label: int | None = None,
    to_label: int | None = None,
) -> Moved:
    """A page of the shared queries whose label differs, by query id. `offset` and `limit` are not negative.

    How many there are in all stands in `Comparison`: `moved`, or the flow from the one label to the other.
    """
    both = shared_queries(before, after)
    chosen = both.before != both.after
    if from_label is not None:
        chosen &= both.before == from_label
    if to_label is not None:
        chosen &= both.after == to_label
    page = np.flatnonzero(chosen)[offset : offset + limit]
    return Moved(both.query_ids[page], both.before[page], both.after[page])


def shared_queries(before: Partition, after: Partition) -> Shared:
    both = _extended(before, after) or _intersected(before, after)
    kept = (both.before != ERASED) & (both.after != ERASED)
    if not kept.all():
        both = both._replace(query_ids=both.query_ids[kept], before=both.before[kept], after=both.after[kept])
    return both._replace(
        only_before=both.only_before[both.only_before != ERASED],
        only_after=both.only_after[both.only_after != ERASED],
    )


def _extended(before: Partition, after: Partition) -> Shared | None:
    """None unless one holds the queries of the other and, behind them, perhaps more."""
    size = min(len(before), len(after))
    ids = before.query_ids[:size]
    if before.query_ids is not after.query_ids and not np.array_equal(ids, after.query_ids[:size]):
        return None
    return Shared(ids, before.labels[:size], after.labels[:size], before.labels[size:], after.labels[size:])


def _intersected(before: Partition, after: Partition) -> Shared:
    ids, here, there = np.intersect1d(
        before.query_ids, after.query_ids, assume_unique=True, return_indices=True
    )
    return Shared(
        ids,
        before.labels[here],
        after.labels[there],
        np.delete(before.labels, here),
        np.delete(after.labels, there),
    )


def flows_between(before: Labels, after: Labels) -> Flows:
    """How many queries went from which label to which. The arrays are aligned."""
    if not len(before):
        return Flows(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))
    first, other = int(before.min()), int(after.min())
    height, width = int(before.max()) - first + 1, int(after.max()) - other + 1
    codes = (before.astype(np.int64) - first) * width + (after.astype(np.int64) - other)
    if height * width <= 4 * len(codes):
        table = np.bincount(codes, minlength=height * width)
        found = np.flatnonzero(table)
        counts = table[found]
    else:  # the table would be far larger than what is to be sorted
        found, counts = np.unique(codes, return_counts=True)
    rows, columns = np.divmod(found, width)
    return Flows((rows + first).astype(np.int32), (columns + other).astype(np.int32), counts)


def adjusted_rand_index(flows: Flows) -> float:
    """Hubert and Arabie 1985, by counts of ordered pairs in whole numbers, which do not overflow."""
    rows, columns = _sizes(flows.from_labels, flows.counts)[0], _sizes(flows.to_labels, flows.counts)[0]
    total, squares = int(flows.counts.sum()), _squares(flows.counts)
    together = squares - total
    parted, joined = _squares(rows) - squares, _squares(columns) - squares
    apart = total**2 - parted - joined - squares
    if not parted and not joined:
        return 1.0
    chance = (together + parted) * (parted + apart) + (together + joined) * (joined + apart)
    return 2.0 * (together * apart - parted * joined) / chance


def adjusted_mutual_information(flows: Flows) -> float:
    """Vinh, Epps and Bailey 2010, with the arithmetic mean of the entropies as the upper bound.

    Partitions that differ by nothing but ids are 1, and any other of which one has a single cluster or
    single queries only is 0: exactly, where the formula is 0/0 or rounding over nearly 0.
    """
    rows, row = _sizes(flows.from_labels, flows.counts)
    columns, column = _sizes(flows.to_labels, flows.counts)
    total = int(flows.counts.sum())
    if len(rows) == len(columns) == len(flows.counts):
        return 1.0
    if {len(rows), len(columns)} & {1, total}:
        return 0.0
    share = flows.counts / total
    information = share @ np.log(share / ((rows[row] / total) * (columns[column] / total)))
    expected = expected_mutual_information(rows, columns)
    bound = (_entropy(rows) + _entropy(columns)) / 2
    return float((information - expected) / max(bound - expected, np.finfo(np.float64).eps))


def _sizes(labels: Labels, counts: Counts) -> tuple[Counts, NDArray[np.intp]]:
    """The margin of a table, and the place in it of each cell."""
    margin, place = np.unique(labels, return_inverse=True)
    sizes = np.bincount(place, weights=counts, minlength=len(margin))
    return sizes.astype(np.int64), place


def _squares(counts: Counts) -> int:
    return int(counts @ counts)


def _entropy(sizes: Counts) -> float:
    share = sizes / sizes.sum()
    return float(-(share @ np.log(share)))


def expected_mutual_information(rows: Counts, columns: Counts) -> float:
    """Of two random partitions into clusters of these sizes (positive, of equal sum), in nats.

    Pairs of equal sizes are worked out once: the sizes of N queries are at most sqrt(2 N) different ones,
    so that there are never more than 2 N pairs, however many the clusters.
    """
    total = int(rows.sum())
    if total < 2:
        return 0.0
    a, a_times = np.unique(rows, return_counts=True)
    b, b_times = np.unique(columns, return_counts=True)
    expected = 0.0
    for start in range(0, len(a) * len(b), PAIRS_AT_ONCE):
        pairs = np.arange(start, min(start + PAIRS_AT_ONCE, len(a) * len(b)))
        i, j = np.divmod(pairs, len(b))
        each = _expected_terms(a[i].astype(np.float64), b[j].astype(np.float64), total)
        expected += float((a_times[i] * b_times[j]).astype(np.float64) @ each)
    return expected


def _expected_terms(a: Reals, b: Reals, total: int) -> Reals:
    """Per pair of sizes the expectation of n/N log(N n / (a b)), n being what both have in common."""
    mean = a * b / total
    low, width = _windows(a, b, mean, total)
    terms = np.empty_like(mean)
    for some, longest in _blocks(width):
        terms[some] = _mean_n_log_n(a[some], b[some], low[some], longest, total)
    return (terms - mean * np.log(mean)) / total


def _windows(a: Reals, b: Reals, mean: Reals, total: int) -> tuple[Reals, NDArray[np.int64]]:
    """Where n lies but for TAIL on either side, by Bernstein's inequality: from where, and how many values.

    It holds for a hypergeometric n, which is a sum of independent indicators (Vatutin and Mikhailov 1982).
    """
    variance = mean * (1 - a / total) * (1 - b / total) * total / (total - 1)
    nats = -np.log(TAIL)
    reach = nats / 3 + np.sqrt(nats**2 / 9 + 2 * nats * variance)
    low = np.maximum(np.maximum(0.0, a + b - total), np.floor(mean - reach))
    high = np.minimum(np.minimum(a, b), np.ceil(mean + reach))
    return low, (high - low).astype(np.int64) + 1


def _blocks(width: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Pairs with windows of about one width, so that little is padded, and the longest of the widths."""
    order, start = np.argsort(-width), 0
    while start < len(order):
        longest = int(width[order[start]])
        size = max(1, CELLS_AT_ONCE // longest)
        yield order[start : start + size], longest
        start += size


def _mean_n_log_n(a: Reals, b: Reals, low: Reals, width: int, total: int) -> Reals:
    """The expectation of n log n for hypergeometric n, from `low` on.

    Each weight comes from the one before by their ratio, and all are divided by their sum: factorials of
    millions, whose logarithms leave eight digits, do not occur. Beyond min(a, b) the ratio is 0.
    """
    step = np.arange(width, dtype=np.float64)
    weight: NDArray[Any] = np.ones((len(a), width))
    before, column = step[:-1], (slice(None), None)
    weight[:, 1:] = ((a - low)[column] - before) * ((b - low)[column] - before)
    weight[:, 1:] /= ((low + 1)[column] + before) * ((total - a - b + low + 1)[column] + before)
    np.cumprod(weight, axis=1, out=weight)
    n = low[column] + step
    n_log_n = n * np.log(np.maximum(n, 1.0))
    return np.asarray(np.einsum("ij,ij->i", weight, n_log_n) / weight.sum(axis=1))
