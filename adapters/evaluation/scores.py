"""The port `Scorer` by scikit-learn and scipy, with bootstrap intervals by numpy.

To draw n cases with replacement is to draw how often each cell of the confusion matrix occurs: one
multinomial a resample, whatever n is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.evaluation.runs import ERROR
from domain.values import Labels

RESAMPLES = 1_000
LEVEL = 95
"""Per cent of the resamples that lie within an interval."""

DIGITS = 6
AT_ONCE = 4_000_000
"""Numbers of resamples that are held at a time: 32 MB."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class SklearnScorer:
    def score(self, labels: Sequence[str], truth: Labels, predicted: Labels, seed: int) -> dict[str, Any]:
        """Averages are over the labels that some case has. What is not defined (the recall of a label without
        cases, the precision of one that was never answered) is None, and counts as 0 in an average of F1s."""
        if not len(truth):
            return _nothing(labels)
        answers = np.where(predicted == ERROR, len(labels), predicted)
        cells, counts = np.unique(np.stack([truth, answers]), axis=1, return_counts=True)
        matrix = Resampled.drawn(cells, counts, len(labels), seed)
        correct = int((truth == answers).sum())
        return {
            "cases": len(truth),
            "correct": correct,
            "errors": int((predicted == ERROR).sum()),
            "accuracy": _rounded(correct / len(truth)),
            "accuracy_interval": _interval(matrix.hits.sum(axis=1) / len(truth)),
            **_averages(truth, answers, matrix),
            "classes": _classes(labels, truth, answers, matrix),
            "confusion": {"labels": list(labels), "cells": _cells(cells, counts)},
            "seed": seed,
            "resamples": RESAMPLES,
        }

    def compare(self, cells: Mapping[tuple[str, bool, bool], int], seed: int) -> dict[str, Any]:
        """McNemar's test is exact: of the cases that changed, were as many fixed as broken?"""
        from scipy.stats import binomtest

        total = sum(cells.values())
        outcomes = np.array([_of(cells, *key) for key in _OUTCOMES], np.int64)
        both, broken, fixed, neither = outcomes.tolist()
        changed = fixed + broken
        p_value = binomtest(fixed, changed, 0.5).pvalue if changed else 1.0
        difference = (fixed - broken) / total if total else None
        return {
            "cases": total,
            "both_right": both,
            "broken": broken,
            "fixed": fixed,
            "both_wrong": neither,
            "accuracy_before": _share(both + broken, total),
            "accuracy_after": _share(both + fixed, total),
            "difference": _rounded(difference),
            "difference_interval": _difference_interval(outcomes, seed),
            "p_value": float(f"{p_value:.6g}"),  # however small: it is never 0
            "classes": _changes(cells),
            "seed": seed,
            "resamples": RESAMPLES,
        }


