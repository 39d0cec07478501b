"""`lmsys edit ...`: changes of clusters by hand, and their history."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.clustering import NEGATIVE_IDS, RunId
from cli.output import fields, one_line, print_json
from cli.session import Session, add

ClusterId = Annotated[int, typer.Argument(metavar="CLUSTER_ID", help="A cluster of the run.")]
QueryId = Annotated[int, typer.Argument(metavar="QUERY_ID", help="A query.")]
Reason = Annotated[str | None, typer.Option(help="Why; it is kept with the change.")]
IfMatch = Annotated[
    str | None, typer.Option(metavar="VERSION", help="Refuse if the run is no longer at this version.")
]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="edit", help="Change clusters by hand, and see who changed what and why.")
    add(group, rename_cluster, "rename-cluster", context_settings=NEGATIVE_IDS)
    add(group, move_query, "move-query")
    add(group, view_query, "view-query")
    add(group, history, "history")
    add(group, audit, "audit")


def rename_cluster(
    session: Session,
    run_id: RunId,
    cluster_id: ClusterId,
    title: Annotated[str | None, typer.Option(help="The new title.")] = None,
    description: Annotated[str | None, typer.Option(help="The new description.")] = None,
    reason: Reason = None,
    if_match: IfMatch = None,
) -> None:
    """Give a cluster another title or description. Later summaries leave it as it is."""
    if title is None and description is None:
        raise typer.BadParameter("give --title, --description or both")
    answer = session.client.post(
        f"/api/curation/clusters/{cluster_id}/rename",
        {"title": title, "description": description, "reason": reason},
        params={"run_id": run_id},
        if_match=if_match,
    )
    was, now = (one_line(answer[name] or "(no title)") for name in ("old_title", "new_title"))
    session.text(
        answer,
        f"cluster {cluster_id}: {was} -> {now}" if title else f"cluster {cluster_id} is described anew",
    )


def move_query(
    session: Session,
    run_id: RunId,
    query_id: QueryId,
    to_cluster: Annotated[int, typer.Option("--to-cluster", help="The cluster it belongs to.")],
    reason: Reason = None,
    if_match: IfMatch = None,
) -> None:
    """Put a query into another cluster."""
    answer = session.client.post(
        f"/api/curation/queries/{query_id}/move",
        {"to_cluster_id": to_cluster, "reason": reason},
        params={"run_id": run_id},
        if_match=if_match,
    )
    session.text(
        answer, f"query {query_id}: cluster {answer['from_cluster_id']} -> {answer['to_cluster_id']}"
    )


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
        typer.echo(f"{one['run_id']}  cluster {one['cluster_id']}  {one_line(one.get('title') or '')}")
    typer.echo("\n".join(one_line(line, 10_000) for line in query["query_text"].splitlines()))


def history(
    session: Session,
    run_id: RunId,
    cluster_id: Annotated[int | None, typer.Option(help="Changes of this cluster only.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Changes at most.")] = None,
) -> None:
    """Who changed what, when and why: of a run, or of one of its clusters."""
    if cluster_id is None:
        show_history(session, session.client.pages(f"/api/curation/runs/{run_id}/audit", limit))
    else:
        path = f"/api/curation/clusters/{cluster_id}/history"
        show_history(session, session.client.pages(path, limit, {"run_id": run_id}))


def audit(
    session: Session,
    run_id: RunId,
    since: Annotated[str | None, typer.Option(help="From this time on (ISO 8601).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Changes at most.")] = None,
) -> None:
    """All changes of a run."""
    show_history(session, session.client.pages(f"/api/curation/runs/{run_id}/audit", limit, {"since": since}))


def show_history(session: Session, answer: dict[str, Any]) -> None:
    columns = ["timestamp", "cluster_id", "edit_type", "editor", "reason"]
    rows = [[*fields(item, columns), change(item.get("details") or {})] for item in answer["items"]]
    session.table(answer, [*columns, "change"], rows)


def change(details: dict[str, Any]) -> str:
    """What was and what is, in one line."""
    parts = [
        f"{details[f'was_{name}'] or '(none)'} -> {details[name]}"
        for name in ("title", "description")
        if details.get(f"was_{name}") != details.get(name)
    ]
    if "query_ids" in details:
        origins = ", ".join(str(one) for one in sorted(set(details["was"])))
        parts.append(f"{len(details['query_ids'])} from {origins} to {details['cluster_id']}")
    return "; ".join(parts)
