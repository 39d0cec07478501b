"""`lmsys evaluate ...`: how well a template does on labelled cases, and what would make it better."""

from __future__ import annotations

import typer

from cli.evaluation import runs, suggestions, test_sets
from cli.session import add


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="evaluate", help="Judge a template by labelled cases, and make it better.")
    test_sets.add_to(group)
    add(group, runs.run, "run")
    add(group, runs.list_runs, "runs")
    add(group, runs.show, "show")
    add(group, runs.results, "results")
    add(group, runs.matrix, "matrix")
    add(group, runs.plot, "plot")
    add(group, runs.compare, "compare")
    add(group, runs.cancel, "cancel")
    add(group, runs.resume, "resume")
    add(group, suggestions.suggest, "suggest")
    add(group, suggestions.list_suggestions, "suggestions")
    add(group, suggestions.show_suggestion, "suggestion")
    add(group, suggestions.try_draft, "try")
    add(group, suggestions.adopt, "adopt")
    add(group, suggestions.discard, "discard")
