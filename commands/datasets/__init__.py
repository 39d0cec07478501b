"""Loading, embedding and clearing data sets: the requests, and the work behind them."""

from commands.bus import Handler
from commands.datasets.clearing import ClearDataset, clear_dataset, confirm_token
from commands.datasets.embedding import (
    EndEmbedding,
    RecordEmbedded,
    RequestEmbedding,
    embed_queries,
    end_embedding,
    record_embedded,
    request_embedding,
    run_embedding,
)
from commands.datasets.loading import (
    EndLoad,
    ImportBatch,
    RequestLoad,
    end_load,
    import_batch,
    request_load,
    run_load,
)

__all__ = [
    "ClearDataset",
    "EndEmbedding",
    "EndLoad",
    "ImportBatch",
    "RecordEmbedded",
    "RequestEmbedding",
    "RequestLoad",
    "confirm_token",
    "embed_queries",
    "run_embedding",
    "run_load",
]

HANDLERS: dict[type, Handler] = {
    ClearDataset: clear_dataset,
    EndEmbedding: end_embedding,
    EndLoad: end_load,
    ImportBatch: import_batch,
    RecordEmbedded: record_embedded,
    RequestEmbedding: request_embedding,
    RequestLoad: request_load,
}
