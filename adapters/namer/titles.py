"""Titles of two to four telling words, different for all clusters of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, pairwise

from adapters.namer.descriptions import clean, shortened
from adapters.namer.terms import FEWEST_TEXTS, Ranked, Vocabulary
from adapters.namer.words import Segment, is_unspaced, root
from commands.ports import ClusterTexts

LONGEST_TITLE = 80
LONGEST_PHRASE = {" ": 3, "": 8}
"""In words, and in characters of scripts without spaces."""
FEWEST_WORDS, ENOUGH_WORDS, MOST_WORDS = 2, 3, 4
WEAK = 0.3
"""Terms below this share of the best one's score say little."""
PHRASE_SHARE = 0.5
"""A term is told by the longer phrase that so many of its texts have."""
DISTINGUISHING = 8
"""Further terms that are tried to tell a title from another like it."""


class UniqueTitles:
    """Titles that are taken. Those of the same words count as one, whatever their order and endings."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self._taken = {title_key(one) for one in reserved}

    def is_free(self, title: str) -> bool:
        return title_key(title) not in self._taken

    def take(self, pieces: Sequence[str]) -> str:
        """The first piece, alone or with one of the others, or with a number: always a new title."""
        title, *more = pieces
        told_apart = (f"{title} {piece}" for piece in more[:DISTINGUISHING])
        numbered = (f"{shortened(title, LONGEST_TITLE - 8)} ({number})" for number in count(2))
        tries = (shortened(one, LONGEST_TITLE) for one in chain([title], told_apart, numbered))
        free = next(one for one in tries if self.is_free(one))
        self._taken.add(title_key(free))
        return free


def title_key(title: str) -> frozenset[str]:
    """What two titles have in common that are alike."""
    return frozenset(root(word) for word in title.split())


def title_pieces(vocabulary: Vocabulary, terms: Ranked) -> list[str]:
    """The title in readable casing, then words and phrases to tell it from another like it.

    Empty when there are no terms.
    """
    phrases = list(_phrases(vocabulary, terms))
    if not phrases:
        return []
    title: list[str] = []
    for phrase, score in phrases:
        words = sum(len(one.split()) for one in title)
        if words >= ENOUGH_WORDS or (words >= FEWEST_WORDS and score < WEAK * terms[0][1]):
            break
        if words + len(phrase.split()) <= MOST_WORDS:
            title.append(phrase)
    rest = [phrase for phrase, _ in phrases if phrase not in title]
    in_order = " ".join(_readable(phrase, vocabulary) for phrase in _in_order(title, vocabulary))
    return [in_order, *(_readable(phrase, vocabulary) for phrase in rest)]


def fallback_title(cluster: ClusterTexts) -> str:
    """Of texts that have no telling word: how several of them begin; a number where each has its own way."""
    beginnings = Counter(" ".join(clean(text).split()[:4]) for text in cluster.texts)
    common = [begin for begin, texts in beginnings.items() if begin and texts >= FEWEST_TEXTS]
    if common:
        most = max(common, key=lambda begin: beginnings[begin])
        return shortened(" ".join(_capital(word) for word in most.split()), 40)
    return f"Cluster {cluster.cluster_id}" if any(beginnings) or not cluster.texts else "Empty Queries"


def _phrases(vocabulary: Vocabulary, terms: Ranked) -> Iterator[tuple[str, float]]:
    """Terms as the phrases that they stand in, as far as they repeat no word."""
    said: list[str] = []
    for term, score in terms:
        for phrase in (_extended(term, vocabulary), term):
            if not _repeats([*said, *phrase.split()], len(said)):
                said += phrase.split()
                yield phrase, score
                break


def _repeats(words: list[str], known: int) -> bool:
    return any(_alike(word, other) for at, word in enumerate(words) if at >= known for other in words[:at])


def _alike(word: str, other: str) -> bool:
    if is_unspaced(word):
        return bool({*pairwise(word)} & {*pairwise(other)})
    shorter, longer = sorted((root(word), root(other)), key=len)
    return shorter == longer or (len(shorter) >= 5 and longer.startswith(shorter))


def _extended(term: str, vocabulary: Vocabulary) -> str:
    found: Counter[str] = Counter()
    for parts in vocabulary.texts:
        found.update({phrase for part in parts for phrase in _around(term, part)})
    least = max(2, PHRASE_SHARE * vocabulary.counts[term])
    frequent = [
        phrase for phrase, texts in found.items() if texts >= least and not _repeats(phrase.split(), 0)
    ]
    return max(frequent, key=lambda phrase: (_size(phrase), found[phrase], phrase), default=term)


def _size(phrase: str) -> int:
    return len(phrase) if is_unspaced(phrase) else len(phrase.split())


def _around(term: str, part: Segment) -> Iterator[str]:
    """All phrases of a segment, up to the longest, that hold the term."""
    size = 1 if part.joint else 2
    most = LONGEST_PHRASE[part.joint]
    for at in range(len(part.units) - size + 1):
        if part.term(at, at + size) == term:
            for start in range(max(0, at + size - most), at + 1):
                for end in range(at + size, min(len(part.units), start + most) + 1):
                    yield part.term(start, end)


def _in_order(phrases: list[str], vocabulary: Vocabulary) -> list[str]:
    """As they mostly follow each other in the texts."""
    texts = [" ".join(part.term(0, len(part.units)) for part in parts) for parts in vocabulary.texts]

    def place(phrase: str) -> float:
        found = [text.index(phrase) / len(text) for text in texts if phrase in text]
        return sum(found) / len(found)

    return sorted(phrases, key=place)


def _readable(phrase: str, vocabulary: Vocabulary) -> str:
    if is_unspaced(phrase):
        return phrase
    return " ".join(_capital(_spelling(word, vocabulary)) for word in phrase.split())


def _spelling(word: str, vocabulary: Vocabulary) -> str:
    spellings = vocabulary.spellings[word]
    most = max(spellings, key=lambda one: (spellings[one], one))
    return most.lower() if most.isupper() and len(most) > 5 else most


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
