"""What every command shares: its options, the client, where data goes, and with which status it ends."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.client import Client, Failed
from cli.output import note, one_line, print_json, print_table

if TYPE_CHECKING:
    from adapters.settings import Settings

SHOWN_DETAILS = 50
"""Of what an error lists."""

Json = Annotated[bool, typer.Option("--json", help="Print the data as JSON.")]
ApiUrl = Annotated[
    str | None,
    typer.Option("--api-url", metavar="URL", help="Where the API is; LMSYS_API_URL sets it as well."),
]
Actor = Annotated[
    str | None,
    typer.Option(
        "--actor", metavar="NAME", help="Who is named as the author of changes; you, by your login."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what is asked of the API.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the work is done.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0, help="Wait no longer than this; the work goes on."),
]


@dataclass
class Session:
    """One call of `lmsys`. Settings are read and the client is made when first needed."""

    json: bool = False
    api_url: str | None = None
    actor: str | None = None
    verbose: bool = False

    @cached_property
    def settings(self) -> Settings:
        from adapters.settings import read_settings

        return read_settings(**({"api_url": self.api_url} if self.api_url else {}))

    @cached_property
    def client(self) -> Client:
        key = self.settings.api_key
        return Client(
            self.settings.api_url,
            actor=self.actor or login(),
            key=key.get_secret_value() if key else None,
            verbose=self.verbose,
        )

    def close(self) -> None:
        if "client" in vars(self):
            self.client.close()

    def table(self, answer: Any, columns: list[str], rows: list[list[Any]]) -> None:  # noqa: ANN401
        """The answer as JSON, or these rows."""
        print_json(answer) if self.json else print_table(columns, rows)

    def text(self, answer: Any, text: str) -> None:  # noqa: ANN401
        """The answer as JSON, or this text."""
        print_json(answer) if self.json else typer.echo(text)


def login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "anonymous"


def shared(
    ctx: typer.Context,
    json: Json = False,
    api_url: ApiUrl = None,
    actor: Actor = None,
    verbose: Verbose = False,
) -> Session:
    """Of the options before the command's name (`ctx.obj`) and of those behind it, which win."""
    before = ctx.obj if isinstance(ctx.obj, Session) else Session()
    return Session(
        json or before.json, api_url or before.api_url, actor or before.actor, verbose or before.verbose
    )


def add(app: typer.Typer, function: Callable[..., None], *names: str, **how: Any) -> None:  # noqa: ANN401
    """A command of a function whose first parameter is the session; further names are hidden aliases."""
    called = _with_session(ends_well(function))
    for name in names:
        app.command(name, hidden=name != names[0], **how)(called)


def ends_well(function: Callable[..., None]) -> Callable[..., None]:
    """What is foreseen ends with a message on stderr: status 2 for wrong usage, 1 for anything else."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        from domain.errors import DomainError, Invalid

        try:
            function(*args, **kwargs)
        except Failed as error:
            raise typer.Exit(_said(error.message, error.details, 1)) from error
        except DomainError as error:
            raise typer.Exit(_said(error.message, [], 2 if isinstance(error, Invalid) else 1)) from error

    return guarded


def _said(message: str, details: list[str], status: int) -> int:
    note(f"lmsys: {one_line(message, 2_000)}")
    for detail in details[:SHOWN_DETAILS]:
        note(f"  {one_line(detail, 1_000)}")
    if len(details) > SHOWN_DETAILS:
        note(f"  and {len(details) - SHOWN_DETAILS:,} more")
    return status


def _with_session(function: Callable[..., None]) -> Callable[..., None]:
    """The function with the shared options as parameters of its own, as Typer reads them off a signature."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    taken = {parameter.name for parameter in own}
    common = [
        parameter
        for parameter in inspect.signature(shared, eval_str=True).parameters.values()
        if parameter.name not in taken
    ]
    names = [parameter.name for parameter in common]

    @functools.wraps(function)
    def called(**values: Any) -> None:  # noqa: ANN401
        session = shared(**{name: values.pop(name) for name in names})
        try:
            function(session, **values)
        finally:
            session.close()

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *common)]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called
