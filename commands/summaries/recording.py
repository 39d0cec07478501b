"""A summary run as it is asked for, recorded, gone on with and shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from commands.bus import Handler
from commands.ports import (
    NO_USAGE,
    ClusterName,
    EventStore,
    Namers,
    NotNamed,
    Outcome,
    ToldApart,
)
from commands.runs import free_id, stamped
from commands.summaries.titles import rows_of, title_text
from domain.base import context
from domain.clustering import ClusteringRun
from domain.errors import Conflict, Invalid
from domain.search import TitleIndex
from domain.summaries import SummaryRun
from domain.values import Space, digest

DEFAULT_SEED = 42
"""Of the random sample that a model sees of a cluster."""


@dataclass(frozen=True, kw_only=True)
class RequestSummary:
    """`summary_run_id` None: one is made of the model and `at`.

    `parameters`: `max_queries`, `concurrency`, `rpm`, `seed`, `cluster_id` (name this one alone), `show`
    (false: its titles are kept, not shown), `replace_edited` (true: shown also in place of words of people).
    """

    run_id: str
    model: str
    alias: str | None
    parameters: Mapping[str, Any]
    at: datetime
    summary_run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class RecordSummaries:
    summary_run_id: str
    names: Sequence[ClusterName | NotNamed]
    sizes: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class RecordToldApart:
    summary_run_id: str
    titles: Sequence[ToldApart]


@dataclass(frozen=True, kw_only=True)
class CompleteSummary:
    """`texts`: cluster id → SHA-256 (hex) of the embedded text of its new title."""

    summary_run_id: str
    space: Space
    texts: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class CancelSummary:
    summary_run_id: str


@dataclass(frozen=True, kw_only=True)
class ResumeSummary:
    summary_run_id: str


@dataclass(frozen=True, kw_only=True)
class ShowSummary:
    """`replace_edited`: also where people have written a title or description."""

    summary_run_id: str
    replace_edited: bool = False


def request_summary(cmd: RequestSummary, store: EventStore, namers: Namers) -> Outcome:
    run = store.load(ClusteringRun, cmd.run_id)
    run.check_editable()
    namer = namers.get(cmd.model)
    wanted = cmd.summary_run_id
    if wanted is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", wanted):
        raise Invalid(f"summary_run_id {wanted!r}: use 1 to 128 letters, digits, '.', '_' or '-'")
    if wanted is not None and store.find(SummaryRun, wanted):
        raise Conflict(f"there is a summary run {wanted!r} already")
    parameters = dict(cmd.parameters)
    if (cluster_id := parameters.get("cluster_id")) is not None:
        run.target(cluster_id)
    if parameters.get("replace_edited"):
        parameters["asked_by"] = context.get().actor
    if not namer.compares:
        parameters.setdefault("seed", DEFAULT_SEED)
    named = wanted or free_id(store, SummaryRun, f"summary-{stamped(namer.model, cmd.at)}")
    summary = SummaryRun(
        summary_run_id=named, run_id=cmd.run_id, alias=cmd.alias, model=namer.model, parameters=parameters
    )
    return Outcome((summary,), _answer(summary))


def _answer(summary: SummaryRun) -> dict[str, Any]:
    same = ("summary_run_id", "run_id", "status")
    return {name: getattr(summary, name) for name in same}


def record_summaries(cmd: RecordSummaries, store: EventStore) -> Outcome:
    summary = store.load(SummaryRun, cmd.summary_run_id)
    names = [one for one in cmd.names if isinstance(one, ClusterName)]
    rows = [{**vars(name), "num_queries": cmd.sizes[name.cluster_id]} for name in names]
    for row in rows:
        del row["usage"]
    summary.record(rows, _added_up(names))
    failed = [one for one in cmd.names if isinstance(one, NotNamed)]
    summary.record_failures({one.cluster_id: one.error for one in failed}, _added_up(failed))
    return Outcome((summary,))


def record_told_apart(cmd: RecordToldApart, store: EventStore) -> Outcome:
    summary = store.load(SummaryRun, cmd.summary_run_id)
    titles = {one.cluster_id: one.title for one in cmd.titles}
    prompts = {one.cluster_id: one.prompt for one in cmd.titles}
    summary.tell_apart(titles, prompts, _added_up(cmd.titles))
    return Outcome((summary,))


def _added_up(answers: Iterable[ClusterName | NotNamed | ToldApart]) -> dict[str, Any]:
    """What they took, empty where that is nothing."""
    usage = sum((one.usage for one in answers), NO_USAGE)
    return vars(usage) if usage != NO_USAGE else {}


def complete_summary(cmd: CompleteSummary, store: EventStore) -> Outcome:
    """Both at once: the summary run is complete, and its new titles are the ones that the run shows."""
    summary = store.load(SummaryRun, cmd.summary_run_id)
    if summary.status != "pending":
        return Outcome(())
    run = store.load(ClusteringRun, summary.run_id)
    index = store.find(TitleIndex, run.run_id) or TitleIndex(run.run_id)
    index.record(cmd.space, rows_of(cmd.texts), summary.summary_run_id)
    if summary.parameters.get("show", True):
        replaced = bool(summary.parameters.get("replace_edited"))
        _show(run, summary, sorted(summary.fresh), replace_edited=replaced)
        index.record(cmd.space, rows_of(_shown(run, cmd.texts)))
    summary.complete()
    return Outcome((summary, run, index))


def _show(
    run: ClusteringRun, summary: SummaryRun, cluster_ids: Sequence[int], *, replace_edited: bool
) -> None:
    run.adopt_titles(summary.summary_run_id, [summary.summaries[one] for one in cluster_ids])
    if replace_edited:
        run.release_titles(cluster_ids, summary.summary_run_id)


def _shown(run: ClusteringRun, texts: Mapping[int, str]) -> dict[int, str]:
    """Those whose words are the summary's. One that people removed meanwhile shows nothing."""
    return {one: text for one, text in texts.items() if one in run.clusters and not _edited(run, one)}


