"""Given a record of any format, when it is read, then it is a conversation or says what is wrong with it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from adapters.sources.formats import Shape, detect, read_row
from adapters.sources.records import Broken, encode
from commands.ports import BadRow, Conversation

USER = {"role": "user", "content": " Hello \n"}
ANSWER = {"role": "assistant", "content": "Hi."}


def read(record: object, text_column: str | None = None) -> Conversation | BadRow:
    raw = record if isinstance(record, bytes) else orjson.dumps(record)
    shape = Shape(text_column, turns=False) if text_column else detect([raw])
    return read_row(raw, 7, shape)


def good(record: object, text_column: str | None = None) -> Conversation:
    conversation = read(record, text_column)
    assert isinstance(conversation, Conversation), conversation
    return conversation


def reason(record: object, text_column: str | None = None) -> str:
    bad = read(record, text_column)
    assert isinstance(bad, BadRow), bad
    assert bad.row == 7
    return bad.reason


def test_a_row_of_lmsys_chat_1m() -> None:
    moderation = [{"flagged": False, "category_scores": {"hate": 0.01}}]
    record = {
        "conversation_id": "c1",
        "model": "vicuna-13b",
        "conversation": [USER, ANSWER, {"role": "user", "content": "More"}],
        "turn": 2,
        "language": "English",
        "openai_moderation": moderation,
        "redacted": False,
    }

    assert good(record) == Conversation(
        row=7,
        conversation_id="c1",
        query=" Hello \n",
        turns=[USER, ANSWER, {"role": "user", "content": "More"}],
        model="vicuna-13b",
        language="English",
        metadata={"turn": 2, "openai_moderation": moderation, "redacted": False},
    )


def test_a_row_of_wildchat() -> None:
    record = {
        "conversation_hash": "abc",
        "model": "gpt-4-0314",
        "timestamp": "2023-04-09T02:10:00+02:00",
        "conversation": [{**USER, "language": "English", "country": "x", "timestamp": None, "toxic": False}],
        "turn": 1,
        "language": "English",
        "openai_moderation": [],
        "toxic": False,
    }

    conversation = good(record)

    assert conversation.conversation_id == "abc"
    assert conversation.turns == [USER]
    assert conversation.timestamp == datetime(2023, 4, 9, 0, 10, tzinfo=UTC)
    assert conversation.metadata == {"turn": 1, "toxic": False}


def test_a_row_of_sharegpt() -> None:
    turns = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Why?"},
        {"from": "gpt", "value": "So."},
        {"from": "Human", "value": "And?"},
        {"from": "tool", "value": "42"},
    ]

    conversation = good({"id": "QWJ_0", "conversations": turns})

    assert [turn["role"] for turn in conversation.turns] == ["system", "user", "assistant", "user", "tool"]
    assert (conversation.conversation_id, conversation.query, conversation.model) == (
        "QWJ_0",
        "Why?",
        "unknown",
    )
    assert conversation.metadata == {}


def test_messages_of_openai() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is"},
                {"type": "image_url", "image_url": {"url": "data:"}},
                {"type": "text", "text": "this?"},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]},
        {"role": "tool", "content": "a cat", "tool_call_id": "t"},
    ]

    conversation = good({"messages": messages, "temperature": 0})

    assert [turn["content"] for turn in conversation.turns] == ["Be brief.", "What is\nthis?", "", "a cat"]
    assert conversation.query == "What is\nthis?"
    assert conversation.conversation_id is None
    assert conversation.metadata == {"temperature": 0}


@pytest.mark.parametrize("column", ["text", "query", "prompt", "question", "input"])
def test_a_row_of_plain_text(column: str) -> None:
    conversation = good({column: "how?", "label": "l", "domain": "d", "note": "", "id": 12})

    assert conversation.turns == [{"role": "user", "content": "how?"}]
    assert conversation.metadata == {"label": "l", "domain": "d"}
    assert conversation.conversation_id == "12"


def test_the_first_of_the_known_columns_is_the_text_and_the_others_are_kept() -> None:
    conversation = good({"input": "context", "question": "how?"})
    assert (conversation.query, conversation.metadata) == ("how?", {"input": "context"})


def test_a_named_column_is_the_text_even_beside_turns() -> None:
    conversation = good({"utterance": "how?", "text": "no", "conversation": [USER]}, text_column="utterance")
    assert conversation.query == "how?"
    assert conversation.metadata == {"text": "no", "conversation": [USER]}


def test_the_first_record_with_a_text_tells_the_shape() -> None:
    records = [b"{", b"[1]", b'{"note": 1}', b'{"prompt": "a", "input": "b"}', b'{"text": "c"}']
    assert detect(records) == Shape("prompt")
    assert detect([b'{"messages": []}', b'{"text": "c"}']) == Shape()
    assert detect([b"3"]) == Shape()


def test_turns_among_rows_of_text_are_taken_but_not_another_column() -> None:
    shape = Shape("prompt")
    turns = read_row(orjson.dumps({"conversation": [USER]}), 1, shape)
    other = read_row(orjson.dumps({"input": "b"}), 2, shape)

    assert isinstance(turns, Conversation)
    assert other == BadRow(2, "has no field 'prompt'")


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2024-01-31T10:00:00Z", datetime(2024, 1, 31, 10, tzinfo=UTC)),
        ("2024-01-31 10:00:00", datetime(2024, 1, 31, 10, tzinfo=UTC)),
        ("20240131", datetime(2024, 1, 31, tzinfo=UTC)),
        ("1706695200", datetime(2024, 1, 31, 10, tzinfo=UTC)),
        ("1706695200.5", datetime(2024, 1, 31, 10, 0, 0, 500000, tzinfo=UTC)),
        (1706695200, datetime(2024, 1, 31, 10, tzinfo=UTC)),
        (1706695200.5, datetime(2024, 1, 31, 10, 0, 0, 500000, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_a_timestamp_is_iso_8601_or_seconds_and_becomes_utc(written: object, moment: datetime | None) -> None:
    assert good({"text": "a", "timestamp": written}).timestamp == moment


@pytest.mark.parametrize(
    "written", ["yesterday", "2024-13-01", True, [], 1e18, 1706695200000, "9999-12-31T23:59:59-23:00"]
)
def test_a_bad_timestamp_is_named(written: object) -> None:
    assert reason({"text": "a", "timestamp": written}).startswith(
        "field 'timestamp' must be ISO 8601 or seconds"
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b"[1]", "must be a JSON object, found a list"),
        (b"null", "must be a JSON object, found null"),
        (b'"a"', "must be a JSON object, found text"),
        (b"", "is not valid JSON: "),
        (b'{"text": "a",}', "is not valid JSON: "),
        (b'{"text": NaN}', "is not valid JSON: "),
        (b'{"text": "a", "n": 1e999}', "is not valid JSON: "),
        (b'{"text": "a\xff"}', "is not valid UTF-8 at byte 12 of the row"),
        (b'{"text": "\xed\xa0\x80"}', "is not valid UTF-8 at byte 11 of the row"),
        (b'{"text": "\\ud800"}', "holds a lone surrogate"),
        (b'{"text": "\\udc00 "}', "holds a lone surrogate"),
        (b'{"text": "a\x00"}', "holds a NUL byte at byte 12 of the row"),
        (b'{"text": "a\\u0000"}', "field 'text' holds a NUL character"),
        (b'{"text": "a", "x": [{"y": ["\\u0000"]}]}', "field 'x' holds a NUL character"),
        (b'{"text": "a", "x": {"\\u0000": 1}}', "field 'x' holds a NUL character"),
        (b'{"text": "a", "\\u0000": 1}', "a field name holds a NUL character"),
        (
            {"conversation": [{"role": "user", "content": "a\0"}]},
            "field 'conversation' holds a NUL character",
        ),
        ({"other": 1}, "has no text: none of the fields conversation, conversations, messages, text, query"),
        ({"text": 5}, "field 'text' must be text, found the number 5"),
        ({"text": None}, "field 'text' must be text, found null"),
        ({"text": " \n\t"}, "field 'text' has an empty text for its query"),
        ({"conversation": "hello"}, "field 'conversation' must be a list of turns, found text"),
        ({"conversation": []}, "field 'conversation' holds no turn"),
        ({"conversation": [ANSWER]}, "field 'conversation' holds no turn of a user, only of 'assistant'"),
        ({"conversation": ["hello"]}, "field 'conversation', turn 1 must be an object, found text"),
        (
            {"conversation": [USER, {"role": 1, "content": ""}]},
            "field 'conversation', turn 2: the role must be",
        ),
        (
            {"conversation": [{"content": "a"}]},
            "field 'conversation', turn 1: the role must be text, found null",
        ),
        (
            {"conversation": [{"role": "user"}]},
            "field 'conversation', turn 1: the content must be text or a list",
        ),
        (
            {"conversation": [USER, {"role": "assistant", "content": True}]},
            "field 'conversation', turn 2: the con",
        ),
        (
            {"messages": [{"role": "user", "content": [3]}]},
            "field 'messages', turn 1: a part of the content must",
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": 3}]}]},
            "field 'messages', turn 1: the text of a par",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "field 'messages' has an empty te",
        ),
        ({"conversations": [{"from": "human", "value": "  "}]}, "field 'conversations' has an empty text"),
        ({"text": "a", "model": 5}, "field 'model' must be text, found the number 5"),
        ({"text": "a", "language": ["en"]}, "field 'language' must be text, found a list"),
        ({"text": "a", "model": "m" * 513}, "field 'model' has 513 bytes, the limit is 512"),
        ({"text": "a", "id": "ü" * 257}, "field 'id' has 514 bytes, the limit is 512"),
        (
            {"text": "a", "conversation_id": 1.5},
            "field 'conversation_id' must be text or a whole number, found",
        ),
        (
            {"text": "a", "conversation_id": True},
            "field 'conversation_id' must be text or a whole number, found t",
        ),
    ],
)
def test_a_bad_row_says_which_field_is_wrong_and_how(record: object, expected: str) -> None:
    assert reason(record).startswith(expected)


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert good(b'{"text": "\\\\u0000"}').query == "\\u0000"


def test_a_query_has_at_most_256_kib_of_utf_8() -> None:
    at_limit = "ü" * (128 * 1024)
    assert good({"text": at_limit}).query == at_limit
    assert reason({"text": at_limit + "a"}) == "the query has 262,145 bytes, the limit is 262,144"
    assert good({"text": "a", "x": at_limit + "a"}).metadata == {"x": at_limit + "a"}


def test_a_row_has_at_most_4_mib_without_spaces_and_escapes() -> None:
    answers = [{"role": "assistant", "content": "ü" * 600_000}]
    blown_up = orjson.dumps({"conversation": [USER, *answers]}).replace("ü".encode(), b"\\u00fc")
    spaced = b'{"text": "a"' + b" " * 5_000_000 + b"}"

    assert len(blown_up) > 3_600_000
    assert good(blown_up).turns[1:] == answers
    assert good(spaced).query == "a"
    assert good({"text": "a", "x": "b" * (4 * 1024 * 1024 - 20)}).query == "a"
    assert reason({"text": "a", "x": "b" * (4 * 1024 * 1024)}) == (
        "has 4,194,323 bytes, the limit for a row is 4,194,304"
    )


def test_a_row_too_deep_to_be_stored_is_refused() -> None:
    def nested(levels: int) -> bytes:
        return b'{"text": "a", "x": ' + b"[" * levels + b"1" + b"]" * levels + b"}"

    assert orjson.dumps({"turns": [], "metadata": good(nested(240)).metadata})
    assert reason(nested(254)) == "is nested more than 250 levels deep"
    assert reason(nested(900)) == "is nested more than 250 levels deep"
    assert reason(nested(5_000)).startswith("is not valid JSON: ")


def test_an_empty_identity_gives_way_to_the_next() -> None:
    record = {"text": "a", "conversation_id": None, "conversation_hash": "", "id": "i"}
    assert good(record).conversation_id == "i"
    both: dict[str, Any] = {"text": "a", "conversation_id": "c", "id": 3}
    assert (good(both).conversation_id, good(both).metadata) == ("c", {"id": 3})


class Moment(datetime):
    """As the timestamps of pandas are."""


def test_values_of_a_table_become_json_and_those_that_json_has_no_form_for_are_left_out() -> None:
    raw = encode(
        {
            "text": "a",
            "day": date(2024, 1, 31),
            "moment": Moment(2024, 1, 31, tzinfo=UTC),
            "took": timedelta(minutes=1),
            "price": Decimal("1.50"),
            "name": b"x",
            "blob": b"\xff",
            "score": float("nan"),
        }
    )
    assert isinstance(raw, bytes)
    assert good(raw).metadata == {
        "day": "2024-01-31",
        "moment": "2024-01-31T00:00:00+00:00",
        "took": 60.0,
        "price": "1.50",
        "name": "x",
    }


def test_a_value_of_a_table_that_has_no_form_at_all_is_named() -> None:
    assert encode({"text": "a", "n": 2**64}) == Broken(
        "field 'n' cannot be kept as JSON: Integer exceeds 64-bit range"
    )
    assert encode({"text": "a", "x": [object()]}) == Broken(
        "field 'x' cannot be kept as JSON: a value of type object has no form in JSON"
    )
