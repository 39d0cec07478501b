"""The job that gives the queries of a data set their vectors: the request, the work and its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from commands.bus import Bus
from commands.embedding import embed_queries
from commands.ports import Contents, Embedders, Embeddings, EventStore, Outcome, Progress
from domain.datasets import Dataset
from domain.errors import Invalid
from domain.values import Space


@dataclass(frozen=True, kw_only=True)
class RequestEmbedding:
    dataset: str
    job_id: str
    provider: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EndEmbedding:
    """`error` None: it is complete, in `space`."""

    dataset: str
    job_id: str
    space: Space | None = None
    embedded: int = 0
    error: str | None = None


def request_embedding(cmd: RequestEmbedding, store: EventStore) -> Outcome:
    dataset = store.load(Dataset, cmd.dataset)
    if not dataset.queries:
        raise Invalid(f"data set {cmd.dataset!r} has no queries to embed; load some first")
    dataset.request_embedding(cmd.job_id, cmd.provider, cmd.model, dict(cmd.options))
    return Outcome((dataset,), {"job_id": cmd.job_id})


def end_embedding(cmd: EndEmbedding, store: EventStore) -> Outcome:
    dataset = store.load(Dataset, cmd.dataset)
    if cmd.space is None:
        dataset.fail_embedding(cmd.job_id, cmd.error or "unknown")
    else:
        dataset.complete_embedding(cmd.job_id, cmd.space, cmd.embedded)
    return Outcome((dataset,))


def run_embedding(
    dataset: str,
    job_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    embeddings: Embeddings,
    embedders: Embedders,
    progress: Progress,
) -> None:
    aggregate = store.load(Dataset, dataset)
    job = aggregate.job(job_id)
    if job.status in ("completed", "failed"):
        return
    embedder = embedders.get(job.source["provider"], job.source["model"], job.options)
    done = embed_queries(
        dataset,
        aggregate.last_query_id,
        embedder,
        bus=bus,
        store=store,
        contents=contents,
        embeddings=embeddings,
        progress=progress,
    )
    bus.handle(EndEmbedding(dataset=dataset, job_id=job_id, space=embedder.space, embedded=done))
