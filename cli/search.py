"""`lmsys search` and `lmsys search-cluster`, with the JSON of the specification."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from cli.client import Client, Params
from cli.output import fields, note, one_line, print_json, print_table
from cli.session import Session, add

SNIPPET = 200
Text = Annotated[str, typer.Argument(metavar="TEXT", help="What to look for.")]


def add_to(app: typer.Typer) -> None:
    add(app, search, "search")
    add(app, search_cluster, "search-cluster")


def search(
    session: Session,
    text: Text,
    run_id: Annotated[
        str | None, typer.Option(help="Search the queries of this run, in its vector space.")
    ] = None,
    within_clusters: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only in the clusters that are nearest to this text.")
    ] = None,
    top_clusters: Annotated[int | None, typer.Option(min=1, help="How many clusters those are.")] = None,
    cluster_ids: Annotated[str | None, typer.Option(metavar="ID,ID", help="Only in these clusters.")] = None,
    n_results: Annotated[int, typer.Option(min=1, max=1000, help="Results at most.")] = 10,
    facets: Annotated[
        str | None, typer.Option(metavar="FACET,FACET", help="Count by cluster, language, model.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="`cluster`: group the hits by cluster.")] = None,
    mode: Annotated[
        Literal["semantic", "fulltext"] | None, typer.Option(help="By meaning or by words.")
    ] = None,
    search_type: Annotated[
        Literal["queries", "clusters"], typer.Option(help="What is looked for.")
    ] = "queries",
    dataset: Annotated[str | None, typer.Option(help="Queries of this data set.")] = None,
    language: Annotated[str | None, typer.Option(help="Queries in this language.")] = None,
    model: Annotated[str | None, typer.Option(help="Queries to this model.")] = None,
) -> None:
    """Search queries, by meaning or by words."""
    if search_type == "clusters":
        show_found_clusters(session, text, run_id, {"limit": n_results})
        return
    wanted = [word.strip() for word in (facets or "").split(",") if word.strip()]
    if by and by not in wanted:
        wanted.append(by)
    answer = search_queries(
        session.client,
        text,
        run_id,
        {
            "within_clusters": within_clusters,
            "top_clusters": top_clusters,
            "cluster_ids": cluster_ids,
            "limit": n_results,
            "facets": ",".join(wanted) or None,
            "mode": mode,
            "dataset": dataset,
            "language": language,
            "model": model,
        },
    )
    print_json(answer) if session.json else show_found(answer, by)


def search_queries(client: Client, text: str, run_id: str | None, options: Params) -> dict[str, Any]:
    return shaped(text, run_id, client.get("/api/search", {"text": text, "run_id": run_id, **options}))


def shaped(text: str, run_id: str | None, found: dict[str, Any]) -> dict[str, Any]:
    """`{text, run_id, applied_clusters, results, facets}`, out of an answer of the API."""
    facets = found.get("facets") or {}
    columns = ["cluster_id", "title", "description", "num_queries", "distance"]
    return {
        "text": text,
        "run_id": run_id,
        "applied_clusters": [_some(one, columns) for one in found.get("applied_clusters") or []],
        "results": [_result(one, run_id) for one in found["items"]],
        "facets": {
            "clusters": [_cluster_facet(one) for one in facets.get("clusters") or []],
            "language": [_some(one, ["key", "count"]) for one in facets.get("language") or []],
            "model": [_some(one, ["key", "count"]) for one in facets.get("model") or []],
        },
    }


def _result(item: dict[str, Any], run_id: str | None) -> dict[str, Any]:
    query = item["query"]
    cluster_id = next((one["cluster_id"] for one in item["clusters"] if one["run_id"] == run_id), None)
    return {
        "query_id": query["id"],
        "distance": item.get("distance"),
        "snippet": one_line(item.get("snippet") or query["query_text"], SNIPPET),
        "model": query["model"],
        "language": query["language"],
        "cluster_id": cluster_id,
    }


def _cluster_facet(facet: dict[str, Any]) -> dict[str, Any]:
    title = (facet.get("meta") or facet).get("title")
    return {"cluster_id": facet["cluster_id"], "count": facet["count"], "meta": {"title": title}}


def _some(item: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: item.get(name) for name in names}


def show_found(answer: dict[str, Any], by: str | None) -> None:
    """Hits on stdout, or grouped, their counts; what else was counted goes to stderr."""
    facets = answer["facets"]
    groups = [[one["cluster_id"], one["count"], one["meta"]["title"]] for one in facets["clusters"]]
    if answer["applied_clusters"]:
        note(f"within clusters {', '.join(str(one['cluster_id']) for one in answer['applied_clusters'])}")
    if by == "cluster":
        print_table(["cluster_id", "count", "title"], groups)
    else:
        columns = ["query_id", "distance", "cluster_id", "model", "language", "snippet"]
        print_table(columns, [fields(one, columns) for one in answer["results"]])
        for cluster_id, count, title in groups:
            note(f"cluster {cluster_id}: {count:,}  {one_line(title or '')}")
    for name in ("language", "model"):
        for one in facets[name]:
            note(f"{name} {one_line(one['key'])}: {one['count']:,}")


def search_cluster(
    session: Session,
    text: Text,
    run_id: Annotated[str | None, typer.Option(help="Clusters of this run.")] = None,
    top_k: Annotated[int, typer.Option(min=1, max=1000, help="Clusters at most.")] = 10,
    alias: Annotated[str | None, typer.Option(help="By the titles of the summary run of this alias.")] = None,
    summary_run_id: Annotated[str | None, typer.Option(help="By the titles of this summary run.")] = None,
) -> None:
    """Search clusters by their titles and descriptions."""
    options = {"limit": top_k, "alias": alias, "summary_run_id": summary_run_id}
    show_found_clusters(session, text, run_id, options)


def show_found_clusters(session: Session, text: str, run_id: str | None, options: Params) -> None:
    found = session.client.get("/api/search/clusters", {"text": text, "run_id": run_id, **options})
    columns = ["cluster_id", "distance", "title", "description", "num_queries"]
    results = [_some(one, columns) for one in found["items"]]
    answer = {"text": text, "run_id": run_id, "results": results}
    session.table(answer, columns, [fields(one, columns) for one in results])
