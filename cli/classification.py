"""`lmsys classify runs ...`: queries given the labels of a template, and how these lie across clusters."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.client import Answer, Client
from cli.clustering import NEGATIVE_IDS, AsOf
from cli.datasets import Dataset
from cli.files import STREAM, FileFormat, Output, write
from cli.language_models import Concurrency, Rpm, Tokens, bounds, named
from cli.output import fields, note, one_line
from cli.session import Session, Timeout, Wait, add
from cli.work import completed, follow

PATH = "/api/classification/runs"
LOCAL = "local/nearest"
ERRORS_SHOWN = 3
"""Of queries, below what a run failed with."""

RunId = Annotated[
    str, typer.Argument(metavar="RUN_ID", help="A classification run; `lmsys classify runs list` has them.")
]
ClusterIds = Annotated[
    list[int] | None, typer.Option("--cluster", help="Of this cluster of it; may be repeated.")
]
QueryIds = Annotated[list[int] | None, typer.Option("--query", help="This query; may be repeated.")]
Where = Annotated[
    str | None,
    typer.Option(metavar="CONDITION", help="Such as \"language = 'German' AND label IS NULL\"."),
]
Label = Annotated[str | None, typer.Option(help="Only results with this label.")]
Search = Annotated[str | None, typer.Option(metavar="WORDS", help="Words that occur in the query.")]
Current = Annotated[bool, typer.Option("--current", help="In the labels of the template's newest version.")]
Clustering = Annotated[
    str | None,
    typer.Option("--clustering", metavar="RUN_ID", help="The clustering run; else that of the filters."),
]


def add_to(group: typer.Typer) -> None:
    runs = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.add_typer(runs, name="runs", help="Classify many queries, and look at what came of it.")
    add(runs, create, "create")
    add(runs, list_runs, "list")
    add(runs, show, "show")
    add(runs, status, "status")
    add(runs, resume, "resume")
    add(runs, cancel, "cancel")
    add(runs, stats, "stats")
    add(runs, results, "results", context_settings=NEGATIVE_IDS)
    add(runs, pivot, "pivot")
    add(runs, export, "export")
    add(runs, ingest, "ingest")


def create(
    session: Session,
    template_id: Annotated[str, typer.Argument(metavar="TEMPLATE_ID", help="Whose labels are given.")],
    model: Annotated[str, typer.Option(help="provider/model; the default needs no key.")] = LOCAL,
    template_hash: Annotated[str | None, typer.Option(help="Of another version than the newest.")] = None,
    alias: Annotated[str | None, typer.Option(help="A name of your own for this run.")] = None,
    dataset: Dataset = None,
    run_id: Annotated[str | None, typer.Option(help="Members of this clustering run.")] = None,
    cluster_ids: ClusterIds = None,
    query_ids: QueryIds = None,
    where: Where = None,
    text: Search = None,
    label: Annotated[str | None, typer.Option(help="`label` in the metadata.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the conversation.")] = None,
    of_model: Annotated[str | None, typer.Option(help="Model that the conversation was with.")] = None,
    since: Annotated[str | None, typer.Option(help="From this RFC 3339 time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this RFC 3339 time.")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="So many of them, by chance.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of that chance.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many of them.")] = None,
    batch: Annotated[bool, typer.Option("--batch", help="In the provider's batches, within a day.")] = False,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    tokens: Tokens = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Give queries the labels of a template. Prints the run's id."""
    filters = {
        "dataset": dataset,
        "run_id": run_id,
        "cluster_ids": cluster_ids or None,
        "query_ids": query_ids or None,
        "sql_filter": where,
        "text": text,
        "label": label,
        "language": language,
        "model": of_model,
        "since": since,
        "until": until,
        "sample": sample,
        "seed": seed,
        "limit": limit,
    }
    body = {
        "template_id": template_id,
        "template_hash": template_hash,
        **named(model, LOCAL),
        "alias": alias,
        "filters": {name: value for name, value in filters.items() if value is not None},
        "execution": {"mode": "batch" if batch else "sync", **bounds(concurrency, rpm, tokens)},
    }
    started = session.client.post(PATH, body)
    _followed(session, started, wait and not batch, timeout)


