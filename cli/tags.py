"""`lmsys tags ...`: names of moments, for `--as-of` and `lmsys diff`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from cli.output import fields
from cli.session import Session, add

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="It begins with a letter; letters, digits, `.`, `_`, `-`.")
]
COLUMNS = ["name", "position", "time", "created_at", "created_by", "reason"]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="tags", help="Name moments, to come back to what was then.")
    add(group, add_tag, "add")
    add(group, list_tags, "list")
    add(group, show, "show")
    add(group, remove, "remove")


def add_tag(
    session: Session,
    name: Name,
    position: Annotated[int | None, typer.Option(min=1, help="An event position; else now.")] = None,
    at: Annotated[str | None, typer.Option(help="An RFC 3339 time, in place of a position.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the tag.")] = None,
) -> None:
    """Name a moment. Prints its position."""
    body = {"name": name, "position": position, "at": at, "reason": reason}
    answer = session.client.post("/api/tags", body)
    session.text(answer, str(answer["position"]))


def list_tags(
    session: Session, limit: Annotated[int | None, typer.Option(min=1, help="Tags at most.")] = None
) -> None:
    """List the tags, the latest moment first."""
    answer = session.client.pages("/api/tags", limit)
    session.table(answer, COLUMNS, [fields(item, COLUMNS) for item in answer["items"]])


def show(session: Session, name: Name) -> None:
    """The moment that a tag stands for."""
    tag = session.client.get(f"/api/tags/{quote(name, safe='')}")
    session.table(tag, COLUMNS, [fields(tag, COLUMNS)])


def remove(session: Session, name: Name) -> None:
    """Free a name. The moment can still be read by its position."""
    answer = session.client.delete(f"/api/tags/{quote(name, safe='')}", {})
    session.text(answer, f"the tag {name} is removed")
