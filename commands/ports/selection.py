"""Which queries are meant: asked of the read models, which alone know texts, metadata and members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from domain.values import QueryIds

Filters = Mapping[str, Any]
"""`dataset`, `run_id`, `cluster_ids`, `query_ids`, `label`, `domain`, `model`, `language`, `conversation_id`,
`text`, `since`, `until` (ISO 8601), `sql_filter`: all that is given must hold."""


class Selection(Protocol):
    def checked(self, filters: Filters) -> dict[str, Any]:
        """The same, with the data set that they are about.

        Raises NotFound for what is named and not there, Invalid for what cannot be meant.
        """

    def select(self, filters: Filters, after: int) -> tuple[int, Iterator[QueryIds]]:
        """The position of the log that is seen, and query ids in ascending order, thousands at a time.

        Members of clusters are those that people have there at this moment. Raises Unavailable where the
        read models have not passed position `after`.
        """