def _followed(session: Session, started: Answer, wait: bool, timeout: float | None) -> None:
    follow(session, started, started["classification_run_id"], wait, timeout, _wait_for_run, _tell)


def _wait_for_run(client: Client, run_id: str, timeout: float | None) -> Answer:
    path = _path(run_id)
    client.wait(run_id, lambda: client.get(f"{path}/status"), timeout, f"lmsys classify runs status {run_id}")
    done = client.get(path)
    why, *queries = done.get("latest_errors") or [None]
    further = f"to go on with it: lmsys classify runs resume {run_id}"
    return completed(done, f"classification run {run_id}", why, details=[*queries[:ERRORS_SHOWN], further])


def _tell(done: Answer) -> None:
    labelled, failed = done["processed_queries"] - done["error_count"], done["error_count"]
    note(f"{labelled:,} queries labelled by {done['provider']}/{done['model']}")
    if failed:
        note(f"{failed:,} failed: lmsys classify runs show {done['classification_run_id']}")


def _path(run_id: str) -> str:
    return f"{PATH}/{quote(run_id, safe='')}"


def list_runs(
    session: Session,
    template_id: Annotated[str | None, typer.Option("--template", help="Runs by this template.")] = None,
    status: Annotated[str | None, typer.Option(help="pending, running, completed, ...")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Runs at most.")] = None,
) -> None:
    """List classification runs, newest first."""
    params = {"template_id": template_id, "status": status}
    answer = session.client.pages(PATH, limit, params)
    columns = ["classification_run_id", "template_id", "template_number", "provider", "model", "alias"]
    columns += ["status", "total_queries", "processed_queries", "error_count", "created_at"]
    session.table(answer, columns, [fields(one, columns) for one in answer["items"]])


def show(session: Session, run_id: RunId) -> None:
    """How a run was made, what it took, and its latest errors."""
    run = session.client.get(_path(run_id))
    hidden = ("labels", "latest_errors", "metrics", "filters", "execution", "parameters")
    about = {name: value for name, value in run.items() if name not in hidden}
    about |= {name: run["metrics"][name] for name in run["metrics"]}
    about |= {f"filters.{name}": value for name, value in run["filters"].items()}
    about |= {f"execution.{name}": value for name, value in run["execution"].items()}
    session.table(run, ["field", "value"], [[name, value] for name, value in about.items()])
    if not session.json:
        for error in run["latest_errors"] or []:
            note(one_line(error, 400))


def status(session: Session, run_id: RunId) -> None:
    """How far a run is."""
    answer = session.client.get(f"{_path(run_id)}/status")
    columns = ["run_id", "status", "processed", "total", "errors"]
    session.table(answer, columns, [fields(answer, columns)])


def resume(
    session: Session,
    run_id: RunId,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    tokens: Tokens = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Go on with a run that failed, was cancelled, or has errors. What has a label is not asked again."""
    body = {"execution": bounds(concurrency, rpm, tokens)}
    started = session.client.post(f"{_path(run_id)}/resume", body)
    _followed(session, started, wait and started["mode"] != "batch", timeout)


def cancel(session: Session, run_id: RunId) -> None:
    """Ask for no more. What is under way is still recorded."""
    answer = session.client.post(f"{_path(run_id)}/cancel")
    session.text(answer, answer["status"])


def stats(
    session: Session,
    run_id: RunId,
    truth: Annotated[
        str | None, typer.Option(help="Compare with `label` or `domain` of the metadata.")
    ] = None,
    current: Current = False,
) -> None:
    """How many queries got each label."""
    params = {"truth": truth, "vocabulary": "current" if current else None}
    answer = session.client.get(f"{_path(run_id)}/stats", params)
    total = answer["query_count"] or 1
    rows = [[label, many, round(many / total, 4)] for label, many in answer["label_distribution"].items()]
    session.table(answer, ["label", "queries", "share"], [list(row) for row in rows])
    if (found := answer.get("agreement")) and found["compared"]:
        same = f"{found['agreed']:,} of {found['compared']:,}"
        note(f"{same} as {found['truth']} in the metadata has them ({found['accuracy']:.1%})")


def results(
    session: Session,
    run_id: RunId,
    label: Label = None,
    cluster_id: Annotated[int | None, typer.Option("--cluster", help="Of this cluster.")] = None,
    clustering: Clustering = None,
    search: Search = None,
    failed: Annotated[bool, typer.Option("--failed", help="Queries that have an error instead.")] = False,
    current: Current = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Results at most.")] = None,
    as_of: AsOf = None,
) -> None:
    """List queries with their labels."""
    if cluster_id is not None:
        if label is not None or failed:
            raise typer.BadParameter("--cluster goes with neither --label nor --failed")
        path, params = f"{_path(run_id)}/clusters/{cluster_id}", {"search": search, "as_of": as_of}
        params["clustering_run_id"] = clustering
    else:
        path, params = f"{_path(run_id)}/results", {"label": label, "query": search}
        params["kind"] = "failed" if failed else None
    params["vocabulary"] = "current" if current else None
    answer = session.client.pages(path, limit or 50, params)
    columns = ["query_id", "error" if failed else "label", "confidence", "query"]
    rows = [
        [one["query"]["id"], one[columns[1]], one["confidence"], one_line(one["query"]["query_text"], 80)]
        for one in answer["items"]
    ]
    session.table(answer, columns, rows)
    if answer["total"] > len(rows):
        note(f"{len(rows):,} of {answer['total']:,}; --limit shows more")


def pivot(
    session: Session,
    run_id: RunId,
    clustering: Clustering = None,
    top: Annotated[int, typer.Option(min=1, help="Labels shown of each cluster.")] = 3,
    current: Current = False,
    as_of: AsOf = None,
) -> None:
    """Which labels the queries of each cluster got, the most frequent first."""
    params = {"clustering_run_id": clustering, "as_of": as_of}
    params["vocabulary"] = "current" if current else None
    answer = session.client.get(f"{_path(run_id)}/pivot", params)
    rows = [_pivot_row(one, top) for one in answer["clusters_to_labels"]]
    session.table(answer, ["cluster_id", "queries", "purity", "labels"], rows)
    if answer["outside"]:
        note(f"{answer['outside']:,} results are of queries that {answer['clustering_run_id']} does not have")


def _pivot_row(one: dict[str, Any], top: int) -> list[object]:
    counts = list(one["counts"].items())
    total = sum(many for _, many in counts)
    shown = ", ".join(f"{label} {many:,}" for label, many in counts[:top])
    return [one["cluster_id"], total, counts[0][1] / total, shown]


def export(
    session: Session,
    run_id: RunId,
    label: Annotated[str | None, typer.Option(help="Only those that were given this label.")] = None,
    search: Search = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that have an error instead.")] = False,
    file_format: FileFormat = "csv",
    output: Output = STREAM,
) -> None:
    """Write queries with their labels into a file. With --json and no file: where it can be fetched."""
    asked = {"format": file_format, "label": label, "query": search, "kind": "failed" if failed else None}
    write(session, session.client.get(f"{_path(run_id)}/export", asked, endless=True), output)


def ingest(
    session: Session,
    run_id: RunId,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A provider's output file below the server's import folder.")
    ],
) -> None:
    """Take results out of a provider's output file."""
    answer = session.client.post(f"{_path(run_id)}/ingest", {"output_path": path})
    session.text(answer, answer["data"]["ingest_id"])
