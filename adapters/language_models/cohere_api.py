"""Cohere's chat API, version 2: the object is asked for by a schema that the answer is held to."""

from __future__ import annotations

from typing import Any

from adapters.language_models.service import Heard, ModelOptions, Service, cut_off
from adapters.services.answers import Transient
from adapters.services.sdks import NO_RETRIES, cohere_client, heard_of_cohere


def cohere_service(provider: str, model: str, options: ModelOptions) -> Service:
    import httpx

    key = options.needed_key("cohere", "COHERE_API_KEY")
    connections = httpx.Client(timeout=options.timeout_s, follow_redirects=True)
    client = cohere_client(key, options.base_url, connections)

    def call(**request: Any) -> Heard:  # noqa: ANN401
        return _call(client, f"{provider}/{model}", key, model=model, **request)

    return Service(
        provider,
        model,
        call,
        connections.close,
        mode="JSON_SCHEMA",
        dialect="COHERE",
        base_url=options.base_url,
        extra={"temperature": 0.0},
    )


def _call(client: Any, service: str, key: str, **request: Any) -> Heard:  # noqa: ANN401
    with heard_of_cohere(service, key, "chat answer"):
        answer = client.chat(**request, request_options=NO_RETRIES)
        tokens = answer.usage.tokens if answer.usage else None
        tokens_in = int(tokens.input_tokens or 0) if tokens else 0
        tokens_out = int(tokens.output_tokens or 0) if tokens else 0
        if answer.finish_reason in ("ERROR", "TIMEOUT"):
            raise Transient(f"it broke off: {answer.finish_reason}", kind="server")
        ended = cut_off(request["max_tokens"]) if answer.finish_reason == "MAX_TOKENS" else None
        return Heard(answer, tokens_in, tokens_out, ended)
