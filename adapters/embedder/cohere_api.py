"""Cohere's embed API, version 2."""

from __future__ import annotations

from typing import Any

from adapters.embedder.answers import Transient, failure, quoted
from adapters.embedder.options import EmbedderOptions
from adapters.embedder.remote import Service
from domain.base import Refused

DIMENSIONS = {
    "embed-v4.0": 256,
    "embed-english-v3.0": 1_024,
    "embed-multilingual-v3.0": 1_024,
    "embed-english-light-v3.0": 384,
    "embed-multilingual-light-v3.0": 384,
}
"""embed-v4.0 can be cut to 256, 512, 1,024 or 1,536; the others are as they are."""
URL = "https://api.cohere.com"
MOST_TEXTS = 96


def cohere_service(provider: str, model: str, options: EmbedderOptions) -> Service:
    """One kind of input for queries and titles alike: vectors of different kinds are not to be compared."""
    if not options.key():
        raise Refused("embedding with cohere needs a key: set COHERE_API_KEY")
    import httpx

    connections = httpx.Client(timeout=options.timeout_s, follow_redirects=True)
    client = _client(options, connections)
    dimension = options.dimension or DIMENSIONS.get(model)
    request: dict[str, Any] = {"model": model, "input_type": options.cohere_input_type}
    if dimension and model.startswith("embed-v4"):
        request["output_dimension"] = dimension

    def ask(texts: list[str]) -> list[list[float]]:
        return _ask(client, f"{provider}/{model}", options, texts=texts, **request)

    revision = f"input_type={options.cohere_input_type}"
    return Service(provider, model, ask, connections.close, dimension, MOST_TEXTS, revision)


def _client(options: EmbedderOptions, connections: Any) -> Any:  # noqa: ANN401  (imported late)
    try:
        import cohere
    except ImportError as error:
        raise Refused(
            "the embedding provider cohere is not installed: pip install 'lmsys-query-analysis[cohere]'"
        ) from error
    return cohere.ClientV2(
        api_key=options.key(),
        base_url=options.base_url or URL,
        httpx_client=connections,
        log_warning_experimental_features=False,
    )


def _ask(client: Any, service: str, options: EmbedderOptions, **request: Any) -> list[list[float]]:  # noqa: ANN401
    """The client's own retries are off, as they wait at its discretion."""
    import httpx
    from cohere.core.api_error import ApiError

    try:
        answer = client.embed(
            **request,
            embedding_types=["float"],
            truncate="END",
            request_options={"max_retries": 0},
        )
        return list(answer.embeddings.float_)
    except ApiError as error:
        status = error.status_code or 0
        if 200 <= status < 300:
            raise Transient("it answered what is no JSON") from None
        said = error.body.get("message", error.body) if isinstance(error.body, dict) else error.body
        raise failure(service, status, str(said), error.headers or {}, options.key()) from None
    except httpx.TimeoutException:
        raise Transient("it did not answer in time") from None
    except httpx.HTTPError as error:
        raise Transient(quoted(f"no connection, or one that broke: {error!r}", options.key())) from None
    except (AttributeError, TypeError, ValueError) as error:
        raise Transient(quoted(f"it answered what is no list of vectors: {error!r}", options.key())) from None
