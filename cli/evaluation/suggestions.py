"""`lmsys evaluate suggest`, and what is done with a suggestion."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from cli.client import Answer
from cli.evaluation.runs import RunId, followed, path_of
from cli.language_models import Concurrency, Rpm, Tokens, bounds
from cli.output import fields, note, one_line, print_json, print_table
from cli.session import Session, Timeout, Wait
from cli.work import completed

SuggestionId = Annotated[
    str, typer.Argument(metavar="SUGGESTION", help="`lmsys evaluate suggestions` names them.")
]
PATH = "/api/evaluation/suggestions"
LOCAL = "local/confusion"


def suggest(
    session: Session,
    run_id: RunId,
    model: Annotated[str, typer.Option(help="provider/model; the default computes.")] = LOCAL,
    examples_per_label: Annotated[
        int | None, typer.Option(min=0, max=20, help="Cases that become examples; 0: none.")
    ] = None,
    pool: Annotated[str | None, typer.Option(help="The test set that examples are drawn from.")] = None,
    pool_version: Annotated[int | None, typer.Option(min=1, help="Else its newest.")] = None,
    timeout: Timeout = None,
) -> None:
    """Ask what would have done better than a run. Nothing changes before somebody adopts it."""
    body = {
        "model": model,
        "examples_per_label": examples_per_label,
        "pool": pool,
        "pool_version": pool_version,
    }
    started = session.client.post(f"{path_of(run_id)}/suggest", body)
    suggestion_id = started["suggestion_id"]

    def read() -> Answer:
        found = session.client.get(_path(suggestion_id))
        return {**found, "status": "completed"} if found["status"] == "draft" else found

    again = f"lmsys evaluate suggestion {suggestion_id}"
    done = session.client.wait(suggestion_id, read, timeout, again)
    completed(done, f"suggestion {suggestion_id}", done["error"])
    show_suggestion(session, suggestion_id)


def _path(suggestion_id: str) -> str:
    return f"{PATH}/{quote(suggestion_id, safe='')}"


def list_suggestions(
    session: Session,
    template_id: Annotated[str | None, typer.Option(help="For this template.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Suggestions at most.")] = None,
) -> None:
    """List suggestions, newest first."""
    answer = session.client.pages(PATH, limit, {"template_id": template_id})
    columns = ["suggestion_id", "status", "template_id", "template_number", "model", "evaluation_run_id"]
    session.table(answer, columns, [fields(one, columns) for one in answer["items"]])


def show_suggestion(session: Session, suggestion_id: SuggestionId) -> None:
    """A suggestion and its draft."""
    found = session.client.get(_path(suggestion_id))
    if session.json:
        print_json(found)
        return
    typer.echo(
        f"{suggestion_id}  {found['status']}, by {found['model']}, for {found['template_id']}"
        f" v{found['template_number']}"
    )
    typer.echo(one_line(found["analysis"] or found["error"] or "not there yet", 2_000))
    for words in found["suggestions"]:
        typer.echo(f"- {one_line(words, 500)}")
    if found["draft"]:
        _draft(found["draft"])
    if found["status"] == "draft":
        note(f"to try it: lmsys evaluate try {suggestion_id}")


def _draft(draft: Answer) -> None:
    changes = [[label, "description", words] for label, words in draft["descriptions"].items()]
    changes += [[one["label"], "example", one["text"]] for one in draft["examples"]]
    if draft["prompt"]:
        changes.append(["", "prompt", draft["prompt"]])
    if changes:
        print_table(["label", "what", "words"], changes)


def try_draft(
    session: Session,
    suggestion_id: SuggestionId,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    tokens: Tokens = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Evaluate the draft on the cases that it was made for."""
    path = f"{_path(suggestion_id)}/evaluate"
    followed(session, session.client.post(path, bounds(concurrency, rpm, tokens)), wait, timeout)


def adopt(
    session: Session,
    suggestion_id: SuggestionId,
    force: Annotated[bool, typer.Option("--force", help="Although it was not evaluated.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the decision.")] = None,
) -> None:
    """Make the draft the next version of its template."""
    path = f"{_path(suggestion_id)}/adopt"
    answer = session.client.post(path, {"force": force, "reason": reason})
    data = answer["data"]
    session.text(answer, f"{data['template_id']} has version {data['template_number']}")


def discard(
    session: Session,
    suggestion_id: SuggestionId,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the decision.")],
) -> None:
    """Decide against a suggestion. It stays to be read."""
    path = f"{_path(suggestion_id)}/discard"
    session.text(session.client.post(path, {"reason": reason}), f"{suggestion_id} is discarded")
