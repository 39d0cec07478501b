"""Titles and descriptions without a language model: the words that tell a cluster from its siblings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapters.namer.descriptions import describe
from adapters.namer.terms import Vocabulary, telling_terms, vocabulary_of
from adapters.namer.titles import UniqueTitles, fallback_title, title_pieces
from commands.ports import ClusterName, ClusterTexts, Namer
from domain.base import Invalid
from domain.values import NOISE

__all__ = ["LocalNamer", "make_namer"]

MODEL = "local/c-tf-idf"
NOISE_TITLE = "Unclustered"


class LocalNamer:
    """The port `Namer` by class-based TF-IDF. The same clusters get the same names."""

    @property
    def model(self) -> str:
        return MODEL

    def name(self, clusters: Sequence[ClusterTexts]) -> Iterator[ClusterName]:
        """All clusters are read before the first name: a term is telling only against the others."""
        vocabularies = [vocabulary_of(cluster.texts) for cluster in clusters]
        ranked = telling_terms(vocabularies)
        titles = UniqueTitles(reserved=NOISE_TITLE)
        for cluster, vocabulary, terms in zip(clusters, vocabularies, ranked, strict=True):
            title = _title(cluster, vocabulary, terms, titles)
            description, quoted = describe(cluster, terms)
            yield ClusterName(cluster.cluster_id, title, description, quoted)


def _title(
    cluster: ClusterTexts, vocabulary: Vocabulary, terms: list[tuple[str, float]], titles: UniqueTitles
) -> str:
    if cluster.cluster_id == NOISE:
        return NOISE_TITLE
    pieces = title_pieces(vocabulary, terms)
    if not pieces:
        return titles.take([fallback_title(cluster)])
    return titles.take(pieces)


def make_namer(model: str) -> Namer:
    """Raises `Invalid` for a model that is unknown."""
    provider, _, name = model.partition("/")
    if provider != "local":
        raise Invalid(f"unknown model provider {provider!r}: known are local")
    if name not in ("", "c-tf-idf"):
        raise Invalid(f"unknown model {model!r}: known are {MODEL}")
    return LocalNamer()
