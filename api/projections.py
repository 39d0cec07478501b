"""Read models: where they stand, made anew, and compared with the log."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.deps import ContainerDep

router = APIRouter(prefix="/api/projections", tags=["projections"])


class ProjectionStatus(BaseModel):
    """`lag`: events of the log that it has not passed; `lag_seconds`: how long the oldest of them waits."""

    name: str
    position: int
    lag: int
    lag_seconds: float
    parked: int


class ProjectionsResponse(BaseModel):
    head: int
    items: list[ProjectionStatus]
    parked: list[dict[str, Any]]


class Rebuilt(BaseModel):
    name: str
    position: int
    seconds: float


class RebuildResponse(BaseModel):
    rebuilt: list[Rebuilt]


class Difference(BaseModel):
    """`rows`: how many rows or points differ; `shown`: the first of them, each with the side that has it."""

    projection: str
    table: str
    rows: int
    shown: list[dict[str, Any]]


class Verified(BaseModel):
    name: str
    position: int
    equal: bool
    differences: list[Difference]


class VerifyResponse(BaseModel):
    equal: bool
    verified: list[Verified]


@router.get("")
def list_projections(container: ContainerDep) -> ProjectionsResponse:
    """Where each read model stands, and what it had to set aside."""
    return ProjectionsResponse.model_validate(container.read_models.status())


@router.post("/{name}/rebuild")
def rebuild(name: str, container: ContainerDep) -> RebuildResponse:
    """Make a read model (or `all`) anew beside the live one, and swap. Reads and writes go on."""
    answer = container.bus.once(lambda: {"rebuilt": container.read_models.rebuild(name)})
    return RebuildResponse.model_validate(answer)


@router.post("/{name}/verify")
def verify(name: str, container: ContainerDep) -> VerifyResponse:
    """Make a read model (or `all`) anew in a scratch place and compare it with the live one."""
    verified = container.bus.once(lambda: {"verified": container.read_models.verify(name)})["verified"]
    equal = all(one["equal"] for one in verified)
    return VerifyResponse.model_validate({"equal": equal, "verified": verified})
