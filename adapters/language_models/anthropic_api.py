"""Anthropic's Messages API: the object is asked for as the input of a tool that must be used."""

from __future__ import annotations

from typing import Any

from adapters.language_models.service import REFUSED, Heard, ModelOptions, NoAnswer, Service, cut_off
from adapters.services.sdks import heard

URL = "https://api.anthropic.com"
CUT_OFF = ("max_tokens", "model_context_window_exceeded")


def anthropic_service(provider: str, model: str, options: ModelOptions) -> Service:
    client = anthropic_client(options)

    def call(**request: Any) -> Heard:  # noqa: ANN401
        return _call(client, f"{provider}/{model}", options.key(), model=model, **request)

    return Service(
        provider, model, call, client.close, mode="TOOLS", dialect="ANTHROPIC", base_url=options.base_url
    )


def anthropic_client(options: ModelOptions) -> Any:  # noqa: ANN401  (imported late)
    """Its own retries are off: ours know a longest wait, and hear that nobody wants the answer any more."""
    import anthropic

    return anthropic.Anthropic(
        api_key=options.needed_key("anthropic", "ANTHROPIC_API_KEY"),
        base_url=options.base_url or URL,
        timeout=options.timeout_s,
        max_retries=0,
    )


def _call(client: Any, service: str, key: str | None, **request: Any) -> Heard:  # noqa: ANN401
    import anthropic

    with heard(anthropic, service, key, "message"):
        message = client.messages.create(**request)
        usage = message.usage
        read = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        ended = _ended(message, request["max_tokens"])
        return Heard(message, usage.input_tokens + read, usage.output_tokens, ended)


def _ended(message: Any, max_tokens: int) -> NoAnswer | None:  # noqa: ANN401
    if message.stop_reason == "refusal":
        return NoAnswer(REFUSED, "refusal")
    return cut_off(max_tokens) if message.stop_reason in CUT_OFF else None
