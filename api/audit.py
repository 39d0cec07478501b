"""The event log: read page by page, or followed as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from adapters.bootstrap import Container
from adapters.tail import LogTail
from api.deps import ContainerDep, Read, found, log_snapshot
from api.queries import BIGGEST, Moment, Word
from domain.errors import Invalid, Unavailable
from projections import audit as read

router = APIRouter(prefix="/api/events", tags=["audit"])

EVENT_STREAM = "text/event-stream"
BATCH = 100
"""Events that are read for a follower at a time."""

REST_S = 0.05
"""Between two readings of one follower: a load that appends many events is read in fewer batches."""

LOOK_S = 30.0
"""A follower looks by itself after so long, should it have heard nothing."""

PING_S = 15
FOLLOWERS = 200
"""Streams of this process at once."""


class EventParams(BaseModel):
    stream: Word | None = Field(None, description="A stream, or, ending in `/`, all of a kind.")
    type: Word | None = Field(None, description="`curation.queries_moved`, ...")
    actor: Word | None = None
    correlation_id: Word | None = None
    since: Moment | None = Field(None, description="Recorded from this time on.")
    until: Moment | None = Field(None, description="Recorded before this time.")
    after: int | None = Field(None, ge=0, le=BIGGEST, description="Go on behind this position.")
    limit: int = Field(100, ge=1, le=1_000)
    order: Literal["asc", "desc"] = "asc"
    full: bool = Field(False, description="Long packed texts as well, not their length.")


class EventResponse(BaseModel):
    """`time`: when it was decided; `recorded_at`: when the log took it. Both are UTC."""

    position: int
    stream: str
    version: int
    type: str
    time: datetime
    recorded_at: datetime
    actor: str | None = None
    reason: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    idempotency_key: str | None = None
    command: str | None = None
    data: dict[str, Any]


class EventsResponse(BaseModel):
    """`next_cursor` is for `after`, None at the end; `head`: the last position of the log."""

    items: list[EventResponse]
    next_cursor: int | None = None
    head: int


@dataclass(frozen=True)
class Followed:
    where: read.EventFilter
    after: int
    full: bool


async def get_tail(request: Request, container: ContainerDep) -> LogTail:
    """One of the application, made at first use; here nothing runs at the same time."""
    state = request.app.state
    if getattr(state, "log_tail_of", None) is not container:
        state.log_tail, state.log_tail_of = LogTail(container.database.url), container
    tail: LogTail = state.log_tail
    return tail


@router.get(
    "",
    response_model=EventsResponse,
    responses={200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}},
)
def list_events(
    request: Request,
    params: Annotated[EventParams, Query()],
    container: ContainerDep,
    tail: Annotated[LogTail, Depends(get_tail)],
    last_event_id: Annotated[str | None, Header(max_length=30)] = None,
) -> Response | EventsResponse:
    """Events by position. With `Accept: text/event-stream` the stream goes on as the log grows.

    A stream sends the position as `id`, the type as `event` and the event as `data`, from `after` (the
    beginning) or from the `Last-Event-ID` of a connection that was lost.
    """
    where = read.EventFilter(
        **{name: getattr(params, name) for name in read.EventFilter.__dataclass_fields__}
    )
    if EVENT_STREAM in request.headers.get("accept", ""):
        return _stream(container, tail, params, where, last_event_id)
    with log_snapshot(container) as connection:
        page = read.list_events(
            connection,
            where,
            params.limit,
            after=params.after,
            newest_first=params.order == "desc",
            full=params.full,
        )
    return EventsResponse.model_validate({"items": page.items, "next_cursor": page.last, "head": page.head})


@router.get("/{position}")
def get_event(position: Annotated[int, Path(ge=1, le=BIGGEST)], connection: Read) -> EventResponse:
    """One event in full."""
    return EventResponse.model_validate(found(read.find_event(connection, position), f"event {position}"))


def _stream(
    container: Container,
    tail: LogTail,
    params: EventParams,
    where: read.EventFilter,
    last_event_id: str | None,
) -> Response:
    if params.order == "desc":
        raise Invalid("order: a stream goes the way the log grows; leave out order=desc")
    if last_event_id is not None and not (last_event_id.isdecimal() and int(last_event_id) <= BIGGEST):
        raise Invalid(f"Last-Event-ID: {last_event_id!r} is no position of the log")
    if tail.followers >= FOLLOWERS:
        raise Unavailable(f"{FOLLOWERS} streams are open; try again when one has ended")
    after = int(last_event_id) if last_event_id is not None else params.after or 0
    events = _events(container, tail, Followed(where, after, params.full))
    return EventSourceResponse(events, ping=PING_S, headers={"X-Accel-Buffering": "no"})


async def _events(container: Container, tail: LogTail, followed: Followed) -> AsyncIterator[ServerSentEvent]:
    """Without end. A page that is not full reaches to the head, also over what the filter left out."""
    after, head = followed.after, 0
    async with tail.follow() as grown:
        while True:
            grown.clear()
            page = await run_in_threadpool(_read, container, followed, after)
            for item in page.items:
                yield _sent(item)
            if page.head < head:  # the log was reset: it begins anew
                after, head = 0, page.head
                continue
            after, head = page.last or max(after, page.head), page.head
            if page.last is None:
                await asyncio.sleep(REST_S)
                with suppress(TimeoutError):
                    await asyncio.wait_for(grown.wait(), LOOK_S)


def _read(container: Container, followed: Followed, after: int) -> read.EventPage:
    with log_snapshot(container) as connection:
        return read.list_events(connection, followed.where, BATCH, after=after, full=followed.full)


def _sent(item: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(id=str(item["position"]), event=item["type"], data=orjson.dumps(item).decode())
