"""Texts to vectors: by a static model out of a wheel, by ONNX models of fastembed, or by a service."""

from __future__ import annotations

from collections.abc import Callable

from adapters.embedder.cohere_api import cohere_service
from adapters.embedder.onnx import OnnxEmbedder
from adapters.embedder.openai_api import openai_service
from adapters.embedder.options import EmbedderOptions, split_model
from adapters.embedder.remote import RemoteEmbedder, Service
from adapters.embedder.static import StaticEmbedder
from commands.ports import Embedder
from domain.errors import Refused

__all__ = ["PROVIDERS", "EmbedderOptions", "make_embedder"]

SERVICES: dict[str, Callable[[str, str, EmbedderOptions], Service]] = {
    "openai": openai_service,
    "openai-compatible": openai_service,
    "cohere": cohere_service,
}
DEFAULT_MODELS = {
    "wordllama": "l2_supercat",
    "openai": "text-embedding-3-small",
    "cohere": "embed-v4.0",
}
PROVIDERS = ("wordllama", "fastembed", *SERVICES)


def make_embedder(
    provider: str | None, model: str | None, *, options: EmbedderOptions | None = None
) -> Embedder:
    """`provider/model` may stand in `model`; without either it is the one that needs no key and no download.

    Nothing is loaded and nobody is called yet. Raises `Invalid` for a provider that is unknown, `Refused` for
    one that is not set up.
    """
    options = options or EmbedderOptions()
    provider, model = split_model(provider, model, PROVIDERS)
    model = model or DEFAULT_MODELS.get(provider)
    if model is None:
        raise Refused(f"embedding provider {provider!r} has no default model: name one as {provider}/MODEL")
    if provider == "wordllama":
        return StaticEmbedder(model, options)
    if provider == "fastembed":
        return OnnxEmbedder(model, options)
    return RemoteEmbedder(SERVICES[provider](provider, model, options), options)
