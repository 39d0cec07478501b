"""A run in the log, the read model and the vectors, held against each other."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.deps import ContainerDep
from domain.errors import Invalid

router = APIRouter(prefix="/api/verify", tags=["verification"])


class VerificationRequest(BaseModel):
    """`chroma_path` is ignored: there is one vector index, that of this installation."""

    run_id: str = Field(max_length=200)
    chroma_path: str | None = Field(None, max_length=4_000)


class VerificationResponse(BaseModel):
    """`sqlite_summary_count`: clusters with a title; `chroma_summary_count`: those with a point for it."""

    run_id: str
    status: Literal["ok", "mismatch"]
    issues: list[str]
    sqlite_summary_count: int | None = None
    chroma_summary_count: int | None = None
    embedding_space: dict[str, Any]


@router.post("/runs/{run_id}")
def verify_run(run_id: str, body: VerificationRequest, container: ContainerDep) -> VerificationResponse:
    """Compare the log, the rows and the vectors of a run. Takes about a minute at 1,000,000 queries."""
    if body.run_id != run_id:
        raise Invalid(f"run_id is {body.run_id!r}, but the path names run {run_id!r}")
    answer = container.bus.once(lambda: container.verification.verify(run_id))
    return VerificationResponse.model_validate(answer)
