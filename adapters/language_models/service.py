"""A model of a provider, as its SDK asks it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from adapters.services.retries import PATIENCE, Patience
from domain.errors import Refused


@dataclass(frozen=True)
class ModelOptions:
    """`timeout_s` is of one request. `base_url` None is the provider's own."""

    base_url: str | None = None
    api_key: SecretStr | None = field(default=None, repr=False)
    timeout_s: float = 120.0
    patience: Patience = PATIENCE

    def key(self) -> str | None:
        """In clear, for the client of the provider alone."""
        return self.api_key.get_secret_value() or None if self.api_key else None

    def needed_key(self, provider: str, variable: str) -> str:
        key = self.key()
        if key is None:
            raise Refused(f"language models of {provider} need a key: set {variable}")
        return key


class NoAnswer(Exception):
    """There will be none to this question: the model refused, say. `kind` is what failures are counted by."""

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Heard:
    """One answer of a provider. `ended`: why there is no object in it, where there is none."""

    response: Any
    input_tokens: int
    output_tokens: int
    ended: NoAnswer | None = None


REFUSED = "the model refused to answer"


def cut_off(max_tokens: int) -> NoAnswer:
    return NoAnswer(f"the answer was cut off after {max_tokens} tokens", "cut_off")


@dataclass(frozen=True)
class Service:
    """`mode` and `dialect` are what `instructor` calls how an object is asked for, and whose protocol it is.

    `call` makes one request, without trying again. It raises `Transient`, `Rejected` and `Refused`.
    `extra` goes with every request; the bound on tokens goes by the name `bound`.
    """

    provider: str
    model: str
    call: Callable[..., Heard]
    close: Callable[[], object]
    mode: str
    dialect: str
    base_url: str | None = None
    bound: str = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"

    @property
    def identity(self) -> str:
        """Tells models of one name at different places apart. Not by the URL, which may hold a key."""
        if self.base_url is None:
            return self.name
        return f"{self.name}@{hashlib.sha256(self.base_url.encode()).hexdigest()[:12]}"
