"""A summary run: one pass of naming the clusters of a clustering run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from domain.base import Aggregate, event
from domain.values import mended

QUOTATION = 24
"""Characters in a row of one text alone that count as a quotation of it."""


def without_quotations(words: str, texts: Sequence[str]) -> str:
    """A name or description with `…` for every stretch that repeats what one of the texts alone says.

    It will stand in the log, where a person's text cannot be erased. What several texts say may stay.
    """
    plain = " ".join(words.split())
    searched = [_lowered(" ".join(text.split())) for text in texts]
    lowered = _lowered(plain)
    kept = bytearray(b"\1" * len(plain))
    for start in (found.start() for found in re.finditer(r"(?<!\w)\w|[^\x00-\u0dff]", plain)):
        window = lowered[start : start + QUOTATION]
        if len(window) == QUOTATION and sum(window in text for text in searched) == 1:
            kept[start : start + QUOTATION] = bytes(QUOTATION)
    parts = re.finditer(b"\1+|\0+", bytes(kept))
    cut = "".join(plain[one.start() : one.end()] if one[0][0] else "…" for one in parts)
    return re.sub(r"…[^\s…]*(?: ?…)*", "…", cut)


def _lowered(text: str) -> str:
    """In small letters, each at its place."""
    return "".join(low if len(low := one.lower()) == 1 else one for one in text)


class SummaryRun(Aggregate):
    TOPIC = "summary"
    PREFIX = "summary"

    class Created(Aggregate.Created):
        TOPIC = "summary.created"
        summary_run_id: str
        run_id: str
        alias: str | None
        model: str
        parameters: dict[str, Any]

    class ClustersSummarised(Aggregate.Event):
        """`summaries`: `{cluster_id, title, description, representative_query_ids, num_queries}`."""

        TOPIC = "summary.clusters_summarised"
        summaries: list[dict[str, Any]]

    class Completed(Aggregate.Event):
        TOPIC = "summary.completed"
        summarised: int

    class Failed(Aggregate.Event):
        TOPIC = "summary.failed"
        error: str

    @staticmethod
    def create_id(summary_run_id: str) -> str:
        return SummaryRun.stream(summary_run_id)

    def __init__(
        self, summary_run_id: str, run_id: str, alias: str | None, model: str, parameters: dict[str, Any]
    ) -> None:
        self.summary_run_id = summary_run_id
        self.run_id = run_id
        self.alias = alias
        self.model = model
        self.parameters = parameters
        self.status = "pending"
        self.summaries: dict[int, dict[str, Any]] = {}

    def record(self, summaries: Sequence[Mapping[str, Any]]) -> None:
        """Keep the names of some clusters; those that are named already are left as they are."""
        new = [dict(one) for one in summaries if one["cluster_id"] not in self.summaries]
        if self.status == "pending" and new:
            self._clusters_summarised(summaries=new)

    @event(ClustersSummarised)
    def _clusters_summarised(self, summaries: list[dict[str, Any]]) -> None:
        self.summaries.update({one["cluster_id"]: one for one in summaries})

    def complete(self) -> None:
        if self.status == "pending":
            self._completed(summarised=len(self.summaries))

    @event(Completed)
    def _completed(self, summarised: int) -> None:
        self.status = "completed"

    def fail(self, error: str) -> None:
        if self.status == "pending":
            self._failed(error=mended(error))

    @event(Failed)
    def _failed(self, error: str) -> None:
        self.status = "failed"
