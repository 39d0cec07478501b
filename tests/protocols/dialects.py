"""Anthropic's Messages, OpenAI's chat completions and Cohere's chat, with the rules that they insist on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.protocols.server import KEY, Asked, Refusal, Status, TooLong, Words, Wrong, bearer, counted

Body = Mapping[str, Any]


def text_of(content: str | Sequence[Body] | None) -> str:
    """Of a message, in either form."""
    if isinstance(content, str) or content is None:
        return content or ""
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def words_of(said: object) -> str:
    return said.words if isinstance(said, Words) else json.dumps(said)


ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Anthropic:
    def hear(self, path: str, headers: Mapping[str, str], body: Body) -> Asked:
        if headers.get("x-api-key") != KEY:
            bearer(headers)
        if path != "/v1/messages":
            raise Wrong(404, f"not found: {path}")
        if "anthropic-version" not in headers or "max_tokens" not in body:
            raise Wrong(400, "anthropic-version and max_tokens are required")
        first, *later = body["messages"]
        tool = body["tools"][0]
        if body["tool_choice"]["name"] != tool["name"]:
            raise Wrong(400, "tool_choice: no such tool")
        return Asked(
            time.monotonic(),
            path,
            headers,
            body,
            system=text_of(body["system"]),
            text=text_of(first["content"]),
            schema=tool["input_schema"],
            complaint=self._complaint(later),
        )

    def _complaint(self, later: Sequence[Body]) -> str | None:
        """Every use of a tool must be followed by its result."""
        for said, answered in zip(later[::2], later[1::2], strict=True):
            uses = {part["id"] for part in said["content"] if part["type"] == "tool_use"}
            results = {
                part["tool_use_id"]
                for part in answered["content"]
                if isinstance(part, dict) and part["type"] == "tool_result"
            }
            if uses != results:
                raise Wrong(400, "tool_use ids were found without tool_result blocks")
        if not later:
            return None
        content = later[-1]["content"]
        return content if isinstance(content, str) else str(content[0]["content"])

    def say(self, asked: Asked, said: dict[str, Any] | Refusal | TooLong | Words) -> dict[str, Any]:
        use = {"type": "tool_use", "id": "toolu_1", "name": asked.body["tools"][0]["name"], "input": said}
        content, reason = [use], "tool_use"
        if isinstance(said, Words):
            content, reason = [{"type": "text", "text": said.words}], "end_turn"
        elif isinstance(said, Refusal):
            content, reason = [], "refusal"
        elif isinstance(said, TooLong):
            content, reason = [use | {"input": {}}], "max_tokens"
        words = f"{asked.system} {asked.text}"
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {"input_tokens": counted(words), "output_tokens": 7},
        }

    def error(self, status: Status) -> dict[str, Any]:
        kind = ANTHROPIC_ERRORS.get(status.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": status.message}}


class OpenAI:
    def hear(self, path: str, headers: Mapping[str, str], body: Body) -> Asked:
        if not path.startswith("/ollama"):
            bearer(headers)
        if path not in (f"{base}/v1/chat/completions" for base in ("", "/openai", "/ollama")):
            raise Wrong(404, f"Invalid URL (POST {path})")
        system, question, *later = body["messages"]
        if "tools" in body:
            function = body["tools"][0]["function"]
            if body["tool_choice"]["function"]["name"] != function["name"]:
                raise Wrong(400, "tool_choice: no such tool")
            schema = function["parameters"]
        else:
            schema = body["response_format"]["json_schema"]["schema"]
        return Asked(
            time.monotonic(),
            path,
            headers,
            body,
            system=text_of(system["content"]),
            text=text_of(question["content"]),
            schema=schema,
            complaint=self._complaint(later),
        )

    def _complaint(self, later: Sequence[Body]) -> str | None:
        """A message with calls of tools must be followed by what each gave."""
        open_calls: set[str] = set()
        for message in later:
            if message["role"] == "tool":
                open_calls -= {message["tool_call_id"]}
            elif open_calls:
                raise Wrong(400, "tool_calls must be followed by tool messages")
            open_calls |= {call["id"] for call in message.get("tool_calls") or []}
        if open_calls:
            raise Wrong(400, "tool_calls must be followed by tool messages")
        return text_of(later[-1]["content"]) if later else None

    def say(self, asked: Asked, said: dict[str, Any] | Refusal | TooLong | Words) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        reason = "stop"
        if isinstance(said, Refusal):
            message["refusal"] = "I can't help with that."
        elif isinstance(said, TooLong):
            message["content"], reason = '{"la', "length"
        elif "tools" in asked.body:
            function = {"name": asked.body["tools"][0]["function"]["name"], "arguments": words_of(said)}
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
            reason = "tool_calls"
        else:
            message["content"] = words_of(said)
        taken = counted(f"{asked.system} {asked.text}")
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_764_460_800,
            "model": asked.model,
            "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
            "usage": {"prompt_tokens": taken, "completion_tokens": 7, "total_tokens": taken + 7},
        }

    def error(self, status: Status) -> dict[str, Any]:
        return {"error": {"message": status.message, "type": "error", "param": None, "code": status.code}}


class Cohere:
    def hear(self, path: str, headers: Mapping[str, str], body: Body) -> Asked:
        bearer(headers)
        if path != "/v2/chat":
            raise Wrong(404, f"not found: {path}")
        system, question, *later = body["messages"]
        return Asked(
            time.monotonic(),
            path,
            headers,
            body,
            system=text_of(system["content"]),
            text=text_of(question["content"]),
            schema=body["response_format"]["schema"],
            complaint=text_of(later[-1]["content"]) if later else None,
        )

    def say(self, asked: Asked, said: dict[str, Any] | Refusal | TooLong | Words) -> dict[str, Any]:
        reason = "MAX_TOKENS" if isinstance(said, TooLong) else "COMPLETE"
        words = '{"la' if isinstance(said, TooLong) else words_of(said)
        taken = {"input_tokens": counted(f"{asked.system} {asked.text}"), "output_tokens": 7}
        return {
            "id": "c1",
            "finish_reason": reason,
            "message": {"role": "assistant", "content": [{"type": "text", "text": words}]},
            "usage": {"billed_units": taken, "tokens": taken},
        }

    def error(self, status: Status) -> dict[str, Any]:
        return {"message": status.message}
