"""Vectors for the queries of a data set, stored beside the log; each stretch of them is one event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from commands.bus import Bus
from commands.ports import Contents, Embedder, Embedders, Embeddings, EventStore, Outcome, Progress
from domain.base import Invalid
from domain.content import decode_content
from domain.datasets import Dataset
from domain.values import Space

STRETCH = 10_000


@dataclass(frozen=True, kw_only=True)
class RequestEmbedding:
    dataset: str
    job_id: str
    provider: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RecordEmbedded:
    dataset: str
    space: Space
    first_query_id: int
    last_query_id: int
    count: int


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


def record_embedded(cmd: RecordEmbedded, store: EventStore) -> Outcome:
    dataset = store.load(Dataset, cmd.dataset)
    dataset.record_embedded(cmd.space, cmd.first_query_id, cmd.last_query_id, cmd.count)
    return Outcome((dataset,))


def end_embedding(cmd: EndEmbedding, store: EventStore) -> Outcome:
    dataset = store.load(Dataset, cmd.dataset)
    if cmd.space is None:
        dataset.fail_embedding(cmd.job_id, cmd.error or "unknown")
    else:
        dataset.complete_embedding(cmd.job_id, cmd.space, cmd.embedded)
    return Outcome((dataset,))


def embed_queries(
    dataset: str,
    up_to: int,
    embedder: Embedder,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    embeddings: Embeddings,
    progress: Progress,
) -> int:
    """Embed what has no vector yet, in ascending order of id; returns how many queries were gone through.

    A text that has a vector already (a duplicate, an earlier try) is not embedded again.
    """
    space = embedder.space
    after = store.load(Dataset, dataset).embedded_up_to(space)
    done = 0
    while stretch := embeddings.queries(dataset, after, up_to, STRETCH):
        missing = embeddings.missing(space, list({text for _, text, _ in stretch}))
        content_of = {text: content for _, text, content in stretch if text in missing}
        if content_of:
            bodies = contents.get(list(content_of.values()))
            texts = {
                text: decode_content(bodies[content]).query
                for text, content in content_of.items()
                if content in bodies
            }
            vectors = embedder.embed(list(texts.values()))
            embeddings.put(space, dict(zip(texts, vectors, strict=True)))
        first, after = stretch[0][0], stretch[-1][0]
        bus.handle(
            RecordEmbedded(
                dataset=dataset, space=space, first_query_id=first, last_query_id=after, count=len(stretch)
            )
        )
        done += len(stretch)
        progress(done, None)
    return done


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
