"""Queries that are in no cluster since theirs was deleted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.deps import reads
from api.paging import DeepPageDep, PaginatedResponse
from api.queries import QueryResponse
from api.time_travel import SeenDep
from domain.values import ORPHAN

router = APIRouter()


class OrphanInfo(BaseModel):
    """`orphan`: the run, and `assigned_to`, the cluster that the algorithm had put the query into."""

    orphan: dict[str, Any]
    query: QueryResponse


@router.get("/runs/{run_id}/orphaned", dependencies=reads)
def list_orphaned(run_id: str, seen: SeenDep, page: DeepPageDep) -> PaginatedResponse[OrphanInfo]:
    """The orphans of a run, in the order of their ids."""
    run = seen.run(run_id)
    rows = run.members(ORPHAN, page.limit, page.offset, page.after)
    total = run.count(ORPHAN)
    items = [
        {
            "orphan": {"run_id": run_id, "query_id": row["query_id"], "assigned_to": row["assigned_to"]},
            "query": {**row, "id": row["query_id"]},
        }
        for row in rows
    ]
    return page.of(OrphanInfo, items, total, page.cursor_behind(rows, "query_id"))
