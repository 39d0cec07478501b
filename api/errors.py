"""The one place where an error becomes a status: problem+json (RFC 9457) with the member `error`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DataError, DBAPIError
from starlette.exceptions import HTTPException

from domain.errors import (
    Conflict,
    DomainError,
    Invalid,
    NotFound,
    Refused,
    Stale,
    Unavailable,
    UpstreamRefused,
)

log = structlog.get_logger()

STATUS: dict[type[DomainError], int] = {
    UpstreamRefused: 502,
    Conflict: 409,
    Invalid: 422,
    NotFound: 404,
    Refused: 403,
    Stale: 412,
    Unavailable: 503,
}
RETRY_AFTER_S = 1


class ErrorMember(BaseModel):
    type: str
    message: str


class Problem(BaseModel):
    """Every error of this API."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str | None = None
    error: ErrorMember
    errors: list[dict[str, Any]] = []


def problem(
    status: int,
    kind: str,
    message: str,
    *,
    instance: str | None = None,
    errors: Sequence[dict[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=message,
        instance=instance,
        error=ErrorMember(type=kind, message=message),
        errors=list(errors),
    )
    extra = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status_code=status,
        media_type="application/problem+json",
        headers={**extra, **(headers or {})},
    )


def add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(DomainError)
    def refused(request: Request, error: DomainError) -> JSONResponse:
        status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
        kind = type(error).__name__
        return problem(status, kind, error.message, instance=request.url.path, errors=error.details)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {"pointer": "/" + "/".join(str(part) for part in one["loc"]), "detail": one["msg"]}
            for one in error.errors()
        ]
        first = f"{errors[0]['pointer']}: {errors[0]['detail']}" if errors else "the request is malformed"
        return problem(422, "ValidationError", first, instance=request.url.path, errors=errors)

    @app.exception_handler(HTTPException)
    def refused_by_framework(request: Request, error: HTTPException) -> JSONResponse:
        kind = HTTPStatus(error.status_code).phrase.replace(" ", "")
        return problem(
            error.status_code, kind, str(error.detail), instance=request.url.path, headers=error.headers
        )

    @app.exception_handler(DBAPIError)
    def database(request: Request, error: DBAPIError) -> JSONResponse:
        log.warning("DatabaseError", path=request.url.path, error=repr(error.orig))
        if error.connection_invalidated or type(error.orig).__name__ in _PASSING:
            message = "the database does not answer; try again"
            return problem(503, "Unavailable", message, instance=request.url.path)
        if isinstance(error, DataError):  # a NUL, a number that no column holds: nothing has such a name
            message = "a name or number of the request is none that anything here could have"
            return problem(422, "Invalid", message, instance=request.url.path)
        return unexpected(request, error)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("RequestFailed", path=request.url.path, exc_info=error)
        return problem(
            500,
            "InternalError",
            "this is a defect of the server; its log says more",
            instance=request.url.path,
        )


_PASSING = {
    "OperationalError",
    "LockNotAvailable",
    "AdminShutdown",
    "CrashShutdown",
    "CannotConnectNow",
    "QueryCanceled",
}
