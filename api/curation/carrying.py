"""Edits of one run made again on another, and what became of its clusters there."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.clustering import run_row
from api.curation.edits import EditResponse, Reasoned, edited
from api.curation.history import EditRef
from api.deps import CommandsDep, Read, reads
from commands.curation import CarryOverEdits
from domain.clustering.lineage import THRESHOLD
from projections import curation as read

router = APIRouter()


class CarryOverRequest(Reasoned):
    """`threshold`: the least score (docs/carry-over.md) at which a cluster counts as continued."""

    from_run_id: str = Field(max_length=200)
    threshold: float = Field(THRESHOLD, gt=0, le=1)
    dry_run: bool = False


class Evidence(BaseModel):
    """What an old and a new cluster have in common, of the queries that both runs have."""

    old: int
    new: int
    overlap: int
    share_of_old: float
    share_of_new: float
    jaccard: float
    similarity: float | None
    score: float


class Link(BaseModel):
    kind: Literal["continuation", "split", "merge", "birth", "death"]
    old: list[int]
    new: list[int]
    evidence: list[Evidence]


class Carried(EditRef):
    """`edit_id` and `version` are those of the edit in the older run."""

    new_version: int


class NeedsDecision(EditRef):
    reason: str


class CarryOverResponse(EditResponse):
    """`edit_id` undoes all of it. `already`: edits that are so in this run without doing."""

    run_id: str
    from_run_id: str
    from_version: int
    threshold: float
    carried: list[Carried]
    already: list[EditRef]
    undecided: list[NeedsDecision]
    lineage: list[Link]


class CarryOver(BaseModel):
    edit_id: int
    timestamp: datetime
    from_run_id: str
    from_version: int
    threshold: float
    carried: int
    undecided: list[NeedsDecision]
    links: list[Link]


class LineageResponse(BaseModel):
    """What was carried over into the run, newest first."""

    run_id: str
    carried_over: list[CarryOver]


@router.post("/runs/{run_id}/carry-over")
def carry_over(run_id: str, commands: CommandsDep, body: CarryOverRequest) -> CarryOverResponse:
    """Match the clusters of two runs, and make the edits of the older one again where these live on."""
    command = CarryOverEdits(
        run_id=run_id, from_run_id=body.from_run_id, threshold=body.threshold, dry_run=body.dry_run
    )
    return edited(commands, body, command, CarryOverResponse)


@router.get("/runs/{run_id}/lineage", dependencies=reads)
def get_lineage(run_id: str, connection: Read) -> LineageResponse:
    """Which clusters of an older run became which of this one, with the evidence."""
    run_row(connection, run_id)
    found: list[dict[str, Any]] = [
        {**row, "edit_id": row["position"], "carried": row["edits"]}
        for row in read.lineage_of(connection, run_id)
    ]
    return LineageResponse.model_validate({"run_id": run_id, "carried_over": found})
