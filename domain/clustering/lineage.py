"""What became of the clusters of an older run in a newer one: continued, split, merged, gone, or new.

Edits are carried over along continuations, of which a cluster has at most one, on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from domain.clustering.comparison import Counts, Reals, Shared, flows_between, shared_queries
from domain.clustering.partition import Partition
from domain.errors import Invalid
from domain.values import ERASED, Labels

Matrix = NDArray[np.floating[Any]]
Places = NDArray[np.intp]
Assign = Callable[[Matrix], tuple[Places, Places]]
"""One-to-one pairs (rows, columns) of the greatest possible sum. Rows and columns may differ in number."""

Kind = Literal["continuation", "split", "merge", "birth", "death"]

THRESHOLD = 0.3
"""The least score of a continuation. Of two clusters of equal size it asks that they share 46%.

Measured (docs/carry-over.md): pairs that score more are mostly right, those that score less as often not.
"""

MOST = 0.5
"""More than this share is most of a cluster."""

SUBSTANTIAL = 0.1
"""The least size of a part, beside the largest part. Not beside the whole: one cluster may become twenty."""

DIGITS = 4
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Evidence:
    """What an old and a new cluster have in common; shares are rounded to four digits.

    `overlap`, `share_of_old`, `share_of_new` and `jaccard` are of the queries that both runs have.
    `similarity` is the cosine of the centroids, None where it was not given.
    """

    old: int
    new: int
    overlap: int
    share_of_old: float
    share_of_new: float
    jaccard: float
    similarity: float | None
    score: float


@dataclass(frozen=True)
class Link:
    """Old and new cluster ids in ascending order, and the evidence of each pair in the same order.

    continuation: one old, one new; split: one old, two or more new; merge: two or more old, one new;
    birth: one new; death: one old. The last two have no evidence.
    """

    kind: Kind
    old: tuple[int, ...]
    new: tuple[int, ...]
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Lineage:
    """Every given cluster stands in at least one link, and in at most one continuation.

    The part of a split, or of a merge, that a continuation leads to stands in both links.
    """

    links: tuple[Link, ...]

    def of_kind(self, kind: Kind) -> list[Link]:
        return [link for link in self.links if link.kind == kind]

    def target_of(self, old: int) -> int | None:
        """The new cluster that takes over the edits of an old one."""
        return self._targets.get(old)

    @cached_property
    def _targets(self) -> dict[int, int]:
        return {link.old[0]: link.new[0] for link in self.of_kind("continuation")}

    def as_dict(self) -> dict[str, Any]:
        """For an event: some 200 bytes of JSON a pair with evidence."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Lineage:
        return cls(
            tuple(
                Link(
                    link["kind"],
                    tuple(link["old"]),
                    tuple(link["new"]),
                    tuple(Evidence(**one) for one in link["evidence"]),
                )
                for link in stored["links"]
            )
        )


def match(
    older: Partition,
    newer: Partition,
    old_ids: Sequence[int],
    new_ids: Sequence[int],
    assign: Assign,
    similarity: Matrix | None = None,
    threshold: float = THRESHOLD,
    apart: float = 0.0,
) -> Lineage:
    """Match the clusters of two runs. NOISE, ORPHAN and ERASED never match, also when their ids are given.

    The score of a pair is its Jaccard index over the queries that both runs have, blended with the cosine of
    the centroids (`similarity`: a row for each of `old_ids`, a column for each of `new_ids`; not a number is
    0) in proportion to the share of the pair's members that the other run lacks. So runs of the same queries
    are matched by overlap alone, runs of disjoint queries by centroids alone, and so are two clusters that
    have no members. Without `similarity` the score is the Jaccard index. A cosine of `apart` or less, which
    different clusters have as well (`neighbourhood`), counts as 0, and 1 as 1.

    A continuation is a pair of the one-to-one assignment with the greatest sum of scores, of which none is
    less than `threshold`; two that are each other's first choice are not separated for the sake of that sum.
    A split is an old cluster whose parts together hold most of it, two or more of them substantial; a part
    is a new cluster made mostly of it. A merge is a new cluster that holds most of two or more old ones.
    All three may meet in one cluster. A birth or death is a cluster in none of them; so a fragment that is
    not substantial is a birth.
    """
    if not 0 < threshold <= 1:
        raise Invalid(f"threshold is {threshold}; it must be greater than 0 and at most 1")
    if not 0 <= apart < 1:
        raise Invalid(f"apart is {apart}; it is a cosine from 0 to less than 1")
    old, new = np.asarray(old_ids, np.int64), np.asarray(new_ids, np.int64)
    pairs = _Pairs(shared_queries(older, newer), old, new, similarity, apart)
    linked = [*_continuations(pairs, assign, threshold), *_splits(pairs), *_merges(pairs)]
    births = sorted({*pairs.new.tolist()} - {one for link in linked for one in link.new})
    deaths = sorted({*pairs.old.tolist()} - {one for link in linked for one in link.old})
    return Lineage(
        (
            *linked,
            *(Link("birth", (), (one,)) for one in births),
            *(Link("death", (one,), ()) for one in deaths),
        )
    )


