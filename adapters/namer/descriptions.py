"""One or two sentences on a cluster, out of its own texts."""

from __future__ import annotations

import unicodedata

from adapters.namer.terms import Ranked
from commands.ports import ClusterTexts
from domain.values import NOISE

QUOTED = 3
LONGEST_QUOTE = 90
LISTED_TERMS = 5
READ = 400
"""Characters of a text that are looked at for a quote."""
BIDI_CONTROLS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def describe(cluster: ClusterTexts, terms: Ranked) -> tuple[str, list[int]]:
    """The description, and the ids of the queries that it quotes."""
    quotes: dict[str, tuple[str, int]] = {}
    for query_id, text in zip(cluster.query_ids, cluster.texts, strict=True):
        quote = shortened(clean(text), LONGEST_QUOTE)
        if quote:
            quotes.setdefault(quote.casefold(), (quote, query_id))
        if len(quotes) == QUOTED:
            break
    spoken = _listed([f"“{quote}”" for quote, _ in quotes.values()])
    words = ", ".join(term for term, _ in terms[:LISTED_TERMS])
    sentences = [
        _count(cluster) + (f", such as {spoken}." if spoken else " without any text."),
        f"Telling words: {words}." if words else "",
    ]
    return " ".join(filter(None, sentences)), [query_id for _, query_id in quotes.values()]


def _count(cluster: ClusterTexts) -> str:
    counted = "1 query" if cluster.size == 1 else f"{cluster.size:,} queries"
    return f"{counted} that no cluster took in" if cluster.cluster_id == NOISE else counted


def _listed(quotes: list[str]) -> str:
    return ", ".join(quotes[:-1]) + (" and " if len(quotes) > 1 else "") + quotes[-1] if quotes else ""


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
