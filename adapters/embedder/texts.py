"""What is done to every text before, and to every vector after, whatever the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.values import Vectors


def cut(text: str, most: int) -> str:
    """The first `most` bytes of UTF-8, never half a character; empty when there is nothing but white space.

    A lone surrogate, which no tokenizer takes, becomes a question mark.
    """
    if not text or text.isspace():
        return ""
    return text[:most].encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def cut_all(texts: Sequence[str], most: int) -> tuple[list[str], NDArray[np.intp]]:
    """The texts that are not empty, cut, and where they stand."""
    cuts = [cut(text, most) for text in texts]
    at = [place for place, text in enumerate(cuts) if text]
    return [cuts[place] for place in at], np.array(at, dtype=np.intp)


def unit_rows(rows: Vectors) -> Vectors:
    """L2-normalised row by row, so that a row's bytes do not depend on its neighbours. Zero rows stay."""
    lengths = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1))
    lengths[lengths == 0] = 1
    unit: Vectors = (rows / lengths[:, None]).astype(np.float32)
    return unit


def spread(rows: Vectors, at: NDArray[np.intp], count: int, dimension: int) -> Vectors:
    """`rows` at their places among `count`, zeros elsewhere."""
    vectors = np.zeros((count, dimension), dtype=np.float32)
    vectors[at] = rows
    return vectors
