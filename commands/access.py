"""API keys: made and revoked by who has the machine, never over HTTP."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

from commands.bus import Handler
from commands.ports import EventStore, Outcome
from domain.access import ApiKey
from domain.errors import Conflict, Invalid


@dataclass(frozen=True, kw_only=True)
class CreateKey:
    name: str
    key_hash: str


@dataclass(frozen=True, kw_only=True)
class RevokeKey:
    name: str


def new_key() -> str:
    """A key of 256 random bits. It is shown once; only its hash is kept."""
    return f"lmsys_{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def create_key(cmd: CreateKey, store: EventStore) -> Outcome:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", cmd.name):
        raise Invalid(f"key name {cmd.name!r}: use 1 to 64 letters, digits, '.', '_', '@' or '-'")
    if store.find(ApiKey, cmd.name):
        raise Conflict(f"there is an API key {cmd.name!r} already; names are not used twice")
    return Outcome((ApiKey(cmd.name, cmd.key_hash),), {"name": cmd.name})


def revoke_key(cmd: RevokeKey, store: EventStore) -> Outcome:
    key = store.load(ApiKey, cmd.name)
    key.revoke()
    return Outcome((key,), {"name": cmd.name})


HANDLERS: dict[type, Handler] = {CreateKey: create_key, RevokeKey: revoke_key}
