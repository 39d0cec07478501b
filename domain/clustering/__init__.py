"""A clustering run: the aggregate that owns its partition, and the edits that people make to it."""

from domain.clustering.changes import Changes
from domain.clustering.cluster import Cluster
from domain.clustering.history import Plan
from domain.clustering.partition import Partition
from domain.clustering.run import ClusteringRun

__all__ = ["Changes", "Cluster", "ClusteringRun", "Partition", "Plan"]
