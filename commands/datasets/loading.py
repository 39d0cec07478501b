"""Conversations in: a request, then batches of rows, each of which is one event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from commands.bus import Bus
from commands.ports import (
    BadRow,
    Contents,
    Conversation,
    EventStore,
    NewConversation,
    Outcome,
    Progress,
    Sources,
)
from domain.content import encode_content, encode_manifest
from domain.datasets import Dataset, Row, SortedRows, check_name, sort_out
from domain.values import digest

T = TypeVar("T")

BATCH_ROWS = 10_000
BATCH_CHARACTERS = 16_000_000
"""A batch ends at whichever comes first, so that very long conversations do not fill the memory."""


@dataclass(frozen=True, kw_only=True)
class RequestLoad:
    """`source`: what `Sources.open` takes; `options`: skip_existing, limit, text_column, embedding."""

    dataset: str
    job_id: str
    kind: str
    source: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ImportBatch:
    dataset: str
    job_id: str
    fingerprint: str
    rows: Sequence[Conversation | BadRow]
    skip_existing: bool


@dataclass(frozen=True, kw_only=True)
class EndLoad:
    """`error` None: it is complete."""

    dataset: str
    job_id: str
    error: str | None = None


def request_load(cmd: RequestLoad, store: EventStore) -> Outcome:
    dataset = store.find(Dataset, check_name(cmd.dataset)) or Dataset(cmd.dataset)
    dataset.request_load(cmd.job_id, cmd.kind, dict(cmd.source), dict(cmd.options))
    return Outcome((dataset,), {"job_id": cmd.job_id})


def import_batch(cmd: ImportBatch, store: EventStore, contents: Contents) -> Outcome:
    dataset = store.load(Dataset, cmd.dataset)
    good = [row for row in cmd.rows if isinstance(row, Conversation)]
    bad = [_reported(row) for row in cmd.rows if isinstance(row, BadRow)]
    bodies = [encode_content(r.turns, r.model, r.language, r.timestamp, r.metadata) for r in good]
    rows = [
        Row(row.row, row.conversation_id or f"{cmd.fingerprint[:16]}-{row.row}", digest(body))
        for row, body in zip(good, bodies, strict=True)
    ]
    known = contents.known_conversations(cmd.dataset, [row.conversation_id for row in rows])
    batch = sort_out(rows, known, skip_existing=cmd.skip_existing)
    texts = {row.row: digest(row.query.encode()) for row in good}
    new, stored, manifest = _beside_the_log(batch, store, texts)
    wanted = {row.content for row in batch.new}
    stored |= {row.content: body for row, body in zip(rows, bodies, strict=True) if row.content in wanted}
    first = new[0].query_id if new else 0
    dataset.import_batch(cmd.job_id, cmd.rows[-1].row, first, batch, bad, manifest)
    if not dataset.pending_events:
        return Outcome(())
    return Outcome((dataset,), contents=stored, dataset=cmd.dataset, conversations=new)


def _beside_the_log(
    batch: SortedRows, store: EventStore, texts: Mapping[int, bytes]
) -> tuple[list[NewConversation], dict[bytes, bytes], str | None]:
    """The index lines of the new rows, and the manifest that lists them, as content and as its address."""
    if not batch.new:
        return [], {}, None
    first = store.reserve_query_ids(len(batch.new))
    new = [
        NewConversation(row.conversation_id, query_id, row.content, texts[row.row])
        for query_id, row in enumerate(batch.new, first)
    ]
    manifest = encode_manifest([one.conversation_id for one in new], [one.content for one in new])
    return new, {digest(manifest): manifest}, digest(manifest).hex()


def _reported(row: BadRow) -> dict[str, Any]:
    return {"row": row.row, "reason": row.reason, **({"breaks": True} if row.breaks else {})}


def end_load(cmd: EndLoad, store: EventStore) -> Outcome:
    """What was loaded is embedded next, unless asked otherwise: one step, so that no crash comes between."""
    dataset = store.load(Dataset, cmd.dataset)
    job = dataset.job(cmd.job_id)
    if cmd.error is not None:
        dataset.fail_load(cmd.job_id, cmd.error)
    elif job.status != "completed":
        dataset.complete_load(cmd.job_id)
        embedding = job.options.get("embedding")
        if embedding and dataset.queries:
            dataset.request_embedding(f"{cmd.job_id}-embed", **embedding)
    return Outcome((dataset,))


def run_load(
    dataset: str, job_id: str, *, bus: Bus, store: EventStore, sources: Sources, progress: Progress
) -> None:
    """Read on from where the log says that it stands. Raises DomainError where that cannot be."""
    job = store.load(Dataset, dataset).job(job_id)
    if job.status in ("completed", "failed"):
        sources.release(job.source)
        return
    source = sources.open(job.source, job.options)
    skip_existing = bool(job.options.get("skip_existing"))
    progress(job.rows_read, source.total)
    for rows in one_ahead(batches(source.rows(after=job.rows_read))):
        bus.handle(
            ImportBatch(
                dataset=dataset,
                job_id=job_id,
                fingerprint=source.fingerprint,
                rows=rows,
                skip_existing=skip_existing,
            )
        )
        progress(rows[-1].row, source.total)
    bus.handle(EndLoad(dataset=dataset, job_id=job_id))
    sources.release(job.source)


def run_release(dataset: str, job_id: str, *, store: EventStore, sources: Sources) -> None:
    """After a load that failed: nobody will read what was kept for it."""
    sources.release(store.load(Dataset, dataset).job(job_id).source)


def batches(rows: Iterator[Conversation | BadRow]) -> Iterator[list[Conversation | BadRow]]:
    batch: list[Conversation | BadRow] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += _characters(row)
        if len(batch) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same, the next one made while this one is used: files are read while the database writes."""
    with ThreadPoolExecutor(1, "reading") as reading:
        following = reading.submit(next, items, None)
        while (item := following.result()) is not None:
            following = reading.submit(next, items, None)
            yield item


def _characters(row: Conversation | BadRow) -> int:
    """About how much there is to be kept of a row; columns without a field of their own may be long, too."""
    if isinstance(row, BadRow):
        return 0
    return sum(len(turn["content"]) for turn in row.turns) + len(orjson.dumps(row.metadata))
