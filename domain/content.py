"""The content of a conversation as it is kept beside the log: canonical JSON, addressed by its SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import orjson

from domain.values import pack_digests, unpack_digests


class Turn(msgspec.Struct):
    role: str
    content: str


class ConversationContent(msgspec.Struct):
    """What is kept of a conversation, besides its id."""

    turns: list[Turn]
    model: str
    language: str | None
    timestamp: datetime | None
    metadata: dict[str, Any]

    @property
    def query(self) -> str:
        """The first user turn: what is embedded, clustered and searched."""
        return next(turn.content for turn in self.turns if turn.role == "user")


_decode = msgspec.json.Decoder(ConversationContent).decode


def encode_content(
    turns: Sequence[dict[str, str]],
    model: str,
    language: str | None,
    timestamp: datetime | None,
    metadata: dict[str, Any],
) -> bytes:
    content = {
        "turns": turns,
        "model": model,
        "language": language,
        "timestamp": timestamp,
        "metadata": metadata,
    }
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def decode_content(body: bytes) -> ConversationContent:
    return _decode(body)


def encode_manifest(conversation_ids: Sequence[str], contents: Sequence[bytes]) -> bytes:
    """Which conversations a batch brought, in the order of their query ids."""
    return orjson.dumps({"conversation_ids": list(conversation_ids), "contents": pack_digests(contents)})


def decode_manifest(body: bytes) -> tuple[list[str], list[bytes]]:
    manifest = orjson.loads(body)
    return manifest["conversation_ids"], unpack_digests(manifest["contents"])
