"""Queries: lists by filter, and one with all that is known of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints
from sqlalchemy import Connection

from api.deps import ContainerDep, Read, found, reads
from api.paging import PaginatedResponse, decode_cursor, encode_cursor, page_of
from api.time_travel import Seen, SeenDep
from domain.content import decode_content
from domain.errors import Invalid, NotFound
from projections import clustering as clustering_read
from projections import queries as read

router = APIRouter(prefix="/api/queries", tags=["queries"])
curation_router = APIRouter()

BIGGEST = 2**63 - 1

Word = Annotated[str, StringConstraints(max_length=400, pattern=r"^[^\x00]*$")]
"""Postgres keeps no NUL in a text."""
Words = Annotated[str, StringConstraints(min_length=1, max_length=8_000, pattern=r"^[^\x00]*$")]


def _no_number(at: object) -> object:
    """A number is no moment here, though it could be read as seconds since 1970."""
    if isinstance(at, str) and "-" not in at[1:]:
        raise ValueError("give an RFC 3339 time, such as 2025-10-04T17:04:42Z")
    return at


Moment = Annotated[
    datetime,
    BeforeValidator(_no_number),
    AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC)),
]
QueryId = Annotated[int, Path(ge=0, le=BIGGEST)]
ClusterId = Annotated[int, Field(ge=-1, lt=2**31)]


class Filters(BaseModel):
    """Which queries. All that is given must hold."""

    dataset: Word | None = None
    run_id: Word | None = Field(None, description="Members of this clustering run.")
    cluster_id: ClusterId | None = Field(None, description="Of this cluster of the run; -1 is the noise.")
    model: Word | None = None
    language: Word | None = None
    label: Word | None = Field(None, description="`label` in the metadata.")
    domain: Word | None = Field(None, description="`domain` in the metadata.")
    conversation_id: Word | None = None
    since: Moment | None = Field(None, description="From this time on; UTC unless it says another zone.")
    until: Moment | None = Field(None, description="Before this time.")
    text: Words | None = Field(
        None, description='Words that all occur; `"a phrase"`, `or` and `-without` are understood.'
    )


class QueryList(Filters):
    page: int = Field(1, ge=1, le=1_000_000)
    limit: int = Field(50, ge=1, le=1_000)
    cursor: str | None = Field(
        None, max_length=1_000, description="`next_cursor` of the page before; goes before `page`."
    )


class QueryResponse(BaseModel):
    """A query: the first user turn of a conversation. `timestamp`: when it was held; `created_at`: loaded."""

    id: int
    conversation_id: str
    model: str
    query_text: str
    language: str | None = None
    timestamp: datetime | None = None
    created_at: datetime
    dataset: str
    metadata: dict[str, Any] = {}


class ClusterInfo(BaseModel):
    run_id: str
    cluster_id: int
    title: str | None = None
    confidence_score: float | None = None


class TurnResponse(BaseModel):
    role: str
    content: str


class ConversationResponse(QueryResponse):
    """A query with its whole conversation. `turns` is empty where the content was erased."""

    turns: list[TurnResponse]
    clusters: list[ClusterInfo]


class QueryDetailResponse(BaseModel):
    query: QueryResponse
    clusters: list[ClusterInfo]


@router.get("", dependencies=reads)
def list_queries(params: Annotated[QueryList, Query()], seen: SeenDep) -> PaginatedResponse[QueryResponse]:
    """Queries in order of their ids. Deep lists are read by `cursor`, which costs the same on each page.

    `as_of` is for queries of a run: which they were then, and in which clusters.
    """
    where, _ = meant(seen, params)
    connection = seen.connection
    after = int(decode_cursor(params.cursor, int)[0]) if params.cursor else None
    offset = 0 if params.cursor else (params.page - 1) * params.limit
    rows = read.list_queries(connection, where, params.limit + 1, offset, after)
    page, more = rows[: params.limit], len(rows) > params.limit
    following = encode_cursor(page[-1]["query_id"]) if more else None
    items = [query_of(row) for row in page]
    total = read.count_queries(connection, where)
    return PaginatedResponse[QueryResponse](**page_of(items, total, params.page, params.limit, following))


@router.get("/{query_id}", dependencies=reads)
def get_query(query_id: QueryId, connection: Read, container: ContainerDep) -> ConversationResponse:
    """A query with all turns of its conversation and its cluster in each run, the newest run first."""
    row = found(read.find_query(connection, query_id), f"query {query_id}")
    body = container.contents.of_queries(row["dataset"], [query_id]).get(query_id)
    turns = decode_content(body).turns if body is not None else []
    return ConversationResponse(
        **query_of(row).model_dump(),
        turns=[TurnResponse(role=turn.role, content=turn.content) for turn in turns],
        clusters=_clusters(connection, query_id, None),
    )


@curation_router.get("/queries/{query_id}", dependencies=reads)
def view_query(
    query_id: QueryId, connection: Read, run_id: Annotated[Word | None, Query()] = None
) -> QueryDetailResponse:
    """A query and its clusters: in each run, or in one."""
    row = found(read.find_query(connection, query_id), f"query {query_id}")
    run = run_named(connection, run_id) if run_id is not None else None
    clusters = _clusters(connection, query_id, run["run_no"] if run else None)
    return QueryDetailResponse(query=query_of(row), clusters=clusters)


def query_of(row: dict[str, Any]) -> QueryResponse:
    return QueryResponse(id=row["query_id"], **{k: v for k, v in row.items() if k != "query_id"})


def _clusters(connection: Connection, query_id: int, run_no: int | None) -> list[ClusterInfo]:
    rows = read.clusters_of(connection, [query_id], run_no)[query_id]
    return [ClusterInfo(**row) for row in rows]


def run_named(connection: Connection, run_id: str) -> dict[str, Any]:
    """The run, or 404."""
    return found(clustering_read.find_run(connection, run_id), f"clustering run {run_id!r}")


def meant(seen: Seen, filters: Filters) -> tuple[read.QueryFilter, clustering_read.RunView | None]:
    """What a request asks for, and its run. Raises NotFound for a run or a cluster that is not there."""
    run = seen.run(filters.run_id) if filters.run_id is not None else None
    same = filters.model_dump(include=set(Filters.model_fields) - {"run_id", "cluster_id"})
    if run is None:
        if filters.cluster_id is not None:
            raise Invalid("cluster_id: a cluster belongs to a run; give run_id as well")
        if seen.position is not None:
            raise Invalid("as_of: only a clustering run can be read as it was; give run_id as well")
        return read.QueryFilter(**same), None
    check_dataset(run.row, filters.dataset)
    cluster_id = filters.cluster_id
    if cluster_id is not None and not run.has(cluster_id):
        raise NotFound(f"there is no cluster {cluster_id} in run {filters.run_id}")
    same["dataset"] = run.row["dataset"]
    ids = None if cluster_id is None else (cluster_id,)
    return read.QueryFilter(**same, **run.among(ids)), run


def check_dataset(run: dict[str, Any], dataset: str | None) -> None:
    if dataset not in (None, run["dataset"]):
        raise Invalid(f"dataset: run {run['run_id']} is of data set {run['dataset']!r}, not of {dataset!r}")


def check_clusters(connection: Connection, run: dict[str, Any], cluster_ids: tuple[int, ...]) -> None:
    """404 that names the clusters which the run does not have."""
    known = read.known_clusters(connection, run["run_no"], cluster_ids)
    missing = ", ".join(str(one) for one in cluster_ids if one not in known)
    found(None if missing else run, f"cluster {missing} in run {run['run_id']}")
