"""`lmsys cluster ...`, `runs`, `list-clusters`, `inspect`, `list` and `export`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli.client import Client
from cli.datasets import BatchSize, Dataset, Model, Provider, UseChroma
from cli.files import STREAM, FileFormat, Output, write
from cli.output import fields, note, one_line, print_json, print_json_line, print_table
from cli.session import Session, Timeout, Wait, add
from cli.work import completed, follow

RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="A clustering run; `lmsys runs` lists them.")]
Description = Annotated[str | None, typer.Option(help="What this run is for.")]
ChunkSize = Annotated[int | None, typer.Option(min=1, help="Vectors worked on at a time.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of every random draw.")]
AsOf = Annotated[
    str | None,
    typer.Option(metavar="MOMENT", help="As it was then: an event position, an RFC 3339 time, or a tag."),
]
Alias = Annotated[str | None, typer.Option(help="Titles of the summary run of this alias.")]
SummaryRunId = Annotated[str | None, typer.Option(help="Titles of this summary run.")]
NEGATIVE_IDS = {"ignore_unknown_options": True}
"""So that the cluster of noise, -1, can be named without a `--` before it."""


class Cluster(TyperGroup):
    """`lmsys cluster --n-clusters 100` means `lmsys cluster kmeans --n-clusters 100`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        if args and args[0].startswith("-") and args[0] != "--help":
            args = ["kmeans", *args]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(cls=Cluster, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(
        group, name="cluster", help="Cluster the queries of a data set; kmeans unless you say otherwise."
    )
    add(group, kmeans, "kmeans")
    add(group, hdbscan, "hdbscan")
    add(group, segment, "segment")
    add(app, runs, "runs")
    add(app, list_clusters, "list-clusters")
    add(app, inspect, "inspect", context_settings=NEGATIVE_IDS)
    add(app, list_queries, "list")
    add(app, export, "export")


def kmeans(
    session: Session,
    n_clusters: Annotated[int, typer.Option(min=1, help="How many clusters.")],
    dataset: Dataset = None,
    engine: Annotated[
        str | None, typer.Option(help="faiss (the default), or sklearn for MiniBatchKMeans.")
    ] = None,
    seed: Seed = None,
    chunk_size: ChunkSize = None,
    mb_batch_size: Annotated[int | None, typer.Option(min=1, help="Batch of MiniBatchKMeans.")] = None,
    description: Description = None,
    use_chroma: UseChroma = None,
    embedding_provider: Provider = None,
    embedding_model: Model = None,
    embed_batch_size: BatchSize = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """A given number of clusters. Prints the run's id."""
    body = {
        "n_clusters": n_clusters,
        "dataset": dataset,
        "engine": engine,
        "seed": seed,
        "chunk_size": chunk_size,
        "mb_batch_size": mb_batch_size,
        "description": description,
        "use_chroma": use_chroma,
        "embedding_provider": embedding_provider,
        "embedding_model": embedding_model,
        "embed_batch_size": embed_batch_size,
    }
    _start(session, "kmeans", body, wait, timeout)


def hdbscan(
    session: Session,
    dataset: Dataset = None,
    min_cluster_size: Annotated[
        int | None, typer.Option(min=2, help="Queries a cluster has at least.")
    ] = None,
    min_samples: Annotated[int | None, typer.Option(min=1, help="More of it makes more noise.")] = None,
    cluster_selection_epsilon: Annotated[
        float | None, typer.Option(min=0, help="Clusters nearer than this become one.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="euclidean, cosine or manhattan.")] = None,
    seed: Seed = None,
    chunk_size: ChunkSize = None,
    description: Description = None,
    use_chroma: UseChroma = None,
    embedding_provider: Provider = None,
    embedding_model: Model = None,
    embed_batch_size: BatchSize = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """As many clusters as there are dense places; the rest is noise, cluster -1. Prints its id."""
    body = {
        "dataset": dataset,
        "min_cluster_size": min_cluster_size,
        "min_samples": min_samples,
        "cluster_selection_epsilon": cluster_selection_epsilon,
        "metric": metric,
        "seed": seed,
        "chunk_size": chunk_size,
        "description": description,
        "use_chroma": use_chroma,
        "embedding_provider": embedding_provider,
        "embedding_model": embedding_model,
        "embed_batch_size": embed_batch_size,
    }
    _start(session, "hdbscan", body, wait, timeout)


def segment(
    session: Session,
    algorithm: Annotated[str, typer.Option(help="dbscan or agglomerative.")],
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A parameter of the algorithm; may be repeated."),
    ] = None,
    dataset: Dataset = None,
    description: Description = None,
    embedding_provider: Provider = None,
    embedding_model: Model = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Any other algorithm. Prints the run's id."""
    body = {
        "algorithm": algorithm,
        "parameters": dict(_parameter(one) for one in param or []),
        "dataset": dataset,
        "description": description,
        "embedding_provider": embedding_provider,
        "embedding_model": embedding_model,
    }
    _start(session, "segment", body, wait, timeout)


def _parameter(given: str) -> tuple[str, Any]:
    """`eps=0.5` as a number, `linkage=ward` as text."""
    key, equals, value = given.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"--param {given}: write KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _start(session: Session, word: str, body: dict[str, Any], wait: bool, timeout: float | None) -> None:
    started = session.client.post(f"/api/clustering/{word}", body)
    follow(session, started, started["run_id"], wait, timeout, wait_for_run, tell_run)


def wait_for_run(client: Client, run_id: str, timeout: float | None) -> dict[str, Any]:
    """The run when it has ended. Raises Failed when it has failed."""
    path = f"/api/clustering/runs/{run_id}"
    client.wait(run_id, lambda: client.get(f"{path}/status"), timeout, "lmsys runs")
    run = client.get(path)
    return completed(run, f"run {run_id}", "; ".join(run.get("latest_errors") or []))


def tell_run(run: dict[str, Any]) -> None:
    noise = ((run.get("metrics") or {}).get("noise") or {}).get("share")
    parts = [f"{run.get('num_clusters') or 0:,} clusters"]
    parts += [f"{noise:.1%} noise"] if noise else []
    if run.get("completed_at"):
        took = datetime.fromisoformat(run["completed_at"]) - datetime.fromisoformat(run["created_at"])
        parts.append(f"{took.total_seconds():.1f} s")
    note(f"{run['run_id']}: {', '.join(parts)}")


def runs(
    session: Session,
    latest: Annotated[bool, typer.Option("--latest", help="Only the newest.")] = False,
    algorithm: Annotated[str | None, typer.Option(help="kmeans, hdbscan, ...")] = None,
    status: Annotated[str | None, typer.Option(help="pending, running, completed or failed.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Runs of this data set.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Runs at most.")] = None,
) -> None:
    """List clustering runs, newest first."""
    filters = {"algorithm": algorithm, "status": status, "dataset": dataset}
    answer = session.client.pages("/api/clustering/runs", 1 if latest else limit, filters)
    columns = ["run_id", "dataset", "algorithm", "status", "num_clusters", "created_at", "description"]
    session.table(answer, columns, [fields(item, columns) for item in answer["items"]])


def list_clusters(
    session: Session,
    run_id: RunId,
    limit: Annotated[int | None, typer.Option(min=1, help="Clusters at most.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="size, title or cluster_id; a `-` before it turns it round.")
    ] = None,
    alias: Alias = None,
    summary_run_id: SummaryRunId = None,
    show_examples: Annotated[int | None, typer.Option(min=0, help="Queries shown of each cluster.")] = None,
    as_of: AsOf = None,
) -> None:
    """List the clusters of a run with their titles."""
    answer = session.client.pages(
        f"/api/clustering/runs/{run_id}/clusters",
        limit,
        {
            "sort": sort,
            "alias": alias,
            "summary_run_id": summary_run_id,
            "include_examples": show_examples,
            "as_of": as_of,
        },
    )
    show_clusters(session, answer)


def show_clusters(session: Session, answer: dict[str, Any]) -> None:
    columns = ["cluster_id", "num_queries", "title", "description"]
    rows = []
    for item in answer["items"]:
        rows.append(fields(item, columns))
        rows += [
            [None, None, f"· {one_line(text, 120)}", None]
            for text in item.get("representative_queries") or []
        ]
    session.table(answer, columns, rows)


def inspect(
    session: Session,
    run_id: RunId,
    cluster_id: Annotated[
        int, typer.Argument(metavar="CLUSTER_ID", help="A cluster of it; -1 is the noise.")
    ],
    show_queries: Annotated[int, typer.Option(min=1, max=1000, help="Queries shown.")] = 10,
    alias: Alias = None,
    summary_run_id: SummaryRunId = None,
    as_of: AsOf = None,
) -> None:
    """One cluster with its queries."""
    path = f"/api/clustering/runs/{run_id}/clusters/{cluster_id}"
    asked = {"limit": show_queries, "alias": alias, "summary_run_id": summary_run_id, "as_of": as_of}
    answer = session.client.get(path, asked)
    if session.json:
        print_json(answer)
        return
    cluster, queries = answer["cluster"], answer["queries"]
    typer.echo(f"{cluster['cluster_id']}  {one_line(cluster.get('title') or '(no title)')}")
    if cluster.get("description"):
        typer.echo(one_line(cluster["description"], 1_000))
    if cluster.get("incoherent"):
        typer.echo(f"incoherent: {one_line(cluster['incoherent'], 1_000)}")
    if noted := notes_in_words(cluster):
        typer.echo(noted)
    typer.echo(f"{queries['total']:,} queries")
    _print_queries(queries["items"])


def notes_in_words(cluster: dict[str, Any]) -> str:
    """Coherence, quality, flags and notes of a cluster, those that it has."""
    score, flags = cluster.get("coherence_score"), cluster.get("flags")
    parts = [
        f"coherence {score} of 5" if score else "",
        f"quality {cluster['quality']}" if cluster.get("quality") else "",
        f"flags {', '.join(flags)}" if flags else "",
        f"notes: {cluster['notes']}" if cluster.get("notes") else "",
    ]
    return one_line("; ".join(part for part in parts if part), 1_000)


def _print_queries(items: list[dict[str, Any]]) -> None:
    columns = ["id", "model", "language", "query_text"]
    print_table(columns, [fields(item, columns) for item in items])


def list_queries(
    session: Session,
    dataset: Annotated[str | None, typer.Option(help="Queries of this data set.")] = None,
    run_id: Annotated[str | None, typer.Option(help="Queries of this run ...")] = None,
    cluster_id: Annotated[int | None, typer.Option(help="... in this cluster.")] = None,
    model: Annotated[str | None, typer.Option(help="Queries to this model.")] = None,
    language: Annotated[str | None, typer.Option(help="Queries in this language.")] = None,
    label: Annotated[str | None, typer.Option(help="Queries with this label in their metadata.")] = None,
    domain: Annotated[str | None, typer.Option(help="Queries of this domain in their metadata.")] = None,
    text: Annotated[str | None, typer.Option(help="Queries with these words.")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Queries at most.")] = 50,
    as_of: AsOf = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, one line of JSON each.")] = False,
) -> None:
    """List queries."""
    filters = {
        "dataset": dataset,
        "run_id": run_id,
        "cluster_id": cluster_id,
        "model": model,
        "language": language,
        "label": label,
        "domain": domain,
        "text": text,
        "since": since,
        "until": until,
        "as_of": as_of,
    }
    if everything:
        for page in session.client.each_page("/api/queries", 1_000, filters):
            for item in page["items"]:
                print_json_line(item)
        return
    answer = session.client.pages("/api/queries", limit, filters)
    print_json(answer) if session.json else _print_queries(answer["items"])


def export(
    session: Session,
    run_id: Annotated[str | None, typer.Argument(metavar="RUN_ID", help="A clustering run.")] = None,
    dataset: Annotated[str | None, typer.Option(help="In its place: a data set as a whole.")] = None,
    file_format: FileFormat = "csv",
    output: Output = STREAM,
    alias: Alias = None,
    summary_run_id: SummaryRunId = None,
    as_of: AsOf = None,
) -> None:
    """Write queries with their clusters into a file. With --json and no file: where it can be fetched."""
    if (run_id is None) == (dataset is None):
        raise typer.BadParameter("give a RUN_ID or --dataset, one of them")
    titles = {"alias": alias, "summary_run_id": summary_run_id}
    asked = {"run_id": run_id, "dataset": dataset, "format": file_format, **titles, "as_of": as_of}
    write(session, session.client.get("/api/export", asked, endless=True), output)
