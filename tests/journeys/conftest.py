"""The real thing: `lmsys serve` in processes of its own, asked over HTTP and by the command line."""

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

import httpx
import pytest

PATIENCE_S = 90.0

TOPICS = {
    "refund": "I want a refund for order {n}, the {w} shoes arrived broken",
    "password": "how do I reset the password of my account {n} after the {w} update",
    "weather": "what will the weather be like in {w} on day {n} of the month",
    "recipe": "give me a recipe for {w} soup for {n} people with fresh tomatoes",
}
WORDS = ("red", "blue", "green", "quick", "warm", "cold", "small", "large")


def rows(count: int) -> list[dict[str, Any]]:
    """Conversations of four topics, in the row schema of LMSYS-chat-1M, labelled."""
    found = []
    for number in range(count):
        label, text = list(TOPICS.items())[number % len(TOPICS)]
        question = text.format(n=number, w=WORDS[number % len(WORDS)])
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": "Certainly."}]
        row = {"conversation_id": f"c{number}", "model": f"m{number % 2}", "conversation": turns}
        found.append({**row, "language": "English", "label": label})
    return found


def jsonl(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


class Server:
    """A running `lmsys serve` and two ways to talk to it."""

    def __init__(
        self, home: Path, port: int, process: subprocess.Popen[bytes], environment: dict[str, str]
    ) -> None:
        self.home = home
        self.process = process
        self.environment = environment
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`lmsys ARGUMENTS`, as a user of this server."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env={**self.environment, "LMSYS_API_URL": self.url},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def cli(self, *arguments: str) -> str:
        """What `lmsys ARGUMENTS` says on standard output; it must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def until(self, true: Callable[[], Any], what: str) -> Any:  # noqa: ANN401
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if found := true():
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {PATIENCE_S} s: {what}")

    def child(self, name: str) -> int:
        """The process id of the API or the worker."""
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            if Path(f"/proc/{pid}/cmdline").read_text().startswith(f"lmsys {name} "):
                return int(pid)
        raise AssertionError(f"there is no {name}")


@contextmanager
def serving(home: Path, **settings: str) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "LMSYS_HOME": str(home), "LMSYS_LOG_LEVEL": "WARNING", **settings}
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment)
    server = Server(home, port, process, environment)
    try:
        server.until(lambda: process.poll() is not None or _is_ready(server.http), "ready")
        assert process.poll() is None, "lmsys serve has ended"
        yield server
    finally:
        server.http.close()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all stories that do no harm to each other: each has a data set of its own."""
    with serving(tmp_path_factory.mktemp("journeys")) as server:
        yield server
