"""Clusters: their words, their notes, and making one of several, several of one, or none."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.client import Answer
from cli.clustering import RunId, notes_in_words
from cli.curation.making import (
    ClusterId,
    DryRun,
    File,
    How,
    IfMatch,
    QueryIds,
    Reason,
    Yes,
    listed,
    make_edit,
    numbers,
    queries_in_words,
    queries_named,
)
from cli.output import one_line
from cli.session import Session


class Quality(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Note(StrEnum):
    COHERENCE = "coherence"
    QUALITY = "quality"
    NOTES = "notes"

    @property
    def field(self) -> str:
        return "coherence_score" if self is Note.COHERENCE else self.value


def rename_cluster(
    session: Session,
    run_id: RunId,
    cluster_id: ClusterId,
    title: Annotated[str | None, typer.Option(help="The new title.")] = None,
    description: Annotated[str | None, typer.Option(help="The new description.")] = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Give a cluster another title or description. Later summaries leave it as it is."""
    if title is None and description is None:
        raise typer.BadParameter("give --title, --description or both")

    def told(answer: Answer) -> str:
        if title is None:
            return f"cluster {cluster_id} is described anew"
        was, now = (one_line(answer[name] or "(no title)") for name in ("old_title", "new_title"))
        return f"cluster {cluster_id}: {was} -> {now}"

    body = {"title": title, "description": description}
    path = f"/api/curation/clusters/{cluster_id}/rename"
    make_edit(session, path, body, How(reason, if_match, dry_run), told, params={"run_id": run_id})


def merge_clusters(
    session: Session,
    target: Annotated[int, typer.Option(help="The cluster that stays and takes them in.")],
    source: Annotated[
        list[str], typer.Option(metavar="ID,...", help="Clusters that go into it; may be repeated.")
    ],
    run: Annotated[str | None, typer.Argument(metavar="RUN_ID", help="A clustering run.")] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="The same as RUN_ID.")] = None,
    new_title: Annotated[str | None, typer.Option(help="What it is called then.")] = None,
    new_description: Annotated[str | None, typer.Option(help="What is said of it then.")] = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Put the queries of the source clusters into the target. The sources cease to be."""
    if (run is None) == (run_id is None):
        raise typer.BadParameter("name the run by RUN_ID or --run-id, one of them")

    def told(answer: Answer) -> str:
        sources, title = listed(answer["source_cluster_ids"]), one_line(answer["new_title"] or "(no title)")
        suggested = answer.get("suggested_title")
        hint = "" if new_title or suggested in (None, answer["new_title"]) else f"; suggested: {suggested}"
        moved = queries_in_words(answer["queries_moved"])
        return f"{sources} merged into {target}, {title}: {moved} moved{one_line(hint, 300)}"

    body = {
        "source_cluster_ids": numbers(source, "--source", least=-1),
        "target_cluster_id": target,
        "new_title": new_title,
        "new_description": new_description,
    }
    path, how = f"/api/curation/clusters/{target}/merge", How(reason, if_match, dry_run, asks=not yes)
    make_edit(session, path, body, how, told, params={"run_id": run or run_id})


def split_cluster(
    session: Session,
    run_id: RunId,
    cluster_id: ClusterId,
    new_title: Annotated[str, typer.Option(help="What the new cluster is called.")],
    new_description: Annotated[str, typer.Option(help="What is said of it.")] = "",
    query_ids: QueryIds = None,
    file: File = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Put some queries of a cluster into a new one."""

    def told(answer: Answer) -> str:
        moved, new_id = queries_in_words(answer["queries_moved"]), answer["new_cluster_id"]
        return f"{moved} of cluster {cluster_id} -> new cluster {new_id}, {one_line(new_title)}"

    body = {
        "query_ids": queries_named(query_ids or [], file),
        "new_title": new_title,
        "new_description": new_description,
    }
    path, how = f"/api/curation/clusters/{cluster_id}/split", How(reason, if_match, dry_run, asks=not yes)
    make_edit(session, path, body, how, told, params={"run_id": run_id})


def delete_cluster(
    session: Session,
    run_id: RunId,
    cluster_id: ClusterId,
    orphan: Annotated[bool, typer.Option("--orphan", help="Leave its queries in no cluster ...")] = False,
    move_to: Annotated[int | None, typer.Option(help="... or put them into this one.")] = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove a cluster. The queries stay; say where they are to go."""
    if orphan == (move_to is not None):
        raise typer.BadParameter("give --orphan or --move-to, one of them")

    def told(answer: Answer) -> str:
        where = "are in no cluster now" if orphan else f"-> cluster {move_to}"
        return f"cluster {cluster_id} deleted: its {queries_in_words(answer['query_count'])} {where}"

    body = {"orphan": orphan, "move_to_cluster_id": move_to}
    path, how = f"/api/curation/clusters/{cluster_id}/delete", How(reason, if_match, dry_run, asks=not yes)
    make_edit(session, path, body, how, told, params={"run_id": run_id})


def tag_cluster(
    session: Session,
    run_id: RunId,
    cluster_id: ClusterId,
    coherence: Annotated[
        int | None, typer.Option(min=1, max=5, help="1: nothing in common, 5: one thing only.")
    ] = None,
    quality: Annotated[Quality | None, typer.Option(help="How good it is.")] = None,
    notes: Annotated[str | None, typer.Option(help="What others should know of it.")] = None,
    clear: Annotated[list[Note] | None, typer.Option(help="Take one away; may be repeated.")] = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Note how coherent and how good a cluster is, and what is to be known of it."""
    body = {"coherence_score": coherence, "quality": quality, "notes": notes}
    if not clear and all(value is None for value in body.values()):
        raise typer.BadParameter("give --coherence, --quality, --notes or --clear")
    if both := [one for one in clear or [] if body[one.field] is not None]:
        raise typer.BadParameter(f"--{both[0]} and --clear {both[0]} at once")
    null = [one.field for one in clear or []]
    path, how = f"/api/curation/clusters/{cluster_id}/metadata", How(reason, if_match, dry_run)
    make_edit(session, path, body, how, _noted(cluster_id), params={"run_id": run_id}, null=null)


def flag_cluster(
    session: Session,
    run_id: RunId,
    cluster_id: ClusterId,
    flag: Annotated[list[str] | None, typer.Option(help="A flag to set; may be repeated.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A flag to take away; may be repeated.")] = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Set flags on a cluster, such as `review`, and take them away."""
    if not flag and not remove:
        raise typer.BadParameter("give --flag, --remove or both")
    body: dict[str, Any] = {"flags": flag or [], "remove": remove or []}
    path, how = f"/api/curation/clusters/{cluster_id}/flags", How(reason, if_match, dry_run)
    make_edit(session, path, body, how, _noted(cluster_id), params={"run_id": run_id})


def _noted(cluster_id: int) -> Callable[[Answer], str]:
    def told(answer: Answer) -> str:
        return f"cluster {cluster_id}: {notes_in_words(answer['data']) or 'nothing noted'}"

    return told
