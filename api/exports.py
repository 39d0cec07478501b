"""Rows of the database as a file, streamed; among them queries with their clusters."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from adapters.bootstrap import Container
from adapters.exports import FORMATS, QUERIES, Batches, Columns
from api.deps import ContainerDep, found, reading, reads
from api.queries import Filters, Word, meant
from api.time_travel import MomentDep, Seen, SeenDep
from domain.errors import Invalid, Unavailable
from projections import exports as read
from projections.clustering import PastRun
from projections.queries import QueryFilter, count_queries

router = APIRouter(prefix="/api/export", tags=["exports"])

AT_ONCE = 4
"""Downloads of this process: each holds a connection for as long as its reader takes."""

_slots = threading.BoundedSemaphore(AT_ONCE)

FormatName = Literal["csv", "json", "jsonl", "parquet"]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file. `X-Event-Position`: the event up to which it shows everything.",
        "content": {
            **{one.media_type.partition(";")[0]: _BINARY for one in FORMATS.values()},
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    }
}


class ExportParams(Filters):
    format: FormatName = "csv"
    alias: Word | None = Field(None, description="Titles of the summary run with this alias.")
    summary_run_id: Word | None = Field(None, description="Titles of this summary run.")


class ExportResponse(BaseModel):
    """`position`: the event up to which the rows were counted; a later download may show more."""

    download_url: str
    format: FormatName
    row_count: int
    position: int


@dataclass(frozen=True)
class Sheet:
    """What is known of a file before its first byte, and rows that are read while it is sent."""

    name: str
    headers: dict[str, str]
    columns: Columns
    rows: Batches


@dataclass(frozen=True)
class Chosen:
    """Which queries, what they are called, and the run as it was, where that is asked for."""

    where: QueryFilter
    name: str
    past: PastRun | None = None
    summary_run_id: str | None = None


@router.get("", dependencies=reads)
def export(params: Annotated[ExportParams, Query()], seen: SeenDep, request: Request) -> ExportResponse:
    """Where the file can be fetched, and how many rows it has. Of a run each row has its cluster.

    With `as_of` the address names the position: the file is the same whenever it is fetched.
    """
    chosen = _chosen(seen, params)
    moment = {} if seen.position is None else {"as_of": seen.position}
    return ExportResponse(
        download_url=address(request, "/api/export/download", params, **moment),
        format=params.format,
        row_count=count_queries(seen.connection, chosen.where),
        position=seen.reached,
    )


def address(request: Request, path: str, params: BaseModel, **more: object) -> str:
    """Of a file, as who asked finds it."""
    asked = {**params.model_dump(mode="json", exclude_none=True), **more}
    return f"{request.scope.get('root_path', '')}{path}?{urlencode(asked)}"


@router.get("/download", dependencies=reads, response_class=StreamingResponse, responses=FILES)
def download(
    params: Annotated[ExportParams, Query()], container: ContainerDep, moment: MomentDep
) -> StreamingResponse:
    """The file itself: read from the database and sent row by row, however large it is.

    In CSV a text that begins with `=`, `+`, `-`, `@`, a tab or a carriage return has an apostrophe before it,
    so that no spreadsheet runs it.
    """

    def sheet(connection: Connection) -> Sheet:
        seen = Seen(container, connection, moment)
        chosen = _chosen(seen, params)
        rows = read.export_rows(connection, chosen.where, chosen.past, chosen.summary_run_id)
        return Sheet(chosen.name, seen.headers, QUERIES, rows)

    return as_file(container, params.format, sheet)


def _chosen(seen: Seen, params: ExportParams) -> Chosen:
    if params.run_id is None and params.dataset is None:
        raise Invalid("run_id: give a run_id or a dataset to export")
    where, run = meant(seen, params)
    if run is not None:
        moment = "" if seen.position is None else f"-as-of-{seen.position}"
        titles = run.summary_run(params.summary_run_id, params.alias)
        return Chosen(where, f"{run.row['run_id']}{moment}", run.past, titles)
    if params.summary_run_id is not None or params.alias is not None:
        raise Invalid("summary_run_id, alias: titles belong to a run; give run_id as well")
    name = str(params.dataset)
    found(read.has_dataset(seen.connection, name) or None, f"data set {name!r}")
    return Chosen(where, name)


def as_file(
    container: Container, file_format: FormatName, sheet: Callable[[Connection], Sheet]
) -> StreamingResponse:
    """What `sheet` finds by a connection that is open until the last row was sent, or the reader is gone."""
    body = _body(container, file_format, sheet)
    found: Sheet = next(body)
    headers = {
        "Content-Disposition": f'attachment; filename="{_safe(found.name)}.{file_format}"',
        **found.headers,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_sent(body), media_type=FORMATS[file_format].media_type, headers=headers)


def _body(
    container: Container, file_format: FormatName, sheet: Callable[[Connection], Sheet]
) -> Generator[Any, None, None]:
    """First the sheet, then the bytes, all by one statement; a generator: closing it lets go of all."""
    if not _slots.acquire(blocking=False):
        raise Unavailable(f"{AT_ONCE} downloads are under way; try again when one has ended")
    try:
        with reading(container) as connection:
            found = sheet(connection)
            yield found
            yield from FORMATS[file_format].encode(found.columns, found.rows)
    finally:
        _slots.release()


async def _sent(body: Generator[Any, None, None]) -> AsyncIterator[bytes]:
    """A reader that goes away in the middle ends the cursor at once."""
    try:
        async for chunk in iterate_in_threadpool(body):
            yield chunk
    finally:
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(body.close)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:150].lstrip(".") or "export"
