"""Naming the clusters of a run: the request, the work, and whose titles are shown."""

from commands.bus import Handler
from commands.summaries import recording, titles
from commands.summaries.naming import run_summary
from commands.summaries.recording import (
    CancelSummary,
    CompleteSummary,
    RecordSummaries,
    RecordToldApart,
    RequestSummary,
    ResumeSummary,
    ShowSummary,
)
from commands.summaries.samples import central_queries, contrasting_queries
from commands.summaries.titles import RecordTitlesEmbedded, embed_titles, run_embed_titles, title_text

__all__ = [
    "HANDLERS",
    "CancelSummary",
    "CompleteSummary",
    "RecordSummaries",
    "RecordTitlesEmbedded",
    "RecordToldApart",
    "RequestSummary",
    "ResumeSummary",
    "ShowSummary",
    "central_queries",
    "contrasting_queries",
    "embed_titles",
    "run_embed_titles",
    "run_summary",
    "title_text",
]

HANDLERS: dict[type, Handler] = {**recording.HANDLERS, **titles.HANDLERS}
