"""Batches of both providers, by their real SDKs, against servers on the loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from adapters.classifier import make_batch_classifier
from adapters.classifier.batches import ServiceBatches
from adapters.classifier.batches.service import LONGEST_CUSTOM_ID, Unreadable, custom_id, in_parts, key_of
from adapters.language_models.prices import Prices
from adapters.language_models.service import ModelOptions
from adapters.services.retries import Patience
from commands.ports import Item
from domain.errors import Invalid, Refused, Unavailable
from domain.templates import Label, TemplateContent
from tests.protocols.batches import BatchServer, serving_batches
from tests.protocols.server import KEY

TEMPLATE = TemplateContent("t", (Label("refund"), Label("password")))
PRICES = Prices({"anthropic/m": (2.0, 10.0), "openai/m": (2.0, 10.0)})
GOOD = {"reasoning": "about money", "label": "refund"}
ITEMS = [Item(number, f"text {number}") for number in range(7)]


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with serving_batches() as server:
        yield server


def made(server: BatchServer, provider: str, key: str = KEY) -> ServiceBatches:
    url = server.url if provider == "anthropic" else f"{server.url}/v1"
    options = ModelOptions(url, SecretStr(key), 5.0, Patience(max_retries=2, base_s=0.01))
    return make_batch_classifier(f"{provider}/m", lambda provider: options, PRICES)


def said(provider: str, value: object, *, ended: str | None = None) -> dict[str, Any]:
    """One line of an output: a success, as either provider puts it."""
    if provider == "anthropic":
        content = [{"type": "tool_use", "id": "t", "name": "answer", "input": value}]
        usage = {"input_tokens": 1_000, "output_tokens": 100}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": content}
        message |= {"stop_reason": ended or "tool_use", "stop_sequence": None, "usage": usage}
        return {"result": {"type": "succeeded", "message": message}}
    call = {"id": "c", "type": "function", "function": {"name": "answer", "arguments": json.dumps(value)}}
    choice = {"finish_reason": ended or "stop", "message": {"role": "assistant", "tool_calls": [call]}}
    body = {"choices": [choice], "usage": {"prompt_tokens": 1_000, "completion_tokens": 100}}
    return {"response": {"status_code": 200, "body": body}, "error": None}


def failed(provider: str, number: int) -> dict[str, Any]:
    """What goes wrong with one request, in each of the ways that there are."""
    if provider == "anthropic":
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}}
        ways = [{"type": "errored", "error": error}, {"type": "expired"}, {"type": "canceled"}]
        return {"result": ways[number]}
    body = {"error": {"message": "too long"}}
    expired = {"code": "batch_expired", "message": "not in time"}
    ways = [
        {"response": {"status_code": 400, "body": body}, "error": None},
        {"response": None, "error": expired},
    ]
    return ways[min(number, 1)]


BOTH = pytest.mark.parametrize("provider", ["anthropic", "openai"])


@BOTH
def test_texts_go_in_and_labels_come_out(server: BatchServer, provider: str) -> None:
    server.answer = lambda asked: said(provider, GOOD)
    batches = made(server, provider)
    ((batch_id, keys),) = batches.submit(TEMPLATE, iter(ITEMS))
    assert keys == [item.key for item in ITEMS]
    state = batches.poll(batch_id)
    assert (state.ended, state.done, state.failed, state.total) == (True, 7, 0, 7)
    found = {one.key: one for one in batches.results(TEMPLATE, batch_id)}
    assert set(found) == set(keys)
    assert {(one.label, one.reasoning, one.error) for one in found.values()} == {
        ("refund", "about money", None)
    }
    usage = found[0].usage
    assert (usage.calls, usage.input_tokens, usage.output_tokens) == (1, 1_000, 100)
    assert usage.cost_usd == pytest.approx((1_000 * 2 + 100 * 10) / 1e6 / 2)


@BOTH
def test_each_text_is_asked_about_with_the_labels_it_may_get(server: BatchServer, provider: str) -> None:
    server.answer = lambda asked: said(provider, GOOD)
    list(made(server, provider).submit(TEMPLATE, [Item("a/b", "a {text} with braces")]))
    (asked,) = server.batches["b1"]
    params = asked["params"] if provider == "anthropic" else asked["body"]
    assert key_of(asked["custom_id"]) == "a/b"
    assert "a {text} with braces" in params["messages"][-1]["content"]
    tool = params["tools"][0]
    schema = tool["input_schema"] if provider == "anthropic" else tool["function"]["parameters"]
    assert schema["properties"]["label"]["enum"] == ["refund", "password"]


@BOTH
def test_what_goes_wrong_is_the_error_of_its_text_alone(server: BatchServer, provider: str) -> None:
    lines = [
        said(provider, GOOD),
        failed(provider, 0),
        failed(provider, 1),
        failed(provider, 2),
        said(provider, {"label": "other", "reasoning": ""}),
        said(provider, GOOD, ended="max_tokens" if provider == "anthropic" else "content_filter"),
        said(provider, ["no object"]),
    ]
    server.answer = lambda asked: lines[int(key_of(asked["custom_id"]))]
    if provider == "anthropic":
        lines[6]["result"]["message"]["content"] = [{"type": "text", "text": "I would rather not"}]
    batches = made(server, provider)
    ((batch_id, _),) = batches.submit(TEMPLATE, ITEMS)
    errors = {one.key: one.error for one in batches.results(TEMPLATE, batch_id)}
    words = {
        "anthropic": ("too long", "expired", "cancelled", "does not fit", "cut off", "without the tool"),
        "openai": (
            "too long",
            "batch_expired: not",
            "batch_expired",
            "does not fit",
            "refused",
            "no JSON object",
        ),
    }
    assert errors.pop(0) is None
    for number, word in enumerate(words[provider], 1):
        assert word in (errors[number] or "")


@BOTH
def test_an_output_file_is_read_as_it_is(server: BatchServer, provider: str) -> None:
    line = {"custom_id": custom_id(5), **said(provider, GOOD)}
    lines = [json.dumps(line).encode(), b"\n"]
    batches = made(server, provider)
    assert [(one.key, one.label) for one in batches.read(TEMPLATE, lines)] == [(5, "refund")]
    for wrong in (b"{", b"[]", b'{"custom_id": "i1"}', b"3", json.dumps({**line, "custom_id": "x"}).encode()):
        with pytest.raises(Invalid, match="line 2: "):
            list(batches.read(TEMPLATE, [lines[0], wrong]))


@BOTH
def test_one_that_works_can_be_cancelled(server: BatchServer, provider: str) -> None:
    server.ended, server.answer = False, lambda asked: said(provider, GOOD)
    batches = made(server, provider)
    ((batch_id, _),) = batches.submit(TEMPLATE, ITEMS)
    assert not batches.poll(batch_id).ended
    batches.cancel(batch_id)
    assert server.cancelled == [batch_id]


@BOTH
def test_what_passes_is_asked_again_and_what_does_not_is_said(server: BatchServer, provider: str) -> None:
    server.answer = lambda asked: said(provider, GOOD)
    batches = made(server, provider)
    server.failing = [503, 429]
    ((batch_id, _),) = batches.submit(TEMPLATE, ITEMS)
    server.failing = [503] * 3
    with pytest.raises(Unavailable, match="HTTP 503"):
        batches.poll(batch_id)
    with pytest.raises(Refused, match="401") as refused:
        made(server, provider, key="another").poll(batch_id)
    assert "another" not in str(refused.value)


def test_only_two_have_batches() -> None:
    with pytest.raises(Invalid, match="takes no batches; use sync, or a model of anthropic, openai"):
        make_batch_classifier("local/nearest", lambda provider: ModelOptions(), PRICES)
    with pytest.raises(Refused, match="OPENAI_API_KEY"):
        make_batch_classifier("openai/m", lambda provider: ModelOptions(), PRICES)


# --- keys and sizes


@given(st.one_of(st.integers(-(2**63), 2**63), st.text(st.characters(codec="utf-8"), max_size=11)))
def test_a_key_comes_back_as_it_was(key: int | str) -> None:
    made = custom_id(key)
    assert key_of(made) == key
    assert len(made) <= LONGEST_CUSTOM_ID


def test_a_key_that_is_too_long_or_not_ours_is_refused() -> None:
    with pytest.raises(Invalid, match="at most 47 bytes"):
        custom_id("x" * 48)
    for other in ("", "request-1", "i", "s!"):
        with pytest.raises(Unreadable):
            key_of(other)


@given(st.lists(st.binary(max_size=9)), st.integers(1, 4), st.integers(1, 20))
def test_parts_are_whole_in_order_and_within_bounds(lines: list[bytes], most: int, most_bytes: int) -> None:
    parts = list(in_parts(enumerate(lines), most, most_bytes))
    assert [line for _, part in parts for line in part] == lines
    assert [key for keys, _ in parts for key in keys] == list(range(len(lines)))
    assert all(len(part) <= most for _, part in parts)
    assert all(len(part) == 1 or sum(map(len, part)) <= most_bytes for _, part in parts)
