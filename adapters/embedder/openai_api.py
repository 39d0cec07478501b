"""OpenAI's embeddings API, and any service that speaks it: Ollama, vLLM, TEI, LM Studio, LiteLLM."""

from __future__ import annotations

from typing import Any

from adapters.embedder.options import EmbedderOptions
from adapters.embedder.remote import Service
from adapters.services.sdks import heard
from domain.errors import Refused

URL = "https://api.openai.com/v1"
MOST_TEXTS = 2_048
DIMENSIONS = {
    "text-embedding-3-small": 1_536,
    "text-embedding-3-large": 3_072,
    "text-embedding-ada-002": 1_536,
}


def openai_service(provider: str, model: str, options: EmbedderOptions) -> Service:
    """The dimension of a model that is not OpenAI's own is learnt from its first answer."""
    if provider == "openai" and not options.key():
        raise Refused("embedding with openai needs a key: set OPENAI_API_KEY")
    if provider == "openai-compatible" and not options.base_url:
        raise Refused("embedding with openai-compatible needs the URL of the service, ending in /v1 for most")
    client = _client(options)
    extra: dict[str, Any] = {}
    if options.dimension and model.startswith("text-embedding-3"):
        extra["dimensions"] = options.dimension

    def ask(texts: list[str]) -> list[list[float]]:
        return _ask(client, f"{provider}/{model}", options.key(), input=texts, model=model, **extra)

    own = DIMENSIONS.get(model) if provider == "openai" else None
    return Service(provider, model, ask, client.close, options.dimension or own, MOST_TEXTS)


def _client(options: EmbedderOptions) -> Any:  # noqa: ANN401  (imported late)
    """Its own retries are off: ours know a longest wait and tell at the end how many tries there were."""
    import openai

    return openai.OpenAI(
        api_key=options.key() or "none",  # it insists on one
        base_url=options.base_url or URL,
        timeout=options.timeout_s,
        max_retries=0,
    )


def _ask(client: Any, service: str, key: str | None, **request: Any) -> list[list[float]]:  # noqa: ANN401
    import openai

    with heard(openai, service, key, "list of vectors"):
        # as numbers: base64, the client's default, is not understood by every service
        answer = client.embeddings.create(**request, encoding_format="float")
        return [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
