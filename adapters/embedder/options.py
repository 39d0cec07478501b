"""What an embedder can be told, and how its name is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from adapters.services.retries import PATIENCE, Patience
from domain.errors import Invalid


@dataclass(frozen=True)
class EmbedderOptions:
    """`None` means the default of the provider.

    `dimension` is what the vectors must have: services that can cut theirs to size are asked to, any other
    number in an answer is refused. `revision` stands in the space beside what is known of the model.
    `max_text_bytes` of UTF-8 are embedded of each text, so that it has at most so many tokens; that is part
    of the revision too. `batch_size` is in texts a request; `rpm` in requests a minute, shared by all
    embedders of one service in a process. `timeout_s` is of one request, `patience` of the next tries.
    `cache_dir` is where fastembed keeps what it downloads, `threads` what its models may use.
    """

    batch_size: int | None = None
    dimension: int | None = None
    revision: str | None = None
    max_text_bytes: int = 8_192
    base_url: str | None = None
    api_key: SecretStr | str | None = field(default=None, repr=False)
    rpm: int | None = None
    timeout_s: float = 60.0
    patience: Patience = PATIENCE
    cohere_input_type: str = "clustering"
    cache_dir: Path | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("dimension", 1), ("rpm", 1), ("max_text_bytes", 16)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise Invalid(f"{name} of an embedder is at least {least}, not {value}")

    def key(self) -> str | None:
        """The key in clear, for the client of the service alone."""
        if isinstance(self.api_key, SecretStr):
            return self.api_key.get_secret_value() or None
        return self.api_key or None


def split_model(provider: str | None, model: str | None, known: Sequence[str]) -> tuple[str, str | None]:
    """(provider, model) of `provider/model`, where a model's own name may have slashes too."""
    if provider is None and model is not None:
        provider, _, model = model.partition("/")
    elif provider is not None and model is not None:
        model = model.removeprefix(f"{provider}/")
    provider = provider or "wordllama"
    if provider not in known:
        raise Invalid(f"unknown embedding provider {provider!r}: known are {', '.join(known)}")
    return provider, model or None
