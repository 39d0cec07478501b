"""Texts to segments of words. Scripts without spaces come as runs of characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LONGEST_TEXT = 1_000
"""Characters that are read of a text: what is asked for mostly stands at its beginning."""
LONGEST_WORD = 30
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"
)
"""Thai, Lao, Burmese, Khmer, kana, Han."""


@cache
def stop_words() -> frozenset[str]:
    """English ones of scikit-learn, and those of stop_words.txt beside this file."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    lines = Path(__file__).with_name("stop_words.txt").read_text(encoding="utf-8").splitlines()
    own = (word for line in lines if not line.startswith("#") for word in line.split())
    return frozenset(ENGLISH_STOP_WORDS).union(own)


@dataclass(frozen=True)
class Segment:
    """Neighbouring units: words to be joined by spaces, or characters of a script that has none.

    `surfaces` are the same as they were written.
    """

    units: tuple[str, ...]
    surfaces: tuple[str, ...]
    joint: str

    def term(self, start: int, end: int) -> str:
        return self.joint.join(self.units[start:end])


def segments(text: str) -> Iterator[Segment]:
    """Stop words end a run of characters, not a segment of words: "apply for a card" holds "apply card"."""
    words: list[str] = []
    for found in _pattern().finditer(unicodedata.normalize("NFC", text[:LONGEST_TEXT])):
        if found.lastgroup == "word":
            if _telling(found["word"]):
                words.append(found["word"])
            continue
        for run in _cuts().split(found["run"]):
            units = tuple(re.findall(rf".[{_marks()}]*", run))
            if len(units) > 1:
                yield Segment(units, units, "")
    if words:
        yield Segment(tuple(lowered(word) for word in words), tuple(words), " ")


def lowered(word: str) -> str:
    """In small letters and without the 's of a possessive."""
    return word.replace("’", "'").lower().removesuffix("'s")  # noqa: RUF001  (the apostrophe of phones)


def root(word: str) -> str:
    """Crude, and only to see that "card" and "cards" in one title say the same twice."""
    plain = lowered(word)
    for ending in (r"(?:ies|es|s)$", r"(?:ing|ed|e|y)$"):
        cut = re.sub(ending, "", plain)
        plain = cut if len(cut) >= 3 else plain
    return plain


def is_unspaced(term: str) -> bool:
    return bool(re.search(f"[{UNSPACED}]", term))


def _telling(word: str) -> bool:
    plain = lowered(word)
    stem = plain.partition("'")[0]
    known = stop_words()
    return 1 < len(plain) <= LONGEST_WORD and plain not in known and stem not in known and len(stem) > 1


@cache
def _cuts() -> re.Pattern[str]:
    """Longer stop words first: one may begin with another."""
    return re.compile(
        "|".join(sorted(filter(is_unspaced, stop_words()), key=lambda word: (-len(word), word)))
    )


@cache
def _marks() -> str:
    """Combining characters, which \\w leaves out: without them words of Hindi or Thai fall to pieces."""
    return "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code))[0] == "M")


@cache
def _pattern() -> re.Pattern[str]:
    letter = rf"(?:(?![{UNSPACED}])(?:[^\W_]|[{_marks()}\u200c\u200d]))"
    word = rf"{letter}+(?:['’.\-]{letter}+)*(?:\+\+|\#)?"  # noqa: RUF001
    return re.compile(rf"(?P<run>[{UNSPACED}{_marks()}]+)|(?P<word>{word})")
