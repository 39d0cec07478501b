"""`lmsys merge-clusters`, `lmsys hierarchies`, `lmsys show-hierarchy`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.client import Answer, Client
from cli.language_models import Concurrency, Rpm, named
from cli.output import fields, note, one_line
from cli.session import Session, Timeout, Wait, add
from cli.work import completed, follow

LOCAL = "local/agglomerative"

HierarchyId = Annotated[
    str, typer.Argument(metavar="HIERARCHY_RUN_ID", help="As `lmsys hierarchies` names it.")
]


def add_to(app: typer.Typer) -> None:
    add(app, merge_clusters, "merge-clusters")
    add(app, cancel_hierarchy, "cancel-hierarchy")
    add(app, hierarchies, "hierarchies")
    add(app, show_hierarchy, "show-hierarchy")


def merge_clusters(
    session: Session,
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="A clustering run; `lmsys runs` lists them.")
    ] = None,
    model: Annotated[str, typer.Option(help="provider/model; the default needs no key.")] = LOCAL,
    target_levels: Annotated[
        int | None, typer.Option(min=2, help="Levels, the clusters counted as one; 3 without it.")
    ] = None,
    merge_ratio: Annotated[
        float | None, typer.Option(help="Parents for each node of a level: 0.2 makes 20 of 100.")
    ] = None,
    neighborhood_size: Annotated[
        int | None, typer.Option(min=2, help="Clusters that a model sees at a time.")
    ] = None,
    summary_run_id: Annotated[
        str | None, typer.Option(help="By the titles of this summary run, else by those that are shown.")
    ] = None,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="HIERARCHY_RUN_ID", help="In place of a RUN_ID: go on with what this one left."),
    ] = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Arrange the clusters of a run under categories. Prints the id of the hierarchy."""
    if (run_id is None) == (resume is None):
        raise typer.BadParameter("give a RUN_ID or --resume HIERARCHY_RUN_ID, one of them")
    body = {
        "run_id": run_id,
        **named(model, LOCAL),
        "target_levels": target_levels,
        "merge_ratio": merge_ratio,
        "neighborhood_size": neighborhood_size,
        "summary_run_id": summary_run_id,
        "concurrency": concurrency,
        "rpm": rpm,
    }
    if resume is not None:
        started = session.client.post(f"{_path(resume)}/resume", {})
    else:
        started = session.client.post("/api/hierarchy", body)
    follow(session, started, started["hierarchy_run_id"], wait, timeout, _wait_for_hierarchy, _tell)


def _wait_for_hierarchy(client: Client, hierarchy_run_id: str, timeout: float | None) -> Answer:
    path = f"{_path(hierarchy_run_id)}/status"
    done = client.wait(hierarchy_run_id, lambda: client.get(path), timeout, "lmsys hierarchies")
    further = f"; --resume {hierarchy_run_id} goes on with it"
    return completed(done, f"hierarchy {hierarchy_run_id}", done.get("error"), further)


def _tell(done: Answer) -> None:
    if done["unanswered"]:
        note(
            f"{done['unanswered']:,} questions had no usable answer; what they were about was left as it was"
        )
    note(f"to see it: lmsys show-hierarchy {done['hierarchy_run_id']}")


def cancel_hierarchy(session: Session, hierarchy_run_id: HierarchyId) -> None:
    """Ask for no more of it. What is there stays, and --resume goes on with it."""
    answer = session.client.post(f"{_path(hierarchy_run_id)}/cancel", {})
    session.text(answer, f"{hierarchy_run_id} is cancelled")


def _path(hierarchy_run_id: str) -> str:
    return f"/api/hierarchy/{quote(hierarchy_run_id, safe='')}"


def hierarchies(
    session: Session,
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="Hierarchies of this clustering run.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Hierarchies at most.")] = None,
) -> None:
    """List hierarchies, newest first."""
    answer = session.client.pages("/api/hierarchy", limit, {"run_id": run_id})
    columns = ["hierarchy_run_id", "run_id", "model", "levels", "status", "created_at", "error"]
    session.table(answer, columns, [fields(item, columns) for item in answer["items"]])


def show_hierarchy(
    session: Session,
    hierarchy_run_id: HierarchyId,
    depth: Annotated[
        int | None, typer.Option(min=1, help="So many levels from the top; all without it.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="As it was at an event position, a time or a tag.")
    ] = None,
) -> None:
    """Show a hierarchy as a tree: titles, ids, how many queries."""
    answer = session.client.get(_path(hierarchy_run_id), {"as_of": as_of})
    session.text(answer, "\n".join(tree_lines(answer["nodes"], depth)))
    if answer["status"] != "completed":
        note(f"{hierarchy_run_id} is {answer['status']}: there is no tree yet")
    untitled = sum(not one["title"] for one in answer["nodes"])
    if untitled:
        note(f"untitled clusters: {untitled:,}; to give them titles: lmsys summarize {answer['run_id']}")


def tree_lines(nodes: list[Answer], depth: int | None = None) -> Iterator[str]:
    """A line for each node, below what it is under; tops are set apart by a blank line."""
    by_id = {one["cluster_id"]: one for one in nodes}

    def below(node: Answer, indent: str, left: int) -> Iterator[str]:
        children = [by_id[one] for one in node["children_ids"]] if left else []
        for at, child in enumerate(children, 1):
            branch, further = ("└── ", "    ") if at == len(children) else ("├── ", "│   ")
            yield f"{indent}{branch}{label(child)}"
            yield from below(child, indent + further, left - 1)

    tops = [one for one in nodes if one["parent_cluster_id"] is None]
    for at, top in enumerate(tops):
        if at and (top["children_ids"] or tops[at - 1]["children_ids"]):
            yield ""
        yield label(top)
        yield from below(top, "", (depth or len(nodes)) - 1)


def label(node: dict[str, Any]) -> str:
    queries = "1 query" if node["num_queries"] == 1 else f"{node['num_queries']:,} queries"
    clusters = f"{node['num_clusters']:,} clusters, " if node["level"] else ""
    return f"{one_line(node['title'] or 'untitled')} ({clusters}{queries}) [{node['cluster_id']}]"
