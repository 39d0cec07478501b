"""Loading, embedding, clearing and erasing from data sets: the requests, and the work behind them."""

from commands.bus import Handler
from commands.datasets.clearing import ClearDataset, clear_dataset, confirm_token
from commands.datasets.embedding import (
    EndEmbedding,
    RequestEmbedding,
    end_embedding,
    request_embedding,
    run_embedding,
)
from commands.datasets.erasing import EraseConversation, erase_conversation
from commands.datasets.loading import (
    EndLoad,
    ImportBatch,
    RequestLoad,
    end_load,
    import_batch,
    request_load,
    run_load,
    run_release,
)

__all__ = [
    "ClearDataset",
    "EndEmbedding",
    "EndLoad",
    "EraseConversation",
    "ImportBatch",
    "RequestEmbedding",
    "RequestLoad",
    "confirm_token",
    "run_embedding",
    "run_load",
    "run_release",
]

HANDLERS: dict[type, Handler] = {
    ClearDataset: clear_dataset,
    EndEmbedding: end_embedding,
    EndLoad: end_load,
    EraseConversation: erase_conversation,
    ImportBatch: import_batch,
    RequestEmbedding: request_embedding,
    RequestLoad: request_load,
}
