"""OpenAI's Batch API: a file of requests goes up, files of outputs and of errors come down."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.classifier.batches.service import TOOL, Outcome, Unreadable, as_json
from adapters.language_models.openai_api import openai_client
from adapters.language_models.port import Question
from adapters.language_models.service import ModelOptions
from adapters.services.sdks import heard
from commands.ports import BatchState

ENDPOINT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


class OpenAIBatches:
    """The port `BatchService`. OpenAI takes 200 MB a file; this holds a part in memory and sends less."""

    provider = "openai"
    most_requests = 50_000
    most_bytes = 32_000_000

    def __init__(self, model: str, options: ModelOptions) -> None:
        self.model = model
        self._client = openai_client(self.provider, options)
        self._key = options.key()

    def request(self, custom_id: str, question: Question) -> bytes:
        function = {"name": TOOL, "parameters": question.schema}
        body = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": question.system},
                {"role": "user", "content": question.text},
            ],
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": TOOL}},
            "max_completion_tokens": question.max_tokens,
        }
        return as_json({"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body})

    def create(self, requests: list[bytes]) -> str:
        with self._heard("file"):
            name = ("requests.jsonl", b"\n".join(requests))
            file = self._client.files.create(file=name, purpose="batch")
        with self._heard("batch"):
            made = self._client.batches.create(
                input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
            )
            return str(made.id)

    def poll(self, batch_id: str) -> BatchState:
        with self._heard("batch"):
            batch = self._client.batches.retrieve(batch_id)
            counts, errors = batch.request_counts, batch.errors
            said = [str(one.message) for one in (errors.data or [])[:5]] if errors else []
            return BatchState(
                ended=batch.status in ENDED,
                done=counts.completed if counts else 0,
                failed=counts.failed if counts else 0,
                total=counts.total if counts else 0,
                error="; ".join(said) or batch.status if batch.status == "failed" else None,
            )

    def outputs(self, batch_id: str) -> Iterator[Mapping[str, Any]]:
        with self._heard("batch"):
            batch = self._client.batches.retrieve(batch_id)
            files = [one for one in (batch.output_file_id, batch.error_file_id) if one]
        for file in files:
            with self._heard("output file"), self._client.files.with_streaming_response.content(file) as sent:
                for line in sent.iter_lines():
                    if line.strip():
                        yield json.loads(line)

    def outcome(self, line: Mapping[str, Any]) -> Outcome:
        name, response, error = line["custom_id"], line.get("response"), line.get("error")
        if error or response is None or response["status_code"] != 200:
            return Outcome(name, None, _said(error, response))
        body = response["body"]
        usage = body.get("usage") or {}
        tokens = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
        choice = body["choices"][0]
        return Outcome(name, *_answer(choice), *tokens)

    def cancel(self, batch_id: str) -> None:
        with self._heard("batch"):
            self._client.batches.cancel(batch_id)

    def _heard(self, wanted: str) -> Any:  # noqa: ANN401
        import openai

        return heard(openai, f"{self.provider}/{self.model}", self._key, wanted)


def _answer(choice: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str | None]:
    message = choice["message"]
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return None, "the model refused to answer"
    calls = message.get("tool_calls") or []
    try:
        value = json.loads(calls[0]["function"]["arguments"])
    except (IndexError, ValueError):
        cut = choice.get("finish_reason") == "length"
        return None, "the answer was cut off" if cut else "the answer is no JSON object"
    return (value, None) if isinstance(value, dict) else (None, "the answer is no JSON object")


def _said(error: Mapping[str, Any] | None, response: Mapping[str, Any] | None) -> str:
    """`batch_expired: This request could not be executed before the completion window expired.`"""
    if error:
        return ": ".join(str(part) for part in (error.get("code"), error.get("message")) if part)
    if response is None:
        raise Unreadable("it has neither a response nor an error")
    inner = (response.get("body") or {}).get("error") or {}
    return f"HTTP {response['status_code']}: {inner.get('message') or 'no message'}"
