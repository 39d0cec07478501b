"""API keys: who may speak, by the hash of what they say."""

from __future__ import annotations

from domain.base import Aggregate, event
from domain.errors import Conflict


class ApiKey(Aggregate):
    TOPIC = "api_key"
    PREFIX = "api_key"

    class Created(Aggregate.Created):
        """`key_hash` is the SHA-256 (hex) of a key of 256 random bits, so that no salt is needed."""

        TOPIC = "api_key.created"
        name: str
        key_hash: str

    class Revoked(Aggregate.Event):
        TOPIC = "api_key.revoked"

    @staticmethod
    def create_id(name: str) -> str:
        return ApiKey.stream(name)

    def __init__(self, name: str, key_hash: str) -> None:
        self.label = name
        self.key_hash = key_hash
        self.revoked = False

    def revoke(self) -> None:
        if self.revoked:
            raise Conflict(f"API key {self.name!r} is revoked already")
        self._revoked()

    @event(Revoked)
    def _revoked(self) -> None:
        self.revoked = True
