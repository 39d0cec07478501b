"""Queries that are in no cluster since theirs was deleted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from api.clustering import run_row
from api.deps import Read, wait_for_position
from api.paging import Cursor, Limit, Page, PaginatedResponse, decode_cursor, encode_cursor, page_of
from api.queries import QueryResponse
from domain.values import ORPHAN
from projections import clustering as read

router = APIRouter()
reads = [Depends(wait_for_position)]


class OrphanInfo(BaseModel):
    """`orphan`: the run, and `assigned_to`, the cluster that the algorithm had put the query into."""

    orphan: dict[str, Any]
    query: QueryResponse


@router.get("/runs/{run_id}/orphaned", dependencies=reads)
def list_orphaned(
    run_id: str, connection: Read, page: Page = 1, limit: Limit = 50, cursor: Cursor = None
) -> PaginatedResponse[OrphanInfo]:
    """The orphans of a run, in the order of their ids."""
    run = run_row(connection, run_id)
    after = decode_cursor(cursor, int)[0] if cursor else None
    offset = 0 if cursor else (page - 1) * limit
    rows = read.members(connection, run["run_no"], ORPHAN, limit, offset, after)
    total = read.count_members(connection, run["run_no"], ORPHAN)
    items = [
        {
            "orphan": {"run_id": run_id, "query_id": row["query_id"], "assigned_to": row["assigned_to"]},
            "query": {**row, "id": row["query_id"]},
        }
        for row in rows
    ]
    following = encode_cursor(rows[-1]["query_id"]) if len(rows) == limit else None
    return PaginatedResponse[OrphanInfo].model_validate(page_of(items, total, page, limit, following))
