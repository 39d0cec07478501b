"""A summary run: one pass of naming the clusters of a clustering run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domain.base import Aggregate, event
from domain.errors import Conflict
from domain.runs import Run
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
        holders = [text for text in searched if window in text] if len(window) == QUOTATION else []
        if len(holders) == 1:
            end = start + QUOTATION
            while end < len(plain) and lowered[start : end + 1] in holders[0]:
                end += 1
            kept[start:end] = bytes(end - start)
    parts = re.finditer(b"\1+|\0+", bytes(kept))
    cut = "".join(plain[one.start() : one.end()] if one[0][0] else "…" for one in parts)
    return re.sub(r"…[^\s…]*(?: ?…)*", "…", cut)


def _lowered(text: str) -> str:
    """In small letters, each at its place; of the two for a small sigma always the same."""
    low = text.lower()
    if len(low) != len(text):
        low = "".join(small if len(small := one.lower()) == 1 else one for one in text)
    return low.replace("ς", "σ")  # noqa: RUF001


class SummaryRun(Run):
    NOUN = "summary run"
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
        """`summaries`: `{cluster_id, title, description, representative_query_ids, num_queries, incoherent,
        prompt}`: why the cluster has no topic, and what a model was asked with; null for neither.

        `usage`: what the answers took: calls, tokens, cost in US dollars, seconds; empty where nothing.
        """

        TOPIC = "summary.clusters_summarised"
        class_version = 2
        summaries: list[dict[str, Any]]
        usage: dict[str, Any]

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["summaries"] = [{**one, "incoherent": None, "prompt": None} for one in state["summaries"]]
            state["usage"] = {}

    class ClustersNotNamed(Aggregate.Event):
        """`failures`: `{cluster_id, error}`. The others go on; a resume tries these again."""

        TOPIC = "summary.clusters_not_named"
        failures: list[dict[str, Any]]
        usage: dict[str, Any]

    class TitlesToldApart(Aggregate.Event):
        """Of clusters that were called alike. `titles`: `{cluster_id, was, title, prompt}`."""

        TOPIC = "summary.titles_told_apart"
        titles: list[dict[str, Any]]
        usage: dict[str, Any]

    class Completed(Aggregate.Event):
        TOPIC = "summary.completed"
        summarised: int

    class Failed(Run.Failed):
        TOPIC = "summary.failed"

    class Cancelled(Aggregate.Event):
        """Somebody wanted no more of it; what was named stays, and can be gone on with."""

        TOPIC = "summary.cancelled"

    class Resumed(Aggregate.Event):
        """Goes on with the clusters that have no name yet."""

        TOPIC = "summary.resumed"

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
        self.failures: dict[int, str] = {}
        self.fresh: set[int] = set()
        """Clusters whose names have come since it was last completed."""

    def left(self, cluster_ids: Iterable[int]) -> list[int]:
        """Those of the run's clusters that it is to name and that have neither a name nor a failure."""
        wanted = self.parameters.get("cluster_id")
        done = self.summaries.keys() | self.failures.keys()
        return sorted(one for one in cluster_ids if one not in done and wanted in (None, one))

    def record(self, summaries: Sequence[Mapping[str, Any]], usage: Mapping[str, Any]) -> None:
        """Keep the names of some clusters; those that are named already are left as they are."""
        new = [dict(one) for one in summaries if one["cluster_id"] not in self.summaries]
        if self.status in ("pending", "cancelled") and new:
            self._clusters_summarised(summaries=new, usage=dict(usage))

    @event(ClustersSummarised)
    def _clusters_summarised(self, summaries: list[dict[str, Any]], usage: dict[str, Any]) -> None:
        self.summaries.update({one["cluster_id"]: one for one in summaries})
        self.fresh.update(one["cluster_id"] for one in summaries)

    def record_failures(self, failures: Mapping[int, str], usage: Mapping[str, Any]) -> None:
        """Clusters that got no name, with the reason."""
        done = self.summaries.keys() | self.failures.keys()
        new = [
            {"cluster_id": one, "error": mended(error)} for one, error in failures.items() if one not in done
        ]
        if self.status in ("pending", "cancelled") and new:
            self._clusters_not_named(failures=new, usage=dict(usage))

    @event(ClustersNotNamed)
    def _clusters_not_named(self, failures: list[dict[str, Any]], usage: dict[str, Any]) -> None:
        self.failures.update({one["cluster_id"]: one["error"] for one in failures})

    def tell_apart(
        self, titles: Mapping[int, str], prompts: Mapping[int, str | None], usage: Mapping[str, Any]
    ) -> None:
        """Call some clusters otherwise than they were named: others are called so."""
        new = [
            {"cluster_id": one, "was": known["title"], "title": title, "prompt": prompts.get(one)}
            for one, title in titles.items()
            if (known := self.summaries.get(one)) and known["title"] != title
        ]
        if self.status == "pending" and new:
            self._titles_told_apart(titles=new, usage=dict(usage))

    @event(TitlesToldApart)
    def _titles_told_apart(self, titles: list[dict[str, Any]], usage: dict[str, Any]) -> None:
        for one in titles:
            self.summaries[one["cluster_id"]] = {**self.summaries[one["cluster_id"]], "title": one["title"]}
        self.fresh.update(one["cluster_id"] for one in titles)

    def complete(self) -> None:
        if self.status == "pending":
            self._completed(summarised=len(self.summaries))

    @event(Completed)
    def _completed(self, summarised: int) -> None:
        self.status = "completed"
        self.fresh = set()

    def cancel(self) -> None:
        """Ask for no more names. What is under way at that moment is still recorded."""
        if self.status == "cancelled":
            return
        if self.status != "pending":
            raise Conflict(f"{self.noun} is {self.status}: there is nothing to cancel")
        self._cancelled()

    @event(Cancelled)
    def _cancelled(self) -> None:
        self.status = "cancelled"

    def resume(self, cluster_ids: Iterable[int]) -> None:
        """Go on with what is left of these, the clusters of the run: failures are tried again."""
        if self.status == "pending":
            raise Conflict(f"{self.noun} is under way")
        there = set(cluster_ids)
        failed = self.failures.keys() & there
        if self.status == "completed" and not failed and not self.left(there):
            raise Conflict(f"{self.noun} has named every cluster: nothing is left")
        self._resumed()

    @event(Resumed)
    def _resumed(self) -> None:
        self.status = "pending"
        self.failures = {}
