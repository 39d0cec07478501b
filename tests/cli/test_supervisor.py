"""Processes that are kept running, and that end together, whatever ends first."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import cli.supervisor
from adapters.settings import Settings, read_settings
from cli.client import Failed
from cli.supervisor import (
    Child,
    Supervisor,
    hold_home,
    is_ready,
    served_at,
    this_program,
    url_of,
    wait_for_port,
)
from tests.cli.stand_in import Raw, served

ROOT = Path(__file__).parents[2]
SETTLE_S = 20.0

SLEEPS = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({path!r}, 'w'); time.sleep(600)"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(
        home=tmp_path / "home", port=free_port(), database_url="postgresql://nobody@127.0.0.1:1/none"
    )


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SETTLE_S
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- one at a time


def test_a_home_is_served_once(settings: Settings) -> None:
    with hold_home(settings) as after_a_crash:
        assert not after_a_crash
        assert served_at(settings.home) == url_of(settings)
        with (
            pytest.raises(Failed, match=f"served already, by process {os.getpid()} at http://127.0.0.1"),
            hold_home(settings),
        ):
            pass
    assert served_at(settings.home) is None
    with hold_home(settings) as after_a_crash:
        assert not after_a_crash


def test_a_supervisor_that_was_killed_is_known_of(settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / "serve.lock").write_text("4711 http://127.0.0.1:8000\n")
    assert served_at(settings.home) is None
    with hold_home(settings) as after_a_crash:
        assert after_a_crash


def test_a_supervisor_that_failed_was_not_killed(settings: Settings) -> None:
    with pytest.raises(RuntimeError), hold_home(settings):
        raise RuntimeError("the port is taken")
    with hold_home(settings) as after_a_crash:
        assert not after_a_crash


def test_a_home_that_was_never_served_is_not_served(tmp_path: Path) -> None:
    assert served_at(tmp_path) is None


def test_a_port_that_is_taken_is_said_so(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.port)):
        with pytest.raises(
            Failed, match=f"port {settings.port} of 127.0.0.1 is taken: choose another by --port"
        ):
            wait_for_port(settings, 0.0)
        with pytest.raises(Failed, match="taken"):
            Supervisor(settings).run()


def test_a_port_is_waited_for_after_a_crash(settings: Settings) -> None:
    server = socket.create_server(("127.0.0.1", settings.port))
    threading.Timer(0.3, server.close).start()
    wait_for_port(settings, 10.0)


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")]
)
def test_the_url_can_be_opened_from_here(host: str, url: str) -> None:
    assert url_of(read_settings(host=host, port=8123, auth=True)) == f"http://{url}:8123"


def test_ready_is_what_the_api_says(settings: Settings) -> None:
    assert not is_ready(settings)
    with served() as api:
        there = settings.model_copy(update={"port": int(api.url.rpartition(":")[2])})
        api.on("GET", "/readyz", Raw(status=503), {"status": "ok"})
        assert [is_ready(there), is_ready(there)] == [False, True]


# --- keeping them running


class Held(Supervisor):
    """The supervisor with other children, in a thread of the test."""

    def __init__(self, settings: Settings, *programs: str) -> None:
        super().__init__(settings)
        self._children = [
            Child(f"child {number}", partial(os.execv, sys.executable, [sys.executable, "-c", program]))
            for number, program in enumerate(programs)
        ]

    def __enter__(self) -> Held:
        self._thread = threading.Thread(target=self._keep, args=(None,))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._stop()

    def pid(self, number: int = 0) -> int:
        until(lambda: self._children[number].process)
        process = self._children[number].process
        assert process is not None
        assert process.pid is not None
        return process.pid


def test_a_child_that_dies_is_started_again(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with Held(settings, SLEEPS, SLEEPS) as held:
        first, other = held.pid(), held.pid(1)
        os.kill(first, signal.SIGKILL)
        until(lambda: held.pid() != first)
        second = held.pid()
        assert is_alive(second)
        assert held.pid(1) == other
    assert not is_alive(second)
    assert "child 0 has ended with status -9; it is started again" in capsys.readouterr().err


def test_a_child_that_always_dies_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.supervisor, "LONGEST_PAUSE_S", 0.0)
    monkeypatch.setattr(cli.supervisor, "TICK_S", 0.01)
    with pytest.raises(Failed, match="10 deaths within 60 s; the last was the child 0's: giving up"):
        Held(settings, "raise SystemExit(3)")._keep(None)


def test_a_child_that_does_not_listen_is_killed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli.supervisor, "GRACE_S", 0.3)
    ready = tmp_path / "ready"
    with Held(settings, STUBBORN.format(path=str(ready))) as held:
        pid = held.pid()
        until(ready.exists)
    assert not is_alive(pid)


def test_children_are_this_program_wherever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    done = subprocess.run(
        [*this_program(), "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Usage: lmsys" in done.stdout


PARENT = """
    import os, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
    print(child.pid, flush=True)
    time.sleep(600)
"""
CHILD = """
    import sys, time
    from cli.supervisor import end_with
    end_with(int(sys.argv[1]))
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A parent, and the pid of its child, which watches it."""
    words = [sys.executable, "-c", textwrap.dedent(PARENT), textwrap.dedent(CHILD)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "ready\n"
        yield parent, child
        parent.kill()


def test_a_child_ends_when_its_parent_was_killed(family: tuple[subprocess.Popen[str], int]) -> None:
    parent, child = family
    assert is_alive(child)
    parent.kill()
    until(lambda: not is_alive(child))
