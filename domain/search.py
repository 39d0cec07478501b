"""Which vectors stand for the titles of a run. Apart from the run, so that no edit meets a conflict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.base import Aggregate, event
from domain.values import Space


class TitleIndex(Aggregate):
    TOPIC = "title_index"
    PREFIX = "title_index"

    class Created(Aggregate.Created):
        TOPIC = "title_index.created"
        run_id: str

    class TitlesEmbedded(Aggregate.Event):
        """`texts`: `{cluster_id, text}`, the text by its SHA-256 (hex); its vector lies beside the log."""

        TOPIC = "title_index.titles_embedded"
        space: dict[str, Any]
        summary_run_id: str | None
        texts: list[dict[str, Any]]

    @staticmethod
    def create_id(run_id: str) -> str:
        return TitleIndex.stream(run_id)

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def record(
        self, space: Space, texts: Sequence[dict[str, Any]], summary_run_id: str | None = None
    ) -> None:
        """Titles as they are shown now, or, with `summary_run_id`, as that summary run gave them."""
        if texts:
            self._titles_embedded(space=vars(space), summary_run_id=summary_run_id, texts=list(texts))

    @event(TitlesEmbedded)
    def _titles_embedded(
        self, space: dict[str, Any], summary_run_id: str | None, texts: list[dict[str, Any]]
    ) -> None:
        """Nothing that a later decision depends on."""
