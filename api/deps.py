"""What endpoints are given: the container, a connection to the read models, the position to wait for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy import Connection
from starlette.datastructures import MutableHeaders

from adapters.bootstrap import Container
from commands.bus import Bus
from commands.ports import Receipt
from domain.base import context
from domain.datasets import DEFAULT_DATASET
from domain.errors import Invalid, NotFound, Unavailable


async def get_container(request: Request) -> Container:
    """Async, as is whatever precedes every answer and does not block: a thread for it costs a millisecond."""
    container: Container = request.app.state.container
    return container


ContainerDep = Annotated[Container, Depends(get_container)]


def wait_for_position(
    container: ContainerDep,
    min_position: Annotated[
        int | None, Query(ge=0, description="Answer from read models that have passed this event position.")
    ] = None,
) -> None:
    """A read that must see a certain change waits for it; 503 when that takes too long."""
    if min_position is None:
        return
    head = container.store.head()
    if min_position > head:
        raise Invalid(f"min_position: {min_position} lies beyond the end of the log, which is {head}")
    if not container.wait_until(min_position):
        raise Unavailable(f"the read models have not reached position {min_position} yet; try again")


reads = [Depends(wait_for_position)]
"""What routes that read have as their `dependencies`."""


def get_connection(container: ContainerDep) -> Iterator[Connection]:
    """No statement sees less than the one before it. One snapshot for all would find a read model empty that
    was swapped in meanwhile: names are looked up as they are now, rows as they were then."""
    with container.database.engine.connect() as connection:
        yield connection.execution_options(isolation_level="READ COMMITTED", postgresql_readonly=True)


reading = contextmanager(get_connection)
"""A connection for no longer than needed: none is held while a provider embeds."""


@contextmanager
def log_snapshot(container: Container) -> Iterator[Connection]:
    """One snapshot for several statements about the log, of which nothing is ever swapped."""
    with container.database.engine.connect() as connection:
        yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


Read = Annotated[Connection, Depends(get_connection, scope="function")]
"""A read-only connection."""

Dataset = Annotated[str, Query(description="Name of the data set.", max_length=64)]
DATASET = DEFAULT_DATASET

T = TypeVar("T")


class OperationResponse(BaseModel):
    status: str
    message: str | None = None
    data: dict[str, Any] | None = None


class Commands:
    """The bus as an endpoint has it. `headers`: those of the response."""

    def __init__(self, bus: Bus, headers: MutableHeaders) -> None:
        self._bus = bus
        self.headers = headers

    def handle(self, command: object, reason: str | None = None) -> Receipt:
        """Give a command; its position and the new version of what it changed go into the headers.

        `reason`: why, kept with its events.
        """
        context.set(replace(context.get(), reason=reason))
        receipt = self._bus.handle(command)
        if receipt.position is not None:
            self.headers["X-Event-Position"] = str(receipt.position)
        if "version" in receipt.answer:
            self.headers["ETag"] = f'"{receipt.answer["version"]}"'
        return receipt

    def locate(self, *path: str) -> None:
        """Say where to look for what was asked for: `/api` and these steps, whatever they are named."""
        self.headers["Location"] = "/".join(["/api", *(quote(step, safe="") for step in path)])

    def operation(
        self, command: object, reason: str | None = None, *, status: str | None = None
    ) -> OperationResponse:
        """Give a command, and answer with what it answers; `status` in place of the one that has."""
        answer = self.handle(command, reason).answer
        return OperationResponse(status=status or answer["status"], data=answer)


async def get_commands(container: ContainerDep, response: Response) -> Commands:
    return Commands(container.waiting_bus, response.headers)


CommandsDep = Annotated[Commands, Depends(get_commands)]


def show_if_ended(container: Container, status: str) -> bool:
    """Whether a job has ended. Then what it did is to be seen by who hears of it, in every read model."""
    ended = status in ("completed", "failed", "cancelled")
    if ended:
        container.wait_for_head()
    return ended


def found(row: T | None, what: str) -> T:
    """The row, or NotFound naming what was looked for."""
    if row is None:
        raise NotFound(f"there is no {what}")
    return row
