"""A clustering run: the aggregate that owns its partition, and the edits that people make to it."""

from domain.clustering.partition import Partition
from domain.clustering.run import Cluster, ClusteringRun

__all__ = ["Cluster", "ClusteringRun", "Partition"]
