"""Anthropic's Message Batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.classifier.batches.service import TOOL, Outcome, Unreadable, as_json
from adapters.language_models.anthropic_api import anthropic_client
from adapters.language_models.port import Question
from adapters.language_models.service import ModelOptions
from adapters.services.sdks import heard
from commands.ports import BatchState

NO_RESULT = {"canceled": "it was cancelled", "expired": "the batch expired before it came to this"}


class AnthropicBatches:
    """The port `BatchService`. Anthropic takes 256 MB a batch; this holds a part in memory and sends less."""

    provider = "anthropic"
    most_requests = 100_000
    most_bytes = 32_000_000

    def __init__(self, model: str, options: ModelOptions) -> None:
        self.model = model
        self._client = anthropic_client(options)
        self._key = options.key()

    def request(self, custom_id: str, question: Question) -> bytes:
        params = {
            "model": self.model,
            "max_tokens": question.max_tokens,
            "system": question.system,
            "messages": [{"role": "user", "content": question.text}],
            "tools": [{"name": TOOL, "input_schema": question.schema}],
            "tool_choice": {"type": "tool", "name": TOOL},
        }
        return as_json({"custom_id": custom_id, "params": params})

    def create(self, requests: list[bytes]) -> str:
        with self._heard("batch"):
            made = self._client.messages.batches.create(requests=[json.loads(one) for one in requests])
            return str(made.id)

    def poll(self, batch_id: str) -> BatchState:
        with self._heard("batch"):
            batch = self._client.messages.batches.retrieve(batch_id)
            counts = batch.request_counts
            failed = counts.errored + counts.canceled + counts.expired
            total = counts.processing + counts.succeeded + failed
            return BatchState(batch.processing_status == "ended", counts.succeeded, failed, total)

    def outputs(self, batch_id: str) -> Iterator[Mapping[str, Any]]:
        with self._heard("results"):
            for one in self._client.messages.batches.results(batch_id):
                yield one.model_dump()

    def outcome(self, line: Mapping[str, Any]) -> Outcome:
        name, result = line["custom_id"], line["result"]
        kind = result["type"]
        if kind in NO_RESULT:
            return Outcome(name, None, NO_RESULT[kind])
        if kind == "errored":
            error = result["error"]["error"]
            return Outcome(name, None, f"{error['type']}: {error['message']}")
        if kind != "succeeded":
            raise Unreadable(f"a result of the type {kind!r}")
        message = result["message"]
        usage = message["usage"]
        cached = (usage.get("cache_creation_input_tokens") or 0) + (usage.get("cache_read_input_tokens") or 0)
        return Outcome(name, *_answer(message), usage["input_tokens"] + cached, usage["output_tokens"])

    def cancel(self, batch_id: str) -> None:
        with self._heard("batch"):
            self._client.messages.batches.cancel(batch_id)

    def _heard(self, wanted: str) -> Any:  # noqa: ANN401
        import anthropic

        return heard(anthropic, f"{self.provider}/{self.model}", self._key, wanted)


def _answer(message: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str | None]:
    used = next((part["input"] for part in message["content"] if part["type"] == "tool_use"), None)
    if message.get("stop_reason") == "max_tokens":
        return None, "the answer was cut off"
    if not isinstance(used, Mapping):
        refused = message.get("stop_reason") == "refusal"
        return None, "the model refused to answer" if refused else "the model answered without the tool"
    return used, None
