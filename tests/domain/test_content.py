"""Content beside the log: the same conversation is the same bytes, and comes back as it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.content import decode_content, decode_manifest, encode_content, encode_manifest
from domain.values import digest
from tests.domain.test_values import TEXTS, VALUES

TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": TEXTS}),
    max_size=5,
)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
METADATA = st.dictionaries(TEXTS, VALUES, max_size=4)


@given(TURNS, TEXTS, st.none() | TEXTS, MOMENTS, METADATA)
def test_a_conversation_comes_back_as_it_was(
    turns: list[dict[str, str]],
    model: str,
    language: str | None,
    timestamp: datetime | None,
    metadata: dict[str, Any],
) -> None:
    content = decode_content(encode_content(turns, model, language, timestamp, metadata))
    assert [(turn.role, turn.content) for turn in content.turns] == [(t["role"], t["content"]) for t in turns]
    assert (content.model, content.language, content.timestamp) == (model, language, timestamp)
    assert content.metadata == metadata


def body(metadata: dict[str, Any], moment: datetime | None = None) -> bytes:
    return encode_content([{"role": "user", "content": "hi"}], "m", None, moment, metadata)


def test_the_order_of_columns_makes_no_other_content() -> None:
    one = body({"a": 1, "b": {"c": 2, "d": 3}})
    assert digest(one) == digest(body({"b": {"d": 3, "c": 2}, "a": 1}))
    assert digest(one) != digest(body({"a": 1, "b": {"c": 2, "d": 4}}))


def test_the_moment_is_part_of_the_content() -> None:
    noon = datetime(2025, 10, 4, 12, tzinfo=UTC)
    there = noon.astimezone(timezone(timedelta(hours=2)))
    assert body({}, noon) != body({})
    assert decode_content(body({}, there)).timestamp == noon


def test_the_query_is_the_first_turn_of_the_user() -> None:
    turns = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "second"},
    ]
    assert decode_content(encode_content(turns, "m", None, None, {})).query == "first"


def test_what_is_no_content_is_not_read_as_one() -> None:
    with pytest.raises(msgspec.ValidationError, match="turns"):
        decode_content(b"{}")


@given(st.lists(st.tuples(TEXTS, st.binary(min_size=32, max_size=32)), max_size=8))
def test_a_manifest_lists_conversations_in_order(pairs: list[tuple[str, bytes]]) -> None:
    ids, contents = [one for one, _ in pairs], [content for _, content in pairs]
    assert decode_manifest(encode_manifest(ids, contents)) == (ids, contents)