def neighbourhood(*centroids: Matrix) -> float:
    """The cosine of a cluster with the one nearest to it in its run: the median, over runs of unit rows.

    In a space where all texts are alike it is high, and says little of two clusters of different runs.
    Rows of zeros are left out; 0 for runs of one cluster. At most 0.99.
    """
    nearest: list[float] = []
    for run in centroids:
        rows = run[run.any(axis=1)]
        for start in range(0, len(rows) if len(rows) > 1 else 0, ROWS_AT_ONCE):
            cosines = rows[start : start + ROWS_AT_ONCE] @ rows.T
            own = np.arange(len(cosines))
            cosines[own, start + own] = -1
            nearest += cosines.max(axis=1).tolist()
    return float(np.clip(np.median(nearest), 0, 0.99)) if nearest else 0.0


class _Pairs:
    """What is known of each old with each new cluster, by their places in `old` and `new`, which ascend.

    `rows`, `columns` and `overlap` hold the pairs with shared queries, in ascending order.
    """

    def __init__(
        self, both: Shared, old_ids: Counts, new_ids: Counts, similarity: Matrix | None, apart: float
    ) -> None:
        if similarity is not None and similarity.shape != (len(old_ids), len(new_ids)):
            wanted = (len(old_ids), len(new_ids))
            raise Invalid(f"similarity is {similarity.shape}; the old and the new clusters make it {wanted}")
        self.old, self._old_at = _clusters(old_ids)
        self.new, self._new_at = _clusters(new_ids)
        self._similarity, self._apart = similarity, apart
        self.old_shared, self.new_shared = _sizes(both.before, self.old), _sizes(both.after, self.new)
        self._old_lacked = _sizes(both.only_before, self.old)
        self._new_lacked = _sizes(both.only_after, self.new)
        flows = flows_between(both.before, both.after)
        kept = np.isin(flows.from_labels, self.old) & np.isin(flows.to_labels, self.new)
        self.rows = np.searchsorted(self.old, flows.from_labels[kept])
        self.columns = np.searchsorted(self.new, flows.to_labels[kept])
        self.overlap = flows.counts[kept]

    def share_of_old(self) -> Reals:
        return np.asarray(self.overlap / self.old_shared[self.rows])

    def share_of_new(self) -> Reals:
        return np.asarray(self.overlap / self.new_shared[self.columns])

    def scores(self, start: int, end: int) -> Reals:
        """The rows from `start` to `end` of the matrix of scores."""
        overlap = np.zeros((min(end, len(self.old)) - start, len(self.new)))
        cells = slice(*np.searchsorted(self.rows, [start, end]))
        overlap[self.rows[cells] - start, self.columns[cells]] = self.overlap[cells]
        rows = np.arange(start, start + len(overlap))[:, None]
        return self._score(rows, np.arange(len(self.new))[None, :], overlap)

    def _jaccard(self, rows: Places, columns: Places, overlap: Reals | Counts) -> Reals:
        either = self.old_shared[rows] + self.new_shared[columns] - overlap
        return np.asarray(overlap / np.maximum(either, 1))

    def _cosine(self, rows: Places, columns: Places) -> Reals | None:
        if self._similarity is None:
            return None
        return np.clip(np.nan_to_num(self._similarity[self._old_at[rows], self._new_at[columns]]), -1, 1)

    def _score(self, rows: Places, columns: Places, overlap: Reals | Counts) -> Reals:
        jaccard, cosine = self._jaccard(rows, columns, overlap), self._cosine(rows, columns)
        if cosine is None:
            return jaccard
        lacked = self._old_lacked[rows] + self._new_lacked[columns]
        members = lacked + self.old_shared[rows] + self.new_shared[columns]
        lacking = np.where(members == 0, 1.0, lacked / np.maximum(members, 1))
        alike = np.maximum(cosine - self._apart, 0) / (1 - self._apart)
        return np.asarray((1 - lacking) * jaccard + lacking * alike)

    def evidence(self, rows: Places, columns: Places) -> list[Evidence]:
        overlap = self._overlaps(rows, columns)
        cosine = self._cosine(rows, columns)
        return [
            Evidence(*one)
            for one in zip(
                self.old[rows].tolist(),
                self.new[columns].tolist(),
                overlap.tolist(),
                _rounded(overlap / np.maximum(self.old_shared[rows], 1)),
                _rounded(overlap / np.maximum(self.new_shared[columns], 1)),
                _rounded(self._jaccard(rows, columns, overlap)),
                [None] * len(rows) if cosine is None else _rounded(cosine),
                _rounded(self._score(rows, columns, overlap)),
                strict=True,
            )
        ]

    def _overlaps(self, rows: Places, columns: Places) -> Counts:
        """Of pairs some of which may share no query."""
        width = len(self.new)
        known, wanted = self.rows * width + self.columns, rows * width + columns
        overlap = np.zeros(len(rows), np.int64)
        found = np.isin(wanted, known)
        overlap[found] = self.overlap[np.searchsorted(known, wanted[found])]
        return overlap


