"""Clustering runs, their clusters, and which query is in which."""

from projections.clustering.projector import ClusteringProjection
from projections.clustering.queries import (
    find_cluster,
    find_run,
    list_clusters,
    list_runs,
    members,
    representatives,
    summary_run_of,
)
from projections.clustering.tables import clusters, memberships, runs, tables

__all__ = [
    "ClusteringProjection",
    "clusters",
    "find_cluster",
    "find_run",
    "list_clusters",
    "list_runs",
    "members",
    "memberships",
    "representatives",
    "runs",
    "summary_run_of",
    "tables",
]
