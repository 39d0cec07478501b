"""Operations of the specification that are not built yet: each says so, with 501."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.errors import Problem, problem

PLANNED = """
"""

router = APIRouter(tags=["planned"])


def not_built(request: Request) -> JSONResponse:
    """Planned, and not built yet."""
    message = f"{request.method} {request.scope['route'].path} is planned and not built yet"
    return problem(501, "NotImplemented", message, instance=request.url.path)


for _method, _path in (line.split() for line in PLANNED.split("\n") if line):
    router.add_api_route(
        _path,
        not_built,
        methods=[_method],
        status_code=501,
        response_model=None,
        responses={501: {"model": Problem, "description": "Planned, and not built yet"}},
        operation_id=f"planned_{_method.lower()}{_path.replace('/', '_').replace('{', '').replace('}', '')}",
    )
