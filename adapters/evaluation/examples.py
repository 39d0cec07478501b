"""Cases that would help as examples: those that speak most like what failed, and not all of them alike."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from commands.ports import FailedCase, Report

TOO_NEAR = 0.9
"""Cosine above which a case says what a chosen one has said already."""


def choose_examples(report: Report) -> list[int]:
    """Numbers of cases of the pool, so many of each label that failed, by the mean cosine of TF-IDF vectors
    to the failed cases of the label."""
    failed, pool = _by_label(report.failed), _by_label(report.pool)
    wanted = [label for label in failed if label in pool]
    if not wanted or not report.examples_per_label:
        return []
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    words.fit([one.text for label in wanted for one in (*failed[label], *pool[label])])
    chosen = []
    for label in wanted:
        vectors = words.transform([one.text for one in pool[label]])
        centre = words.transform([one.text for one in failed[label]]).mean(axis=0)
        order = np.argsort(-(vectors @ np.asarray(centre).ravel()), kind="stable")
        chosen += [pool[label][at].number for at in _apart(vectors, order, report.examples_per_label)]
    return sorted(chosen)


def _by_label(cases: Any) -> dict[str, list[FailedCase]]:  # noqa: ANN401  (a sequence of cases)
    found: dict[str, list[FailedCase]] = defaultdict(list)
    for one in cases:
        found[one.expected].append(one)
    return dict(found)


def _apart(vectors: Any, order: Any, most: int) -> list[int]:  # noqa: ANN401  (a sparse matrix, an array)
    taken: list[int] = []
    for at in order.tolist():
        if len(taken) == most:
            break
        if not taken or (vectors[taken] @ vectors[at].T).max() < TOO_NEAR:
            taken.append(at)
    return taken
