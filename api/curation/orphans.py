"""Queries that are in no cluster since theirs was deleted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from api.deps import wait_for_position
from api.paging import Cursor, Limit, Page, PaginatedResponse, decode_cursor, encode_cursor, page_of
from api.queries import QueryResponse
from api.time_travel import SeenDep
from domain.values import ORPHAN

router = APIRouter()
reads = [Depends(wait_for_position)]


class OrphanInfo(BaseModel):
    """`orphan`: the run, and `assigned_to`, the cluster that the algorithm had put the query into."""

    orphan: dict[str, Any]
    query: QueryResponse


@router.get("/runs/{run_id}/orphaned", dependencies=reads)
def list_orphaned(
    run_id: str, seen: SeenDep, page: Page = 1, limit: Limit = 50, cursor: Cursor = None
) -> PaginatedResponse[OrphanInfo]:
    """The orphans of a run, in the order of their ids."""
    run = seen.run(run_id)
    after = decode_cursor(cursor, int)[0] if cursor else None
    offset = 0 if cursor else (page - 1) * limit
    rows = run.members(ORPHAN, limit, offset, after)
    total = run.count(ORPHAN)
    items = [
        {
            "orphan": {"run_id": run_id, "query_id": row["query_id"], "assigned_to": row["assigned_to"]},
            "query": {**row, "id": row["query_id"]},
        }
        for row in rows
    ]
    following = encode_cursor(rows[-1]["query_id"]) if len(rows) == limit else None
    return PaginatedResponse[OrphanInfo].model_validate(page_of(items, total, page, limit, following))
