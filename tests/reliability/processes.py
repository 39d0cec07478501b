"""Processes of their own, which a test starts and kills."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


class Process:
    """`python -m MODULE ARGUMENTS`, to which lines can be said, and which says lines."""

    def __init__(self, module: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def say(self, line: str) -> None:
        assert self._popen.stdin is not None
        print(line, file=self._popen.stdin, flush=True)

    def tell_all(self, text: str) -> None:
        """The whole of its input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(text)
        self._popen.stdin.close()
        self._popen.stdin = None

    def hear(self) -> str:
        """The next line; an empty one when the process has ended."""
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().strip()

    def kill(self) -> None:
        self._popen.kill()
        self._popen.communicate()

    def end(self) -> tuple[int, str, str]:
        """Nothing more is said to it; its status, what else it said, and what it wrote to stderr."""
        said, errors = self._popen.communicate(timeout=PATIENCE_S)
        return self._popen.returncode, said, errors


@contextmanager
def process(module: str, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Process]:
    """Killed at the end, where it has not ended by itself."""
    started = Process(module, *arguments, environment=environment)
    try:
        yield started
    finally:
        started.kill()


class Nursery:
    """Starts processes without their imports (tests/reliability/nursery.py). They end with it."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._hear() == "ready"
        self._living: set[int] = set()

    def _hear(self) -> str:
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().strip()

    def start(self, module: str, *arguments: str, **environment: str) -> int:
        """`main()` of the module with these arguments; its process id."""
        assert self._popen.stdin is not None
        told = {"module": module, "arguments": arguments, "environment": environment}
        print(json.dumps(told), file=self._popen.stdin, flush=True)
        pid = int(self._hear())
        self._living.add(pid)
        return pid

    def run(self, module: str, *arguments: str) -> None:
        """The same for one that ends by itself."""
        pid = self.start(module, *arguments)
        until(lambda: not Path(f"/proc/{pid}").exists(), f"{module} has ended", pause_s=0.002)
        self._living.discard(pid)

    def kill(self, pid: int) -> None:
        """By -9; returns when it is gone. Raises ProcessLookupError for one that had ended by itself."""
        self._living.discard(pid)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists(), "killed", pause_s=0.002)

    def close(self) -> None:
        for pid in list(self._living):
            self.kill(pid)
        self._popen.communicate()


def until(true: Callable[[], Any], what: str, pause_s: float = 0.02, patience_s: float = PATIENCE_S) -> Any:  # noqa: ANN401
    deadline = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {patience_s} s: {what}"
        time.sleep(pause_s)
    return found


def ask(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement, values or None).fetchall()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
