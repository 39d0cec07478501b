"""`lmsys verify`: whether the parts of an installation agree about a run."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.clustering import RunId
from cli.output import one_line
from cli.session import Session, add


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="verify", help="Whether log, read model and vectors agree.")
    group.callback()(_group)
    add(group, sync, "sync")


def _group() -> None:
    """Whether log, read model and vectors agree."""


def sync(
    session: Session,
    run_id: RunId,
    chroma_path: Annotated[
        str | None, typer.Option(help="Accepted and ignored: there is one vector index.", hidden=True)
    ] = None,
) -> None:
    """Hold a run in the log, its rows and its vectors against each other. Status 1 if anything differs."""
    answer = session.client.post(f"/api/verify/runs/{run_id}", {"run_id": run_id}, endless=True)
    counts = (
        f"{answer['sqlite_summary_count']} titles, {answer['chroma_summary_count']} of them in the vectors"
    )
    lines = [f"{answer['status']}: {run_id}, {counts}, {answer['embedding_space']['name']}"]
    session.text(answer, "\n".join([*lines, *(one_line(issue, 2_000) for issue in answer["issues"])]))
    if answer["status"] != "ok":
        raise typer.Exit(1)
