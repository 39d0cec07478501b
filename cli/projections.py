"""`lmsys projections ...` and `lmsys events`: the log, and the read models made of it."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from cli.client import ApiError, Client, Failed, Params
from cli.output import fields, note, one_line, print_json, print_json_line, print_table
from cli.session import Session, add

Name = Annotated[str | None, typer.Argument(metavar="NAME", help="A read model.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]

RECONNECT_S = 1.0


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(
        group, name="projections", help="The read models: how far they are, made anew, held to the log."
    )
    add(group, status, "status")
    add(group, rebuild, "rebuild")
    add(group, verify, "verify")
    add(app, events, "events")


def status(session: Session) -> None:
    """How far each read model has come in the log, and what it had to set aside."""
    answer = session.client.get("/api/projections")
    columns = ["name", "position", "lag", "lag_seconds", "parked"]
    session.table(answer, columns, [fields(item, columns) for item in answer["items"]])
    for event in answer["parked"]:
        note(one_line(f"parked: {json.dumps(event, ensure_ascii=False)}", 500))


def rebuild(session: Session, name: Name = None, everything: All = False) -> None:
    """Make a read model anew from the log, beside the live one, and swap it in."""
    answer = rebuild_of(session.client, _which(name, everything))
    columns = ["name", "position", "seconds"]
    session.table(answer, columns, [fields(one, columns) for one in answer["rebuilt"]])


def rebuild_of(client: Client, name: str) -> dict[str, Any]:
    return client.post(f"/api/projections/{name}/rebuild", endless=True)


def verify(session: Session, name: Name = None, everything: All = False) -> None:
    """Make a read model anew and compare it with the live one, row by row. Status 1 if anything differs."""
    answer = verification_of(session.client, _which(name, everything))
    columns = ["name", "position", "equal"]
    session.table(answer, columns, [fields(one, columns) for one in answer["verified"]])
    for difference in differences(answer):
        note(one_line(difference, 2_000))
    if not answer["equal"]:
        raise typer.Exit(1)


def verification_of(client: Client, name: str) -> dict[str, Any]:
    return client.post(f"/api/projections/{name}/verify", endless=True)


def differences(answer: dict[str, Any]) -> list[str]:
    """A line for each table or collection that is not what the log says."""
    found = [one for verified in answer["verified"] for one in verified["differences"]]
    return [
        f"{one['projection']}.{one['table']}: {one['rows']} differ, such as "
        f"{json.dumps(one['shown'][:3], ensure_ascii=False)}"
        for one in found
    ]


def _which(name: str | None, everything: bool) -> str:
    if (name is None) == (not everything):
        raise typer.BadParameter("give the name of a read model or --all, one of them")
    return name or "all"


def events(
    session: Session,
    stream: Annotated[
        str | None, typer.Option(help="Events of this aggregate: `clustering/kmeans-...`.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Events of this type.")] = None,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Events that this actor caused.")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    correlation_id: Annotated[str | None, typer.Option(help="Events of this chain of causes.")] = None,
    after: Annotated[int | None, typer.Option(metavar="POSITION", min=0, help="After this position.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Events at most.")] = 50,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as they happen, one line of JSON each.")
    ] = False,
) -> None:
    """The log itself. To follow it begins now, or behind --after."""
    filters = {
        "stream": stream,
        "type": kind,
        "actor": actor,
        "since": since,
        "until": until,
        "correlation_id": correlation_id,
    }
    if follow:
        _follow(session.client, after, filters)
        return
    order = "desc" if newest else None
    answer = session.client.get("/api/events", {"after": after, "limit": limit, "order": order, **filters})
    if session.json:
        print_json(answer)
        return
    columns = ["position", "recorded_at", "type", "stream", "actor", "reason"]
    print_table(columns, [fields(item, columns) for item in answer["items"]])


def _follow(client: Client, after: int | None, filters: Params) -> None:
    """Until it is interrupted: a connection that ends is made again, from the last event that came."""
    head = client.get("/api/events", {"limit": 1})["head"]
    last, said = str(head if after is None else after), False
    while True:
        try:
            for event_id, data in client.server_sent("/api/events", last, filters):
                last, said = event_id or last, False
                print_json_line(json.loads(data))
        except Failed as error:
            if isinstance(error, ApiError) and error.status < 500:
                raise
            if not said:
                note(f"{error.message}; trying again")
            said = True
        except KeyboardInterrupt:
            return
        time.sleep(RECONNECT_S)
