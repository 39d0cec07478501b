"""`as_of`: reading what was at a moment. And the position that every such read was answered from."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from fastapi import Depends, Query, Response
from sqlalchemy import Connection

from adapters.bootstrap import Container
from api.deps import ContainerDep, Read, found
from domain.errors import Unavailable
from projections import clustering, curation, datasets
from projections.base import reached
from projections.clustering import LiveRun, PastView, RunView

READ = (datasets.tables, clustering.tables, curation.tables)
NAMES = [str(tables.schema) for tables in READ]

AS_OF = "A moment: an event position, an RFC 3339 time, or a tag. Without it: now."
AsOf = Annotated[str | None, Query(max_length=100, description=AS_OF)]


class Seen:
    """What an answer is made from. `position`: the moment that is asked for, None for now."""

    def __init__(self, container: Container, connection: Connection, position: int | None) -> None:
        self.container = container
        self.connection = connection
        self.position = position

    def run(self, run_id: str) -> RunView:
        """Raises NotFound, also for a run that was not there yet, or that was cleared by then."""
        if self.position is None:
            return LiveRun(self.connection, run_row(self.connection, run_id))
        return PastView(self.connection, self.container.time_travel.run(run_id, self.position), self.position)

    @cached_property
    def reached(self) -> int:
        """The event up to which the read models show everything."""
        return reached(self.connection, *READ)

    @property
    def headers(self) -> dict[str, str]:
        told = {"X-Event-Position": str(self.reached)}
        return told if self.position is None else {**told, "X-As-Of-Position": str(self.position)}


def get_moment(container: ContainerDep, as_of: AsOf = None) -> int | None:
    """The position that is meant. Read models that are behind it are waited for: they know the texts."""
    if as_of is None:
        return None
    position = container.time_travel.position(as_of)
    wait_for(container, position)
    return position


def wait_for(container: Container, position: int) -> None:
    """Raises Unavailable where that takes too long."""
    if not container.positions.wait(NAMES, position, container.settings.wait_timeout):
        raise Unavailable(f"the read models have not reached position {position} yet; try again")


MomentDep = Annotated[int | None, Depends(get_moment)]


def get_seen(container: ContainerDep, moment: MomentDep, connection: Read, response: Response) -> Seen:
    seen = Seen(container, connection, moment)
    response.headers.update(seen.headers)
    return seen


def get_now(container: ContainerDep, connection: Read, response: Response) -> Seen:
    return get_seen(container, None, connection, response)


NowDep = Annotated[Seen, Depends(get_now, scope="function")]
"""For reads that name their moments themselves."""

SeenDep = Annotated[Seen, Depends(get_seen, scope="function")]
"""For reads that take `as_of`."""


def run_row(connection: Connection, run_id: str) -> dict[str, Any]:
    """A run as it is now, or 404. One whose job has begun is `running`."""
    run = found(clustering.find_run(connection, run_id), f"clustering run {run_id!r}")
    if run["status"] == "pending" and run["processed"] is not None:
        run["status"] = "running"
    return run
