"""The HTTP application: routers, middleware, and the container that they share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from adapters.bootstrap import Container, open_api
from adapters.settings import Settings, read_settings
from api import (
    audit,
    classification,
    clustering,
    curation,
    datasets,
    dev,
    evaluation,
    exports,
    extension,
    health,
    hierarchy,
    prediction,
    projections,
    queries,
    search,
    summaries,
    tags,
    templates,
    verification,
)
from api.access import documented
from api.errors import Problem, add_error_handlers
from api.requests import Requests

GUARDED = (
    audit,
    classification,
    clustering,
    curation,
    datasets,
    dev,
    evaluation,
    exports,
    extension,
    hierarchy,
    prediction,
    projections,
    queries,
    search,
    summaries,
    tags,
    templates,
    verification,
)
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "content": {"application/problem+json": {}}, "description": text}
    for code, text in {
        400: "A header or the body cannot be read",
        401: "No API key, or one that is not known",
        403: "Not allowed here, or by a provider that is not set up",
        404: "What was named does not exist",
        409: "Does not fit the present state",
        412: "Changed since it was read (If-Match)",
        413: "More bytes than are allowed",
        422: "Cannot be met as it stands",
        429: "Asked too often; see Retry-After",
        502: "Another service that was asked refuses: a wrong key, say",
        503: "Something that is needed does not answer; see Retry-After",
    }.items()
}


def create_app(
    settings: Settings | None = None, open_container: Callable[[Settings], Container] = open_api
) -> FastAPI:
    """The application. Nothing is opened before it is served."""
    chosen = settings or read_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.container = await run_in_threadpool(open_container, chosen)
        try:
            yield
        finally:
            await run_in_threadpool(app.state.container.close)

    app = FastAPI(
        title="lmsys-query-analysis",
        version="0.1.0",
        description="Turn logs of LLM conversations into a curated taxonomy; every step is an event.",
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        responses=PROBLEMS,
    )
    add_error_handlers(app)
    app.include_router(health.router)
    for module in GUARDED:
        app.include_router(module.router, dependencies=[Depends(documented)])
    app.add_middleware(Requests, chosen)
    if chosen.cors_origins:
        exposed = ["ETag", "X-Event-Position", "X-As-Of-Position", "X-Correlation-ID", "Retry-After"]
        app.add_middleware(
            CORSMiddleware,
            allow_origins=chosen.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=exposed,
        )
    return app


def _operation_id(route: APIRoute) -> str:
    """Stable names for generated clients: `datasets_load`."""
    return f"{route.tags[0]}_{route.name}" if route.tags else route.name