def _clusters(ids: Counts) -> tuple[Counts, Places]:
    """The ids of clusters in ascending order, and where each stands in what was given."""
    ascending, at = np.unique(ids, return_index=True)
    return ascending[ascending >= 0], at[ascending >= 0]


def _sizes(labels: Labels, ids: Counts) -> Counts:
    counts = np.bincount(labels - ERASED, minlength=1 - ERASED + int(ids.max(initial=0)))
    return np.asarray(counts[ids - ERASED])


def _rounded(values: Reals) -> list[float]:
    return cast("list[float]", np.round(values.astype(np.float64), DIGITS).tolist())


def _continuations(pairs: _Pairs, assign: Assign, threshold: float) -> list[Link]:
    """What is less than the threshold is 0 before the assignment, so that it cannot push others aside."""
    scores = np.zeros((len(pairs.old), len(pairs.new)))
    if not scores.size:
        return []
    for start in range(0, len(scores), ROWS_AT_ONCE):
        some = pairs.scores(start, start + ROWS_AT_ONCE)
        scores[start : start + ROWS_AT_ONCE] = np.where(some < threshold, 0, some)
    _prefer_first_choices(scores)
    rows, columns = assign(scores)
    good = scores[rows, columns] > 0
    evidence = pairs.evidence(rows[good], columns[good])
    return [
        Link("continuation", (one.old,), (one.new,), (one,))
        for one in sorted(evidence, key=lambda one: one.old)
    ]


def _prefer_first_choices(scores: Reals) -> None:
    """Add 2 where a score is the best of its row and of its column, which no two other pairs outweigh.

    By the plain sum, a cluster of which 70% stay together could be continued by the other 30%, if what joined
    the 70% is a second choice for these.
    """
    first = (scores == scores.max(axis=1, keepdims=True)) & (scores == scores.max(axis=0)) & (scores > 0)
    scores[first] += 2


def _splits(pairs: _Pairs) -> list[Link]:
    part = pairs.share_of_new() > MOST
    rows, overlap = pairs.rows[part], pairs.overlap[part]
    held = np.bincount(rows, overlap, len(pairs.old))
    largest = np.zeros(len(pairs.old))
    np.maximum.at(largest, rows, overlap)
    substantial = (overlap >= SUBSTANTIAL * largest[rows]) & (held > MOST * pairs.old_shared)[rows]
    return _groups("split", pairs, np.flatnonzero(part)[substantial], pairs.rows)


def _merges(pairs: _Pairs) -> list[Link]:
    return _groups("merge", pairs, np.flatnonzero(pairs.share_of_old() > MOST), pairs.columns)


def _groups(kind: Kind, pairs: _Pairs, cells: Places, by: Places) -> list[Link]:
    """A link for each place in `by` that two or more of the cells have in common."""
    cells = cells[np.argsort(by[cells], kind="stable")]
    cells = cells[np.bincount(by[cells])[by[cells]] > 1]
    evidence = pairs.evidence(pairs.rows[cells], pairs.columns[cells])
    groups = groupby(zip(by[cells].tolist(), evidence, strict=True), key=itemgetter(0))
    return [_link(kind, tuple(one for _, one in group)) for _, group in groups]


def _link(kind: Kind, evidence: tuple[Evidence, ...]) -> Link:
    old, new = sorted({one.old for one in evidence}), sorted({one.new for one in evidence})
    return Link(kind, tuple(old), tuple(new), evidence)
