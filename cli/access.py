"""`lmsys keys ...`: API keys, made by who has the machine and the database, never over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from cli.output import note
from cli.session import Session, add, login

Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose key: the author of what is done with it.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(
        group, name="keys", help="API keys; they work on the database directly, not through the API."
    )
    add(group, create, "create")
    add(group, list_keys, "list")
    add(group, revoke, "revoke")


def create(session: Session, name: Name) -> None:
    """Make a key. It is printed once and kept nowhere."""
    from commands.access import CreateKey, hash_key, new_key

    key = new_key()
    _handle(session, CreateKey(name=name, key_hash=hash_key(key)))
    session.text({"name": name, "key": key}, key)
    note(f"the key of {name}, shown this once; send it as X-API-Key, or set LMSYS_API_KEY")


def revoke(session: Session, name: Name) -> None:
    """Make a key worthless."""
    from commands.access import RevokeKey

    _handle(session, RevokeKey(name=name))
    session.text({"name": name, "revoked": True}, f"the key of {name} is revoked")


def list_keys(session: Session) -> None:
    """List the keys by name; the keys themselves are not known."""
    from adapters.bootstrap import open_container
    from projections.access import keys

    columns = ["name", "created_at", "revoked_at"]
    with open_container(session.settings) as container:
        container.catch_up("access")
        with container.database.engine.connect() as connection:
            found = connection.execute(keys.select().order_by(keys.c.name)).mappings().all()
    rows = [{name: _shown(row[name]) for name in columns} for row in found]
    session.table({"items": rows}, columns, [list(row.values()) for row in rows])


def _shown(value: Any) -> str | None:  # noqa: ANN401
    return value.isoformat() if isinstance(value, datetime) else value


def _handle(session: Session, command: object) -> None:
    """Decide, and show it to the API's processes without waiting for a worker to run."""
    from adapters.bootstrap import open_container
    from domain.base import Context, context

    token = context.set(Context(actor=session.actor or login()))
    try:
        with open_container(session.settings) as container:
            container.bus.handle(command)
            container.catch_up("access")
    finally:
        context.reset(token)
