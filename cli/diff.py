"""`lmsys diff`: what differs between two states of one run, or of two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from cli.client import Answer
from cli.output import one_line, print_json, print_table
from cli.session import Session, add

SIDE = "RUN as it is now, or RUN@MOMENT: an event position, an RFC 3339 time, or a tag."
From = Annotated[str, typer.Argument(metavar="FROM", help=SIDE)]
To = Annotated[str, typer.Argument(metavar="TO", help=SIDE)]
LONGEST = 60
NO_CLUSTER = {-1: "(noise)", -2: "(no cluster)"}


def add_to(app: typer.Typer) -> None:
    add(app, diff, "diff")


def diff(
    session: Session,
    from_: From,
    to: To,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="Flows shown, the largest first.")] = 20,
    everything: Annotated[
        bool, typer.Option("--all-flows", help="Also how many queries stayed where they were.")
    ] = False,
    queries: Annotated[
        int | None, typer.Option("--queries", min=1, help="In its place: so many of the queries that moved.")
    ] = None,
) -> None:
    """What became of the clusters, and which queries went where."""
    sides = {"from": from_, "to": to}
    if queries is not None:
        _moved(session, session.client.pages("/api/curation/diff/queries", queries, sides))
        return
    asked = {**sides, "limit": limit, "moved_only": None if everything else True}
    answer = session.client.get("/api/curation/diff", asked)
    if session.json:
        print_json(answer)
        return
    for line in summary(answer):
        typer.echo(line)
    _flow_table(answer)


def _moved(session: Session, answer: Answer) -> None:
    columns = ["query_id", "from", "to", "query_text"]
    rows = [
        [
            item["query_id"],
            _name(item["from_cluster_id"], item["from_title"]),
            _name(item["to_cluster_id"], item["to_title"]),
            (item["query"] or {}).get("query_text"),
        ]
        for item in answer["items"]
    ]
    session.table(answer, columns, rows)


def summary(answer: Answer) -> Iterable[str]:
    """Line by line what a comparison found."""
    for name in ("from", "to"):
        side = answer[name]
        yield (
            f"{name:<5} {side['run_id']} at {side['position']} ({side['time']}), version {side['version']}:"
            f" {side['num_clusters']:,} clusters, {side['num_queries']:,} queries"
        )
    queries = answer["queries"]
    yield f"queries: {queries['shared']:,} on both sides, {queries['moved']:,} of them moved"
    for name in ("from", "to"):
        if others := queries[f"only_{name}"]:
            yield f"queries: {others:,} only in {name}"
    if answer["adjusted_rand_index"] is not None:
        yield (
            f"agreement: adjusted Rand index {answer['adjusted_rand_index']:.3f},"
            f" adjusted mutual information {answer['adjusted_mutual_information']:.3f}"
        )
    if not answer["matched"]:
        yield "clusters: too many on both sides to say which goes on as which"
    yield from _changes(answer)


def _changes(answer: Answer) -> Iterable[str]:
    for one in answer["renamed"]:
        yield f"renamed: {_continued(one)} {_words(one)}"
    for kind in ("created", "retired"):
        for one in answer[kind]:
            yield f"{kind}: {_cluster(one)}, {one['num_queries']:,} queries"
    for kind in ("merged", "split"):
        for one in answer[kind]:
            yield f"{kind}: {_clusters(one['from_clusters'])} -> {_clusters(one['to_clusters'])}{_by(one)}"
    for one in answer["annotated"]:
        parts = [f"{name} {_value(one['was'][name])} -> {_value(one['now'][name])}" for name in one["now"]]
        yield f"annotated: {_continued(one)} {'; '.join(parts)}"


def _words(one: dict[str, Any]) -> str:
    if one["was_title"] == one["title"]:
        return f"{_title(one['title'])}, described anew"
    return f"{_title(one['was_title'])} -> {_title(one['title'])}"


def _continued(one: dict[str, Any]) -> str:
    was, now = one["cluster_id"], one["to_cluster_id"]
    return f"cluster {was}:" if was == now else f"cluster {was} -> {now}:"


def _by(one: dict[str, Any]) -> str:
    parts = [f"edit {edit}" for edit in one["by"]] + [f"undone: edit {edit}" for edit in one["by_undoing"]]
    return f" ({', '.join(parts)})" if parts else ""


def _clusters(clusters: Iterable[dict[str, Any]]) -> str:
    return ", ".join(_cluster(one) for one in clusters)


def _cluster(one: dict[str, Any]) -> str:
    return _name(one["cluster_id"], one["title"])


def _name(cluster_id: int, title: str | None) -> str:
    return f"{cluster_id} {_title(title or NO_CLUSTER.get(cluster_id))}"


def _title(title: str | None) -> str:
    return one_line(title or "(no title)", LONGEST)


def _value(value: object) -> str:
    shown = ", ".join(value) if isinstance(value, list) else value
    return one_line(shown if shown not in (None, "") else "(none)", LONGEST)


def _flow_table(answer: Answer) -> None:
    rows: list[list[Any]] = [
        [
            item["count"],
            _name(item["from_cluster_id"], item["from_title"]),
            _name(item["to_cluster_id"], item["to_title"]),
        ]
        for item in answer["flows"]["items"]
    ]
    other = answer["flows"]["other"]
    if other["flows"]:
        rows.append([other["count"], f"{other['flows']:,} more flows", ""])
    if rows:
        typer.echo("")
        print_table(["queries", "from", "to"], rows)
