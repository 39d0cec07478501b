"""A template in the embedding space: where its labels lie, and how far from them a text does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from domain.errors import Invalid
from domain.templates import Label, TemplateContent
from domain.values import Vectors

Floats = NDArray[np.float32] | NDArray[np.float64]

MOST_EXAMPLES = 50_000
"""Of a template: 51 MB where a vector has 256 dimensions."""

CENTRE_WEIGHT = 0.75
"""What the cosine to a label's centre counts; the rest is that to its nearest example."""

WHITENING = 0.5
"""How far the directions in which examples of one label differ are levelled: 0 not at all, 1 wholly."""

CALIBRATED_ON = 2_000
TEMPERATURES = np.geomspace(0.004, 0.4, 48)
UNCALIBRATED = 0.05
PRIOR = 50
BLOCK = 256
CANDIDATES = 16
SHOWN = 3


@dataclass(frozen=True)
class Found:
    """Of one text: the label, how probable it is, and what speaks for that.

    `similarities`: the best labels with theirs, best first. `example`: the number, from 1, of the nearest
    example of the label, with its cosine; None where its name and description are nearer.
    """

    label: str
    probability: float
    similarities: tuple[tuple[str, float], ...]
    example: tuple[int, float] | None


@dataclass(frozen=True)
class LabelSpace:
    """`points` are the examples, and of each label its name with its description as one more, by label: unit
    rows, after `origin` was taken off and `metric` (d, d) applied. `numbers` is 0 for a description; label n
    has the rows from `starts[n]` to `starts[n + 1]`. `centres` are the directions of their sums.
    """

    names: tuple[str, ...]
    origin: Vectors
    metric: Vectors
    points: Vectors
    numbers: NDArray[np.int32]
    starts: NDArray[np.intp]
    centres: Vectors
    temperature: float = UNCALIBRATED

    @property
    def nbytes(self) -> int:
        return self.points.nbytes + self.metric.nbytes + self.centres.nbytes + self.numbers.nbytes

    def find(self, vectors: Vectors) -> Iterator[Found]:
        """The label of each row; rows are as the embedder made them."""
        for start in range(0, len(vectors), BLOCK):
            yield from self._find(vectors[start : start + BLOCK])

    def _find(self, vectors: Vectors) -> Iterator[Found]:
        rows = self._place(vectors)
        similarities = self._similarities(rows, rows @ self.centres.T)
        shares = probabilities(similarities, self.temperature)
        best = np.argsort(-similarities, axis=1, kind="stable")[:, :SHOWN]
        for row, similarity, share, labels in zip(rows, similarities, shares, best, strict=True):
            yield Found(
                self.names[labels[0]],
                float(share[labels[0]]),
                tuple((self.names[one], float(similarity[one])) for one in labels),
                self._example(row, labels[0]),
            )

    def _place(self, vectors: Vectors) -> Vectors:
        return _unit((vectors - self.origin) @ self.metric)

    def _example(self, row: Vectors, label: int) -> tuple[int, float] | None:
        of_label = self._of(label)
        near = self.points[of_label] @ row
        at = int(near.argmax())
        number = int(self.numbers[of_label][at])
        return (number, float(near[at])) if number else None

    def _of(self, label: int) -> slice:
        return slice(self.starts[label], self.starts[label + 1])

    def _similarities(
        self, rows: Vectors, centres: Floats, left_out: NDArray[np.intp] | None = None
    ) -> Floats:
        """Of each row to each label. Nearest examples are looked for where centres are near, and no further.

        `left_out`: the point that a row is itself, and that does not count.
        """
        nearest = centres.copy()
        candidate = np.zeros(centres.shape, dtype=bool)
        best = np.argsort(-centres, axis=1, kind="stable")[:, :CANDIDATES]
        np.put_along_axis(candidate, best, True, axis=1)
        for label in np.flatnonzero(candidate.any(axis=0)).tolist():
            at, of_label = np.flatnonzero(candidate[:, label]), self._of(label)
            near = rows[at] @ self.points[of_label].T
            if left_out is not None:
                own = np.flatnonzero((left_out[at] >= of_label.start) & (left_out[at] < of_label.stop))
                near[own, left_out[at][own] - of_label.start] = -1
            nearest[at, label] = near.max(axis=1)
        mixed: Floats = CENTRE_WEIGHT * centres + (1 - CENTRE_WEIGHT) * nearest
        return mixed

    def left_out(self, most: int) -> tuple[Floats, NDArray[np.intp]]:
        """Similarities and label of examples, each as if it were none: so will texts like them fare."""
        examples = np.flatnonzero(self.numbers)
        chosen = examples[:: max(1, -(-len(examples) // most))]
        own = np.searchsorted(self.starts, chosen, side="right") - 1
        rows = self.points[chosen]
        centres = rows @ self.centres.T
        sums = np.add.reduceat(self.points, self.starts[:-1], axis=0)
        centres[np.arange(len(rows)), own] = (rows * _unit(sums[own] - rows)).sum(axis=1)
        return self._similarities(rows, centres, chosen), own


def label_space(template: TemplateContent, embed: Callable[[Sequence[str]], Vectors]) -> LabelSpace:
    """Raises Invalid for a template without labels, with too many examples, or with one of another label."""
    labels = _labels_of_examples(template)
    described = embed([words(label) for label in template.labels])
    examples = embed([example.text for example in template.examples])
    kept = np.flatnonzero(examples.any(axis=1))
    rows = np.concatenate([described, examples[kept]])
    of_row = np.concatenate([np.arange(len(described)), labels[kept]])
    numbers = np.concatenate([np.zeros(len(described)), kept + 1]).astype(np.int32)
    order = np.argsort(of_row, kind="stable")
    origin, metric = rows.mean(axis=0), _metric(examples[kept], labels[kept], len(described))
    points = _unit((rows[order] - origin) @ metric)
    starts = np.searchsorted(of_row[order], np.arange(len(described)))
    return _calibrated(
        LabelSpace(
            names=tuple(label.name for label in template.labels),
            origin=origin,
            metric=metric,
            points=points,
            numbers=numbers[order],
            starts=np.append(starts, len(points)),
            centres=_unit(np.add.reduceat(points, starts, axis=0)),
        )
    )


def words(label: Label) -> str:
    """`card_arrival` with its description as a text of its own."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+", " ", label.name).strip()
    return f"{spaced or label.name}. {label.description}" if label.description else spaced or label.name


def _labels_of_examples(template: TemplateContent) -> NDArray[np.intp]:
    if not template.labels:
        raise Invalid("the template has no labels")
    if len(template.examples) > MOST_EXAMPLES:
        raise Invalid(f"local/nearest takes {MOST_EXAMPLES:,} examples, not {len(template.examples):,}")
    at = {label.name: place for place, label in enumerate(template.labels)}
    for number, example in enumerate(template.examples, 1):
        if example.label not in at:
            raise Invalid(f"example {number}: {example.label!r} is no label of the template")
    return np.array([at[example.label] for example in template.examples], dtype=np.intp)


def _metric(examples: Vectors, labels: NDArray[np.intp], count: int) -> Vectors:
    """Directions in which examples of one label differ count for less: they do not tell labels apart.

    The covariance within labels, shrunk as Chen et al. (2010) do (OAS), to the power of -WHITENING / 2; with
    few examples that is all but the identity.
    """
    dimension = examples.shape[1]
    sizes = np.bincount(labels, minlength=count)
    free = len(labels) - int(np.count_nonzero(sizes))
    if free <= 0:
        return np.eye(dimension, dtype=np.float32)
    order = np.argsort(labels, kind="stable")
    sorted_rows, present = examples[order], np.flatnonzero(sizes)
    sums = np.add.reduceat(sorted_rows, np.searchsorted(labels[order], present), axis=0)
    about = sorted_rows - np.repeat(sums / sizes[present, None], sizes[present], axis=0)
    values, directions = np.linalg.eigh(_shrunk(about.T @ about / free, free))
    scaled = np.maximum(values / values.mean(), 1e-6) ** (-WHITENING / 2)
    metric: Vectors = ((directions * scaled) @ directions.T).astype(np.float32)
    return metric


def _shrunk(covariance: Floats, samples: int) -> Floats:
    dimension = len(covariance)
    mean = np.trace(covariance) / dimension
    square = np.mean(covariance**2)
    if square <= 0:  # all examples of a label are the same
        return np.eye(dimension)
    rest = (samples + 1) * (square - mean**2 / dimension)
    share = min(1.0, (square + mean**2) / rest) if rest > 0 else 1.0
    shrunk: Floats = (1 - share) * covariance + share * mean * np.eye(dimension)
    return shrunk


def _calibrated(space: LabelSpace) -> LabelSpace:
    """With the temperature at which the examples, left out one at a time, are least surprising.

    What is fitted to few is drawn towards what holds without any, as if by `PRIOR` more.
    """
    similarities, labels = space.left_out(CALIBRATED_ON)
    count = len(labels)
    if count == 0:
        return space
    each = np.arange(count)
    losses = [-np.log(probabilities(similarities, t)[each, labels] + 1e-12).mean() for t in TEMPERATURES]
    fitted = np.log(TEMPERATURES[int(np.argmin(losses))])
    drawn = (count * fitted + PRIOR * np.log(UNCALIBRATED)) / (count + PRIOR)
    return replace(space, temperature=float(np.exp(drawn)))


def probabilities(similarities: Floats, temperature: float) -> Floats:
    """Softmax row by row."""
    powers = np.exp((similarities - similarities.max(axis=1, keepdims=True)) / temperature)
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _unit(rows: Floats) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit
