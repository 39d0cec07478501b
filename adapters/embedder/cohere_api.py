"""Cohere's embed API, version 2."""

from __future__ import annotations

from typing import Any

from adapters.embedder.options import EmbedderOptions
from adapters.embedder.remote import Service
from adapters.services.sdks import NO_RETRIES, cohere_client, heard_of_cohere
from domain.errors import Refused

DIMENSIONS = {
    "embed-v4.0": 256,
    "embed-english-v3.0": 1_024,
    "embed-multilingual-v3.0": 1_024,
    "embed-english-light-v3.0": 384,
    "embed-multilingual-light-v3.0": 384,
}
"""embed-v4.0 can be cut to 256, 512, 1,024 or 1,536; the others are as they are."""
MOST_TEXTS = 96


def cohere_service(provider: str, model: str, options: EmbedderOptions) -> Service:
    """One kind of input for queries and titles alike: vectors of different kinds are not to be compared."""
    if not options.key():
        raise Refused("embedding with cohere needs a key: set COHERE_API_KEY")
    import httpx

    connections = httpx.Client(timeout=options.timeout_s, follow_redirects=True)
    client = cohere_client(options.key(), options.base_url, connections)
    dimension = options.dimension or DIMENSIONS.get(model)
    request: dict[str, Any] = {"model": model, "input_type": options.cohere_input_type}
    if dimension and model.startswith("embed-v4"):
        request["output_dimension"] = dimension

    def ask(texts: list[str]) -> list[list[float]]:
        return _ask(client, f"{provider}/{model}", options.key(), texts=texts, **request)

    revision = f"input_type={options.cohere_input_type}"
    return Service(provider, model, ask, connections.close, dimension, MOST_TEXTS, revision)


def _ask(client: Any, service: str, key: str | None, **request: Any) -> list[list[float]]:  # noqa: ANN401
    with heard_of_cohere(service, key, "list of vectors"):
        answer = client.embed(
            **request, embedding_types=["float"], truncate="END", request_options=NO_RETRIES
        )
        return list(answer.embeddings.float_)
