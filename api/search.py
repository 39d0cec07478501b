"""Search: queries by meaning or by words, and clusters by their titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, Field
from sqlalchemy import Connection

from adapters.bootstrap import Container
from api.deps import ContainerDep, found, reading, reads
from api.paging import PaginatedResponse, page_of
from api.queries import (
    ClusterId,
    ClusterInfo,
    QueryResponse,
    Word,
    Words,
    check_clusters,
    check_dataset,
    query_of,
    run_named,
)
from commands.ports import VectorIndex
from domain.errors import Conflict, Invalid, Unavailable
from domain.values import Space, Vectors
from projections import queries as read

router = APIRouter(prefix="/api/search", tags=["search"])

DEPTH = 10_000
"""How far down the results pages go."""

COUNTED = 1_000
"""The nearest results over which facets are counted."""

SNIPPET = 200


def _split(value: object) -> object:
    """`12,27` and `12&...=27` are the same list."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list):
        return given
    parts = [one.split(",") if isinstance(one, str) else [one] for one in given]
    return [part for some in parts for part in some if part != ""]


Facet = Literal["cluster", "language", "model"]
ClusterIds = Annotated[list[ClusterId], BeforeValidator(_split), Field(max_length=1_000)]
FacetNames = Annotated[list[Facet], BeforeValidator(_split), Field(max_length=3)]


class Paged(BaseModel):
    text: Words = Field(description="What to look for.")
    run_id: Word | None = None
    page: int = Field(1, ge=1, le=DEPTH)
    limit: int = Field(50, ge=1, le=1_000)

    @property
    def size(self) -> int:
        return self.limit

    @property
    def want(self) -> int:
        """How many results lead up to the end of the page."""
        if self.page * self.size > DEPTH:
            raise Invalid(f"page: page x limit is {self.page * self.size}, a search goes {DEPTH} deep")
        return self.page * self.size


class SearchParams(Paged):
    mode: Literal["semantic", "fulltext"] = Field("semantic", description="By meaning or by words.")
    dataset: Word | None = None
    language: Word | None = None
    model: Word | None = None
    label: Word | None = Field(None, description="`label` in the metadata.")
    domain: Word | None = Field(None, description="`domain` in the metadata.")
    cluster_ids: ClusterIds = Field([], description="Only in these clusters of the run: `12,27,44`.")
    within_clusters: Words | None = Field(
        None, description="Only in the clusters of the run whose titles are nearest to this text."
    )
    top_clusters: int = Field(5, ge=1, le=100, description="How many clusters those are.")
    n_results: int | None = Field(None, ge=1, le=1_000, description="Another name of `limit`.")
    facets: FacetNames = Field(
        [], description=f"Count the {COUNTED} best results by `cluster`, `language`, `model` (`a,b`)."
    )
    by: Facet | None = Field(None, description="One more facet.")

    @property
    def size(self) -> int:
        return self.n_results or self.limit

    @property
    def wanted_facets(self) -> list[Facet]:
        return list(dict.fromkeys([*self.facets, *([self.by] if self.by else [])]))


class ClusterSearchParams(Paged):
    alias: Word | None = Field(None, description="By the titles of the summary run with this alias.")
    summary_run_id: Word | None = Field(None, description="By the titles of this summary run.")
    top_k: int | None = Field(None, ge=1, le=1_000, description="Another name of `limit`.")

    @property
    def size(self) -> int:
        return self.top_k or self.limit


class QuerySearchResult(BaseModel):
    """`score`: cosine similarity, or the rank of words; `distance`: 1 - similarity, None for words."""

    query: QueryResponse
    clusters: list[ClusterInfo]
    distance: float | None = None
    score: float
    snippet: str


class AppliedCluster(BaseModel):
    """A cluster that was searched in; `distance` of its title to `within_clusters`."""

    cluster_id: int
    title: str | None = None
    description: str | None = None
    num_queries: int | None = None
    distance: float | None = None


class ClusterMeta(BaseModel):
    title: str | None = None


class ClusterCount(BaseModel):
    cluster_id: int
    count: int
    meta: ClusterMeta


class KeyCount(BaseModel):
    key: str
    count: int


class Facets(BaseModel):
    """Of the best results; empty where not asked for."""

    clusters: list[ClusterCount] = []
    language: list[KeyCount] = []
    model: list[KeyCount] = []


