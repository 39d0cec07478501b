"""What is embedded of a title, so that clusters can be searched for, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from commands.bus import Bus, Handler
from commands.ports import Embedder, Embedders, Embeddings, EventStore, Outcome
from domain.clustering import ClusteringRun
from domain.errors import Conflict
from domain.search import TitleIndex
from domain.values import Space, digest


@dataclass(frozen=True, kw_only=True)
class RecordTitlesEmbedded:
    """`texts`: cluster id → SHA-256 (hex) of the embedded text of its title."""

    run_id: str
    space: Space
    texts: Mapping[int, str]


def record_titles_embedded(cmd: RecordTitlesEmbedded, store: EventStore) -> Outcome:
    index = store.find(TitleIndex, cmd.run_id) or TitleIndex(cmd.run_id)
    index.record(cmd.space, rows_of(cmd.texts))
    return Outcome((index,))


def rows_of(texts: Mapping[int, str]) -> list[dict[str, Any]]:
    """As they stand in events."""
    return [{"cluster_id": cluster_id, "text": text} for cluster_id, text in texts.items()]


def title_text(title: str | None, description: str | None) -> str:
    """What is embedded of a cluster, so that it can be searched for."""
    return "\n".join(part for part in (title, description) if part)


def embed_titles(
    titles: Mapping[int, tuple[str | None, str | None]], embedder: Embedder, embeddings: Embeddings
) -> dict[int, str]:
    """Store the vectors of titles; returns cluster id → SHA-256 (hex) of what was embedded."""
    texts = {cluster_id: title_text(*title) for cluster_id, title in titles.items()}
    digests = {cluster_id: digest(text.encode()) for cluster_id, text in texts.items()}
    vectors = embedder.embed(list(texts.values()))
    embeddings.put(embedder.space, dict(zip(digests.values(), vectors, strict=True)))
    return {cluster_id: sha256.hex() for cluster_id, sha256 in digests.items()}


def embedder_of(run: ClusteringRun, embedders: Embedders) -> Embedder:
    """Raises Conflict where the model that made the run's vectors makes those of another space by now."""
    embedder = embedders.get(run.embedding["provider"], run.embedding["model"], run.embedding["options"])
    if vars(embedder.space) != run.space:
        was = Space(**(run.space or {})).name
        raise Conflict(
            f"run {run.run_id} was made in the space {was}, its embedder now makes {embedder.space.name}: "
            "cluster anew, or bring back the model of then"
        )
    return embedder


def run_embed_titles(
    run_id: str,
    cluster_id: int | None,
    *,
    bus: Bus,
    store: EventStore,
    embeddings: Embeddings,
    embedders: Embedders,
) -> None:
    """What cluster search compares with follows the words of a cluster.

    None: of all that have a person's title over a summary's description, or the other way round; these
    texts change when another summary run is shown.
    """
    run = store.load(ClusteringRun, run_id)
    if run.status != "completed":
        return
    titles = {
        one: (cluster.title, cluster.description)
        for one, cluster in run.clusters.items()
        if one == cluster_id or (cluster_id is None and cluster.title_edited != cluster.description_edited)
    }
    if titles:
        embedder = embedder_of(run, embedders)
        texts = embed_titles(titles, embedder, embeddings)
        bus.handle(RecordTitlesEmbedded(run_id=run_id, space=embedder.space, texts=texts))


HANDLERS: dict[type, Handler] = {RecordTitlesEmbedded: record_titles_embedded}
