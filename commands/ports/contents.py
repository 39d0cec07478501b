"""What lies beside the log: conversations and vectors, by their SHA-256."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from commands.ports.clustering import VectorSource
from commands.ports.log import NewConversation
from domain.values import QueryIds, Space, Vectors


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
