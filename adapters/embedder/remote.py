"""What all embedding services have in common: batches, pace, retries, and distrust of what they answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock

import numpy as np
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from adapters.embedder.answers import Transient
from adapters.embedder.options import EmbedderOptions
from adapters.embedder.texts import cut_all, spread, unit_rows
from domain.base import Refused, Unavailable
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
        limit = RateLimitItemPerMinute(options.rpm) if options.rpm else None
        self._pace = Pace(limit, f"{service.provider} {options.base_url}")
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
        retrying = Retrying(
            retry=retry_if_exception_type(Transient),
            stop=self._stop,
            wait=self._wait,
            reraise=True,
        )
        try:
            return retrying(self._ask_once, texts)
        except Transient as error:
            raise Unavailable(
                f"{self._name} gave no vectors for {len(texts)} texts "
                f"({retrying.statistics['attempt_number']} tries): {error}"
            ) from None

    def _ask_once(self, texts: list[str]) -> list[list[float]]:
        self._pace.wait()
        answer = self._service.ask(texts)
        if len(answer) != len(texts):
            raise Transient(f"it answered {len(answer)} vectors for {len(texts)} texts")
        return answer

    def _stop(self, state: RetryCallState) -> bool:
        asked = _asked_to_wait(state)
        if asked is not None and asked > self._options.retry_after_max_s:
            return True
        return stop_after_attempt(self._options.max_retries + 1)(state)

    def _wait(self, state: RetryCallState) -> float:
        asked = _asked_to_wait(state)
        base = self._options.retry_base_s
        backoff = wait_exponential(multiplier=base, max=self._options.retry_max_s) + wait_random(0, base)
        return backoff(state) if asked is None else asked

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


def _asked_to_wait(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, Transient) else None


class Pace:
    """At most so many requests in a time to one service, counted over all threads of the process."""

    def __init__(self, limit: RateLimitItem | None, service: str) -> None:
        self._limit = limit
        self._service = service

    def wait(self) -> None:
        """Sleeps until the next request may be made."""
        if self._limit is None:
            return
        while not _limiter().hit(self._limit, self._service):
            free_at = _limiter().get_window_stats(self._limit, self._service).reset_time
            time.sleep(max(0.01, free_at - time.time()))


@cache
def _limiter() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())
