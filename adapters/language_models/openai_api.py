"""OpenAI's chat completions, and all who speak them: Groq, Ollama, vLLM, llama.cpp, LM Studio, LiteLLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.language_models.service import REFUSED, Heard, ModelOptions, NoAnswer, Service, cut_off
from adapters.services.sdks import heard
from domain.errors import Refused


@dataclass(frozen=True)
class Dialect:
    """How a provider wants it. Without a `variable` for it no key is needed.

    An object is asked for by `TOOLS`, or by `JSON_SCHEMA` where servers hold a model to a schema as it writes
    and may know no tools. OpenAI's newer models take no temperature but their own.
    """

    url: str | None
    variable: str | None
    mode: str
    bound: str = "max_tokens"
    temperature: float | None = 0.0


DIALECTS = {
    "openai": Dialect(
        "https://api.openai.com/v1", "OPENAI_API_KEY", "TOOLS", "max_completion_tokens", temperature=None
    ),
    "groq": Dialect("https://api.groq.com/openai/v1", "GROQ_API_KEY", "TOOLS"),
    "ollama": Dialect("http://127.0.0.1:11434/v1", None, "JSON_SCHEMA"),
    "openai-compatible": Dialect(None, None, "JSON_SCHEMA"),
}


def openai_service(provider: str, model: str, options: ModelOptions) -> Service:
    dialect = DIALECTS[provider]
    client = openai_client(provider, options)

    def call(**request: Any) -> Heard:  # noqa: ANN401
        bound = request[dialect.bound]
        return _call(client, f"{provider}/{model}", options.key(), bound, model=model, **request)

    return Service(
        provider,
        model,
        call,
        client.close,
        mode=dialect.mode,
        dialect="OPENAI",
        base_url=options.base_url,
        bound=dialect.bound,
        extra={} if dialect.temperature is None else {"temperature": dialect.temperature},
    )


def openai_client(provider: str, options: ModelOptions) -> Any:  # noqa: ANN401  (imported late)
    """Its own retries are off: ours know a longest wait, and hear that nobody wants the answer any more."""
    import openai

    dialect = DIALECTS[provider]
    base_url = options.base_url or dialect.url
    if base_url is None:
        raise Refused(f"language models of {provider} need the URL of the service: set LMSYS_OPENAI_BASE_URL")
    needed = options.needed_key(provider, dialect.variable) if dialect.variable else options.key()
    return openai.OpenAI(
        api_key=needed or "none",  # it insists on one
        base_url=base_url,
        timeout=options.timeout_s,
        max_retries=0,
    )


def _call(client: Any, service: str, key: str | None, bound: int, **request: Any) -> Heard:  # noqa: ANN401
    import openai

    with heard(openai, service, key, "chat completion"):
        completion = client.chat.completions.create(**request)
        usage = completion.usage
        tokens_in, tokens_out = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        return Heard(completion, tokens_in, tokens_out, _ended(completion.choices[0], bound))


def _ended(choice: Any, bound: int) -> NoAnswer | None:  # noqa: ANN401
    if getattr(choice.message, "refusal", None) or choice.finish_reason == "content_filter":
        return NoAnswer(REFUSED, "refusal")
    return cut_off(bound) if choice.finish_reason == "length" else None
