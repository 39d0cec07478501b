"""Taking a data set out of the read models. The log and all contents stay."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from commands.ports import EventStore, Outcome
from domain.clustering import ClusteringRun
from domain.datasets import Dataset
from domain.errors import Conflict


@dataclass(frozen=True, kw_only=True)
class ClearDataset:
    """`confirm_token` is what `confirm_token()` gave for the present state of the data set."""

    dataset: str
    confirm_token: str


def confirm_token(dataset: Dataset) -> str:
    """Fits this state only: what was loaded after it was handed out cannot be cleared with it."""
    return hashlib.sha256(f"clear {dataset.id} {dataset.version}".encode()).hexdigest()[:16]


def clear_dataset(cmd: ClearDataset, store: EventStore) -> Outcome:
    """Clears the data set and retires its runs in one step."""
    dataset = store.load(Dataset, cmd.dataset)
    if cmd.confirm_token != confirm_token(dataset):
        raise Conflict(
            f"confirm_token does not fit the present state of data set {cmd.dataset!r}: ask for a new one "
            "by the same request without confirm_token"
        )
    removed = dataset.queries
    dataset.clear()
    runs = [store.load(ClusteringRun, run_id) for run_id in store.runs_of(cmd.dataset)]
    for run in runs:
        run.retire()
    retired = [run for run in runs if run.pending_events]
    answer = {"dataset": cmd.dataset, "queries": removed, "runs": len(retired)}
    return Outcome((dataset, *retired), answer, dataset=cmd.dataset, forget_conversations=True)