@dataclass(frozen=True)
class Resampled:
    """Matrices of resamples as sums of their cells, each of shape (resamples, labels).

    `answered` has one column more, of errors.
    """

    support: Counts
    answered: Counts
    hits: Counts

    @staticmethod
    def drawn(cells: Labels, counts: Counts, labels: int, seed: int) -> Resampled:
        """Resamples are drawn some at a time: no more than AT_ONCE numbers are held of them."""
        generator, total = np.random.default_rng(seed), int(counts.sum())
        right = np.where(cells[0] == cells[1], cells[0], labels)
        members = [_member(cells[0], labels), _member(cells[1], labels + 1), _member(right, labels + 1)]
        sums: list[list[Counts]] = [[], [], []]
        step = max(1, AT_ONCE // len(counts))
        for begin in range(0, RESAMPLES, step):
            size = min(step, RESAMPLES - begin)
            some = generator.multinomial(total, counts / total, size=size)
            for found, member in zip(sums, members, strict=True):
                found.append(some @ member)
        support, answered, hits = map(np.concatenate, sums)
        return Resampled(support, answered, hits[:, :-1])

    def f1(self) -> Floats:
        """Of each label in each resample; NaN where no case of it was drawn."""
        both = self.support + self.answered[:, :-1]
        undefined = np.full(both.shape, np.nan)
        found: Floats = np.divide(2.0 * self.hits, both, out=undefined, where=self.support > 0)
        return found


def _member(of: Labels, labels: int) -> Any:  # noqa: ANN401  (a sparse matrix)
    """Which cell belongs to which label: counts of cells times this are counts of labels."""
    from scipy.sparse import csr_array

    ones = np.ones(len(of), np.int64)
    return csr_array((ones, (np.arange(len(of)), of)), shape=(len(of), labels))


def _averages(truth: Labels, answers: Labels, matrix: Resampled) -> dict[str, Any]:
    from sklearn.metrics import precision_recall_fscore_support

    present = np.unique(truth)
    f1 = matrix.f1()[:, present]
    support = matrix.support[:, present]
    weighted = np.nansum(f1 * support, axis=1) / len(truth)
    drawn = {"macro": np.nanmean(f1, axis=1), "weighted": weighted}
    found = {}
    for average, values in drawn.items():
        figures = precision_recall_fscore_support(
            truth, answers, labels=present, average=average, zero_division=0.0
        )
        names = zip(("precision", "recall", "f1"), map(_rounded, figures[:3]), strict=True)
        found[average] = {**dict(names), "f1_interval": _interval(values)}
    return found


def _classes(
    labels: Sequence[str], truth: Labels, answers: Labels, matrix: Resampled
) -> list[dict[str, Any]]:
    from sklearn.metrics import precision_recall_fscore_support

    every = np.arange(len(labels))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, answers, labels=every, average=None, zero_division=np.nan
    )
    answered = np.bincount(answers, minlength=len(labels) + 1)
    hits = np.bincount(truth[truth == answers], minlength=len(labels))
    drawn = matrix.f1()
    return [
        {
            "label": label,
            "support": int(support[at]),
            "predicted": int(answered[at]),
            "correct": int(hits[at]),
            "precision": _rounded(precision[at]),
            "recall": _rounded(recall[at]),
            "f1": _rounded(f1[at]),
            "f1_interval": _interval(drawn[:, at]) if support[at] else None,
        }
        for at, label in enumerate(labels)
    ]


_BOUNDS = [(100 - LEVEL) / 2, (100 + LEVEL) / 2]
_OUTCOMES = ((True, True), (True, False), (False, True), (False, False))
"""Right before, right after."""


def _cells(cells: Labels, counts: Counts) -> list[list[int]]:
    """`[truth, answer, cases]` where there are some; the answer behind the last label is an error."""
    return [[*pair, count] for pair, count in zip(cells.T.tolist(), counts.tolist(), strict=True)]


def _nothing(labels: Sequence[str]) -> dict[str, Any]:
    average = {"precision": None, "recall": None, "f1": None, "f1_interval": None}
    empty = {"support": 0, "predicted": 0, "correct": 0, **average}
    return {
        "cases": 0,
        "correct": 0,
        "errors": 0,
        "accuracy": None,
        "accuracy_interval": None,
        "macro": average,
        "weighted": average,
        "classes": [{"label": label, **empty} for label in labels],
        "confusion": {"labels": list(labels), "cells": []},
    }


def _changes(cells: Mapping[tuple[str, bool, bool], int]) -> list[dict[str, Any]]:
    found = []
    for label in sorted({label for label, _, _ in cells}):
        both, broken, fixed, neither = (cells.get((label, *key), 0) for key in _OUTCOMES)
        support = both + broken + fixed + neither
        found.append(
            {
                "label": label,
                "support": support,
                "fixed": fixed,
                "broken": broken,
                "recall_before": _share(both + broken, support),
                "recall_after": _share(both + fixed, support),
            }
        )
    return found


def _of(cells: Mapping[tuple[str, bool, bool], int], before: bool, after: bool) -> int:
    return sum(count for (_, was, now), count in cells.items() if (was, now) == (before, after))


def _difference_interval(outcomes: Counts, seed: int) -> list[float | None] | None:
    """Cases are drawn in pairs, before and after: drawn is how many of each outcome there are."""
    total = int(outcomes.sum())
    if not total:
        return None
    drawn = np.random.default_rng(seed).multinomial(total, outcomes / total, size=RESAMPLES)
    return _interval((drawn[:, 2] - drawn[:, 1]) / total)


def _interval(values: Floats) -> list[float | None]:
    return [_rounded(bound) for bound in np.percentile(values[~np.isnan(values)], _BOUNDS)]


def _share(part: int, whole: int) -> float | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), DIGITS)
