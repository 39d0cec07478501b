"""A hierarchy without a language model: what lies together goes together, by its telling words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from adapters.namer.terms import Ranked, telling_terms, vocabulary_of
from adapters.namer.titles import UniqueTitles, title_pieces
from adapters.taxonomist.neighborhoods import neighborhoods
from commands.hierarchy import mean_direction
from commands.ports import (
    Assigned,
    Category,
    Child,
    Chosen,
    Group,
    Limits,
    Named,
    Neighborhood,
    Proposed,
    Step,
    Stop,
    never,
)
from domain.hierarchy import FIRST_CATEGORY
from domain.values import Labels, Vectors

MODEL = "local/agglomerative"
LISTED_TERMS = 10


class LocalTaxonomist:
    """The port `Taxonomist` by agglomerative clustering. The same clusters get the same hierarchy.

    It sees all children at once, unless it is told to look at them by neighbourhoods.
    """

    model = MODEL
    prompts: Mapping[Step, str] = MappingProxyType({})

    def neighborhoods(
        self, children: Sequence[Child], wanted: int, size: int | None
    ) -> Sequence[Neighborhood]:
        return neighborhoods(children, wanted, size or len(children))

    def propose(
        self, neighborhoods: Iterable[Neighborhood], limits: Limits, stop: Stop = never
    ) -> Iterator[Proposed]:
        """Called as the largest of what they are of: the names come at the end."""
        for one in neighborhoods:
            yield Proposed(one.number, [_category(group) for group in grouped(one.children, one.wanted)])

    def deduplicate(
        self,
        proposed: Sequence[Category],
        children: Sequence[Child],
        wanted: int,
        limits: Limits,
        stop: Stop = never,
    ) -> Chosen:
        """Where there are too many, those that lie together become one."""
        if len(proposed) <= wanted:
            return Chosen(proposed)
        known = {one.cluster_id: one for one in children}
        first = FIRST_CATEGORY if children[0].cluster_id >= FIRST_CATEGORY else 0
        stand_ins = [
            Child(first + at, one.title, "", sum(child.size for child in group), mean_direction(group))
            for at, one in enumerate(proposed)
            for group in [[known[child] for child in one.cluster_ids]]
        ]
        together = (
            [proposed[one.cluster_id - first] for one in group] for group in grouped(stand_ins, wanted)
        )
        return Chosen([_category([known[i] for one in some for i in one.cluster_ids]) for some in together])

    def assign(
        self,
        children: Sequence[Child],
        known: Collection[int],
        categories: Sequence[Category],
        limits: Limits,
        stop: Stop = never,
    ) -> Iterator[Assigned]:
        """To what it was proposed for. What lies by itself fits under none: one alone is no category."""
        places = {child: one for one in categories for child in one.cluster_ids if len(one.cluster_ids) > 1}
        for one in children:
            if one.cluster_id not in known:
                place = places.get(one.cluster_id)
                yield Assigned(one.cluster_id, place.category_id if place else None)

    def rename(
        self, groups: Sequence[Group], known: Mapping[int, str], limits: Limits, stop: Stop = never
    ) -> Iterator[Named]:
        """By class-based TF-IDF over queries of what is under them: a term is telling against the others."""
        vocabularies = [
            vocabulary_of([text for one in group.children for text in one.texts]) for group in groups
        ]
        titles = UniqueTitles(reserved="")
        for group, vocabulary, terms in zip(groups, vocabularies, telling_terms(vocabularies), strict=True):
            title = titles.take(title_pieces(vocabulary, terms) or [group.category.title])
            if group.category.category_id not in known:
                yield Named(group.category.category_id, title, _described(terms))


def _described(terms: Ranked) -> str:
    words = ", ".join(term for term, _ in terms[:LISTED_TERMS])
    return f"Telling words: {words}." if words else ""


def grouped(children: Sequence[Child], count: int) -> list[list[Child]]:
    """So many groups of children that lie together, in the order of their first ones."""
    labels = _labels(children, min(count, len(children)))
    found: dict[int, list[Child]] = {}
    for one, label in zip(children, labels.tolist(), strict=True):
        found.setdefault(label, []).append(one)
    return list(found.values())


def _labels(children: Sequence[Child], count: int) -> Labels:
    from sklearn.cluster import AgglomerativeClustering

    if len(children) < 2:
        return np.zeros(len(children), np.int32)
    found: Labels = AgglomerativeClustering(count, linkage="ward").fit_predict(_directions(children))
    return found


def _directions(children: Sequence[Child]) -> Vectors:
    """Those of categories as seen from the middle of them all.

    The more a category has under it, the more it points where everything does: Ward's linkage would put the
    general ones into one group, whatever they are about.
    """
    vectors = np.stack([one.vector for one in children])
    if children[0].cluster_id < FIRST_CATEGORY:
        return vectors
    middle = np.average(vectors, axis=0, weights=[max(1, one.size) for one in children])
    lengths = np.linalg.norm(vectors - middle, axis=1, keepdims=True)
    return np.asarray((vectors - middle) / np.maximum(lengths, 1e-12), np.float32)


def _category(group: Sequence[Child]) -> Category:
    largest = max(group, key=lambda one: (one.size, -one.cluster_id))
    return Category(largest.title, "", [one.cluster_id for one in group])