def _edited(run: ClusteringRun, cluster_id: int) -> bool:
    cluster = run.clusters[cluster_id]
    return cluster.title_edited or cluster.description_edited


def show_summary(cmd: ShowSummary, store: EventStore) -> Outcome:
    """From now on the run shows these titles. Where they are shown already, nothing changes."""
    summary = store.load(SummaryRun, cmd.summary_run_id)
    run = store.load(ClusteringRun, summary.run_id)
    if summary.status != "completed":
        raise Conflict(
            f"summary run {summary.summary_run_id} is {summary.status}: only a completed one can be shown"
        )
    _show(run, summary, sorted(summary.summaries), replace_edited=cmd.replace_edited)
    answer = {**_answer(summary), "version": run.version}
    if not run.pending_events:
        return Outcome((), answer)
    index = store.find(TitleIndex, run.run_id) or TitleIndex(run.run_id)
    titles = {one: title_text(row["title"], row["description"]) for one, row in summary.summaries.items()}
    texts = {one: digest(text.encode()).hex() for one, text in titles.items()}
    index.record(Space(**(run.space or {})), rows_of(_shown(run, texts)))
    return Outcome((run, index), answer)


def cancel_summary(cmd: CancelSummary, store: EventStore) -> Outcome:
    summary = store.load(SummaryRun, cmd.summary_run_id)
    summary.cancel()
    return Outcome((summary,), _answer(summary))


def resume_summary(cmd: ResumeSummary, store: EventStore, namers: Namers) -> Outcome:
    """Raises what a new request would: its model may not be there any more."""
    summary = store.load(SummaryRun, cmd.summary_run_id)
    run = store.load(ClusteringRun, summary.run_id)
    run.check_editable()
    namers.get(summary.model)
    summary.resume(run.clusters)
    return Outcome((summary,), _answer(summary))


HANDLERS: dict[type, Handler] = {
    CancelSummary: cancel_summary,
    CompleteSummary: complete_summary,
    RecordSummaries: record_summaries,
    RecordToldApart: record_told_apart,
    RequestSummary: request_summary,
    ResumeSummary: resume_summary,
    ShowSummary: show_summary,
}
