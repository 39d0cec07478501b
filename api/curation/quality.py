"""Clusters that somebody should look at."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from api.clustering import ClusterSummaryResponse, chosen_summary, cluster_responses, run_row
from api.deps import Read, reads
from api.paging import PageDep, PaginatedResponse, page_of
from domain.quality import HEURISTICS, Bad, Heuristic, Thresholds, bad_clusters, unmeasured
from projections.clustering import find_clusters
from projections.measures import measured_version
from projections.quality import facts_of

router = APIRouter()

DEFAULT = Thresholds()


def thresholds(
    mads: Annotated[
        float, Query(ge=0, le=100, description="Median absolute deviations below the median of the run.")
    ] = DEFAULT.mads,
    min_cohesion: Annotated[float | None, Query(ge=0, le=1, description="Instead of `mads`.")] = None,
    min_confidence: Annotated[float | None, Query(ge=0, le=1, description="Instead of `mads`.")] = None,
    min_size: Annotated[int, Query(ge=0, le=10**9, description="Queries of a cluster.")] = DEFAULT.min_size,
    max_share: Annotated[
        float | None,
        Query(ge=0, lt=1, description="Of the run; else a tenth, or three even shares if that is more."),
    ] = None,
    max_similarity: Annotated[
        float, Query(ge=-1, le=1, description="Cosine of two centroids.")
    ] = DEFAULT.max_similarity,
    max_coherence_score: Annotated[
        int, Query(ge=0, le=5, description="As people noted it, from 1 to 5.")
    ] = DEFAULT.max_coherence_score,
) -> Thresholds:
    """The thresholds of the heuristics, as docs/quality.md has them."""
    return Thresholds(
        mads, min_cohesion, min_confidence, min_size, max_share, max_similarity, max_coherence_score
    )


class BadClusterReason(BaseModel):
    """`value` missed `threshold`; `neighbour_cluster_id`: the cluster that it overlaps with most."""

    heuristic: Heuristic
    value: float | str
    threshold: float | str
    detail: str
    neighbour_cluster_id: int | None = None


class ProblematicCluster(ClusterSummaryResponse):
    """`score`: the sum of 1 to 2 for each reason, by how far the threshold is missed."""

    confidence: float | None = Field(
        None, description="Mean of its queries; null where it was not asked for."
    )
    score: float
    reasons: list[BadClusterReason]


class ProblematicClustersResponse(PaginatedResponse[ProblematicCluster]):
    """`unmeasured`: heuristics that could not look at all clusters, with the reason.

    `measured_version`: the version of the run that cohesion and centroids are of; 0 for none yet.
    """

    measured_version: int
    unmeasured: dict[str, str]


@router.get("/runs/{run_id}/select-bad-clusters", dependencies=reads)
def select_bad_clusters(
    run_id: str,
    connection: Read,
    page: PageDep,
    limits: Annotated[Thresholds, Depends(thresholds)],
    heuristics: Annotated[list[Heuristic] | None, Query(description="All of them if none is named.")] = None,
    include_examples: Annotated[int, Query(ge=0, le=100, description="Central queries of each.")] = 0,
    summary_run_id: Annotated[str | None, Query(max_length=200)] = None,
    alias: Annotated[str | None, Query(max_length=200)] = None,
) -> ProblematicClustersResponse:
    """Clusters that a heuristic speaks against, the worst first, each with the reasons."""
    run = run_row(connection, run_id)
    chosen = chosen_summary(connection, run_id, summary_run_id, alias)
    wanted = set(heuristics or HEURISTICS)
    confidence = "low_confidence" in wanted
    facts = facts_of(connection, run_id, run["run_no"], confidence=confidence, summary_run_id=chosen)
    bad = bad_clusters(facts, run["num_queries"], wanted, limits)
    shown = bad[page.offset : page.offset + page.limit]
    rows = find_clusters(connection, run["run_no"], [one.facts.cluster_id for one in shown], chosen)
    items = {one["cluster_id"]: one for one in cluster_responses(connection, run_id, rows, include_examples)}
    found = [{**items[one.facts.cluster_id], **_why(one)} for one in shown]
    return ProblematicClustersResponse.model_validate(
        {
            **page_of(found, len(bad), page.page, page.limit),
            "measured_version": measured_version(connection, run_id),
            "unmeasured": unmeasured(facts, wanted),
        }
    )


def _why(bad: Bad) -> dict[str, object]:
    reasons = [vars(reason) for reason in bad.reasons]
    return {"score": bad.score, "confidence": bad.facts.confidence, "reasons": reasons}
