"""Clustering runs: requests, and what they found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from adapters.bootstrap import Container
from api.datasets import EmbeddingConfig, embedding_of
from api.deps import DATASET, Commands, CommandsDep, ContainerDep, Read, found, reads, show_if_ended
from api.paging import DeepPageDep, PageDep, PaginatedResponse
from api.queries import QueryResponse
from api.time_travel import SeenDep
from api.time_travel import run_row as run_row
from commands.clustering import RequestClustering
from domain.errors import Invalid
from projections import clustering as read
from projections.clustering import LiveRun
from projections.measures import cohesion_of

router = APIRouter(prefix="/api/clustering", tags=["clustering"])

RunStatus = Literal["pending", "running", "completed", "failed"]
Sort = Literal["size", "-size", "cluster_id", "-cluster_id", "title", "-title"]


class ClusteringRequest(EmbeddingConfig):
    description: str | None = Field(None, max_length=4_000)
    dataset: str = Field(DATASET, max_length=64)
    seed: int | None = Field(None, ge=0, lt=2**31)


class KMeansRequest(ClusteringRequest):
    n_clusters: int = Field(ge=1, le=100_000)
    chunk_size: int | None = Field(None, ge=1, le=1_000_000)
    mb_batch_size: int | None = Field(None, ge=1, le=1_000_000)
    engine: Literal["faiss", "sklearn"] | None = None


class HDBSCANRequest(ClusteringRequest):
    chunk_size: int | None = Field(None, ge=1, le=1_000_000)
    min_cluster_size: int | None = Field(None, ge=2)
    min_samples: int | None = Field(None, ge=1)
    cluster_selection_epsilon: float | None = Field(None, ge=0)
    metric: str | None = Field(None, max_length=40)


class SegmentationRequest(ClusteringRequest):
    """`algorithm`: dbscan or agglomerative; `parameters`: as docs/clustering.md has them."""

    algorithm: str = Field(max_length=40)
    parameters: dict[str, Any]


class ClusteringRunSummary(BaseModel):
    status: RunStatus
    created_at: datetime
    completed_at: datetime | None = None
    run_id: str
    algorithm: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    num_clusters: int | None = None
    dataset: str
    num_queries: int
    version: int


class ClusteringRunDetail(ClusteringRunSummary):
    metrics: dict[str, Any] | None = None
    latest_errors: list[str] | None = None
    space: dict[str, Any] | None = None
    processed: int | None = None


class ClusteringRunStatusResponse(BaseModel):
    run_id: str
    status: str
    processed: int | None = None
    total: int | None = None


class ClusterSummaryResponse(BaseModel):
    run_id: str
    cluster_id: int
    title: str | None = None
    description: str | None = None
    summary_run_id: str | None = None
    alias: str | None = None
    num_queries: int | None = None
    representative_queries: list[str] | None = None
    incoherent: str | None = Field(None, description="Why the summary run found no topic in it.")
    title_edited: bool = False
    description_edited: bool = False
    coherence_score: int | None = None
    quality: str | None = None
    notes: str | None = None
    flags: list[str] = []
    cohesion: float | None = Field(None, description="Mean cosine of its queries to its centroid.")


class ClusterMember(QueryResponse):
    """`confidence_score`: what it means is said in docs/clustering.md; None after a move by hand."""

    confidence_score: float | None = None


class ClusterDetailResponse(BaseModel):
    cluster: ClusterSummaryResponse
    queries: PaginatedResponse[ClusterMember]


# --- requests ------------------------------------------------------------------------------------


@router.post("/kmeans", status_code=202)
def kmeans(
    body: KMeansRequest, container: ContainerDep, commands: CommandsDep
) -> ClusteringRunStatusResponse:
    """Partition the queries of a data set into `n_clusters`."""
    wanted = {"n_clusters", "chunk_size", "mb_batch_size", "engine", "seed"}
    return _request(container, commands, "kmeans", body, body.model_dump(include=wanted, exclude_none=True))


@router.post("/hdbscan", status_code=202)
def hdbscan(
    body: HDBSCANRequest, container: ContainerDep, commands: CommandsDep
) -> ClusteringRunStatusResponse:
    """Find clusters by density. What is in none of them is kept as cluster -1."""
    wanted = {"chunk_size", "min_cluster_size", "min_samples", "cluster_selection_epsilon", "metric", "seed"}
    return _request(container, commands, "hdbscan", body, body.model_dump(include=wanted, exclude_none=True))


@router.post("/segment", status_code=202)
def segment(
    body: SegmentationRequest, container: ContainerDep, commands: CommandsDep
) -> ClusteringRunStatusResponse:
    """Cluster by DBSCAN (its eps is estimated where none is given) or agglomeratively."""
    if body.algorithm not in ("dbscan", "agglomerative"):
        raise Invalid(f"algorithm {body.algorithm!r}: known here are dbscan and agglomerative")
    seed = {"seed": body.seed} if body.seed is not None else {}
    return _request(container, commands, body.algorithm, body, {**body.parameters, **seed})


def _request(
    container: Container,
    commands: Commands,
    algorithm: str,
    body: ClusteringRequest,
    parameters: dict[str, Any],
) -> ClusteringRunStatusResponse:
    embedding = embedding_of(container, body.model_copy(update={"use_chroma": None}))
    command = RequestClustering(
        dataset=body.dataset,
        algorithm=algorithm,
        parameters=parameters,
        embedding=embedding or {},
        description=body.description,
        at=datetime.now(UTC),
    )
    answer = commands.handle(command).answer
    commands.locate("clustering", "runs", answer["run_id"], "status")
    return ClusteringRunStatusResponse.model_validate(answer)


# --- reads ---------------------------------------------------------------------------------------


@router.get("/runs", dependencies=reads)
def list_runs(
    connection: Read,
    page: PageDep,
    algorithm: Annotated[str | None, Query(max_length=40)] = None,
    status: RunStatus | None = None,
    dataset: Annotated[str | None, Query(max_length=64)] = None,
) -> PaginatedResponse[ClusteringRunSummary]:
    """Clustering runs, newest first."""
    rows, total = read.list_runs(
        connection, page.limit, page.offset, algorithm=algorithm, status=status, dataset=dataset
    )
    return page.of(ClusteringRunSummary, rows, total)


@router.get("/runs/{run_id}", dependencies=reads)
def get_run(run_id: str, seen: SeenDep, response: Response) -> ClusteringRunDetail:
    """A run: how it was made, and what it is like. Its ETag is for If-Match on edits."""
    run = seen.run(run_id).row
    response.headers["ETag"] = f'"{run["version"]}"'
    errors = [run["error"]] if run["error"] else None
    return ClusteringRunDetail.model_validate({**run, "latest_errors": errors})


@router.get("/runs/{run_id}/status", dependencies=reads)
def get_run_status(run_id: str, connection: Read, container: ContainerDep) -> ClusteringRunStatusResponse:
    """How far a run is."""
    run = run_row(connection, run_id)
    show_if_ended(container, run["status"])
    return ClusteringRunStatusResponse.model_validate(run)


@router.get("/runs/{run_id}/clusters", dependencies=reads)
def list_clusters(
    run_id: str,
    seen: SeenDep,
    page: PageDep,
    include_examples: Annotated[int, Query(ge=0, le=100, description="Central queries of each.")] = 0,
    sort: Sort = "-size",
    summary_run_id: Annotated[str | None, Query(max_length=200)] = None,
    alias: Annotated[str | None, Query(max_length=200)] = None,
) -> PaginatedResponse[ClusterSummaryResponse]:
    """The clusters of a run, the largest first, with the titles that are shown or one summary run's."""
    run = seen.run(run_id)
    chosen = run.summary_run(summary_run_id, alias)
    rows, total = run.clusters(page.limit, page.offset, sort=sort, summary_run_id=chosen)
    items = cluster_responses(seen.connection, run_id, rows, include_examples, measured=seen.position is None)
    return page.of(ClusterSummaryResponse, items, total)


