"""`lmsys summarize` and `lmsys summaries`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.client import Client, Failed
from cli.clustering import RunId
from cli.datasets import UseChroma
from cli.output import fields, note
from cli.session import Session, Timeout, Wait, add

LOCAL = "local/c-tf-idf"


def add_to(app: typer.Typer) -> None:
    add(app, summarize, "summarize", "summarise")
    add(app, summaries, "summaries")


def summarize(
    session: Session,
    run_id: RunId,
    model: Annotated[str, typer.Option(help="provider/model; the default needs no key.")] = LOCAL,
    alias: Annotated[str | None, typer.Option(help="A name of your own for this summary run.")] = None,
    summary_run_id: Annotated[
        str | None, typer.Option(help="Its id, if not one made of model and time.")
    ] = None,
    max_queries: Annotated[
        int | None, typer.Option(min=1, help="Queries of a cluster that are read.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Calls of the model at a time.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Calls of the model per minute at most.")] = None,
    use_chroma: UseChroma = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Give the clusters of a run titles and descriptions. Prints the summary run's id."""
    options = {
        "alias": alias,
        "summary_run_id": summary_run_id,
        "max_queries": max_queries,
        "concurrency": concurrency,
        "rpm": rpm,
        "use_chroma": use_chroma,
    }
    started = start_summary(session.client, run_id, model, options)
    found = started["data"]["summary_run_id"]
    if not wait:
        session.text(started, found)
        return
    done = wait_for_summary(session.client, found, timeout)
    session.text(done, found)
    note(f"clusters of {run_id} named by {done['model']}")


def start_summary(client: Client, run_id: str, model: str, options: dict[str, Any]) -> dict[str, Any]:
    provider, slash, name = model.partition("/")
    if not (provider and slash and name):
        raise typer.BadParameter(f"--model {model}: write provider/model, for example {LOCAL}")
    body = {"run_id": run_id, "provider": provider, "model": name, **options}
    return client.post("/api/summaries", body)


def wait_for_summary(client: Client, summary_run_id: str, timeout: float | None) -> dict[str, Any]:
    """The summary run when it has ended. Raises Failed when it has failed."""
    path = f"/api/summaries/{summary_run_id}"
    done = client.wait(summary_run_id, lambda: client.get(path), timeout, "lmsys summaries")
    if done["status"] == "failed":
        raise Failed(
            f"summary run {summary_run_id} failed: {done.get('error') or 'the server does not say why'}"
        )
    return done


def summaries(
    session: Session,
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="Summary runs of this clustering run.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Summary runs at most.")] = None,
) -> None:
    """List summary runs."""
    answer = session.client.pages("/api/summaries", limit, {"run_id": run_id})
    columns = ["summary_run_id", "run_id", "alias", "model", "status", "created_at"]
    session.table(answer, columns, [fields(item, columns) for item in answer["items"]])
