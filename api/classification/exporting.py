"""Results of a classification run as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from adapters.exports import CLASSIFICATIONS, Batches
from api.classification.runs import run_row
from api.classification.vocabulary import Labels
from api.deps import ContainerDep, Read, reads
from api.exports import FILES, ExportResponse, FormatName, Sheet, address, as_file
from api.queries import Words
from projections import classification as read
from projections import datasets
from projections.base import reached
from projections.queries import QueryFilter

router = APIRouter()


class ResultExportParams(BaseModel):
    format: FormatName = "csv"
    label: str | None = Field(None, max_length=400, description="Results with this label, as it was given.")
    query: Words | None = Field(None, description="Words that occur in the query.")
    kind: read.Kind = Field("all", description="`labelled`, or `failed`: those with an error in its place.")


ParamsDep = Annotated[ResultExportParams, Query()]


@router.get("/runs/{run_id}/export", dependencies=reads)
def export_results(
    run_id: str, params: ParamsDep, connection: Read, container: ContainerDep, request: Request
) -> ExportResponse:
    """Where the file of its results can be fetched, and how many rows it has."""
    run = run_row(connection, run_id)
    where = _where(run, Labels(container, run), params)
    return ExportResponse(
        download_url=address(request, f"/api/classification/runs/{run_id}/export/download", params),
        format=params.format,
        row_count=read.count_results(connection, where),
        position=_position(connection),
    )


@router.get(
    "/runs/{run_id}/export/download",
    dependencies=reads,
    response_class=StreamingResponse,
    responses=FILES,
)
def download_results(run_id: str, params: ParamsDep, container: ContainerDep) -> StreamingResponse:
    """A row for each query: `label` as it was given, `current_label` in the template's newest version.

    As with every export, a cell of CSV that a spreadsheet would run has an apostrophe before it.
    """

    def sheet(connection: Connection) -> Sheet:
        run = run_row(connection, run_id)
        given, current = (Labels(container, run, words) for words in ("original", "current"))
        results = read.export_results(connection, _where(run, given, params))
        headers = {"X-Event-Position": str(_position(connection))}
        return Sheet(run_id, headers, CLASSIFICATIONS, _rows(results, run, given, current))

    return as_file(container, params.format, sheet)


def _position(connection: Connection) -> int:
    return reached(connection, datasets.tables, read.tables)


def _where(run: dict[str, Any], labels: Labels, params: ResultExportParams) -> read.ResultFilter:
    places = None if params.label is None else labels.places(params.label)
    of_queries = QueryFilter(dataset=run["dataset"], text=params.query)
    return read.ResultFilter(run["run_no"], of_queries, params.kind, places)


def _rows(results: Batches, run: dict[str, Any], given: Labels, current: Labels) -> Iterator[Any]:
    """Labels by their names, and behind each row what it has of the run."""
    same = [run[name] for name in ("classification_run_id", "template_id", "template_number", "model")]
    for batch in results:
        yield [
            (*about, given.name(place), current.name(place), confidence, reasoning, error, *same)
            for *about, place, confidence, reasoning, error in batch
        ]
