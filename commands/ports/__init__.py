"""What handlers and jobs need of the world, named by what they need and filled by an adapter."""

from commands.ports.clustering import Clusterer, Clustering, Progress, VectorSource
from commands.ports.contents import Contents, Embeddings
from commands.ports.embedding import Embedder, Embedders
from commands.ports.language import (
    NO_USAGE,
    BatchClassifier,
    BatchClassifiers,
    BatchState,
    Classifier,
    Classifiers,
    ClusterName,
    ClusterTexts,
    Item,
    Labelled,
    Limits,
    Namer,
    Namers,
    Stop,
    Usage,
    never,
)
from commands.ports.log import Erasure, EventStore, NewConversation, Outcome, Receipt
from commands.ports.sources import BadRow, Conversation, ConversationSource, Sources
from commands.ports.vectors import Hit, Point, PointFilter, PointId, VectorIndex

__all__ = [
    "NO_USAGE",
    "BadRow",
    "BatchClassifier",
    "BatchClassifiers",
    "BatchState",
    "Classifier",
    "Classifiers",
    "ClusterName",
    "ClusterTexts",
    "Clusterer",
    "Clustering",
    "Contents",
    "Conversation",
    "ConversationSource",
    "Embedder",
    "Embedders",
    "Embeddings",
    "Erasure",
    "EventStore",
    "Hit",
    "Item",
    "Labelled",
    "Limits",
    "Namer",
    "Namers",
    "NewConversation",
    "Outcome",
    "Point",
    "PointFilter",
    "PointId",
    "Progress",
    "Receipt",
    "Sources",
    "Stop",
    "Usage",
    "VectorIndex",
    "VectorSource",
    "never",
]
