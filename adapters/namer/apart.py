"""Titles that are alike: which they are, and words or numbers that tell them apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from adapters.namer.terms import telling_terms, vocabulary_of
from adapters.namer.titles import UniqueTitles, title_key, title_pieces
from adapters.namer.words import root
from commands.ports import ClusterTexts, ToldApart
from domain.values import NOISE

NOISE_TITLE = "Unclustered"

Texts = Callable[[int], ClusterTexts]


class Apart:
    """Clusters that are called as another is, in groups, and the titles that stay as they are."""

    def __init__(self, titles: Mapping[int, str], taken: Mapping[int, str]) -> None:
        self._titles = titles
        others = {**taken, NOISE: NOISE_TITLE}
        self.groups = _alike(titles, others)
        moot = {one for group in self.groups for one in group}
        kept = [title for one, title in titles.items() if one not in moot]
        self.free = UniqueTitles([*others.values(), *kept])

    def told(
        self, clusters: Sequence[ClusterTexts], proposed: Mapping[int, str], prompt: str | None = None
    ) -> Iterator[ToldApart]:
        """New titles for the clusters of a group: those proposed where they are free, else a telling word."""
        vocabularies = [vocabulary_of(cluster.texts) for cluster in clusters]
        ranked = telling_terms(vocabularies)
        for cluster, vocabulary, terms in zip(clusters, vocabularies, ranked, strict=True):
            was = self._titles[cluster.cluster_id]
            wanted = proposed.get(cluster.cluster_id, was)
            said = title_key(wanted)
            phrases = (
                " ".join(word for word in piece.split() if root(word) not in said)
                for piece in title_pieces(vocabulary, terms)
            )
            title = self.free.take([wanted, *filter(None, phrases)])
            if title != was:
                asked = prompt if title == proposed.get(cluster.cluster_id) else None
                yield ToldApart(cluster.cluster_id, title, asked)


def _alike(titles: Mapping[int, str], others: Mapping[int, str]) -> list[list[int]]:
    groups: dict[frozenset[str], list[int]] = defaultdict(list)
    for cluster_id, title in titles.items():
        groups[title_key(title)].append(cluster_id)
    taken: dict[frozenset[str], set[int]] = defaultdict(set)
    for cluster_id, title in others.items():
        taken[title_key(title)].add(cluster_id)
    return [group for key, group in groups.items() if len(group) > 1 or taken[key] - {*group}]
