"""Whether it lives, whether it can work, and figures."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from api.deps import ContainerDep

router = APIRouter(tags=["health"])


class HealthResponse(BaseModel):
    status: Literal["ok", "degraded", "down"]
    database: dict[str, Any]
    vectors: dict[str, Any]
    queue: dict[str, Any]
    projections: list[dict[str, Any]]


@router.get("/api/health", responses={503: {"model": HealthResponse}})
def health(container: ContainerDep, response: Response) -> HealthResponse:
    """Database, vectors, queue backlog, and how far the read models are behind. 503 when it cannot work."""
    answer = HealthResponse.model_validate(container.read_models.health())
    if answer.status == "down":
        response.status_code = 503
    return answer


@router.get("/livez")
def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "Not ready"}})
def readyz(container: ContainerDep, response: Response) -> dict[str, str]:
    """The database answers, and read models are there to read."""
    ready = container.read_models.health()["status"] != "down"
    response.status_code = 200 if ready else 503
    return {"status": "ok" if ready else "down"}


@router.get("/metrics", include_in_schema=False)
def metrics(container: ContainerDep) -> Response:
    """For Prometheus."""
    container.read_models.measure()
    figures = generate_latest() + generate_latest(container.language_models.meter.registry())
    return Response(figures, media_type=CONTENT_TYPE_LATEST)
