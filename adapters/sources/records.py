"""Records on their way from a container to a row: JSON bytes that are whole and that Postgres can hold."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

MAX_ROW_BYTES = 4 * 1024 * 1024
MAX_RAW_BYTES = 64 * 1024 * 1024
"""The longest line or array element that is held at all: escapes and spaces may blow a row up."""

_DEEP = 200
"""Brackets in a record up to which it cannot be nested too deeply to be written again (254 levels)."""


@dataclass(frozen=True)
class Broken:
    """A record that cannot be read at all; `breaks`: nor can what stands behind it."""

    reason: str
    breaks: bool = False


Records = Generator[bytes | Broken, None, int]
"""The JSON of one record after the other; returns how many records there are, those passed over included."""


class Misfit(Exception):
    """Why a row cannot be taken, in words for the one who mends it."""


def parse(raw: bytes) -> dict[str, Any]:
    """The record as an object without NUL characters, of bounded size and depth, or `Misfit`."""
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Misfit(why_broken(raw, error)) from None
    if not isinstance(record, dict):
        raise Misfit(f"must be a JSON object, found {found(record)}")
    if b"\\u0000" in raw:
        _refuse_nul(record)
    if len(raw) > MAX_ROW_BYTES or raw.count(b"[") + raw.count(b"{") > _DEEP:
        _refuse_bulk(record)
    return record


def encode(record: Mapping[str, Any]) -> bytes | Broken:
    """A record of a table as JSON. Bytes that are no text, and numbers that are none, become null."""
    try:
        return orjson.dumps(record, default=_plain, option=orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError as error:
        return Broken(_why_not_json(record, error))


def found(value: object) -> str:
    """What stands where something else was expected; text is not repeated, it may be long or private."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def why_broken(raw: bytes, error: orjson.JSONDecodeError) -> str:
    """What is wrong with the JSON of a record, and where in the record."""
    try:
        raw.decode()
    except UnicodeDecodeError as undecodable:
        return f"is not valid UTF-8 at byte {undecodable.start + 1} of the row"
    if "surrogate" in error.msg:
        return f"holds a lone surrogate (one half of a UTF-16 pair) at character {error.pos + 1} of the row"
    if b"\x00" in raw:
        return f"holds a NUL byte at byte {raw.index(0) + 1} of the row"
    return f"is not valid JSON: {error.msg.split(': line ')[0]} at character {error.pos + 1} of the row"


def _refuse_nul(record: dict[str, Any]) -> None:
    for column, value in record.items():
        if "\0" in column:
            raise Misfit("a field name holds a NUL character")
        if _holds_nul(value):
            raise Misfit(f"field {column[:60]!r} holds a NUL character")


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


def _refuse_bulk(record: dict[str, Any]) -> None:
    """Measures the record without escapes and spaces. Wrapped, since what stores it will wrap it too."""
    try:
        size = len(orjson.dumps([[[[record]]]])) - 8
    except orjson.JSONEncodeError:
        raise Misfit("is nested more than 250 levels deep") from None
    if size > MAX_ROW_BYTES:
        raise Misfit(f"has {size:,} bytes, the limit for a row is {MAX_ROW_BYTES:,}")


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    raise TypeError(f"a value of type {type(value).__name__} has no form in JSON")


def _why_not_json(record: Mapping[str, Any], error: orjson.JSONEncodeError) -> str:
    for column, value in record.items():
        try:
            orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
        except orjson.JSONEncodeError as culprit:
            said = culprit.__cause__ or culprit
            fault = "is not valid UTF-8" if "UTF-8" in str(said) else f"cannot be kept as JSON: {said}"
            return f"field {column[:60]!r} {fault}"
    return f"cannot be kept as JSON: {error}"
