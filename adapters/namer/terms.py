"""Class-based TF-IDF: a term is telling when many texts of a cluster have it, and few of other clusters.

What one text alone has is no term: a name would repeat a single person's words.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from math import log1p

from adapters.namer.words import Segment, segments

TERMS = 30
"""Best terms that are kept of a cluster."""
FEWEST_TEXTS = 2
"""That have a term."""
NUMBER_WEIGHT = 0.3
"""What begins with a digit is seldom what a cluster is about."""

Ranked = list[tuple[str, float]]
"""Terms with their scores, best first."""


@dataclass(frozen=True)
class Vocabulary:
    """The segments of each text of a cluster, and how many of the texts have each term.

    `spellings` of a word are counted: "api" is mostly written API.
    """

    texts: list[list[Segment]]
    counts: Counter[str]
    spellings: dict[str, Counter[str]]


def vocabulary_of(texts: Sequence[str]) -> Vocabulary:
    split = [list(segments(text)) for text in texts]
    counts: Counter[str] = Counter()
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for parts in split:
        counts.update({term for part in parts for term in _terms(part)})
        for part in parts:
            for unit, surface in zip(part.units, part.surfaces, strict=True):
                spellings[unit][surface] += 1
    return Vocabulary(split, counts, spellings)


def _terms(part: Segment) -> list[str]:
    """Single words; pairs of characters."""
    size = 1 if part.joint else 2
    return [part.term(start, start + size) for start in range(len(part.units) - size + 1)]


def telling_terms(vocabularies: Sequence[Vocabulary]) -> list[Ranked]:
    """The best terms of each cluster.

    The score is share · log(1 + A / f) as in BERTopic, with the share of the cluster's texts that have the
    term, f the sum of these shares over all clusters, and A the mean over clusters of what shares sum up to.
    """
    shares = [
        {term: n / len(one.texts) for term, n in one.counts.items() if n >= FEWEST_TEXTS}
        for one in vocabularies
    ]
    everywhere: dict[str, float] = {}
    for one in shares:
        for term, share in one.items():
            everywhere[term] = everywhere.get(term, 0.0) + share
    average = sum(everywhere.values()) / max(1, len(shares))
    return [_best(one, everywhere, average) for one in shares]


def _best(shares: dict[str, float], everywhere: dict[str, float], average: float) -> Ranked:
    def score(term: str) -> float:
        weight = NUMBER_WEIGHT if term[0].isdigit() else 1.0
        return weight * shares[term] * log1p(average / everywhere[term])

    scored = ((-score(term), term) for term in shares)
    return [(term, -negative) for negative, term in nsmallest(TERMS, scored)]
