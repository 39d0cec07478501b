"""`lmsys`: the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import (
    access,
    carrying,
    classify,
    clustering,
    curation,
    datasets,
    demo,
    diff,
    evaluation,
    extension,
    hierarchy,
    operate,
    projections,
    proposals,
    search,
    summaries,
    tags,
    verification,
)
from cli.session import Actor, ApiUrl, Json, Verbose, shared

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # its help takes three times as long to appear
    pretty_exceptions_enable=False,
    help="Turn logs of LLM conversations into a curated taxonomy. Data goes to stdout, notes to stderr; "
    "the status is 0, 1 (failed) or 2 (wrong usage).",
)
for word in (
    datasets,
    clustering,
    summaries,
    hierarchy,
    search,
    curation,
    proposals,
    evaluation,
    diff,
    carrying,
    extension,
    classify,
    tags,
    verification,
    projections,
    access,
    operate,
    demo,
):
    word.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("lmsys-query-analysis"))
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    json: Json = False,
    api_url: ApiUrl = None,
    actor: Actor = None,
    verbose: Verbose = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    ctx.obj = shared(ctx, json, api_url, actor, verbose)


def main() -> None:
    app(prog_name="lmsys")


if __name__ == "__main__":
    main()
