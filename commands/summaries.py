"""Naming the clusters of a run: the request, the work, and whose titles are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np

from commands.bus import Bus, Handler
from commands.ports import (
    ClusterName,
    ClusterTexts,
    Contents,
    Embedder,
    Embedders,
    Embeddings,
    EventStore,
    Namers,
    Outcome,
    Progress,
    VectorSource,
)
from domain.base import Conflict, Invalid
from domain.clustering import ClusteringRun, Partition
from domain.content import decode_content
from domain.measures import Tally
from domain.search import TitleIndex
from domain.summaries import SummaryRun, without_quotations
from domain.values import Space, digest

RECORDED_AT_ONCE = 500
DEFAULT_MAX_QUERIES = 100


@dataclass(frozen=True, kw_only=True)
class RequestSummary:
    """`summary_run_id` None: one is made of the model and `at`."""

    run_id: str
    model: str
    alias: str | None
    parameters: Mapping[str, Any]
    at: datetime
    summary_run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class RecordSummaries:
    summary_run_id: str
    names: Sequence[ClusterName]
    sizes: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class CompleteSummary:
    """`texts`: cluster id → SHA-256 (hex) of the embedded text of its new title."""

    summary_run_id: str
    space: Space
    texts: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class FailSummary:
    summary_run_id: str
    error: str


@dataclass(frozen=True, kw_only=True)
class RecordTitlesEmbedded:
    run_id: str
    space: Space
    texts: Mapping[int, str]


def request_summary(cmd: RequestSummary, store: EventStore, namers: Namers) -> Outcome:
    store.load(ClusteringRun, cmd.run_id).check_editable()
    model = namers.get(cmd.model).model
    wanted = cmd.summary_run_id
    if wanted is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", wanted):
        raise Invalid(f"summary_run_id {wanted!r}: use 1 to 128 letters, digits, '.', '_' or '-'")
    if wanted is not None and store.find(SummaryRun, wanted):
        raise Conflict(f"there is a summary run {wanted!r} already")
    free = wanted or next(name for name in _ids(model, cmd.at) if store.find(SummaryRun, name) is None)
    summary = SummaryRun(
        summary_run_id=free,
        run_id=cmd.run_id,
        alias=cmd.alias,
        model=model,
        parameters=dict(cmd.parameters),
    )
    return Outcome((summary,), {"summary_run_id": free, "run_id": cmd.run_id, "status": "pending"})


def _ids(model: str, at: datetime) -> Iterator[str]:
    """`summary-c-tf-idf-20251004-124530`, then the same with `-2`, `-3`, ..."""
    name = f"summary-{re.sub(r'[^a-z0-9.]+', '-', model.partition('/')[2].lower())[:40]}-{at:%Y%m%d-%H%M%S}"
    yield name
    for number in range(2, 1_000_000):
        yield f"{name}-{number}"


def record_summaries(cmd: RecordSummaries, store: EventStore) -> Outcome:
    summary = store.load(SummaryRun, cmd.summary_run_id)
    summary.record([{**vars(name), "num_queries": cmd.sizes[name.cluster_id]} for name in cmd.names])
    return Outcome((summary,))


def complete_summary(cmd: CompleteSummary, store: EventStore) -> Outcome:
    """Both at once: the summary run is complete, and its titles are the ones that the run shows."""
    summary = store.load(SummaryRun, cmd.summary_run_id)
    if summary.status != "pending":
        return Outcome(())
    run = store.load(ClusteringRun, summary.run_id)
    run.adopt_titles(summary.summary_run_id, list(summary.summaries.values()))
    texts = _rows_of(cmd.texts)
    index = store.find(TitleIndex, run.run_id) or TitleIndex(run.run_id)
    index.record(cmd.space, texts, summary.summary_run_id)
    index.record(cmd.space, [one for one in texts if not _edited(run, one["cluster_id"])])
    summary.complete()
    return Outcome((summary, run, index))


def _rows_of(texts: Mapping[int, str]) -> list[dict[str, Any]]:
    return [{"cluster_id": cluster_id, "text": text} for cluster_id, text in texts.items()]


def _edited(run: ClusteringRun, cluster_id: int) -> bool:
    """Whether its words are not those of the summary; so it is with one that people removed meanwhile."""
    cluster = run.clusters.get(cluster_id)
    return cluster is None or cluster.title_edited or cluster.description_edited


def fail_summary(cmd: FailSummary, store: EventStore) -> Outcome:
    summary = store.load(SummaryRun, cmd.summary_run_id)
    summary.fail(cmd.error)
    return Outcome((summary,))


def record_titles_embedded(cmd: RecordTitlesEmbedded, store: EventStore) -> Outcome:
    index = store.find(TitleIndex, cmd.run_id) or TitleIndex(cmd.run_id)
    index.record(cmd.space, _rows_of(cmd.texts))
    return Outcome((index,))


# --- the work ------------------------------------------------------------------------------------


def run_summary(
    summary_run_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    embeddings: Embeddings,
    embedders: Embedders,
    namers: Namers,
    progress: Progress,
) -> None:
    """Name every cluster by its most central queries, then embed the names in the run's own space."""
    summary = store.load(SummaryRun, summary_run_id)
    if summary.status != "pending":
        return
    run = store.load(ClusteringRun, summary.run_id)
    run.check_editable()
    space = Space(**(run.space or {}))
    vectors = embeddings.source(run.dataset, space, run.last_query_id)
    most = int(summary.parameters.get("max_queries") or DEFAULT_MAX_QUERIES)
    central = central_queries(vectors, run.partition, most)
    sizes = run.partition.sizes()
    clusters = [
        _texts_of(run, cluster_id, sizes.get(cluster_id, 0), central.get(cluster_id, []), contents)
        for cluster_id in sorted(run.clusters)
    ]
    names = map(_unquoted, namers.get(summary.model).name(clusters), clusters)
    done = 0
    while some := list(islice(names, RECORDED_AT_ONCE)):
        sizes_of = {name.cluster_id: sizes.get(name.cluster_id, 0) for name in some}
        bus.handle(RecordSummaries(summary_run_id=summary_run_id, names=some, sizes=sizes_of))
        done += len(some)
        progress(done, len(clusters))
    embedder = embedders.get(run.embedding["provider"], run.embedding["model"], run.embedding["options"])
    named = store.load(SummaryRun, summary_run_id).summaries
    texts = embed_titles(
        {cluster_id: (one["title"], one["description"]) for cluster_id, one in named.items()},
        embedder,
        embeddings,
    )
    bus.handle(CompleteSummary(summary_run_id=summary_run_id, space=space, texts=texts))
    shown = store.load(ClusteringRun, run.run_id).clusters
    mixed = {
        cluster_id: (one.title, one.description)
        for cluster_id, one in shown.items()
        if one.title_edited != one.description_edited
    }
    if mixed:  # a person's title over this run's description, or the other way round
        texts = embed_titles(mixed, embedder, embeddings)
        bus.handle(RecordTitlesEmbedded(run_id=run.run_id, space=space, texts=texts))


