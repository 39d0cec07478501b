"""Who may speak: API keys, when they are on."""

from __future__ import annotations

from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from adapters.bootstrap import Container
from commands.access import hash_key
from projections.access import holder_of

PUBLIC = {"/livez", "/readyz", "/api/health"}
"""What needs no key, whatever the settings say."""

NEEDED = "an API key is needed: X-API-Key or Authorization: Bearer"


async def documented(
    header: Annotated[
        str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key."))
    ] = None,
    bearer: Annotated[
        HTTPAuthorizationCredentials | None,
        Security(HTTPBearer(auto_error=False, description="The same API key as a bearer token.")),
    ] = None,
) -> None:
    """Says in the OpenAPI document what `holder` asks for, which is asked before a body is read."""


async def holder(container: Container, headers: Headers) -> str | None:
    """The name of the key that a request brings, None where it brings none that is known."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
    return await run_in_threadpool(_find, container, key) if key else None


def _find(container: Container, key: str) -> str | None:
    with container.database.engine.connect() as connection:
        return holder_of(connection, hash_key(key))
