"""One or two sentences on a cluster, out of its own texts, none of which is quoted.

A description stands in the log, from which nothing can be erased. It has the words that several queries
share; what a person said is shown by the id of the query, for as long as that is there.
"""

from __future__ import annotations

import unicodedata

from adapters.namer.terms import Ranked
from commands.ports import ClusterTexts
from domain.values import NOISE

REPRESENTATIVES = 3
LISTED_TERMS = 10
READ = 400
"""Characters of a text that are looked at."""
BIDI_CONTROLS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def describe(cluster: ClusterTexts, terms: Ranked) -> tuple[str, list[int]]:
    """The description, and the ids of its representative queries."""
    central = representatives(cluster)
    words = ", ".join(term for term, _ in terms[:LISTED_TERMS])
    sentences = [_count(cluster) + ("." if central else " without any text.")]
    if words:
        sentences.append(f"Telling words: {words}.")
    return " ".join(sentences), central


def representatives(cluster: ClusterTexts) -> list[int]:
    """The ids of the most central queries that differ in their text."""
    central: dict[str, int] = {}
    for query_id, text in zip(cluster.query_ids, cluster.texts, strict=True):
        if seen := clean(text).casefold():
            central.setdefault(seen, query_id)
        if len(central) == REPRESENTATIVES:
            break
    return list(central.values())


def _count(cluster: ClusterTexts) -> str:
    counted = "1 query" if cluster.size == 1 else f"{cluster.size:,} queries"
    return f"{counted} that no cluster took in" if cluster.cluster_id == NOISE else counted


def clean(text: str) -> str:
    """The beginning on one line, without control characters, lone surrogates and marks that turn it round."""
    kept = (
        " " if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") else one
        for one in text[:READ]
        if one not in BIDI_CONTROLS
    )
    return " ".join("".join(kept).split())


def shortened(text: str, most: int) -> str:
    """Cut at a space where there is one in the last third."""
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    space = cut.rfind(" ")
    return cut[: space if space > most * 2 // 3 else None].rstrip() + "…"
