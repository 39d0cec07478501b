"""Who may speak: API keys, when they are on."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from adapters.bootstrap import Container
from commands.access import hash_key
from domain.base import context
from projections.access import holder_of

_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")
_bearer = HTTPBearer(auto_error=False, description="The same API key as a bearer token.")


async def authenticate(
    request: Request,
    header: Annotated[str | None, Security(_header)] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> None:
    """With keys on, the actor is the name of the key, whatever else the request says of itself."""
    container: Container = request.app.state.container
    if not container.settings.auth:
        return
    key = header or (bearer.credentials if bearer else None)
    name = await run_in_threadpool(_holder, container, key) if key else None
    if name is None:
        raise HTTPException(
            401, "an API key is needed: X-API-Key or Authorization: Bearer", {"WWW-Authenticate": "Bearer"}
        )
    context.set(replace(context.get(), actor=name, key_scope=name))


def _holder(container: Container, key: str) -> str | None:
    with container.database.engine.connect() as connection:
        return holder_of(connection, hash_key(key))
