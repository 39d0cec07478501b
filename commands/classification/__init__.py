"""Classification runs: the requests, what is recorded of them, and the work behind them."""

from commands.bus import Handler
from commands.classification.batches import run_ingest
from commands.classification.recording import (
    EndBatch,
    EndClassification,
    EndIngest,
    RecordBatch,
    RecordPopulation,
    RecordResults,
    end_batch,
    end_classification,
    end_ingest,
    record_batch,
    record_population,
    record_results,
)
from commands.classification.requests import (
    CancelClassification,
    RequestClassification,
    RequestIngest,
    ResumeClassification,
    cancel_classification,
    request_classification,
    request_ingest,
    resume_classification,
)
from commands.classification.work import run_cancelled, run_classification

__all__ = [
    "CancelClassification",
    "EndIngest",
    "RecordResults",
    "RequestClassification",
    "RequestIngest",
    "ResumeClassification",
    "run_cancelled",
    "run_classification",
    "run_ingest",
]

HANDLERS: dict[type, Handler] = {
    CancelClassification: cancel_classification,
    EndBatch: end_batch,
    EndClassification: end_classification,
    EndIngest: end_ingest,
    RecordBatch: record_batch,
    RecordPopulation: record_population,
    RecordResults: record_results,
    RequestClassification: request_classification,
    RequestIngest: request_ingest,
    ResumeClassification: resume_classification,
}
