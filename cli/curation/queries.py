"""Queries: where one is, and putting them where they belong."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import Answer
from cli.clustering import RunId
from cli.curation.making import (
    ORPHAN,
    SHOWN,
    DryRun,
    File,
    How,
    IfMatch,
    QueryIds,
    Reason,
    Yes,
    make_edit,
    queries_in_words,
    queries_named,
)
from cli.output import note, one_line, print_json
from cli.session import Session

QueryId = Annotated[int, typer.Argument(metavar="QUERY_ID", help="A query.")]
ToCluster = Annotated[int, typer.Option("--to-cluster", help="The cluster to put into; -1 is the noise.")]


def view_query(
    session: Session,
    query_id: QueryId,
    run_id: Annotated[str | None, typer.Option(help="Its cluster in this run only.")] = None,
) -> None:
    """A query as a whole, and the clusters it is in."""
    answer = session.client.get(f"/api/curation/queries/{query_id}", {"run_id": run_id})
    if session.json:
        print_json(answer)
        return
    query = answer["query"]
    typer.echo(f"{query['id']}  {query['conversation_id']}  {query['model']}  {query.get('language') or ''}")
    for one in answer["clusters"]:
        title = one_line(one.get("title") or "")
        typer.echo(f"{one['run_id']}  {_in_cluster(one['cluster_id'])}  {title}".rstrip())
    typer.echo("\n".join(one_line(line, 10_000) for line in query["query_text"].splitlines()))


def _in_cluster(cluster_id: int) -> str:
    return "orphaned" if cluster_id == ORPHAN else f"cluster {cluster_id}"


def move_query(
    session: Session,
    run_id: RunId,
    query_id: QueryId,
    to_cluster: ToCluster,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Put a query into another cluster."""

    def told(answer: Answer) -> str:
        return f"query {query_id}: {_in_cluster(answer['from_cluster_id'])} -> {answer['to_cluster_id']}"

    path, body = f"/api/curation/queries/{query_id}/move", {"to_cluster_id": to_cluster}
    make_edit(session, path, body, How(reason, if_match, dry_run), told, params={"run_id": run_id})


def move_queries(
    session: Session,
    run_id: RunId,
    to_cluster: ToCluster,
    words: Annotated[list[str] | None, typer.Argument(metavar="QUERY_ID...", help="Queries.")] = None,
    query_ids: QueryIds = None,
    file: File = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Put many queries into a cluster, as one edit. All that can be moved are; status 1 if any cannot."""

    def told(answer: Answer) -> str:
        failed = f", {answer['failed']:,} failed" if answer["failed"] else ""
        return f"{queries_in_words(answer['moved'])} -> cluster {to_cluster}{failed}"

    ids = queries_named([*(words or []), *(query_ids or [])], file)
    answer = make_edit(
        session,
        "/api/curation/queries/move",
        {"query_ids": ids, "to_cluster_id": to_cluster},
        How(reason, if_match, dry_run, asks=not yes),
        told,
        params={"run_id": run_id},
    )
    if answer["failed"]:
        _tell_failures(answer)
        raise typer.Exit(1)


def _tell_failures(answer: Answer) -> None:
    for one in answer["errors"][:SHOWN]:
        note(f"  {one['query_id']}: {one_line(one['error'], 300)}")
    if (more := answer["failed"] - SHOWN) > 0:
        note(f"  and {more:,} more; --json lists all")


def orphaned(
    session: Session,
    run_id: RunId,
    limit: Annotated[int | None, typer.Option(min=1, help="Queries at most.")] = None,
) -> None:
    """The queries that are in no cluster since theirs was deleted, and the one they were found in."""
    answer = session.client.pages(f"/api/curation/runs/{run_id}/orphaned", limit)
    columns = ["query_id", "assigned_to", "model", "language", "query_text"]
    rows = [
        [
            str(one["orphan"]["query_id"]),
            one["orphan"]["assigned_to"],
            *(one["query"].get(name) for name in columns[2:]),
        ]
        for one in answer["items"]
    ]
    session.table(answer, columns, rows)