@router.get("/runs/{run_id}/clusters/{cluster_id}", dependencies=reads)
def get_cluster(
    run_id: str,
    cluster_id: int,
    seen: SeenDep,
    page: DeepPageDep,
    summary_run_id: Annotated[str | None, Query(max_length=200)] = None,
    alias: Annotated[str | None, Query(max_length=200)] = None,
) -> ClusterDetailResponse:
    """A cluster and a page of its queries, in the order of their ids."""
    run = seen.run(run_id)
    chosen = run.summary_run(summary_run_id, alias)
    row = found(run.cluster(cluster_id, chosen), f"cluster {cluster_id} in run {run_id}")
    members = run.members(cluster_id, page.limit, page.offset, page.after)
    items = [{**one, "id": one["query_id"], "confidence_score": one["confidence"]} for one in members]
    following = page.cursor_behind(members, "query_id")
    return ClusterDetailResponse.model_validate(
        {
            "cluster": cluster_responses(seen.connection, run_id, [row], 10, measured=seen.position is None)[
                0
            ],
            "queries": page.of(ClusterMember, items, run.count(cluster_id), following),
        }
    )


def chosen_summary(
    connection: Connection, run_id: str, summary_run_id: str | None, alias: str | None
) -> str | None:
    """The summary run whose titles are asked for; None for those that are shown."""
    return LiveRun(connection, run_row(connection, run_id)).summary_run(summary_run_id, alias)


def cluster_responses(
    connection: Connection,
    run_id: str,
    rows: list[dict[str, Any]],
    examples: int,
    *,
    measured: bool = True,
) -> list[dict[str, Any]]:
    """Rows of clusters as they are answered; `examples`: how many central queries of each.

    `measured`: with what they are like now, which says nothing of the past.
    """
    cluster_ids = [row["cluster_id"] for row in rows]
    summary_runs = sorted({row["summary_run_id"] for row in rows if row["summary_run_id"]})
    incoherent = read.incoherent_of(connection, summary_runs, cluster_ids)
    texts: dict[int, list[str]] = {}
    if examples:
        texts = read.representatives(connection, summary_runs, cluster_ids, examples)
    cohesion = cohesion_of(connection, run_id, cluster_ids) if measured else {}
    return [
        {
            **row,
            "run_id": run_id,
            "cohesion": cohesion.get(row["cluster_id"]),
            "incoherent": incoherent.get((row["summary_run_id"], row["cluster_id"])),
            "num_queries": row["size"],
            "representative_queries": texts.get(row["cluster_id"]) if examples else None,
        }
        for row in rows
    ]
