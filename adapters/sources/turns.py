"""Turns of a conversation, whatever its format calls their two fields and their speakers."""

from __future__ import annotations

from typing import Any

from adapters.sources.records import Misfit, found

MAX_QUERY_BYTES = 256 * 1024

_ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
}


def read_turns(turns: list[Any], column: str) -> list[dict[str, str]]:
    """Each turn as role and content: fields that a format has besides are dropped."""
    return [_turn(turn, column, number) for number, turn in enumerate(turns, 1)]


def first_query(turns: list[dict[str, str]], column: str) -> str:
    """The first turn of the user, as it stands."""
    for turn in turns:
        if turn["role"] == "user":
            return checked_query(turn["content"], column)
    if not turns:
        raise Misfit(f"field {column!r} holds no turn")
    roles = ", ".join(sorted({turn["role"][:20] for turn in turns})[:5])
    raise Misfit(f"field {column!r} holds no turn of a user, only of {roles!r}")


def checked_query(text: object, column: str) -> str:
    """Text that is neither empty nor too long for a query."""
    if not isinstance(text, str):
        raise Misfit(f"field {column!r} must be text, found {found(text)}")
    if not text or text.isspace():
        raise Misfit(f"field {column!r} has an empty text for its query")
    if len(text) * 4 > MAX_QUERY_BYTES and (size := len(text.encode())) > MAX_QUERY_BYTES:
        raise Misfit(f"the query has {size:,} bytes, the limit is {MAX_QUERY_BYTES:,}")
    return text


def _turn(turn: Any, column: str, number: int) -> dict[str, str]:  # noqa: ANN401  (of a foreign file)
    if type(turn) is not dict:
        raise Misfit(f"field {column!r}, turn {number} must be an object, found {found(turn)}")
    role = turn["role"] if "role" in turn else turn.get("from")
    if type(role) is not str:
        raise Misfit(f"field {column!r}, turn {number}: the role must be text, found {found(role)}")
    role = _ROLES.get(role) or _ROLES.get(role.lower(), role)
    content = turn["content"] if "content" in turn else turn.get("value")
    if type(content) is not str:
        content = _content(content, role, f"field {column!r}, turn {number}")
    return {"role": role, "content": content}


def _content(content: object, role: str, where: str) -> str:
    """Parts as one text, those without text left out. Only a turn of the user must say something:

    an assistant that calls a tool has a content of null.
    """
    if content is None and role != "user":
        return ""
    if not isinstance(content, list):
        raise Misfit(f"{where}: the content must be text or a list of parts, found {found(content)}")
    return "\n".join(text for part in content if (text := _part(part, where)) is not None)


def _part(part: object, where: str) -> str | None:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise Misfit(f"{where}: a part of the content must be an object, found {found(part)}")
    text = part.get("text")
    if text is not None and not isinstance(text, str):
        raise Misfit(f"{where}: the text of a part must be text, found {found(text)}")
    return text
