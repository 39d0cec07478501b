"""Clustering runs, their clusters, and which query is in which."""

from projections.clustering.extensions import list_extensions
from projections.clustering.past import PastRun
from projections.clustering.projector import ClusteringProjection
from projections.clustering.queries import (
    count_members,
    find_cluster,
    find_clusters,
    find_run,
    incoherent_of,
    list_clusters,
    list_runs,
    members,
    representatives,
    summary_run_of,
)
from projections.clustering.tables import clusters, memberships, runs, shown_confidence, tables
from projections.clustering.views import LiveRun, PastView, RunView

__all__ = [
    "ClusteringProjection",
    "LiveRun",
    "PastRun",
    "PastView",
    "RunView",
    "clusters",
    "count_members",
    "find_cluster",
    "find_clusters",
    "find_run",
    "incoherent_of",
    "list_clusters",
    "list_extensions",
    "list_runs",
    "members",
    "memberships",
    "representatives",
    "runs",
    "shown_confidence",
    "summary_run_of",
    "tables",
]
