"""Which clusters somebody should look at, and why: heuristics over sizes, measures and what people noted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from domain.values import NOISE, Vectors

Heuristic = Literal[
    "low_cohesion",
    "low_confidence",
    "too_small",
    "too_large",
    "overlap",
    "incoherent",
    "flagged",
    "low_quality",
]
HEURISTICS: tuple[Heuristic, ...] = get_args(Heuristic)

FEW = 5
"""With fewer clusters than this none is called unlike the others."""

MOST_COMPARED = 5_000
"""Clusters of which each is compared with each: 0.3 s."""

ROWS_AT_ONCE = 500
TENTH = 0.1
EVEN_SHARES = 3
JUDGED = 2.0
"""How much the word of a person weighs: as much as a threshold that is missed altogether."""

SAID = 1.5
"""How much the word of a language model weighs."""


@dataclass(frozen=True)
class Thresholds:
    """None: relative to the run. `mads`: so many median absolute deviations below the median."""

    mads: float = 2.0
    min_cohesion: float | None = None
    min_confidence: float | None = None
    min_size: int = 5
    max_share: float | None = None
    max_similarity: float = 0.85
    max_coherence_score: int = 2


@dataclass(frozen=True)
class Facts:
    """What is known of a cluster. None: not measured, or nothing to measure; `centroid` of length 1.

    `incoherent`: why the summary run that is looked at found no topic in it, where it did.
    """

    cluster_id: int
    size: int
    cohesion: float | None = None
    confidence: float | None = None
    centroid: Vectors | None = None
    coherence_score: int | None = None
    quality: str | None = None
    flags: Sequence[str] = ()
    incoherent: str | None = None


@dataclass(frozen=True)
class Reason:
    """`weight`: from 1, where a threshold is just missed, to 2."""

    heuristic: Heuristic
    value: float | str
    threshold: float | str
    detail: str
    weight: float
    neighbour_cluster_id: int | None = None


@dataclass(frozen=True)
class Bad:
    facts: Facts
    reasons: list[Reason]

    @property
    def score(self) -> float:
        return round(sum(reason.weight for reason in self.reasons), 4)


def bad_clusters(
    clusters: Sequence[Facts], queries: int, heuristics: Collection[Heuristic], limits: Thresholds
) -> list[Bad]:
    """Those that a heuristic speaks against, the worst first. `queries`: how many the run has in all.

    The noise is no cluster that could be better: nothing but its flags is looked at.
    """
    reasons: dict[int, list[Reason]] = {}
    for heuristic in (one for one in HEURISTICS if one in heuristics):
        looked_at = [one for one in clusters if one.cluster_id != NOISE or heuristic == "flagged"]
        for cluster_id, reason in _RULES[heuristic](looked_at, queries, limits):
            reasons.setdefault(cluster_id, []).append(reason)
    found = [Bad(one, reasons[one.cluster_id]) for one in clusters if one.cluster_id in reasons]
    return sorted(found, key=lambda bad: (-bad.score, -bad.facts.size, bad.facts.cluster_id))


Found = Iterator[tuple[int, Reason]]


def _low_cohesion(clusters: Sequence[Facts], queries: int, limits: Thresholds) -> Found:
    known = {one.cluster_id: one.cohesion for one in clusters if one.cohesion is not None}
    return _low("low_cohesion", "cohesion", known, limits.min_cohesion, limits.mads)


def _low_confidence(clusters: Sequence[Facts], queries: int, limits: Thresholds) -> Found:
    known = {one.cluster_id: one.confidence for one in clusters if one.confidence is not None}
    return _low("low_confidence", "mean confidence", known, limits.min_confidence, limits.mads)


def _low(heuristic: Heuristic, what: str, known: dict[int, float], least: float | None, mads: float) -> Found:
    unlike = _unlike_others(list(known.values()), mads) if least is None else None
    threshold = unlike if least is None else least
    if threshold is None:
        return
    why = "as asked for" if least is not None else f"{mads:g} median absolute deviations below the median"
    for cluster_id, value in known.items():
        if value < threshold:
            detail = f"{what} {value:.3f} is below {threshold:.3f}, {why}"
            weight = 1 + (threshold - value) / threshold
            yield cluster_id, Reason(heuristic, round(value, 4), round(threshold, 4), detail, weight)


def _unlike_others(values: Sequence[float], mads: float) -> float | None:
    """The median less so many median absolute deviations; None where there is nothing to deviate from."""
    if len(values) < FEW:
        return None
    median = float(np.median(values))
    deviation = float(np.median(np.abs(np.array(values) - median)))
    threshold = median - mads * deviation
    return threshold if deviation > 0 and threshold > 0 else None


def _too_small(clusters: Sequence[Facts], queries: int, limits: Thresholds) -> Found:
    for one in clusters:
        if one.size < limits.min_size:
            detail = f"{one.size} queries are fewer than {limits.min_size}"
            weight = 2 - one.size / limits.min_size
            yield one.cluster_id, Reason("too_small", one.size, limits.min_size, detail, weight)


def _too_large(clusters: Sequence[Facts], queries: int, limits: Thresholds) -> Found:
    even = EVEN_SHARES / max(len(clusters), 1)
    most = max(TENTH, even) if limits.max_share is None else limits.max_share
    for one in clusters:
        share = one.size / max(queries, 1)
        if share > most:
            detail = f"{one.size} queries are {share:.1%} of the run, more than {most:.1%}"
            weight = 1 + (share - most) / (1 - most)
            yield one.cluster_id, Reason("too_large", round(share, 4), round(most, 4), detail, weight)


def _overlap(clusters: Sequence[Facts], queries: int, limits: Thresholds) -> Found:
    known = [one for one in clusters if one.centroid is not None and one.cohesion is not None]
    if len(known) > MOST_COMPARED or not known:
        return
    centroids = np.stack([one.centroid for one in known if one.centroid is not None])
    for start in range(0, len(known), ROWS_AT_ONCE):
        cosines = centroids[start : start + ROWS_AT_ONCE] @ centroids.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -1
        above = (cosines > limits.max_similarity).sum(axis=1)
        nearest = cosines.argmax(axis=1)
        for row in np.flatnonzero(above).tolist():
            other = known[nearest[row]].cluster_id
            value = min(float(cosines[row, nearest[row]]), 1.0)
            more = f", and {above[row] - 1} more" if above[row] > 1 else ""
            detail = f"its centroid has a cosine of {value:.3f} to that of cluster {other}{more}"
            weight = 1 + (value - limits.max_similarity) / max(1 - limits.max_similarity, 1e-9)
            yield (
                known[start + row].cluster_id,
                Reason("overlap", round(value, 4), limits.max_similarity, detail, weight, other),
            )


def _incoherent(clusters: Sequence[Facts], queries: int, limits: Thresholds) -> Found:
    for one in clusters:
        if one.incoherent is not None:
            yield one.cluster_id, Reason("incoherent", "incoherent", "coherent", one.incoherent, SAID)


def _flagged(clusters: Sequence[Facts], queries: int, limits: Thresholds) -> Found:
    for one in clusters:
        if one.flags:
            detail = f"flagged: {', '.join(one.flags)}"
            yield one.cluster_id, Reason("flagged", len(one.flags), 1, detail, JUDGED)


def _low_quality(clusters: Sequence[Facts], queries: int, limits: Thresholds) -> Found:
    most = limits.max_coherence_score
    for one in clusters:
        if one.quality == "low":
            yield one.cluster_id, Reason("low_quality", "low", "low", "its quality is noted as low", JUDGED)
        if one.coherence_score is not None and one.coherence_score <= most:
            detail = f"its coherence is noted as {one.coherence_score} of 5"
            yield one.cluster_id, Reason("low_quality", one.coherence_score, most, detail, JUDGED)


_RULES: dict[Heuristic, Callable[[Sequence[Facts], int, Thresholds], Found]] = {
    "low_cohesion": _low_cohesion,
    "low_confidence": _low_confidence,
    "too_small": _too_small,
    "too_large": _too_large,
    "overlap": _overlap,
    "incoherent": _incoherent,
    "flagged": _flagged,
    "low_quality": _low_quality,
}


def unmeasured(clusters: Sequence[Facts], heuristics: Collection[Heuristic]) -> dict[Heuristic, str]:
    """Heuristics that could not look at everything, each with the reason."""
    real = [one for one in clusters if one.cluster_id != NOISE and one.size]
    missing = sum(one.cohesion is None for one in real)
    found: dict[Heuristic, str] = {}
    if missing:
        why = f"{missing} of {len(real)} clusters are not measured yet; ask again in a while"
        found = {"low_cohesion": why, "overlap": why}
    if len(real) - missing > MOST_COMPARED:
        found["overlap"] = f"more than {MOST_COMPARED} clusters are not compared with one another"
    return {heuristic: why for heuristic, why in found.items() if heuristic in heuristics}
