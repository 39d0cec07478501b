"""What all embedding services have in common: batches, pace, retries, and distrust of what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from adapters.embedder.options import EmbedderOptions
from adapters.embedder.texts import cut_all, spread, unit_rows
from adapters.services.answers import Transient
from adapters.services.pace import pace_of
from domain.errors import Refused, Unavailable
from domain.values import Space, Vectors

BATCH = 50
BATCH_BYTES = 250_000
"""Of UTF-8 in one request, so that it has fewer tokens than services take at once (OpenAI: 300,000)."""

Ask = Callable[[list[str]], list[list[float]]]
"""One request to a service. Raises `Transient`, or `Refused` when asking again cannot help."""


@dataclass(frozen=True)
class Service:
    """A model of a service. `dimension` is None where only an answer can tell it."""

    provider: str
    model: str
    ask: Ask
    close: Callable[[], object]
    dimension: int | None
    most_texts: int
    revision: str = ""


class RemoteEmbedder:
    """The port `Embedder` over one service. Empty texts, which services refuse, are never sent."""

    def __init__(self, service: Service, options: EmbedderOptions) -> None:
        self._service, self._options = service, options
        self._name = f"{service.provider}/{service.model}"
        self._dimension = service.dimension
        self._batch = min(options.batch_size or BATCH, service.most_texts)
        self._pace = pace_of(f"embed {service.provider} {options.base_url}")
        self._probing = Lock()

    @property
    def space(self) -> Space:
        """The dimension of a model that is not known here is learnt from the service, once."""
        with self._probing:
            if self._dimension is None:
                self._dimension = len(self._answer(["dimension"])[0])
        parts = (self._options.revision, self._service.revision, f"bytes={self._options.max_text_bytes}")
        revision = ";".join(part for part in parts if part)
        return Space(self._service.provider, self._service.model, self._dimension, revision)

    def embed(self, texts: Sequence[str]) -> Vectors:
        kept, at = cut_all(texts, self._options.max_text_bytes)
        dimension = self.space.dimension
        rows = [self._checked(self._answer(batch), dimension) for batch in self._batches(kept)]
        joined = np.concatenate([np.zeros((0, dimension), np.float32), *rows])
        return spread(unit_rows(joined), at, len(texts), dimension)

    def close(self) -> None:
        """Ends the connections that are kept open for the next request."""
        self._service.close()

    def _batches(self, texts: list[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for text in texts:
            length = len(text.encode())
            if batch and (len(batch) == self._batch or size + length > BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += length
        if batch:
            yield batch

    def _answer(self, texts: list[str]) -> list[list[float]]:
        retrying = self._options.patience.retrying()
        try:
            return retrying(self._ask_once, texts)
        except Transient as error:
            raise Unavailable(
                f"{self._name} gave no vectors for {len(texts)} texts "
                f"({retrying.statistics['attempt_number']} tries): {error}"
            ) from None

    def _ask_once(self, texts: list[str]) -> list[list[float]]:
        self._pace.wait(self._options.rpm)
        answer = self._service.ask(texts)
        if len(answer) != len(texts):
            raise Transient(f"it answered {len(answer)} vectors for {len(texts)} texts")
        return answer

    def _checked(self, answer: list[list[float]], dimension: int) -> Vectors:
        for vector in answer:
            if len(vector) != dimension:
                raise Refused(
                    f"{self._name} answered a vector of {len(vector)} dimensions, its space has {dimension}: "
                    "name the dimension it really has, or another model"
                )
        rows = np.array(answer, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise Unavailable(f"{self._name} answered a vector with a value that is no number")
        return rows