def _texts_of(
    run: ClusteringRun, cluster_id: int, size: int, query_ids: list[int], contents: Contents
) -> ClusterTexts:
    bodies = contents.of_queries(run.dataset, query_ids)
    there = [query_id for query_id in query_ids if query_id in bodies]
    return ClusterTexts(cluster_id, size, there, [decode_content(bodies[one]).query for one in there])


def _unquoted(name: ClusterName, cluster: ClusterTexts) -> ClusterName:
    """Whatever the model wrote, the log is told no person's words."""
    title, description = (
        without_quotations(words, cluster.texts) for words in (name.title, name.description)
    )
    return replace(name, title=title.strip("… ") or f"Cluster {name.cluster_id}", description=description)


def central_queries(vectors: VectorSource, partition: Partition, most: int) -> dict[int, list[int]]:
    """For each cluster the ids of its `most` queries nearest to its mean (cosine), nearest first.

    Two passes over the vectors; what is held are the means and `most` candidates a cluster.
    """
    tally = Tally(partition.sizes(), vectors.dimension)
    for ids, chunk in vectors.chunks():
        rows, labels = partition.among(ids)
        tally.add(labels, chunk[rows])
    clusters, centroids = tally.cluster_ids, tally.centroids()
    best: dict[int, list[tuple[float, int]]] = {cluster_id: [] for cluster_id in clusters.tolist()}
    for ids, chunk in vectors.chunks():
        rows, labels = partition.among(ids)
        at = np.searchsorted(clusters, labels)
        nearness = np.einsum("ij,ij->i", chunk[rows], centroids[at])
        for place, top in _nearest_of_each(at, nearness, most):
            found = best[int(clusters[place])]
            found += zip((-nearness[top]).tolist(), ids[rows[top]].tolist(), strict=True)
            found.sort()
            del found[most:]
    return {cluster_id: [query_id for _, query_id in found] for cluster_id, found in best.items()}


def _nearest_of_each(at: Any, nearness: Any, most: int) -> Iterator[tuple[int, Any]]:  # noqa: ANN401
    """For each place that occurs in `at`: the positions of its `most` greatest values of `nearness`."""
    order = np.lexsort((-nearness, at))
    places, starts = np.unique(at[order], return_index=True)
    for place, group in zip(places.tolist(), np.split(order, starts[1:]), strict=False):
        yield place, group[:most]


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


def run_embed_titles(
    run_id: str,
    cluster_id: int,
    *,
    bus: Bus,
    store: EventStore,
    embeddings: Embeddings,
    embedders: Embedders,
) -> None:
    """After an edit of its words: what cluster search compares with follows the title."""
    run = store.load(ClusteringRun, run_id)
    if run.status != "completed" or cluster_id not in run.clusters:
        return
    cluster = run.clusters[cluster_id]
    embedder = embedders.get(run.embedding["provider"], run.embedding["model"], run.embedding["options"])
    texts = embed_titles({cluster_id: (cluster.title, cluster.description)}, embedder, embeddings)
    bus.handle(RecordTitlesEmbedded(run_id=run_id, space=embedder.space, texts=texts))


HANDLERS: dict[type, Handler] = {
    CompleteSummary: complete_summary,
    FailSummary: fail_summary,
    RecordSummaries: record_summaries,
    RecordTitlesEmbedded: record_titles_embedded,
    RequestSummary: request_summary,
}
