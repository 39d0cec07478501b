"""What the batches of all providers have in common, and what each of them says for itself."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.language_models.port import Question
from commands.ports import BatchState
from domain.errors import Invalid

TOOL = "answer"
"""The tool that a model must use: its input is the answer."""

LONGEST_CUSTOM_ID = 64
_CUSTOM_ID = re.compile(r"(?:i(-?\d+)|s([A-Za-z0-9_-]*))\Z")


class Unreadable(ValueError):
    """A line of an output file that this provider cannot have written."""


@dataclass(frozen=True)
class Outcome:
    """What became of one request: the object that the model answered with, or what kept it from it."""

    custom_id: str
    value: Mapping[str, Any] | None
    error: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class BatchService(Protocol):
    """A provider's batches, by its SDK. Calls raise `Transient`, `Rejected` and `Refused`."""

    provider: str
    model: str
    most_requests: int
    most_bytes: int

    def request(self, custom_id: str, question: Question) -> bytes:
        """One request as JSON, as it stands in a batch."""

    def create(self, requests: list[bytes]) -> str:
        """The id of a new batch."""

    def poll(self, batch_id: str) -> BatchState: ...

    def outputs(self, batch_id: str) -> Iterator[Mapping[str, Any]]:
        """The lines of its output files; those of a batch that ended before anything was done are none."""

    def outcome(self, line: Mapping[str, Any]) -> Outcome:
        """Raises Unreadable, KeyError or TypeError for what is none of its lines."""

    def cancel(self, batch_id: str) -> None: ...


def custom_id(key: int | str) -> str:
    """The key in letters that providers take. Raises Invalid for one that is too long."""
    if isinstance(key, int):
        return f"i{key}"
    made = "s" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    if len(made) > LONGEST_CUSTOM_ID:
        raise Invalid(f"key {key!r}: a key of a batch has at most {(LONGEST_CUSTOM_ID - 1) * 3 // 4} bytes")
    return made


def key_of(custom_id: str) -> int | str:
    """The key again. Raises Unreadable for an id that was not made here."""
    found = _CUSTOM_ID.match(custom_id)
    if not found:
        raise Unreadable(f"custom_id {custom_id!r} was not given by this system")
    if found[1]:
        return int(found[1])
    try:
        return base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)).decode()
    except ValueError:
        raise Unreadable(f"custom_id {custom_id!r} was not given by this system") from None


def in_parts(
    requests: Iterable[tuple[int | str, bytes]], most: int, most_bytes: int
) -> Iterator[tuple[list[int | str], list[bytes]]]:
    """Keys and requests of one batch after the other, none larger than is allowed."""
    keys: list[int | str] = []
    part: list[bytes] = []
    size = 0
    for key, request in requests:
        if part and (len(part) == most or size + len(request) > most_bytes):
            yield keys, part
            keys, part, size = [], [], 0
        keys.append(key)
        part.append(request)
        size += len(request) + 1
    if part:
        yield keys, part


def as_json(value: Mapping[str, Any]) -> bytes:
    """On one line, with lone surrogates, which no provider takes, as question marks."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
