"""Edits of a hierarchy."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from cli.client import Answer
from cli.curation.making import DryRun, How, IfMatch, Reason, Yes, counted, make_edit
from cli.hierarchy import HierarchyId
from cli.output import fields, one_line
from cli.session import Session

CategoryId = Annotated[
    int, typer.Argument(metavar="CATEGORY_ID", min=0, help="As `lmsys show-hierarchy` has it in brackets.")
]
Title = Annotated[str | None, typer.Option(help="What it is called.")]
Description = Annotated[str | None, typer.Option(help="What it is said to be.")]
Under = Annotated[int | None, typer.Option("--under", metavar="CATEGORY_ID", min=0, help="The parent.")]


def _path(hierarchy_run_id: str, *more: str) -> str:
    return "/".join(["/api/hierarchy", quote(hierarchy_run_id, safe=""), *more])


def move_nodes(
    session: Session,
    hierarchy_run_id: HierarchyId,
    nodes: Annotated[list[int], typer.Argument(metavar="NODE_ID...", min=0, help="Clusters or categories.")],
    under: Under = None,
    to_top: Annotated[bool, typer.Option("--to-top", help="Under nothing.")] = False,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Put clusters and categories under another category of a higher level, or at the top."""
    if to_top == (under is not None):
        raise typer.BadParameter("say where to: --under CATEGORY_ID, or --to-top")

    def told(answer: Answer) -> str:
        where = "to the top" if under is None else f"under {under}"
        return f"{counted(answer['moved'], 'node', 'nodes')} moved {where}"

    body = {"cluster_ids": nodes, "parent_cluster_id": under}
    null = ["parent_cluster_id"] if under is None else []
    how = How(reason, if_match, dry_run)
    make_edit(session, _path(hierarchy_run_id, "move"), body, how, told, params={}, null=null)


def rename_category(
    session: Session,
    hierarchy_run_id: HierarchyId,
    category_id: CategoryId,
    title: Title = None,
    description: Description = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Give a category another title or description."""

    def told(answer: Answer) -> str:
        was, now = (one_line(answer[name] or "untitled") for name in ("old_title", "new_title"))
        return f"category {category_id}: {was} -> {now}" if was != now else f"category {category_id}: {now}"

    path = _path(hierarchy_run_id, "categories", str(category_id), "rename")
    body = {"title": title, "description": description}
    make_edit(session, path, body, How(reason, if_match, dry_run), told, params={})


def add_category(
    session: Session,
    hierarchy_run_id: HierarchyId,
    title: Annotated[str, typer.Argument(metavar="TITLE")],
    nodes: Annotated[
        list[int] | None, typer.Argument(metavar="NODE_ID...", min=0, help="What is to be under it.")
    ] = None,
    description: Description = None,
    under: Under = None,
    level: Annotated[int | None, typer.Option(min=1, help="Else just above what is under it.")] = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Make a category, with these clusters and categories under it."""

    def told(answer: Answer) -> str:
        moved = counted(answer["moved"], "node", "nodes")
        return f"category {answer['cluster_id']} of level {answer['level']}, {moved} under it"

    body = {
        "title": title,
        "description": description,
        "children_ids": nodes or [],
        "parent_cluster_id": under,
        "level": level,
    }
    path = _path(hierarchy_run_id, "categories")
    make_edit(session, path, body, How(reason, if_match, dry_run), told, params={})


def remove_category(
    session: Session,
    hierarchy_run_id: HierarchyId,
    category_id: CategoryId,
    move_to: Annotated[
        int | None,
        typer.Option(metavar="CATEGORY_ID", min=0, help="For what is under it; else it takes its place."),
    ] = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove a category; what is under it stays."""

    def told(answer: Answer) -> str:
        where = "took its place" if answer["moved_to"] is None else f"went to {answer['moved_to']}"
        return f"category {category_id} removed; {counted(answer['moved'], 'node', 'nodes')} {where}"

    path = _path(hierarchy_run_id, "categories", str(category_id), "remove")
    how = How(reason, if_match, dry_run, asks=not yes)
    make_edit(session, path, {"move_to_cluster_id": move_to}, how, told, params={})


def tree_history(
    session: Session,
    hierarchy_run_id: HierarchyId,
    limit: Annotated[int | None, typer.Option(min=1, help="Edits at most.")] = None,
) -> None:
    """Edits of a hierarchy, newest first. They are taken back by `lmsys edit undo`."""
    answer = session.client.pages(_path(hierarchy_run_id, "history"), limit)
    columns = ["edit_id", "timestamp", "edit_type", "editor", "reason", "undone_by"]
    session.table(answer, columns, [fields(one, columns) for one in answer["items"]])
