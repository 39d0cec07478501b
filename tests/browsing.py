"""A small installation to browse in: two data sets, two runs, edits, titles; written as everything is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from pydantic import SecretStr

from adapters.bootstrap import Container, open_container
from adapters.read_models import READ_MODELS
from adapters.runner import ProjectionRunner
from adapters.settings import read_settings
from commands.clustering import CompleteClustering, RecordAssignments, RequestClustering
from commands.curation import MoveQuery, RenameCluster
from commands.datasets import ImportBatch, RequestLoad
from commands.embedding import embed_queries
from commands.ports import Clustering, ClusterName, Conversation, Embedder
from commands.summaries import CompleteSummary, RecordSummaries, RequestSummary, embed_titles
from domain.base import Context, context
from domain.values import Space, Vectors
from tests.conftest import fresh_database

DIMENSION = 16
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
EMBEDDING = {"provider": "words", "model": "hashed", "options": {}}
TOPICS = {0: "refund payment money", 1: "python loop function", 2: "weather rain sun", -1: "odd old thing"}


class WordEmbedder:
    """Each word has a direction of its own, a text the mean of its words: shared words, near texts."""

    def __init__(self, revision: str = "1") -> None:
        self.space = Space("words", "hashed", DIMENSION, revision)

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), DIMENSION), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
                row += np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
            row /= max(float(np.linalg.norm(row)), 1e-9)
        return rows


class WordEmbedders:
    def __init__(self) -> None:
        self.made = WordEmbedder()

    def get(self, provider: str, model: str, options: Mapping[str, Any]) -> Embedder:
        return self.made

    def named(self, provider: str | None, model: str | None) -> tuple[str, str]:
        return "words", "hashed"


@dataclass
class Installation:
    """`rows`: what was loaded, by query id, with `dataset`, and `clusters`: run id → cluster id."""

    container: Container
    embedder: WordEmbedder
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    run_id: str = ""
    small_run_id: str = ""
    pending_run_id: str = ""
    summary_run_id: str = ""
    moved_to_noise: int = 0


@contextmanager
def browsed(server: str, home: Path) -> Iterator[Installation]:
    """In a database of its own. Nothing runs: what is written afterwards shows after `project`."""
    with (
        fresh_database(server) as url,
        open_container(
            read_settings(home=home, database_url=SecretStr(url), wait_timeout=2.0), vectors=True
        ) as container,
    ):
        embedders = WordEmbedders()
        vars(container)["needs"]["embedders"] = embedders
        made = Installation(container, embedders.made)
        token = context.set(Context(actor="ada", correlation_id="first-load"))
        _fill(made)
        context.reset(token)
        project(container)
        yield made


def project(container: Container) -> None:
    """Bring all read models up to date."""
    for projection in (*READ_MODELS, container.search):
        runner = ProjectionRunner(container.database, projection, container.mapper)
        while runner.step():
            pass


def _fill(made: Installation) -> None:
    first = load(made, "default", [conversation(n, list(TOPICS)[n % 4]) for n in range(60)])
    load(made, "other", [conversation(100 + n, 1) for n in range(12)])
    made.run_id = cluster(
        made, "default", {query_id: list(TOPICS)[n % 4] for n, query_id in enumerate(first)}
    )
    made.small_run_id = cluster(made, "default", dict.fromkeys(first, 0))
    made.summary_run_id = summarise(made, made.run_id, "first")
    load(made, "default", [conversation(200 + n, 0) for n in range(20)])
    made.pending_run_id = _request_run(made, "default", 2)
    bus = made.container.bus
    made.moved_to_noise = first[0]
    bus.handle(MoveQuery(run_id=made.run_id, query_id=first[0], to_cluster_id=-1))
    made.rows[first[0]]["clusters"][made.run_id] = -1
    bus.handle(RenameCluster(run_id=made.run_id, cluster_id=2, title="Rain and shine"))


def conversation(number: int, topic: int) -> Conversation:
    """What differs goes round in cycles of different length, so that filters overlap."""
    words = TOPICS[topic].split()
    last = "please" if number % 2 else "now"
    query = f"{words[number % 3]} {words[(number + 1) % 3]} number{number % 7} {last}"
    metadata: dict[str, Any] = {"turn": number}
    if number % 3:
        metadata |= {"label": f"label{number % 5}", "domain": f"domain{number % 2}"}
    return Conversation(
        row=number + 1,
        conversation_id=f"c{number}",
        query=query,
        turns=[{"role": "user", "content": query}, {"role": "assistant", "content": f"answer {number}"}],
        model=f"model-{number % 3}",
        language=("English", "German", None)[number % 3 if number % 5 else 0],
        timestamp=BEGIN + timedelta(hours=number) if number % 4 else None,
        metadata=metadata,
    )


def load(made: Installation, dataset: str, conversations: Sequence[Conversation]) -> list[int]:
    """Load and embed; returns the new query ids in order."""
    container, job_id = made.container, uuid4().hex
    bus = container.bus
    source = {"kind": "upload", "name": "some.jsonl", "sha256": "0" * 64}
    bus.handle(RequestLoad(dataset=dataset, job_id=job_id, kind="upload", source=source, options={}))
    bus.handle(
        ImportBatch(
            dataset=dataset, job_id=job_id, fingerprint="f" * 64, rows=conversations, skip_existing=False
        )
    )
    known = container.embeddings.queries(dataset, 0, 2**62, 10_000)
    new = [query_id for query_id, _, _ in known if query_id not in made.rows]
    for query_id, one in zip(new, conversations, strict=True):
        made.rows[query_id] = {**vars(one), "query_id": query_id, "dataset": dataset, "clusters": {}}
    embed_queries(
        dataset,
        2**62,
        made.embedder,
        bus=bus,
        store=container.store,
        contents=container.contents,
        embeddings=container.embeddings,
        progress=lambda done, total: None,
    )
    return new


def _request_run(made: Installation, dataset: str, clusters: int) -> str:
    receipt = made.container.bus.handle(
        RequestClustering(
            dataset=dataset,
            algorithm="kmeans",
            parameters={"n_clusters": clusters},
            embedding=EMBEDDING,
            description=None,
            at=BEGIN,
        )
    )
    return str(receipt.answer["run_id"])


def cluster(made: Installation, dataset: str, labels: Mapping[int, int]) -> str:
    """A completed run in which each query has this cluster."""
    count = max(labels.values()) + 1
    run_id = _request_run(made, dataset, count)
    ids = np.array(sorted(labels), np.int64)
    found = np.array([labels[one] for one in ids.tolist()], np.int32)
    confidence = np.full(len(ids), 0.875, np.float32)
    made.container.bus.handle(
        RecordAssignments(run_id=run_id, chunk=0, query_ids=ids, labels=found, confidence=confidence)
    )
    centroids = np.eye(count, DIMENSION, dtype=np.float32)
    clustering = Clustering(found, confidence, centroids, {"n_clusters": count}, {})
    made.container.bus.handle(
        CompleteClustering(run_id=run_id, space=made.embedder.space, clustering=clustering)
    )
    for query_id, cluster_id in labels.items():
        made.rows[query_id]["clusters"][run_id] = cluster_id
    return run_id


def summarise(made: Installation, run_id: str, alias: str, prefix: str = "") -> str:
    """Each cluster gets the words of its topic as its title."""
    bus, container = made.container.bus, made.container
    receipt = bus.handle(
        RequestSummary(run_id=run_id, model="local/c-tf-idf", alias=alias, parameters={}, at=BEGIN)
    )
    summary_run_id = str(receipt.answer["summary_run_id"])
    names = [ClusterName(one, f"{prefix}{words}", f"about {words}", []) for one, words in TOPICS.items()]
    bus.handle(RecordSummaries(summary_run_id=summary_run_id, names=names, sizes=dict.fromkeys(TOPICS, 15)))
    titles: dict[int, tuple[str | None, str | None]] = {n.cluster_id: (n.title, n.description) for n in names}
    texts = embed_titles(titles, made.embedder, container.embeddings)
    bus.handle(CompleteSummary(summary_run_id=summary_run_id, space=made.embedder.space, texts=texts))
    return summary_run_id
