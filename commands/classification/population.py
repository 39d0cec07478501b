"""The queries of a run, from beside the log."""

from __future__ import annotations

from commands.ports import Contents
from domain.classification import ClassificationRun, decode_population
from domain.errors import Conflict
from domain.values import QueryIds


def population_of(run: ClassificationRun, contents: Contents) -> QueryIds:
    """Ascending ids, also of queries that were erased since."""
    address = bytes.fromhex(run.population or "")
    body = contents.get([address]).get(address)
    if body is None:
        raise Conflict(f"the query ids of run {run.name} are not beside the log any more")
    return decode_population(body)
