"""Texts to vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from domain.values import Space, Vectors


class Embedder(Protocol):
    """Texts to vectors of one space."""

    @property
    def space(self) -> Space: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """L2-normalised float32 of shape (len(texts), space.dimension); an empty text gets a zero vector.

        Raises `domain.errors.Unavailable` when the provider cannot be reached after its retries,
        `domain.errors.Refused` when it says no for good (a key that is wrong, a model that is unknown).
        """


class Embedders(Protocol):
    """Embedders by provider and model, each made once."""

    def get(self, provider: str, model: str, options: Mapping[str, Any]) -> Embedder:
        """Raises Invalid for a provider that is unknown, Refused for one that is not set up."""