class SearchQueriesResponse(PaginatedResponse[QuerySearchResult]):
    """`total`: how many queries were ranked; `pages`: how many of them can be read."""

    text: str
    run_id: str | None = None
    mode: str
    applied_clusters: list[AppliedCluster]
    facets: Facets


class ClusterSearchResult(BaseModel):
    """`summary`: title and description, as they were compared."""

    run_id: str
    cluster_id: int
    title: str | None = None
    description: str | None = None
    summary: str | None = None
    num_queries: int | None = None
    summary_run_id: str | None = None
    distance: float
    score: float


class SearchClustersResponse(PaginatedResponse[ClusterSearchResult]):
    text: str
    run_id: str | None = None


@dataclass(frozen=True)
class Probe:
    """Texts as vectors of one space, and the index to compare them in."""

    index: VectorIndex
    space: Space
    vectors: Vectors


@router.get("", dependencies=reads)
def search_queries(
    params: Annotated[SearchParams, Query()], container: ContainerDep
) -> SearchQueriesResponse:
    """The queries nearest to a text, or those with its words.

    By meaning, every query of the data set (of the run, of the clusters) has a place in the order. By words,
    the first 2,000 matches are ranked; `GET /api/queries?text=` lists all of them.
    """
    want = params.want
    _check(params)
    with reading(container) as connection:
        run = run_named(connection, params.run_id) if params.run_id is not None else None
    texts = [params.text] if params.mode == "semantic" else []
    texts += [params.within_clusters] if params.within_clusters else []
    probe = _probe(container, run, texts) if texts else None
    with reading(container) as connection:
        applied = _applied(connection, params, run, probe)
        where = _where(params, run, applied)
        ranked, total, reachable = _ranked(connection, params, where, probe, max(want, COUNTED))
        page = ranked[want - params.size : want]
        counted = [one.query_id for one in ranked[:COUNTED]]
        run_no = run["run_no"] if run else None
        counts = read.facets(connection, counted, params.wanted_facets, run_no)
        items = _results(connection, params, page, run_no)
    return SearchQueriesResponse(
        **_page(items, total, params, reachable),
        text=params.text,
        run_id=params.run_id,
        mode=params.mode,
        applied_clusters=[AppliedCluster(**one) for one in applied or []],
        facets=Facets.model_validate(counts),
    )


def _check(params: SearchParams) -> None:
    if params.run_id is None:
        for name in ("cluster_ids", "within_clusters"):
            if getattr(params, name):
                raise Invalid(f"{name}: clusters belong to a run; give run_id as well")
        if "cluster" in params.wanted_facets:
            raise Invalid("facets: clusters belong to a run; give run_id as well")
    if params.cluster_ids and params.within_clusters:
        raise Invalid("within_clusters: it chooses the clusters itself; leave out cluster_ids, or this")


def _probe(container: Container, run: dict[str, Any] | None, texts: Sequence[str]) -> Probe:
    """Texts in the space of the run, or in that of the embedder that the settings name.

    Raises Conflict where the run has no space yet, or where its embedder makes vectors of another one by now.
    """
    if container.vectors is None:
        raise Unavailable("this process has no vector index; ask the one that serves the API")
    if run is None:
        embedder = container.embedders.get(*container.embedders.named(None, None), {})
    else:
        if run["space"] is None:
            raise Conflict(f"run {run['run_id']} is {run['status']}: only a completed run can be searched")
        made_by, options = run["embedding"], run["embedding"].get("options") or {}
        embedder = container.embedders.get(made_by["provider"], made_by["model"], options)
        if vars(embedder.space) != run["space"]:
            raise Conflict(
                f"run {run['run_id']} was made in the space {Space(**run['space']).name}, its embedder now "
                f"makes {embedder.space.name}: cluster anew, or bring back the model of then"
            )
    vectors = embedder.embed(texts)
    for text, vector in zip(texts, vectors, strict=True):
        if not vector.any():
            raise Invalid(f"text: the embedder knows nothing of {text[:80]!r}; use other words")
    return Probe(container.vectors, embedder.space, vectors)


def _applied(
    connection: Connection, params: SearchParams, run: dict[str, Any] | None, probe: Probe | None
) -> list[dict[str, Any]] | None:
    """The clusters to search in, None for no such limit."""
    if run is not None and params.cluster_ids:
        ids = tuple(dict.fromkeys(params.cluster_ids))
        check_clusters(connection, run, ids)
        known = read.known_clusters(connection, run["run_no"], ids)
        return [known[cluster_id] for cluster_id in ids]
    if run is not None and probe is not None and params.within_clusters:
        titles = read.nearest_titles(
            connection,
            probe.index,
            probe.space,
            probe.vectors[-1],
            params.top_clusters,
            run_id=run["run_id"],
        )
        return [{**row, "distance": 1 - row["score"]} for row in titles]
    return None


