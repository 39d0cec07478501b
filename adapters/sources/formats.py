"""A record of any format as the one form that all of them are brought to."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.sources import fields
from adapters.sources.records import Broken, Misfit, found, parse
from adapters.sources.turns import checked_query, first_query, read_turns
from commands.ports import BadRow, Conversation
from domain.errors import Invalid

TURN_COLUMNS = ("conversation", "conversations", "messages")
"""LMSYS-chat-1M and WildChat, ShareGPT, OpenAI."""

TEXT_COLUMNS = ("text", "query", "prompt", "question", "input")
"""Where rows of plain text keep it: the first of these that the first record has."""

_OWN_FIELD = {"model", "language", "timestamp"}
_EMPTY: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True)
class Shape:
    """Where the rows of a source keep their text: in lists of turns, in one column, or in either."""

    text_column: str | None = None
    turns: bool = True


def detect(records: Iterable[bytes | Broken]) -> Shape:
    """The shape of the first record that has one. One pass over all of them where none has."""
    for raw in records:
        if isinstance(raw, Broken):
            continue
        try:
            record = parse(raw)
        except Misfit:
            continue
        if _turns_column(record):
            return Shape()
        if column := text_column_among(record):
            return Shape(column)
    return Shape()


def text_column_among(columns: Iterable[str]) -> str | None:
    present = set(columns)
    return next((column for column in TEXT_COLUMNS if column in present), None)


def shape_of_columns(
    name: str, columns: Sequence[str], text_column: str | None, lists: Container[str] = ()
) -> Shape:
    """The shape of a table, some columns of which may be lists. Raises `Invalid` if it has no text."""
    shown = ", ".join(column[:40] for column in columns[:20])
    if text_column and text_column not in columns:
        raise Invalid(f"{name} has no column {text_column!r}: it has {shown}")
    if not text_column and any(column in lists for column in TURN_COLUMNS):
        return Shape()
    column = text_column or text_column_among(columns)
    if column is None:
        known = ", ".join(TEXT_COLUMNS)
        raise Invalid(f"{name} has none of the columns {known}: it has {shown}; name one by text_column")
    return Shape(column, turns=False)


def read_row(raw: bytes | Broken, row: int, shape: Shape) -> Conversation | BadRow:
    if isinstance(raw, Broken):
        return BadRow(row, raw.reason, raw.breaks)
    try:
        return _conversation(parse(raw), row, shape)
    except Misfit as misfit:
        return BadRow(row, str(misfit))


def _conversation(record: dict[str, Any], row: int, shape: Shape) -> Conversation:
    column = _turns_column(record) if shape.turns else None
    if column:
        turns = read_turns(record[column], column)
        query = first_query(turns, column)
    else:
        column = _text_column(record, shape)
        query = checked_query(record[column], column)
        turns = [{"role": "user", "content": query}]
    id_column = fields.identity_column(record)
    return Conversation(
        row=row,
        conversation_id=fields.identity(record, id_column) if id_column else None,
        query=query,
        turns=turns,
        model=fields.name(record, "model") or "unknown",
        language=fields.name(record, "language"),
        timestamp=fields.moment(record, "timestamp"),
        metadata={
            key: value
            for key, value in record.items()
            if key != column and key != id_column and key not in _OWN_FIELD and value not in _EMPTY
        },
    )


def _turns_column(record: Mapping[str, Any]) -> str | None:
    for column in TURN_COLUMNS:
        if type(record.get(column)) is list:
            return column
    return None


def _text_column(record: Mapping[str, Any], shape: Shape) -> str:
    if shape.text_column and shape.text_column in record:
        return shape.text_column
    for column in TURN_COLUMNS if shape.turns else ():
        if column in record:
            raise Misfit(f"field {column!r} must be a list of turns, found {found(record[column])}")
    if shape.text_column:
        raise Misfit(f"has no field {shape.text_column!r}")
    known = ", ".join(TURN_COLUMNS + TEXT_COLUMNS)
    raise Misfit(f"has no text: none of the fields {known} that the first record has")
