"""A data set: conversations loaded in batches, and the vector spaces its queries were embedded in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from domain.base import Aggregate, event
from domain.errors import Conflict, Invalid, NotFound
from domain.values import Space, mended

DEFAULT_DATASET = "default"
MAX_REPORTED = 100
"""How many bad rows of one job are kept with their reason; all are counted."""

ERASED_CONTENT = b""
"""In place of the digest of its content, for a conversation that was erased."""

JobStatus = Literal["pending", "running", "completed", "failed"]


@dataclass(frozen=True)
class Row:
    """A good row of a source: its number there, its id and the digest of its content."""

    row: int
    conversation_id: str
    content: bytes


@dataclass(frozen=True)
class SortedRows:
    """What is to be done with the rows of a batch."""

    new: list[Row]
    skipped: int
    rejected: list[dict[str, Any]]


def sort_out(rows: Sequence[Row], known: Mapping[str, bytes], *, skip_existing: bool) -> SortedRows:
    """Tell new rows from repeated and contradicting ones.

    `known` maps the conversation ids that the data set has to the digest of their content. A known id with
    the same content is skipped; one with other content is rejected, unless `skip_existing` passes over it.
    One that was erased is rejected in any case: it does not come back by loading the file again.
    """
    seen = dict(known)
    new: list[Row] = []
    skipped = 0
    rejected: list[dict[str, Any]] = []
    for row in rows:
        before = seen.get(row.conversation_id)
        if before is None:
            seen[row.conversation_id] = row.content
            new.append(row)
        elif before != ERASED_CONTENT and (skip_existing or before == row.content):
            skipped += 1
        else:
            why = "was erased" if before == ERASED_CONTENT else "is already loaded with other content"
            rejected.append({"row": row.row, "reason": f"conversation {row.conversation_id!r} {why}"})
    return SortedRows(new, skipped, rejected)


def _worth_telling(errors: Sequence[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """The first ones that there is room for, and in any case where the source broke off."""
    room = max(0, room)
    return [*errors[:room], *(one for one in errors[room:] if one.get("breaks"))]


def check_name(name: str) -> str:
    """A data set's name, or Invalid: it becomes part of streams and addresses."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise Invalid(
            f"data set name {name!r}: use 1 to 64 letters, digits, '.', '_' or '-', "
            "the first a letter or digit"
        )
    return name


@dataclass
class Job:
    """A load of this data set, as far as the log knows it."""

    kind: str
    source: dict[str, Any]
    options: dict[str, Any]
    status: JobStatus = "pending"
    rows_read: int = 0
    imported: int = 0
    skipped: int = 0
    rejected: int = 0
    reported: int = 0


@dataclass(frozen=True)
class Erased:
    """A conversation that is no more: the ids of its queries, and how many others had the same text then."""

    query_ids: list[int]
    also_held_by: int


