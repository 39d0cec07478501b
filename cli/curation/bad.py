"""`lmsys edit select-bad-clusters`: where to look first."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.clustering import Alias, RunId, SummaryRunId
from cli.output import note
from cli.session import Session


def select_bad_clusters(
    session: Session,
    run_id: RunId,
    heuristic: Annotated[
        list[str] | None, typer.Option(help="One of docs/quality.md, may be repeated; else all.")
    ] = None,
    min_cohesion: Annotated[
        float | None, typer.Option(min=0, max=1, help="Mean cosine to the centroid.")
    ] = None,
    min_confidence: Annotated[float | None, typer.Option(min=0, max=1, help="Mean of the queries.")] = None,
    min_size: Annotated[int | None, typer.Option(min=0, help="Queries of a cluster.")] = None,
    max_share: Annotated[float | None, typer.Option(min=0, help="Of the run, less than 1.")] = None,
    max_similarity: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Cosine of the centroids of two clusters.")
    ] = None,
    alias: Alias = None,
    summary_run_id: SummaryRunId = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Clusters at most.")] = None,
) -> None:
    """Clusters that a heuristic speaks against, the worst first, each with the reasons."""
    asked = {
        "heuristics": heuristic,
        "min_cohesion": min_cohesion,
        "min_confidence": min_confidence,
        "min_size": min_size,
        "max_share": max_share,
        "max_similarity": max_similarity,
        "alias": alias,
        "summary_run_id": summary_run_id,
    }
    answer = session.client.pages(f"/api/curation/runs/{run_id}/select-bad-clusters", limit, asked)
    columns = ["cluster_id", "num_queries", "title", "score", "why"]
    session.table(answer, columns, [_row(item) for item in answer["items"]])
    for name, reason in answer.get("unmeasured", {}).items():
        note(f"{name}: {reason}")


def _row(item: dict[str, Any]) -> list[Any]:
    why = "; ".join(f"{one['heuristic']}: {one['detail']}" for one in item["reasons"])
    return [item["cluster_id"], item["num_queries"], item["title"], f"{item['score']:.2f}", why]
