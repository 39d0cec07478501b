"""`lmsys serve` from the inside: one process that keeps Postgres, an API and a worker running."""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from multiprocessing.process import BaseProcess
from pathlib import Path

from setproctitle import setproctitle

from adapters.postgres import Embedded, start_embedded
from adapters.settings import Settings
from cli.client import Failed
from cli.output import note
from domain.errors import Unavailable

GRACE_S = 25.0
"""Between the signal to end and the one that cannot be refused."""

DEATHS = 10
DEATHS_WITHIN_S = 60.0
LONGEST_PAUSE_S = 3.0
TICK_S = 0.2
POSTGRES_EVERY_S = 1.0
PORT_PATIENCE_S = 30.0
"""How long the API of a supervisor that was killed may take to notice, and to leave the port."""

PROCESSES = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
"""A fork has imported everything already: it starts in no time. Elsewhere, libraries do not bear it."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class Child:
    name: str
    run: Callable[[], object]
    process: BaseProcess | None = None
    not_before: float = 0.0

    def start(self) -> None:
        """No signal may reach it before it has taken off the handlers of the supervisor."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process = PROCESSES.Process(target=_alone, args=[self.run], name=self.name)  # type: ignore[attr-defined]
            process.start()
            self.process = process
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _alone(run: Callable[[], object]) -> None:
    """`run` in a child that has nothing of the supervisor's but what was imported."""
    if PROCESSES.get_start_method() == "fork":
        for inherited in map(int, os.listdir("/proc/self/fd")):
            if inherited > 2:  # above all, what holds the home
                with suppress(OSError):
                    os.close(inherited)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    run()


def run_part(arguments: list[str]) -> None:
    """`lmsys ARGUMENTS`, and named so where processes are listed."""
    setproctitle(" ".join(["lmsys", *arguments]))
    from cli.main import app

    app(arguments, prog_name="lmsys")


@contextmanager
def staying() -> Iterator[None]:
    """What is imported stays for good: the collector need not look through it, neither now nor ever after."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Supervisor:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        parent = ["--home", str(settings.home), "--parent", str(os.getpid())]
        listen = ["--host", settings.host, "--port", str(settings.port)]
        listen += ["--auth" if settings.auth else "--no-auth", *(["--insecure"] if settings.insecure else [])]
        self._children = [
            Child("api", partial(run_part, ["api", *listen, *parent])),
            Child("worker", partial(run_part, ["worker", "--only", "jobs", *parent])),
            Child("projector", partial(run_part, ["worker", "--only", "read-models", *parent])),
        ]

    def run(self) -> None:
        """Until a signal says stop. Raises Failed when home or port are taken, or too much dies."""
        with hold_home(self._settings) as after_a_crash:
            wait_for_port(self._settings, PORT_PATIENCE_S if after_a_crash else 0.0)
            for number in SIGNALS:
                signal.signal(number, lambda *_: self._stopping.set())
            postgres = None if self._settings.database_url else start_embedded(self._settings.home)
            try:
                import_all()
                self._keep(postgres)
            finally:
                self._stop()
                if postgres:
                    postgres.stop()

    def _keep(self, postgres: Embedded | None) -> None:
        ready, looked = False, time.monotonic()
        while not self._stopping.wait(TICK_S):
            for child in self._children:
                self._keep_child(child)
            if not ready and is_ready(self._settings):
                ready = True
                note(f"lmsys: ready at {url_of(self._settings)}")
            if postgres and time.monotonic() - looked > POSTGRES_EVERY_S:
                looked = time.monotonic()
                _keep_postgres(postgres)

    def _keep_child(self, child: Child) -> None:
        now = time.monotonic()
        if child.process and (status := child.process.exitcode) is not None:
            child.process = None
            self._deaths.append(now)
            recent = sum(now - death < DEATHS_WITHIN_S for death in self._deaths)
            if recent >= DEATHS:
                often = f"{recent} deaths within {DEATHS_WITHIN_S:g} s"
                raise Failed(f"{often}; the last was the {child.name}'s: giving up")
            child.not_before = now + min(0.1 * 2**recent, LONGEST_PAUSE_S)
            note(f"lmsys: the {child.name} has ended with status {status}; it is started again")
        if child.process is None and now >= child.not_before:
            child.start()

    def _stop(self) -> None:
        """Ask all to end at once, and insist when they have had their time."""
        running = [child.process for child in self._children if child.process]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE_S
        for process in running:
            while process.exitcode is None and time.monotonic() < deadline:
                time.sleep(0.05)
            process.kill()
            process.join()


def import_all() -> None:
    """What the children need, once for them all."""
    if PROCESSES.get_start_method() == "fork":
        with staying():
            import uvicorn  # noqa: F401

            import api.app  # noqa: F401


def this_program() -> list[str]:
    """`lmsys` as a child of this process, with the same code, whatever lies in the present folder."""
    root = str(Path(__file__).resolve().parents[1])
    code = f"import sys; sys.path.insert(0, {root!r}); from cli.main import main; main()"
    return [sys.executable, "-P", "-c", code]


def end_with(parent: int) -> None:
    """End in good order when the supervisor is gone: killed by -9 it tells nobody."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextmanager
def hold_home(settings: Settings) -> Iterator[bool]:
    """One supervisor for a home. Yields whether the one before was killed."""
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open(settings.home / "serve.lock", "a+")  # noqa: SIM115  (open for as long as we run)
    except OSError as error:
        raise Unavailable(f"{settings.home} cannot be used: {error.strerror}; set LMSYS_HOME") from error
    with lock:
        lock.seek(0)
        before = lock.read().split()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = f"process {before[0]} at {before[1]}" if len(before) == 2 else "another process"
            raise Failed(f"{settings.home} is served already, by {who}") from None
        _write(lock.fileno(), f"{os.getpid()} {url_of(settings)}\n")
        try:
            yield bool(before)
        finally:
            _write(lock.fileno(), "")


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.write(descriptor, text.encode())


def served_at(home: Path) -> str | None:
    """The URL at which this home is served now, None if it is not."""
    try:
        lock = open(home / "serve.lock")  # noqa: SIM115  (closed below)
    except FileNotFoundError:
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            words = lock.read().split()
            return words[1] if len(words) == 2 else None
    return None


def wait_for_port(settings: Settings, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not is_free(settings.host, settings.port):
        if time.monotonic() > deadline:
            raise Failed(f"port {settings.port} of {settings.host} is taken: choose another by --port")
        time.sleep(TICK_S)


def is_free(host: str, port: int) -> bool:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise Failed(f"{host} is no address of this machine: {error}") from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


def url_of(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def is_ready(settings: Settings) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = HTTPConnection(host, settings.port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _keep_postgres(postgres: Embedded) -> None:
    try:
        if postgres.ensure_running():
            note("lmsys: the embedded Postgres had ended; it was started again")
    except Unavailable as error:
        note(f"lmsys: {error.message}")
