"""`lmsys extend` and `lmsys extensions`: a run brought up to date with what was loaded since."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import Answer, Client
from cli.clustering import RunId
from cli.curation.making import queries_in_words
from cli.output import fields, note
from cli.session import Session, Timeout, Wait, add
from cli.work import completed


def add_to(app: typer.Typer) -> None:
    add(app, extend, "extend")
    add(app, extensions, "extensions")


def extend(
    session: Session,
    run_id: RunId,
    confidence_floor: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="A query that is less sure becomes an orphan; 0 for none."),
    ] = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Assign what was loaded since to the clusters as they are now. Nothing that is there changes."""
    started = session.client.post(
        f"/api/clustering/runs/{run_id}/extend", {"confidence_floor": confidence_floor}
    )
    extension_id = started["extension_id"]
    if not wait:
        session.text(started, extension_id)
        return
    done = wait_for_extension(session.client, run_id, extension_id, timeout)
    session.text(done, f"{queries_in_words(done['added'])} added, {done['orphaned']:,} of them orphaned")
    if done["orphaned"]:
        note(f"to see these: lmsys edit orphaned {run_id}")


def wait_for_extension(client: Client, run_id: str, extension_id: str, timeout: float | None) -> Answer:
    """The extension when it has ended. Raises Failed when it has failed."""

    def read() -> Answer:
        answer = client.get(f"/api/clustering/runs/{run_id}/extensions")
        found: Answer = next(one for one in answer["extensions"] if one["extension_id"] == extension_id)
        return found

    done = client.wait(extension_id, read, timeout, f"lmsys extensions {run_id}")
    kept = f"{queries_in_words(done['added'])} had been added and stay; the next one goes on from there"
    return completed(done, f"the extension {extension_id} of run {run_id}", done["error"], details=[kept])


def extensions(session: Session, run_id: RunId) -> None:
    """List the extensions of a run, newest first."""
    answer = session.client.get(f"/api/clustering/runs/{run_id}/extensions")
    columns = ["extension_id", "status", "added", "orphaned", "confidence_floor", "requested_at", "error"]
    session.table(answer, columns, [fields(one, columns) for one in answer["extensions"]])
