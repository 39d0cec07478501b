"""`lmsys load`, `backfill`, `clear`, `datasets` and `jobs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from typer.core import TyperGroup

from cli.client import ApiError, Client, Failed
from cli.files import STREAM, upload
from cli.output import fields, note, one_line, print_json, print_table
from cli.session import Session, Timeout, Wait, add
from cli.work import completed

SHOWN_ERRORS = 10

Dataset = Annotated[str | None, typer.Option(help="Name of the data set here, `default` if none is given.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Rows at most.")]
HfDataset = Annotated[
    str | None,
    typer.Option(help="Without FILE: data set of the Hugging Face hub, if not lmsys/lmsys-chat-1m."),
]
ServerPath = Annotated[
    str | None,
    typer.Option("--path", help="Without FILE: a file or folder below the server's LMSYS_IMPORT_DIR."),
]
Streaming = Annotated[
    bool | None,
    typer.Option("--use-streaming/--no-use-streaming", help="Read the hub without a download."),
]
Format = Annotated[
    str | None, typer.Option("--format", help="jsonl, csv, ..., where name and content do not tell.")
]
TextColumn = Annotated[str | None, typer.Option(help="Column or field that holds the query.")]
SkipExisting = Annotated[
    bool | None,
    typer.Option("--skip-existing/--no-skip-existing", help="Pass over ids that are loaded already."),
]
UseChroma = Annotated[
    bool | None,
    typer.Option("--use-chroma/--no-use-chroma", help="Embed afterwards, for search and clustering."),
]
Provider = Annotated[str | None, typer.Option(help="Embedder, if another than the server's own.")]
Model = Annotated[str | None, typer.Option(help="Its model; `provider/model` in one works as well.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Texts per call of the embedder.")]


class Datasets(TyperGroup):
    """`lmsys datasets` means `lmsys datasets list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    add(app, load, "load")
    add(app, backfill, "backfill", "backfill-chroma")
    add(app, clear, "clear")
    group = typer.Typer(cls=Datasets, rich_markup_mode=None)
    app.add_typer(group, name="datasets", help="The data sets, and the erasing of conversations.")
    add(group, datasets, "list")
    add(group, erase, "erase")
    add(app, jobs, "jobs")


def load(
    session: Session,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A file to upload, `-` for stdin.")
    ] = None,
    dataset: Dataset = None,
    limit: Limit = None,
    hf_dataset: HfDataset = None,
    server_path: ServerPath = None,
    use_streaming: Streaming = None,
    file_format: Format = None,
    text_column: TextColumn = None,
    description: Annotated[str | None, typer.Option(help="What this upload is.")] = None,
    skip_existing: SkipExisting = None,
    use_chroma: UseChroma = None,
    embedding_provider: Provider = None,
    embedding_model: Model = None,
    embed_batch_size: BatchSize = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Load conversations: a file from here, a data set of the hub, or a file of the server.

    Rows that cannot be used are reported and left out. What was loaded is embedded afterwards.
    """
    if file is not None and (server_path or hf_dataset):
        raise typer.BadParameter("give FILE, --path or --hf-dataset, one of them")
    options = {
        "dataset": dataset,
        "limit": limit,
        "format": file_format,
        "text_column": text_column,
        "skip_existing": skip_existing,
        "use_chroma": use_chroma,
        "embedding_provider": embedding_provider,
        "embedding_model": embedding_model,
        "embed_batch_size": embed_batch_size,
    }
    if file is not None:
        job = upload_conversations(session.client, file, {**options, "description": description})
    else:
        source = {"path": server_path, "hf_dataset": hf_dataset, "use_streaming": use_streaming}
        job = session.client.post("/api/datasets/load", {**options, **source})
    if not wait:
        session.text(job, job["job_id"])
        return
    done = wait_for_load(session.client, job["job_id"], timeout, embeds=use_chroma is not False)
    tell_load(session, done)


def upload_conversations(client: Client, file: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The job that loads them."""
    return upload(client, "/api/datasets/upload", file, options)


def wait_for_load(client: Client, job_id: str, timeout: float | None, *, embeds: bool) -> dict[str, Any]:
    """The load when it has ended, and under `embedding` the job that followed it, if any did."""
    done = wait_for_job(client, job_id, "load", timeout)
    follower = f"{job_id}-embed"
    follows = embeds and done["status"] == "completed" and _is_there(client, follower)
    return {**done, "embedding": wait_for_job(client, follower, "embedding", timeout) if follows else None}


def _is_there(client: Client, job_id: str) -> bool:
    """A load and the embedding that follows it are recorded in one step: it shows now or never."""
    try:
        find_job(client, job_id)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


def wait_for_job(client: Client, job_id: str, label: str, timeout: float | None) -> dict[str, Any]:
    again = f"lmsys jobs {job_id} --wait"
    return client.wait(label, lambda: find_job(client, job_id), timeout, again)


def find_job(client: Client, job_id: str) -> dict[str, Any]:
    """Raises ApiError (404) where there is no such job."""
    answer = client.get("/api/datasets/status", {"job_id": job_id})
    found = [*answer["active_jobs"], answer["last_completed_job"]]
    job = next((one for one in found if one and one["job_id"] == job_id), None)
    if job is None:
        raise ApiError(404, f"there is no job {job_id!r}", [])
    return dict(job)


def backfill(
    session: Session,
    dataset: Dataset = None,
    provider: Annotated[
        str | None, typer.Option("--provider", "--embedding-provider", help="Embedder.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "--embedding-model", help="Its model.")] = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Embed the queries of a data set that have no vector yet."""
    params = {"dataset": dataset, "provider": provider, "model": model}
    job = session.client.post("/api/datasets/backfill-chroma", params=params)
    if not wait:
        session.text(job, job["job_id"])
        return
    done = wait_for_job(session.client, job["job_id"], "embedding", timeout)
    session.text(done, f"{done['processed'] or 0:,} queries embedded")
    _check(done)


def clear(
    session: Session,
    dataset: Dataset = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take a data set and its clustering runs out of sight. The log keeps what happened."""
    first = session.client.delete("/api/datasets", {"dataset": dataset})
    data = first["data"]
    name = data.get("dataset") or dataset or "default"
    if not yes:
        note(first.get("message") or f"This clears data set {name!r}.")
        note("Type its name to go on:")
        if sys.stdin.readline().strip() != name:
            raise Failed(f"that is not {name!r}; nothing was cleared")
    done = session.client.delete(
        "/api/datasets", {"dataset": dataset, "confirm_token": data["confirm_token"]}
    )
    session.text(done, done.get("message") or f"data set {name!r} is cleared")


def datasets(session: Session) -> None:
    """List the data sets."""
    answer = session.client.pages("/api/datasets", None)
    columns = ["name", "queries", "created_at", "updated_at"]
    session.table(answer, columns, [fields(item, columns) for item in answer["items"]])


def erase(
    session: Session,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of the data set.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the event that stays.")],
    conversation_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[CONVERSATION_ID]...", help="What to erase.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="More ids, one a line; `-` for stdin, with --yes.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase conversations for good: what was said and its vectors. The log keeps their ids and the reason."""
    wanted = [*(conversation_ids or []), *(_lines(file, yes) if file else [])]
    if not wanted:
        raise typer.BadParameter("name a conversation, or give --file")
    if not yes:
        note(f"This erases {len(wanted):,} conversations of {dataset!r} for good.")
        note("Type the name of the data set to go on:")
        if sys.stdin.readline().strip() != dataset:
            raise Failed(f"that is not {dataset!r}; nothing was erased")
    erased: list[dict[str, Any]] = []
    failed: list[str] = []
    for conversation_id in wanted:
        path = f"/api/datasets/{quote(dataset, safe='')}/conversations/{quote(conversation_id, safe='')}"
        try:
            erased.append(session.client.delete(path, {}, {"reason": reason}))
        except ApiError as error:
            if error.status not in (404, 422):
                raise
            failed.append(error.message)
    columns = ["conversation_id", "query_ids", "also_held_by", "complete"]
    rows = [
        [one["conversation_id"], ", ".join(map(str, one["query_ids"])), *fields(one, columns[2:])]
        for one in erased
    ]
    session.table({"items": erased, "failed": failed}, columns, rows)
    if failed:
        raise Failed(f"{len(failed):,} of {len(wanted):,} were not erased", failed[:SHOWN_ERRORS])


def _lines(file: Path, yes: bool) -> list[str]:
    """The ids in a file; blank lines say nothing."""
    if file == STREAM:
        if not yes:
            raise typer.BadParameter("ids on stdin leave no way to ask: give --yes")
        text = sys.stdin.read()
    elif file.is_file():
        text = file.read_text()
    else:
        raise typer.BadParameter(f"there is no file {file}")
    return [line.strip() for line in text.splitlines() if line.strip()]


def jobs(
    session: Session,
    job_id: Annotated[
        str | None, typer.Argument(metavar="JOB_ID", help="One job; else those that run, and the last.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = False,
    timeout: Timeout = None,
) -> None:
    """How loads and embeddings are getting on."""
    if job_id is not None and wait:
        find_job(session.client, job_id)
        done = wait_for_job(session.client, job_id, job_id, timeout)
        tell_load(session, {**done, "embedding": None})
        return
    answer = session.client.get("/api/datasets/status", {"job_id": job_id})
    found = [
        *answer["active_jobs"],
        *([answer["last_completed_job"]] if answer["last_completed_job"] else []),
    ]
    if session.json:
        print_json(answer)
        return
    columns = [
        "job_id",
        "job_type",
        "dataset",
        "status",
        "processed",
        "total",
        "imported",
        "skipped",
        "rejected",
    ]
    print_table([*columns, "error"], [fields(job, [*columns, "error"]) for job in found])


def tell_load(session: Session, job: dict[str, Any]) -> None:
    rate = f" ({job['rate']:,.0f} rows/s)" if job.get("rate") else ""
    counts = ", ".join(f"{job.get(name) or 0:,} {name}" for name in ("imported", "skipped", "rejected"))
    session.text(job, f"{job['processed'] or 0:,} rows read{rate}: {counts}")
    errors = job.get("errors") or []
    shown = errors if len(errors) <= SHOWN_ERRORS else [*errors[: SHOWN_ERRORS - 1], errors[-1]]
    for error in shown:  # the last one says where a file broke off
        note(f"  {one_line(error, 300)}")
    more = (job.get("rejected") or 0) - len(shown)
    if more > 0:
        note(f"  and {more:,} more")
    if job.get("rejected"):
        note(f"{job['rejected']:,} rows were left out")
    _check(job)
    if job["embedding"]:
        note(f"{job['embedding']['processed'] or 0:,} queries embedded")
        _check(job["embedding"])


def _check(job: dict[str, Any]) -> None:
    completed(job, f"job {job['job_id']}", job.get("error"))
