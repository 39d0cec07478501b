"""What handlers and jobs need of the world, named by what they need and filled by an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from domain.base import Aggregate
from domain.values import Labels, QueryIds, Space, Vectors

# --- the log -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NewConversation:
    """A line of the index of what a data set has: digests of its content and of the text of its query."""

    conversation_id: str
    query_id: int
    content: bytes
    text: bytes


@dataclass(frozen=True)
class Erasure:
    """What is to go from beside the log: a conversation in all contents that it had, and their texts.

    What another conversation has as well stays. A line of the index stays, without digests.
    """

    dataset: str
    conversation_id: str
    query_id: int
    contents: Sequence[bytes]
    texts: Sequence[bytes]


@dataclass(frozen=True)
class Outcome:
    """What a handler decided: aggregates with new events, the answer, and what lies beside the log.

    `contents` (digest → bytes) and `conversations` (of `dataset`; `forget_conversations` clears its index)
    are stored in the transaction of the events, and what `erasure` names is removed in it. `causes` ((stream,
    version) → what caused that event) stands for the cause of the command where events of one command have
    causes of their own.
    """

    aggregates: tuple[Aggregate, ...]
    answer: dict[str, Any] = field(default_factory=dict)
    contents: Mapping[bytes, bytes] = field(default_factory=dict)
    dataset: str | None = None
    conversations: Sequence[NewConversation] = ()
    forget_conversations: bool = False
    erasure: Erasure | None = None
    causes: Mapping[tuple[str, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """`position` of the last event of the command, None where it changed nothing."""

    answer: dict[str, Any]
    position: int | None
    types: frozenset[str] = frozenset()


A = TypeVar("A", bound=Aggregate)


class EventStore(Protocol):
    def load(self, kind: type[A], name: str) -> A:
        """Raises NotFound."""

    def find(self, kind: type[A], name: str) -> A | None: ...

    def at_version(self, kind: type[A], name: str, version: int) -> A: ...

    def events(self, kind: type[Aggregate], name: str, versions: Iterable[int]) -> dict[int, Any]:
        """The events of a stream at these versions, those that there are."""

    def place_of(self, position: int) -> tuple[str, int] | None:
        """The stream and version of the event at a position of the log."""

    def positions(self, kind: type[Aggregate], name: str, versions: Iterable[int]) -> dict[int, int]:
        """Version → position in the log."""

    def types(self, kind: type[Aggregate], name: str, versions: Iterable[int]) -> dict[int, str]:
        """Version → topic of its event, without reading what the event holds."""

    def version_at(self, kind: type[Aggregate], name: str, position: int) -> int:
        """The version that a stream had when the log was at this position; 0 before its first event."""

    def position_at(self, moment: datetime) -> int:
        """The last event recorded up to then; 0 before the first. Raises Invalid for the future."""

    def commit(self, outcome: Outcome, command: str) -> Receipt:
        """Append all events of the outcome, or none.

        Raises VersionConflict when an aggregate has moved on, Unavailable when nobody knows if it worked.
        """

    def answered(self) -> Receipt | None:
        """What the request of the present context was answered before.

        Raises Invalid where its idempotency key was used for another request.
        """

    def take_snapshot(self, kind: type[Aggregate], name: str) -> None:
        """Keep the present state of an aggregate, so that it loads fast from now on."""

    def head(self) -> int:
        """The position of the last event; 0 for none."""

    def runs_of(self, dataset: str) -> list[str]:
        """The ids of all clustering runs of a data set."""

    def reserve_query_ids(self, count: int) -> int:
        """The first of `count` ids that nobody else will get."""


class Contents(Protocol):
    """Content by its SHA-256. Nothing is changed, and nothing goes but what is erased."""

    def get(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is there of these; what was erased is missing."""

    def known_conversations(self, dataset: str, conversation_ids: Sequence[str]) -> dict[str, bytes]:
        """Conversation id → digest of its content, for those that the data set has.

        `domain.datasets.ERASED_CONTENT` for one that was erased.
        """

    def conversation(self, dataset: str, conversation_id: str) -> NewConversation | None:
        """The line of the index, None where there is none or the conversation was erased."""

    def holders(self, texts: Sequence[bytes]) -> int:
        """How many conversations of all data sets have one of these texts, by their digests."""

    def of_queries(self, dataset: str, query_ids: Sequence[int]) -> dict[int, bytes]:
        """Query id → content of its conversation."""

    def tidy(self) -> None:
        """Let the database forget what it still knows of rows that are gone, in indexes and statistics."""