class Dataset(Aggregate):
    TOPIC = "dataset"
    PREFIX = "dataset"

    class Created(Aggregate.Created):
        TOPIC = "dataset.created"
        name: str

    class LoadRequested(Aggregate.Event):
        TOPIC = "dataset.load_requested"
        job_id: str
        kind: str
        source: dict[str, Any]
        options: dict[str, Any]

    class ConversationsImported(Aggregate.Event):
        """A batch. `manifest`: SHA-256 (hex) of the content that lists its conversation ids and digests."""

        TOPIC = "dataset.conversations_imported"
        job_id: str
        rows_read: int
        first_query_id: int
        count: int
        manifest: str | None
        skipped: int
        rejected: int
        errors: list[dict[str, Any]]

    class LoadCompleted(Aggregate.Event):
        TOPIC = "dataset.load_completed"
        job_id: str
        rows_read: int
        imported: int
        skipped: int
        rejected: int

    class LoadFailed(Aggregate.Event):
        TOPIC = "dataset.load_failed"
        job_id: str
        error: str

    class EmbeddingRequested(Aggregate.Event):
        TOPIC = "dataset.embedding_requested"
        job_id: str
        provider: str
        model: str
        options: dict[str, Any]

    class QueriesEmbedded(Aggregate.Event):
        """All queries with ids in `first_query_id..last_query_id` have a vector in `space`."""

        TOPIC = "dataset.queries_embedded"
        space: dict[str, Any]
        first_query_id: int
        last_query_id: int
        count: int

    class EmbeddingCompleted(Aggregate.Event):
        TOPIC = "dataset.embedding_completed"
        job_id: str
        space: dict[str, Any]
        embedded: int

    class EmbeddingFailed(Aggregate.Event):
        TOPIC = "dataset.embedding_failed"
        job_id: str
        error: str

    class Cleared(Aggregate.Event):
        """Its queries leave the read models. The log and the contents stay."""

        TOPIC = "dataset.cleared"
        queries: int

    class ConversationErased(Aggregate.Event):
        """What a person said is gone, with its vectors; that it was here, and under which ids, stays.

        `query_ids`: all that it ever had here. `queries`: by how many the data set has fewer.
        `also_held_by`: how many other conversations had the same text. There is no digest of the text: who
        guesses a short text could prove the guess by it. The digest of the conversation as a whole still
        stands in the manifest of its batch; nothing can be read from that.
        """

        TOPIC = "dataset.conversation_erased"
        conversation_id: str
        query_ids: list[int]
        queries: int
        also_held_by: int

    @staticmethod
    def create_id(name: str) -> str:
        return Dataset.stream(name)

    def __init__(self, name: str) -> None:
        self.label = name
        self.jobs: dict[str, Job] = {}
        self.queries = 0
        self.last_query_id = 0
        self.embedded: dict[str, int] = {}
        self.erased: dict[str, Erased] = {}
        self.was_cleared = False

    # --- loading

    def request_load(self, job_id: str, kind: str, source: dict[str, Any], options: dict[str, Any]) -> None:
        self._check_new(job_id)
        self._load_requested(job_id=job_id, kind=kind, source=source, options=options)

    @event(LoadRequested)
    def _load_requested(
        self, job_id: str, kind: str, source: dict[str, Any], options: dict[str, Any]
    ) -> None:
        self.jobs[job_id] = Job(kind, source, options)

    def import_batch(
        self,
        job_id: str,
        rows_read: int,
        first_query_id: int,
        rows: SortedRows,
        bad: Sequence[dict[str, Any]],
        manifest: str | None,
    ) -> None:
        """Record a batch read up to row `rows_read`. One that is recorded already changes nothing."""
        job = self._unfinished(job_id)
        if rows_read <= job.rows_read:
            return
        wrong = sorted([*bad, *rows.rejected], key=lambda error: int(error["row"]))
        told = _worth_telling(wrong, MAX_REPORTED - job.reported)
        errors = [{**one, "reason": mended(one["reason"])} for one in told]
        self._conversations_imported(
            job_id=job_id,
            rows_read=rows_read,
            first_query_id=first_query_id,
            count=len(rows.new),
            manifest=manifest,
            skipped=rows.skipped,
            rejected=len(wrong),
            errors=errors,
        )

    @event(ConversationsImported)
    def _conversations_imported(
        self,
        job_id: str,
        rows_read: int,
        first_query_id: int,
        count: int,
        manifest: str | None,
        skipped: int,
        rejected: int,
        errors: list[dict[str, Any]],
    ) -> None:
        job = self.jobs[job_id]
        job.status = "running"
        job.rows_read = rows_read
        job.imported += count
        job.skipped += skipped
        job.rejected += rejected
        job.reported += len(errors)
        self.queries += count
        if count:
            self.last_query_id = first_query_id + count - 1

    def complete_load(self, job_id: str) -> None:
        job = self.job(job_id)
        if job.status == "completed":
            return
        self._unfinished(job_id)
        self._load_completed(
            job_id=job_id,
            rows_read=job.rows_read,
            imported=job.imported,
            skipped=job.skipped,
            rejected=job.rejected,
        )

    @event(LoadCompleted)
    def _load_completed(
        self, job_id: str, rows_read: int, imported: int, skipped: int, rejected: int
    ) -> None:
        self.jobs[job_id].status = "completed"

    def fail_load(self, job_id: str, error: str) -> None:
        if self.job(job_id).status in ("pending", "running"):
            self._load_failed(job_id=job_id, error=mended(error))

    @event(LoadFailed)
    def _load_failed(self, job_id: str, error: str) -> None:
        self.jobs[job_id].status = "failed"

    def job(self, job_id: str) -> Job:
        try:
            return self.jobs[job_id]
        except KeyError:
            raise NotFound(f"data set {self.label!r} has no job {job_id!r}") from None

    def _check_new(self, job_id: str) -> None:
        if job_id in self.jobs:
            raise Conflict(f"data set {self.label!r} has a job {job_id} already")

    def _unfinished(self, job_id: str) -> Job:
        job = self.job(job_id)
        if job.status in ("completed", "failed"):
            raise Conflict(f"job {job_id} of data set {self.label!r} has {job.status} already")
        return job

    # --- embedding

    def request_embedding(self, job_id: str, provider: str, model: str, options: dict[str, Any]) -> None:
        self._check_new(job_id)
        self._embedding_requested(job_id=job_id, provider=provider, model=model, options=options)

    @event(EmbeddingRequested)
    def _embedding_requested(self, job_id: str, provider: str, model: str, options: dict[str, Any]) -> None:
        self.jobs[job_id] = Job("backfill", {"provider": provider, "model": model}, options)

    def embedded_up_to(self, space: Space) -> int:
        """The last query id that has a vector in this space, and with it all before; 0 for none."""
        return self.embedded.get(space.name, 0)

    def record_embedded(self, space: Space, first_query_id: int, last_query_id: int, count: int) -> None:
        """Vectors of a stretch of queries are stored. What another job has recorded changes nothing."""
        if last_query_id > self.embedded_up_to(space):
            self._queries_embedded(
                space=vars(space), first_query_id=first_query_id, last_query_id=last_query_id, count=count
            )

    @event(QueriesEmbedded)
    def _queries_embedded(
        self, space: dict[str, Any], first_query_id: int, last_query_id: int, count: int
    ) -> None:
        self.embedded[Space(**space).name] = last_query_id

    def complete_embedding(self, job_id: str, space: Space, embedded: int) -> None:
        if self.job(job_id).status in ("pending", "running"):
            self._embedding_completed(job_id=job_id, space=vars(space), embedded=embedded)

    @event(EmbeddingCompleted)
    def _embedding_completed(self, job_id: str, space: dict[str, Any], embedded: int) -> None:
        self.jobs[job_id].status = "completed"

    def fail_embedding(self, job_id: str, error: str) -> None:
        if self.job(job_id).status in ("pending", "running"):
            self._embedding_failed(job_id=job_id, error=mended(error))

    @event(EmbeddingFailed)
    def _embedding_failed(self, job_id: str, error: str) -> None:
        self.jobs[job_id].status = "failed"

    # --- clearing

    def clear(self) -> None:
        """Take all queries out of the read models. A load that is under way must end first."""
        busy = [job_id for job_id, job in self.jobs.items() if job.status in ("pending", "running")]
        if busy:
            raise Conflict(
                f"data set {self.label!r} has jobs under way: {', '.join(busy)}; wait until they have ended"
            )
        if self.queries:
            self._cleared(queries=self.queries)

    @event(Cleared)
    def _cleared(self, queries: int) -> None:
        self.queries = 0
        self.was_cleared = True
        self.erased = {}

    # --- erasing

    def erase(self, conversation_id: str, query_ids: Sequence[int], queries: int, also_held_by: int) -> None:
        """Forget a conversation. One that is erased already stays as it is."""
        if conversation_id not in self.erased:
            self._conversation_erased(
                conversation_id=conversation_id,
                query_ids=list(query_ids),
                queries=queries,
                also_held_by=also_held_by,
            )

    @event(ConversationErased)
    def _conversation_erased(
        self, conversation_id: str, query_ids: list[int], queries: int, also_held_by: int
    ) -> None:
        self.queries -= queries
        self.erased[conversation_id] = Erased(query_ids, also_held_by)

    def erased_queries(self) -> list[int]:
        """The ids of all queries that were erased since the data set was last cleared, in ascending order."""
        return sorted(one for erased in self.erased.values() for one in erased.query_ids)
