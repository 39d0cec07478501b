"""Tags: names of moments of the log, for `as_of` and for differences."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.deps import CommandsDep, OperationResponse, Read, found, reads
from api.paging import PageDep, PaginatedResponse
from api.queries import BIGGEST, Moment
from commands.tags import AddTag, RemoveTag
from projections import tags as read

router = APIRouter(prefix="/api/tags", tags=["tags"])

Name = Annotated[str, Path(max_length=64)]


class TagRequest(BaseModel):
    """At `position`, or `at` a time; without either: now. `reason` is kept with the event."""

    name: str = Field(max_length=64, description="Begins with a letter; letters, digits, `.`, `_`, `-`.")
    position: int | None = Field(None, ge=1, le=BIGGEST)
    at: Moment | None = None
    reason: str | None = Field(None, max_length=2_000)


class TagResponse(BaseModel):
    """`time`: when the event at `position` was recorded."""

    name: str
    position: int
    time: datetime | None = None
    created_at: datetime
    created_by: str
    reason: str | None = None


class TagSetResponse(BaseModel):
    name: str
    position: int


@router.post("", status_code=201)
def add_tag(body: TagRequest, commands: CommandsDep) -> TagSetResponse:
    """Name a moment. 409 where the name is taken."""
    command = AddTag(name=body.name, position=body.position, at=body.at)
    answer = commands.handle(command, body.reason).answer
    commands.locate("tags", body.name)
    return TagSetResponse.model_validate(answer)


@router.get("", dependencies=reads)
def list_tags(connection: Read, page: PageDep) -> PaginatedResponse[TagResponse]:
    """Tags, the latest moment first."""
    rows, total = read.list_tags(connection, page.limit, page.offset)
    return page.of(TagResponse, rows, total)


@router.get("/{name}", dependencies=reads)
def get_tag(name: Name, connection: Read) -> TagResponse:
    """The moment that a tag stands for."""
    return TagResponse.model_validate(found(read.find_tag(connection, name), f"tag {name!r}"))


@router.delete("/{name}")
def remove_tag(name: Name, commands: CommandsDep) -> OperationResponse:
    """Free a name. What was read under it can still be read by its position."""
    return commands.operation(RemoveTag(name=name), status="removed")
