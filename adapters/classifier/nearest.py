"""Classification without a model: by the labelled examples and the descriptions that a text is nearest to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

import numpy as np

from adapters.classifier.space import Found, LabelSpace, label_space
from adapters.kept import Kept
from adapters.threads import single_thread
from commands.ports import Embedder, Item, Labelled, Limits, Stop, never
from domain.templates import TemplateContent

MODEL = "local/nearest"
BATCH = 1_000
KEPT_BYTES = 256 * 1024**2
NOTHING = "there is nothing in the text"


class NearestClassifier:
    """The port `Classifier` in the space of one embedder. The same template and text get the same answer.

    `confidence` is a label's share of a softmax over all of them, its temperature fitted to the examples of
    the template, each left out: about that share of texts like them is right. The fewer examples, the less
    it is more than an order. It says which of the labels, not whether any: what fits none gets one all the
    same. What a template comes to in the space is worked out once and kept, 256 MB of such in all.
    """

    prompt = ""

    def __init__(self, embedder: Embedder, model: str = MODEL) -> None:
        self.model = model
        self._embedder = embedder
        self._spaces = Kept[str, LabelSpace](KEPT_BYTES, lambda space: space.nbytes)

    def classify(
        self, template: TemplateContent, items: Iterable[Item], limits: Limits, stop: Stop = never
    ) -> Iterator[Labelled]:
        space = self._spaces.get(template.template_hash, partial(self._space, template))
        source = iter(items)
        while not stop() and (batch := list(islice(source, BATCH))):
            yield from self._batch(space, batch)

    def _space(self, template: TemplateContent) -> LabelSpace:
        with single_thread():
            return label_space(template, self._embedder.embed)

    def _batch(self, space: LabelSpace, batch: list[Item]) -> Iterator[Labelled]:
        vectors = self._embedder.embed([item.text for item in batch])
        filled = np.any(vectors, axis=1)
        with single_thread():
            found = iter([*space.find(vectors[filled])])
        for item, known in zip(batch, filled.tolist(), strict=True):
            yield _labelled(item, next(found)) if known else Labelled(item.key, None, error=NOTHING)


def _labelled(item: Item, found: Found) -> Labelled:
    return Labelled(
        item.key, found.label, confidence=round(found.probability, 4), reasoning=_reasoning(found)
    )


def _reasoning(found: Found) -> str:
    """What was computed, in numbers: no text of anybody."""
    (label, similarity), *others = found.similarities
    nearest = (
        "its description" if found.example is None else "its example {} at {:.2f}".format(*found.example)
    )
    after = ", ".join(f"{name} {value:.2f}" for name, value in others)
    return f"nearest to {label} {similarity:.2f}, {nearest}" + (f"; then {after}" if after else "")