def _where(
    params: SearchParams, run: dict[str, Any] | None, applied: list[dict[str, Any]] | None
) -> read.QueryFilter:
    same = {name: getattr(params, name) for name in ("language", "model", "label", "domain")}
    if params.mode == "fulltext":
        same["text"] = params.text
    if run is None:
        return read.QueryFilter(**same, dataset=params.dataset)
    check_dataset(run, params.dataset)
    ids = None if applied is None else tuple(one["cluster_id"] for one in applied)
    return read.QueryFilter(**same, dataset=run["dataset"], run_no=run["run_no"], cluster_ids=ids)


def _ranked(
    connection: Connection, params: SearchParams, where: read.QueryFilter, probe: Probe | None, want: int
) -> tuple[list[read.Ranked], int, int]:
    """The best results, how many were ranked, and how many of those can be read."""
    if where.cluster_ids == ():
        return [], 0, 0
    if params.mode == "fulltext":
        ranked, total = read.by_words(connection, where, want)
        return ranked, total, min(total, read.RANKED)
    assert probe is not None
    want = want if params.wanted_facets else params.want
    ranked = read.nearest(connection, probe.index, probe.space, probe.vectors[0], want, where)
    total = read.count_queries(connection, where) if len(ranked) == want else len(ranked)
    return ranked, total, min(total, DEPTH)


def _results(
    connection: Connection, params: SearchParams, page: Sequence[read.Ranked], run_no: int | None
) -> list[QuerySearchResult]:
    ids = [one.query_id for one in page]
    rows = read.queries_by_id(connection, ids)
    clusters = read.clusters_of(connection, ids, run_no)
    words = params.mode == "fulltext"
    passages = read.headlines(connection, ids, params.text) if words else {}
    return [
        QuerySearchResult(
            query=query_of(rows[query_id]),
            clusters=[ClusterInfo(**row) for row in clusters[query_id]],
            distance=None if words else 1 - score,
            score=score,
            snippet=passages.get(query_id) or _beginning(rows[query_id]["query_text"]),
        )
        for query_id, score in page
    ]


def _beginning(text: str) -> str:
    line = " ".join(text[: 4 * SNIPPET].split())
    return line if len(line) <= SNIPPET else f"{line[: SNIPPET - 1]}…"


def _page(items: list[Any], total: int, params: Paged, reachable: int) -> dict[str, Any]:
    page = page_of(items, total, params.page, params.size)
    return {**page, "pages": max(1, -(-reachable // params.size))}


@router.get("/clusters", dependencies=reads)
def search_clusters(
    params: Annotated[ClusterSearchParams, Query()], container: ContainerDep
) -> SearchClustersResponse:
    """The clusters whose titles and descriptions are nearest to a text, in one run or in all of one space."""
    want = params.want
    with reading(container) as connection:
        run = run_named(connection, params.run_id) if params.run_id is not None else None
        chosen = _summary_runs(connection, params)
    probe = _probe(container, run, [params.text])
    with reading(container) as connection:
        scope: dict[str, Any] = {"run_id": params.run_id, "summary_run_ids": chosen}
        rows = read.nearest_titles(connection, probe.index, probe.space, probe.vectors[0], want, **scope)
        total = read.count_titles(connection, probe.space, **scope) if len(rows) == want else len(rows)
    items = [
        ClusterSearchResult(
            **row,
            distance=1 - row["score"],
            summary="\n".join(part for part in (row["title"], row["description"]) if part) or None,
        )
        for row in rows[want - params.size :]
    ]
    return SearchClustersResponse(
        **_page(items, total, params, min(total, DEPTH)), text=params.text, run_id=params.run_id
    )


def _summary_runs(connection: Connection, params: ClusterSearchParams) -> list[str] | None:
    """Whose titles are meant, None for those that are shown."""
    if params.summary_run_id is not None:
        return [params.summary_run_id]
    if params.alias is None:
        return None
    ids = read.summary_runs_of(connection, params.alias, params.run_id)
    return found(ids or None, f"completed summary run with alias {params.alias!r}")