class Embeddings(Protocol):
    """Vectors by space and the SHA-256 of the text. Nothing goes but what is erased."""

    def missing(self, space: Space, digests: Sequence[bytes]) -> set[bytes]: ...

    def put(self, space: Space, vectors: Mapping[bytes, Vectors]) -> None: ...

    def put_queries(
        self, dataset: str, first: int, last: int, space: Space, vectors: Mapping[bytes, Vectors]
    ) -> None:
        """Of the texts of these queries: one that was erased since it was read is passed over."""

    def get(self, space: Space, digests: Sequence[bytes]) -> dict[bytes, Vectors]: ...

    def queries(self, dataset: str, after: int, up_to: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        """(query id, digest of its text, digest of its content) in ascending order of id; none erased."""

    def of_queries(self, dataset: str, space: Space, query_ids: QueryIds) -> tuple[QueryIds, Vectors]:
        """The vectors of these queries, in ascending order of id; without one: left out."""

    def source(self, dataset: str, space: Space, up_to: int) -> VectorSource:
        """All vectors of the data set up to a query id."""


# --- reading conversations ---------------------------------------------------------------------


@dataclass(frozen=True)
class Conversation:
    """One good row of a source, in the form that all formats are brought to.

    `turns` are `{"role": ..., "content": ...}` in order, `query` the first user turn, `metadata` the columns
    that have no field of their own. `conversation_id` is None where the source has no id.
    """

    row: int
    conversation_id: str | None
    query: str
    turns: list[dict[str, str]]
    model: str = "unknown"
    language: str | None = None
    timestamp: datetime | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BadRow:
    """A row that was not taken: `row` counts from 1 in the source as a whole, `reason` says what to mend.

    `breaks`: nothing can be read behind it, though the source goes on or should.
    """

    row: int
    reason: str
    breaks: bool = field(default=False, compare=False)


class ConversationSource(Protocol):
    """Rows of a file, a folder or a data set of a hub, in a fixed order."""

    @property
    def name(self) -> str:
        """What to call it in messages and events: a file's name, never a path of the machine."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the bytes (or of name and revision), hex: ids of rows without one derive from it."""

    @property
    def total(self) -> int | None:
        """How many rows there are, where that is known without reading all."""

    def rows(self, after: int = 0) -> Iterator[Conversation | BadRow]:
        """Rows in order, those numbered up to `after` passed over as cheaply as the format allows.

        A source that breaks off yields what stands before the break and then a BadRow that says where.
        """


class Sources(Protocol):
    """Where conversations come from."""

    def open(self, source: Mapping[str, Any], options: Mapping[str, Any]) -> ConversationSource:
        """Raises Refused for what may not be read, NotFound, and Invalid for a wrong format.

        `source`: `{kind: huggingface, name}`, `{kind: import, path}` (below the import folder) or
        `{kind: upload, file, sha256, name}`; `options`: limit, text_column, format.
        """

    def release(self, source: Mapping[str, Any]) -> None:
        """It has been read: what was kept for that alone goes. May be said again."""


# --- embedding -----------------------------------------------------------------------------------


class Embedder(Protocol):
    """Texts to vectors of one space."""

    @property
    def space(self) -> Space: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """L2-normalised float32 of shape (len(texts), space.dimension); an empty text gets a zero vector.

        Raises `domain.base.Unavailable` when the provider cannot be reached after its retries,
        `domain.base.Refused` when it says no for good (a key that is wrong, a model that is unknown).
        """


class Embedders(Protocol):
    """Embedders by provider and model, each made once."""

    def get(self, provider: str, model: str, options: Mapping[str, Any]) -> Embedder:
        """Raises Invalid for a provider that is unknown, Refused for one that is not set up."""


# --- clustering ----------------------------------------------------------------------------------


class VectorSource(Protocol):
    """The vectors of a data set, read in chunks as often as needed and never held as a whole."""

    @property
    def count(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    def chunks(self) -> Iterator[tuple[QueryIds, Vectors]]:
        """Chunks in ascending order of query id, each (n,) and (n, dimension); the same in every pass.

        Raises Unavailable when one of them was erased since: whoever reads must begin anew.
        """


@dataclass(frozen=True)
class Clustering:
    """What an algorithm found. `labels` and `confidence` stand in the order of the source.

    `centroids` has a row for each of the labels 0..k-1, L2-normalised. `confidence` is in [0, 1], its meaning
    is documented per algorithm in docs/clustering.md. `parameters` is everything that the result depends on:
    seed, versions of libraries, reductions. `metrics` is JSON.
    """

    labels: Labels
    confidence: Vectors
    centroids: Vectors
    parameters: dict[str, Any]
    metrics: dict[str, Any]


Progress = Callable[[int, int | None], None]
"""Told how many items are done so far, and of how many where that is known."""


class Clusterer(Protocol):
    def cluster(
        self, algorithm: str, parameters: Mapping[str, Any], vectors: VectorSource, progress: Progress
    ) -> Clustering:
        """Raises `domain.base.Invalid` naming the parameter that does not fit the data."""

    def check(self, algorithm: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, defaults and seed filled in. Raises Invalid naming the one that is wrong."""


# --- naming --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClusterTexts:
    """A cluster as a namer sees it: its most central queries first."""

    cluster_id: int
    size: int
    query_ids: list[int]
    texts: list[str]


@dataclass(frozen=True)
class ClusterName:
    cluster_id: int
    title: str
    description: str
    representative_query_ids: list[int]


class Namer(Protocol):
    """Titles and descriptions for the clusters of one run."""

    @property
    def model(self) -> str:
        """`provider/model`, as it stands in the specification: `local/c-tf-idf`."""

    def name(self, clusters: Sequence[ClusterTexts]) -> Iterator[ClusterName]:
        """A name for each cluster, in order; sibling titles differ."""


class Namers(Protocol):
    """Namers by model."""

    def get(self, model: str) -> Namer:
        """Raises Invalid for a model that is unknown."""


# --- the vector read model -----------------------------------------------------------------------

PointId = int | str
"""An unsigned integer or a UUID in its canonical text form."""


@dataclass(frozen=True)
class Point:
    point_id: PointId
    vector: Vectors
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """`score` is the cosine similarity, in [-1, 1]."""

    point_id: PointId
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class PointFilter:
    """All of it must hold. `equals`: payload field → one of these values; `ids`: one of these points."""

    equals: Mapping[str, Sequence[str | int]] = field(default_factory=dict)
    ids: Sequence[PointId] | None = None


class VectorIndex(Protocol):
    """Collections of points. They are read by an alias, so that a rebuild can fill another and swap."""

    def create(self, collection: str, dimension: int, keyword_fields: Sequence[str]) -> None:
        """Make it, with payload indexes on these fields. One that exists is left as it is."""

    def collections(self) -> list[str]: ...

    def drop(self, collection: str) -> None:
        """Remove it with all its points. One that does not exist is no error."""

    def alias(self, alias: str, collection: str) -> None:
        """Let `alias` mean this collection, from one moment to the next; what it meant before is kept."""

    def resolve(self, alias: str) -> str | None:
        """The collection that an alias means."""

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Durable when it returns."""

    def delete(self, collection: str, point_ids: Sequence[PointId]) -> None: ...

    def delete_where(self, collection: str, where: PointFilter) -> None:
        """Remove every point that the filter lets through."""

    def search(self, collection: str, vector: Vectors, limit: int, where: PointFilter) -> list[Hit]:
        """The nearest points, best first."""

    def retrieve(self, collection: str, point_ids: Sequence[PointId]) -> list[Point]:
        """Those of these points that there are, in no order."""

    def count(self, collection: str) -> int: ...

    def scroll(self, collection: str, batch: int) -> Iterable[list[Point]]:
        """All points in ascending order of id."""

    def optimise(self, collection: str) -> None:
        """Build the HNSW index. May take minutes; searches and upserts go on meanwhile."""
