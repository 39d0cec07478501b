"""Bringing a run up to date with what was loaded since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.clustering import run_row
from api.deps import CommandsDep, Read, reads
from commands.extension import CONFIDENCE_FLOOR, RequestExtension
from projections import clustering as read

router = APIRouter(prefix="/api/clustering", tags=["clustering"])


class ExtendRequest(BaseModel):
    """`confidence_floor`: a query about which the assignment is less sure becomes an orphan; 0 for none."""

    confidence_floor: float = Field(CONFIDENCE_FLOOR, ge=0, le=1)


class ExtendResponse(BaseModel):
    run_id: str
    extension_id: str
    status: str


class Extension(BaseModel):
    """`added` counts all queries that came, `orphaned` those of them that went to no cluster."""

    extension_id: str
    status: Literal["pending", "completed", "failed"]
    after_query_id: int
    last_query_id: int
    confidence_floor: float
    added: int | None = None
    orphaned: int | None = None
    error: str | None = None
    requested_at: datetime
    ended_at: datetime | None = None


class ExtensionsResponse(BaseModel):
    """The newest first."""

    run_id: str
    extensions: list[Extension]


@router.post("/runs/{run_id}/extend", status_code=202)
def extend_run(run_id: str, commands: CommandsDep, body: ExtendRequest | None = None) -> ExtendResponse:
    """Assign the queries that were loaded since to the clusters as they are now, and disturb nothing."""
    floor = body.confidence_floor if body else CONFIDENCE_FLOOR
    command = RequestExtension(run_id=run_id, at=datetime.now(UTC), confidence_floor=floor)
    answer = commands.handle(command).answer
    commands.locate("clustering", "runs", run_id, "extensions")
    return ExtendResponse.model_validate(answer)


@router.get("/runs/{run_id}/extensions", dependencies=reads)
def list_extensions(run_id: str, connection: Read) -> ExtensionsResponse:
    """When queries that were loaded later came to a run, and how many went nowhere."""
    run = run_row(connection, run_id)
    found = read.list_extensions(connection, run["run_no"])
    return ExtensionsResponse.model_validate({"run_id": run_id, "extensions": found})
