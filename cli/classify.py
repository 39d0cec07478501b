"""`lmsys classify ...`: templates, and what is made with them."""

from __future__ import annotations

import typer

from cli import classification, prediction, templates


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="classify", help="Give texts labels of a template.")
    templates.add_to(group)
    classification.add_to(group)
    prediction.add_to(group)
