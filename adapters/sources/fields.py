"""The single fields of a record: identity, names, moments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from adapters.sources.records import Misfit, found

ID_COLUMNS = ("conversation_id", "conversation_hash", "id")
MAX_NAME_BYTES = 512
"""Identities and names are indexed, and an entry of an index of Postgres has its bounds."""

_EPOCH_DIGITS = 9
"""A text of so many digits is seconds since 1970; fewer may be a date without dashes (20240131)."""


def identity_column(record: Mapping[str, Any]) -> str | None:
    """The first of the columns of an identity that holds something."""
    for column in ID_COLUMNS:
        if record.get(column) not in (None, ""):
            return column
    return None


def identity(record: Mapping[str, Any], column: str) -> str:
    value = record[column]
    if type(value) is int:
        return str(value)
    return _name(value, column, "text or a whole number")


def name(record: Mapping[str, Any], column: str) -> str | None:
    """A short text such as a model or a language; None where it is missing, null or empty."""
    value = record.get(column)
    if value is None or value == "":
        return None
    return _name(value, column, "text")


def moment(record: Mapping[str, Any], column: str) -> datetime | None:
    """ISO 8601 (UTC where no offset stands) or seconds since 1970, as UTC."""
    value = record.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Misfit(f"field {column!r} must be ISO 8601 or seconds since 1970, found {found(value)}")
    try:
        return _moment(value)
    except (ValueError, OverflowError, OSError):
        shown = value[:40] if isinstance(value, str) else value
        raise Misfit(f"field {column!r} must be ISO 8601 or seconds since 1970, found {shown!r}") from None


def _moment(value: str | int | float) -> datetime:
    if isinstance(value, str):
        digits = value.partition(".")[0]
        if not (len(digits) >= _EPOCH_DIGITS and digits.isdecimal()):
            read = datetime.fromisoformat(value.strip())
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    return datetime.fromtimestamp(float(value), UTC)


def _name(value: object, column: str, expected: str) -> str:
    if not isinstance(value, str):
        raise Misfit(f"field {column!r} must be {expected}, found {found(value)}")
    if len(value) * 4 > MAX_NAME_BYTES and (size := len(value.encode())) > MAX_NAME_BYTES:
        raise Misfit(f"field {column!r} has {size:,} bytes, the limit is {MAX_NAME_BYTES}")
    return value
