"""Results of a classification run, page by page."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.classification.runs import run_row
from api.classification.vocabulary import Labels, Vocabulary
from api.deps import reads
from api.paging import DeepPageDep, PaginatedResponse, Paging, encode_cursor
from api.queries import QueryResponse, Word, Words, query_of
from api.time_travel import NowDep, Seen, SeenDep
from domain.errors import Invalid, NotFound
from domain.values import ORPHAN
from projections import classification as read
from projections.queries import QueryFilter

router = APIRouter()

Kind = Annotated[read.Kind, Query(description="`failed`: queries that have an error in place of a label.")]
Clustering = Annotated[
    Word | None,
    Query(description="The clustering run whose clusters are meant; else the one of the run's filters."),
]


class ClassificationResult(BaseModel):
    """`label` is None where there is an `error` in its stead. `confidence`: its meaning is the model's."""

    query: QueryResponse
    label: str | None = None
    reasoning: str | None = None
    created_at: datetime
    confidence: float | None = None
    error: str | None = None
    position: int


@router.get("/runs/{run_id}/results", dependencies=reads)
def list_results(
    run_id: str,
    seen: NowDep,
    page: DeepPageDep,
    label: Annotated[str | None, Query(max_length=400)] = None,
    query: Annotated[Words | None, Query(description="Words that occur in the query.")] = None,
    kind: Kind = "labelled",
    vocabulary: Vocabulary = "original",
) -> PaginatedResponse[ClassificationResult]:
    """Results in the order of query ids. Deep lists are read by `cursor`."""
    run = run_row(seen.connection, run_id)
    labels = Labels(seen.container, run, vocabulary)
    where = read.ResultFilter(run["run_no"], QueryFilter(dataset=run["dataset"], text=query), kind)
    if label is not None:
        where = replace(where, labels=labels.places(label))
    return _page(seen, where, labels, page)


@router.get("/runs/{run_id}/labels/{label:path}", dependencies=reads)
def list_results_of_label(
    run_id: str,
    label: str,
    seen: NowDep,
    page: DeepPageDep,
    search: Annotated[Words | None, Query(description="Words that occur in the query.")] = None,
    vocabulary: Vocabulary = "original",
) -> PaginatedResponse[ClassificationResult]:
    """Results with one label."""
    return list_results(run_id, seen, page, label, search, "labelled", vocabulary)


@router.get("/runs/{run_id}/clusters/{cluster_id}", dependencies=reads)
def list_results_of_cluster(
    run_id: str,
    cluster_id: int,
    seen: SeenDep,
    page: DeepPageDep,
    search: Annotated[Words | None, Query(description="Words that occur in the query.")] = None,
    clustering_run_id: Clustering = None,
    vocabulary: Vocabulary = "original",
) -> PaginatedResponse[ClassificationResult]:
    """Results of the queries of a cluster, as people have it; `as_of`: as it was, and what was known then."""
    run = run_row(seen.connection, run_id)
    clustering = seen.run(clustering_of(run, clustering_run_id))
    if cluster_id != ORPHAN and not clustering.has(cluster_id):
        raise NotFound(f"there is no cluster {cluster_id} in run {clustering.row['run_id']}")
    members = QueryFilter(text=search, **clustering.among((cluster_id,)))
    where = read.ResultFilter(run["run_no"], members, position=seen.position)
    return _page(seen, where, Labels(seen.container, run, vocabulary), page)


def clustering_of(run: dict[str, Any], asked: str | None) -> str:
    """The clustering run that is meant."""
    chosen = asked or run["filters"].get("run_id")
    if chosen is None:
        raise Invalid("clustering_run_id: this run is over no clustering run of its own; name one")
    return str(chosen)


def _page(
    seen: Seen, where: read.ResultFilter, labels: Labels, page: Paging
) -> PaginatedResponse[ClassificationResult]:
    rows = read.list_results(seen.connection, where, page.limit + 1, page.offset, page.after)
    shown, more = rows[: page.limit], len(rows) > page.limit
    items = [_result(row, labels) for row in shown]
    following = encode_cursor(shown[-1]["query_id"]) if more else None
    total = read.count_results(seen.connection, where)
    return page.of(ClassificationResult, items, total, following)


_OWN = ("label", "confidence", "reasoning", "error", "position", "answered_at")


def _result(row: dict[str, Any], labels: Labels) -> ClassificationResult:
    own = {name: row[name] for name in _OWN}
    query = query_of({name: value for name, value in row.items() if name not in own})
    at = own.pop("answered_at")
    return ClassificationResult(query=query, **{**own, "label": labels.name(own["label"])}, created_at=at)
