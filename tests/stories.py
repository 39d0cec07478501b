"""What a story begins with, by the commands that a worker would give: loaded, clustered, named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
from sqlalchemy import Table, select, text

from adapters.bootstrap import Container
from adapters.read_models import READ_MODELS
from adapters.runner import ProjectionRunner
from commands.clustering import CompleteClustering, RecordAssignments, RequestClustering
from commands.datasets import ClearDataset, EndLoad, ImportBatch, RequestLoad, confirm_token
from commands.ports import BadRow, Clustering, ClusterName, Conversation, Receipt
from commands.summaries import CompleteSummary, RecordSummaries, RequestSummary
from domain.datasets import Dataset
from tests.runs import SPACE

AT = datetime(2025, 10, 4, 17, 4, 42, tzinfo=UTC)
EMBEDDING = {"provider": "words", "model": "four", "options": {}}
SOURCE = {"kind": "upload", "sha256": "aa" * 32, "name": "chats.jsonl"}
FINGERPRINT = "f1" * 32


def conversation(row: int, query: str, conversation_id: str | None = None, **more: Any) -> Conversation:  # noqa: ANN401
    turns = [{"role": "user", "content": query}, {"role": "assistant", "content": f"about {query}"}]
    return Conversation(row=row, conversation_id=conversation_id, query=query, turns=turns, **more)


def request_load(
    container: Container, dataset: str = "default", options: Mapping[str, Any] | None = None
) -> str:
    job_id = f"load-{uuid4().hex[:8]}"
    command = RequestLoad(dataset=dataset, job_id=job_id, kind="upload", source=SOURCE, options=options or {})
    container.bus.handle(command)
    return job_id


def import_rows(
    container: Container,
    job_id: str,
    rows: Sequence[Conversation | BadRow],
    dataset: str = "default",
    *,
    skip_existing: bool = False,
    fingerprint: str = FINGERPRINT,
) -> Receipt:
    command = ImportBatch(
        dataset=dataset, job_id=job_id, fingerprint=fingerprint, rows=rows, skip_existing=skip_existing
    )
    return container.bus.handle(command)


def load(container: Container, *queries: str, dataset: str = "default") -> list[int]:
    """A job that loads a conversation for each query, from its beginning to its end; the new query ids."""
    job_id = request_load(container, dataset)
    before = set(query_ids(container, dataset))
    rows = [
        conversation(row, query, f"{job_id}-{row}", model="gpt-4o", metadata={"row": row})
        for row, query in enumerate(queries, 1)
    ]
    import_rows(container, job_id, rows, dataset)
    container.bus.handle(EndLoad(dataset=dataset, job_id=job_id))
    return [one for one in query_ids(container, dataset) if one not in before]


def query_ids(container: Container, dataset: str = "default") -> list[int]:
    return [query_id for query_id, _, _ in container.embeddings.queries(dataset, 0, 2**62, 100_000)]


def request_run(container: Container, dataset: str = "default", clusters: int = 1) -> str:
    command = RequestClustering(
        dataset=dataset,
        algorithm="kmeans",
        parameters={"n_clusters": clusters},
        embedding=EMBEDDING,
        description="a try",
        at=AT,
    )
    return str(container.bus.handle(command).answer["run_id"])


def record(
    container: Container, run_id: str, chunk: int, ids: Sequence[int], labels: Sequence[int]
) -> Receipt:
    command = RecordAssignments(
        run_id=run_id,
        chunk=chunk,
        query_ids=np.array(ids, np.int64),
        labels=np.array(labels, np.int32),
        confidence=np.full(len(ids), 0.25, np.float32),
    )
    return container.bus.handle(command)


def complete(container: Container, run_id: str, clusters: int) -> Receipt:
    found = Clustering(
        labels=np.empty(0, np.int32),
        confidence=np.empty(0, np.float32),
        centroids=np.eye(clusters, SPACE.dimension, dtype=np.float32),
        parameters={"n_clusters": clusters, "seed": 42},
        metrics={"clusters": clusters},
    )
    return container.bus.handle(CompleteClustering(run_id=run_id, space=SPACE, clustering=found))


def cluster(
    container: Container, labels: Sequence[int], clusters: int, dataset: str = "default", chunk: int = 2
) -> str:
    """A completed run: the queries of the data set in the order of their ids get these labels."""
    run_id = request_run(container, dataset)
    ids = query_ids(container, dataset)[: len(labels)]
    for at in range(0, len(ids), chunk):
        record(container, run_id, at // chunk, ids[at : at + chunk], labels[at : at + chunk])
    complete(container, run_id, clusters)
    return run_id


def request_summary(container: Container, run_id: str, alias: str | None = None) -> str:
    command = RequestSummary(
        run_id=run_id, model="local/c-tf-idf", alias=alias, parameters={"max_queries": 5}, at=AT
    )
    return str(container.bus.handle(command).answer["summary_run_id"])


def names(word: str, *cluster_ids: int) -> list[ClusterName]:
    return [ClusterName(one, f"{word} {one}", f"about {word} {one}", [1, 2]) for one in cluster_ids]


def name(container: Container, run_id: str, word: str, *cluster_ids: int, alias: str | None = None) -> str:
    """A completed summary run, whose titles are shown where no person has written one."""
    summary_run_id = request_summary(container, run_id, alias)
    command = RecordSummaries(
        summary_run_id=summary_run_id,
        names=names(word, *cluster_ids),
        sizes=dict.fromkeys(cluster_ids, 7),
    )
    container.bus.handle(command)
    texts = {one: f"{one + 1:064x}" for one in cluster_ids}
    container.bus.handle(CompleteSummary(summary_run_id=summary_run_id, space=SPACE, texts=texts))
    return summary_run_id


def clear_token(container: Container, dataset: str) -> str:
    return confirm_token(container.store.load(Dataset, dataset))


def clear(container: Container, dataset: str, token: str | None = None) -> dict[str, Any]:
    command = ClearDataset(dataset=dataset, confirm_token=token or clear_token(container, dataset))
    return container.bus.handle(command).answer


def project(container: Container, batch: int | None = None, *only: str) -> None:
    """Bring the read models (or only those named) to the head of the log, so many events in a transaction."""
    for one in READ_MODELS:
        if only and one.name not in only:
            continue
        projection = copy(one)
        projection.batch = batch or one.batch
        runner = ProjectionRunner(container.database, projection, container.mapper)
        while runner.step():
            continue


def rows(container: Container, table: Table, **equal: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The rows of a read model in which these columns have these values, in the order of its key."""
    where = [table.c[name] == value for name, value in equal.items()]
    statement = select(table).where(*where).order_by(*table.primary_key.columns)
    with container.database.engine.connect() as connection:
        return [dict(row) for row in connection.execute(statement).mappings()]


def logged(container: Container, name: str) -> list[str]:
    """The topics of the events of all aggregates of this name, in the order of the log."""
    sql = text("SELECT type FROM log.events WHERE split_part(stream, '/', 2) = :name ORDER BY position")
    with container.database.engine.connect() as connection:
        return list(connection.execute(sql, {"name": name}).scalars())
