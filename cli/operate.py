"""`lmsys serve`, `api`, `worker` and `openapi`: the system itself."""

from __future__ import annotations

import signal
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import print_json
from cli.session import Session, add, ends_well

if TYPE_CHECKING:
    from adapters.settings import Settings


class Part(StrEnum):
    """What a worker does."""

    jobs = "jobs"
    read_models = "read-models"


GRACE_S = 20
"""How long requests under way, streams of events among them, may take to end."""

Host = Annotated[str | None, typer.Option(help="Address to listen on, in place of LMSYS_HOST.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, in place of LMSYS_PORT.")]
Home = Annotated[Path | None, typer.Option(help="Folder of all data, in place of LMSYS_HOME.")]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Let others reach the API although it asks for no key.")
]
Auth = Annotated[
    bool | None, typer.Option("--auth/--no-auth", help="Ask for API keys, in place of LMSYS_AUTH.")
]
Parent = Annotated[int | None, typer.Option(hidden=True)]


def add_to(app: typer.Typer) -> None:
    app.command("serve")(ends_well(serve))
    app.command("api")(ends_well(api))
    app.command("worker")(ends_well(worker))
    add(app, openapi, "openapi")


def serve(
    host: Host = None,
    port: Port = None,
    home: Home = None,
    auth: Auth = None,
    insecure: Insecure = False,
    parent: Parent = None,
) -> None:
    """Run all of it: the database, the API and a worker. Ends with Ctrl-C."""
    from cli.supervisor import Supervisor, end_with

    if parent:
        end_with(parent)
    Supervisor(chosen(host=host, port=port, home=home, auth=auth, insecure=insecure or None)).run()


def api(
    host: Host = None,
    port: Port = None,
    home: Home = None,
    auth: Auth = None,
    insecure: Insecure = False,
    parent: Parent = None,
) -> None:
    """Run the API alone."""
    from cli.supervisor import end_with, staying, wait_for_port

    with staying():
        import uvicorn

        from api.app import create_app
        from cli.logs import set_up

    if parent:
        end_with(parent)
    settings = chosen(host=host, port=port, home=home, auth=auth, insecure=insecure or None)
    set_up(settings)
    wait_for_port(settings, 0.0)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


def worker(
    home: Home = None,
    parent: Parent = None,
    only: Annotated[
        Part | None, typer.Option(help="Half of the work, for two processes to share it on two cores.")
    ] = None,
) -> None:
    """Run a worker: jobs, and the read models in the database. Any number of them may run."""
    from cli.supervisor import end_with, staying

    with staying():
        from adapters.bootstrap import open_container
        from adapters.read_models import READ_MODELS
        from cli.logs import set_up

    if parent:
        end_with(parent)
    settings = chosen(home=home)
    set_up(settings)
    with open_container(settings) as container:
        ended = threading.Event()
        if only is not Part.jobs:
            container.follow(*READ_MODELS, container.policies)
        running = container.worker() if only is not Part.read_models else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: running.stop() if running else ended.set())
        if running:
            running.run()
        else:
            ended.wait()


def openapi(session: Session) -> None:
    """Print the OpenAPI document of the API. Nothing is started."""
    from api.app import create_app

    print_json(create_app(session.settings).openapi())


def chosen(**given: Any) -> Settings:  # noqa: ANN401
    """The settings, with what was given by options."""
    from adapters.settings import read_settings

    return read_settings(**{name: value for name, value in given.items() if value is not None})
