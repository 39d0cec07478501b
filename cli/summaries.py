"""`lmsys summarize` and `lmsys summaries`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.client import Client
from cli.clustering import NEGATIVE_IDS
from cli.datasets import UseChroma
from cli.language_models import Concurrency, Rpm, named
from cli.output import fields, note, one_line
from cli.session import Session, Timeout, Wait, add
from cli.work import completed, follow

LOCAL = "local/c-tf-idf"


SummaryRunId = Annotated[
    str, typer.Argument(metavar="SUMMARY_RUN_ID", help="A summary run; `lmsys summaries` lists them.")
]

ReplaceEdited = Annotated[
    bool,
    typer.Option("--replace-edited", help="Also where people wrote a title; `lmsys edit undo` undoes it."),
]


def add_to(app: typer.Typer) -> None:
    add(app, summarize, "summarize", "summarise", context_settings=NEGATIVE_IDS)
    add(app, summaries, "summaries")
    add(app, show_summary, "show-summary")
    add(app, cancel_summary, "cancel-summary")


def summarize(
    session: Session,
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="A clustering run; `lmsys runs` lists them.")
    ] = None,
    model: Annotated[str, typer.Option(help="provider/model; the default needs no key.")] = LOCAL,
    alias: Annotated[str | None, typer.Option(help="A name of your own for this summary run.")] = None,
    summary_run_id: Annotated[
        str | None, typer.Option(help="Its id, if not one made of model and time.")
    ] = None,
    cluster_id: Annotated[int | None, typer.Option(help="Name this cluster alone.")] = None,
    max_queries: Annotated[
        int | None, typer.Option(min=1, help="Queries of a cluster that are read.")
    ] = None,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the random sample that a model sees.")] = None,
    show: Annotated[
        bool, typer.Option("--show/--no-show", help="Whether the titles become those that are shown.")
    ] = True,
    replace_edited: ReplaceEdited = False,
    resume: Annotated[
        str | None,
        typer.Option(metavar="SUMMARY_RUN_ID", help="In place of a RUN_ID: go on with what this one left."),
    ] = None,
    use_chroma: UseChroma = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Give the clusters of a run titles and descriptions. Prints the summary run's id."""
    if (run_id is None) == (resume is None):
        raise typer.BadParameter("give a RUN_ID or --resume SUMMARY_RUN_ID, one of them")
    options = {
        "alias": alias,
        "summary_run_id": summary_run_id,
        "cluster_id": cluster_id,
        "max_queries": max_queries,
        "concurrency": concurrency,
        "rpm": rpm,
        "seed": seed,
        "show": None if show else False,
        "replace_edited": replace_edited or None,
        "use_chroma": use_chroma,
    }
    if resume is not None:
        started = session.client.post(f"/api/summaries/{resume}/resume", {})
    else:
        started = start_summary(session.client, str(run_id), model, options)
    found = started["data"]["summary_run_id"]
    follow(session, started, found, wait, timeout, wait_for_summary, tell_summary)


def tell_summary(done: dict[str, Any]) -> None:
    """How it went, and what to do about clusters that have no name."""
    counts = {name: done.get(name) or 0 for name in ("summarised", "incoherent", "failed")}
    parts = [f"{counts['summarised']:,} clusters of {done['run_id']} named by {done['model']}"]
    parts += [f"{counts[name]:,} {name}" for name in ("incoherent", "failed") if counts[name]]
    usage = done.get("usage") or {}
    if usage.get("calls") or usage.get("cached"):
        tokens = usage["input_tokens"] + usage["output_tokens"]
        price = "at an unknown price" if usage["cost_usd"] is None else f"for ${usage['cost_usd']:.4f}"
        parts.append(f"{usage['calls']:,} calls, {usage['cached']:,} from memory, {tokens:,} tokens {price}")
    note("; ".join(parts))
    for one in done.get("failures") or []:
        note(f"cluster {one['cluster_id']}: {one_line(one['error'], 200)}")
    if counts["failed"]:
        note(f"lmsys summarize --resume {done['summary_run_id']} tries these again")


def show_summary(
    session: Session,
    summary_run_id: SummaryRunId,
    replace_edited: ReplaceEdited = False,
    reason: Annotated[str | None, typer.Option(help="Why, kept with the event.")] = None,
) -> None:
    """Show the titles of this summary run from now on, until another is shown or made."""
    body = {"replace_edited": replace_edited, "reason": reason}
    answer = session.client.post(f"/api/summaries/{summary_run_id}/show", body)
    session.text(answer, f"{answer['data']['run_id']} shows the titles of {summary_run_id}")


def cancel_summary(session: Session, summary_run_id: SummaryRunId) -> None:
    """Ask for no more names. What is there stays, and --resume goes on with it."""
    answer = session.client.post(f"/api/summaries/{summary_run_id}/cancel", {})
    session.text(answer, f"{summary_run_id} is cancelled")


def start_summary(client: Client, run_id: str, model: str, options: dict[str, Any]) -> dict[str, Any]:
    return client.post("/api/summaries", {"run_id": run_id, **named(model, LOCAL), **options})


def wait_for_summary(client: Client, summary_run_id: str, timeout: float | None) -> dict[str, Any]:
    """The summary run when it has ended. Raises Failed when it has failed or was cancelled."""
    path = f"/api/summaries/{summary_run_id}"
    done = client.wait(summary_run_id, lambda: client.get(path), timeout, "lmsys summaries")
    further = f"; --resume {summary_run_id} goes on with it" if done["status"] == "cancelled" else ""
    return completed(done, f"summary run {summary_run_id}", done.get("error"), further)


def summaries(
    session: Session,
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="Summary runs of this clustering run.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Summary runs at most.")] = None,
) -> None:
    """List summary runs."""
    answer = session.client.pages("/api/summaries", limit, {"run_id": run_id})
    columns = ["summary_run_id", "run_id", "alias", "model", "status"]
    columns += ["summarised", "incoherent", "failed"]
    rows = [
        fields(item, columns) + _took(item.get("usage")) + fields(item, ["created_at"])
        for item in answer["items"]
    ]
    session.table(answer, [*columns, "tokens", "cost_usd", "created_at"], rows)


def _took(usage: dict[str, Any] | None) -> list[str]:
    """Tokens and cost; "?" where a price is unknown."""
    if not usage:
        return ["", ""]
    tokens = usage["input_tokens"] + usage["output_tokens"]
    cost = usage["cost_usd"]
    return [f"{tokens:,}", "?" if cost is None else f"{cost:.4f}"]
