"""Vectors for the queries of a data set, stored beside the log; each stretch of them is one event.

Of no feature: a data set is embedded by a job of its own, and by whatever needs its vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

from commands.bus import Bus, Handler
from commands.ports import Contents, Embedder, Embeddings, EventStore, Outcome, Progress
from domain.content import decode_content
from domain.datasets import Dataset
from domain.values import Space

STRETCH = 10_000


@dataclass(frozen=True, kw_only=True)
class RecordEmbedded:
    dataset: str
    space: Space
    first_query_id: int
    last_query_id: int
    count: int


def record_embedded(cmd: RecordEmbedded, store: EventStore) -> Outcome:
    dataset = store.load(Dataset, cmd.dataset)
    dataset.record_embedded(cmd.space, cmd.first_query_id, cmd.last_query_id, cmd.count)
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
            vectors = dict(zip(texts, embedder.embed(list(texts.values())), strict=True))
            embeddings.put_queries(dataset, stretch[0][0], stretch[-1][0], space, vectors)
        first, after = stretch[0][0], stretch[-1][0]
        bus.handle(
            RecordEmbedded(
                dataset=dataset, space=space, first_query_id=first, last_query_id=after, count=len(stretch)
            )
        )
        done += len(stretch)
        progress(done, None)
    return done


HANDLERS: dict[type, Handler] = {RecordEmbedded: record_embedded}
