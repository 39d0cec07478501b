"""Names without a language model: the words that tell a cluster from its siblings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from adapters.namer.apart import NOISE_TITLE, Apart, Texts
from adapters.namer.descriptions import describe
from adapters.namer.terms import Vocabulary, telling_terms, vocabulary_of
from adapters.namer.titles import UniqueTitles, fallback_title, title_pieces
from commands.ports import ClusterName, ClusterTexts, Limits, Stop, ToldApart, never
from domain.values import NOISE

MODEL = "local/c-tf-idf"


class LocalNamer:
    """The port `Namer` by class-based TF-IDF. The same clusters get the same names.

    It sees what clusters have in common, not what they mean: it calls none incoherent.
    """

    model = MODEL
    compares = True

    def name(
        self, clusters: Iterable[ClusterTexts], limits: Limits, stop: Stop = never
    ) -> Iterator[ClusterName]:
        """All clusters are read before the first name: a term is telling only against the others."""
        read = list(clusters)
        vocabularies = [vocabulary_of(cluster.texts) for cluster in read]
        ranked = telling_terms(vocabularies)
        titles = UniqueTitles([NOISE_TITLE])
        for cluster, vocabulary, terms in zip(read, vocabularies, ranked, strict=True):
            title = _title(cluster, vocabulary, terms, titles)
            description, quoted = describe(cluster, terms)
            yield ClusterName(cluster.cluster_id, title, description, quoted)

    def tell_apart(
        self,
        titles: Mapping[int, str],
        taken: Mapping[int, str],
        texts: Texts,
        limits: Limits,
        stop: Stop = never,
    ) -> Iterator[ToldApart]:
        apart = Apart(titles, taken)
        for group in apart.groups:
            yield from apart.told([texts(one) for one in group], {})


def _title(
    cluster: ClusterTexts, vocabulary: Vocabulary, terms: list[tuple[str, float]], titles: UniqueTitles
) -> str:
    if cluster.cluster_id == NOISE:
        return NOISE_TITLE
    pieces = title_pieces(vocabulary, terms)
    if not pieces:
        return titles.take([fallback_title(cluster)])
    return titles.take(pieces)
