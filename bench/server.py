"""The server that is measured, in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from adapters.postgres import start_embedded


@dataclass
class Server:
    client: httpx.Client
    database_url: str
    pid: int

    def peak_memory_mb(self) -> dict[str, int]:
        """The most that each process has held (VmHWM), by what it is."""
        peaks: dict[str, int] = {}
        for process in _descendants(self.pid):
            command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found = re.search(r"^lmsys (api|worker --only \S+) ", command)
            if found:
                status = Path(f"/proc/{process}/status").read_text()
                peaks[found[1]] = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024  # type: ignore[index]
        return peaks

    def timed_post(self, path: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Seconds until the answer, and the answer."""
        begun = time.perf_counter()
        answer: dict[str, Any] = self.client.post(path, json=body).raise_for_status().json()
        return round(time.perf_counter() - begun, 2), answer

    def wait_for_read_models(self) -> None:
        wait_until(
            lambda: all(one["lag"] == 0 for one in self.client.get("/api/projections").json()["items"]), 3600
        )


@contextmanager
def running(home: Path, **settings: str) -> Iterator[Server]:
    port = free_port()
    environment = {**os.environ, "LMSYS_HOME": str(home), "LMSYS_LOG_LEVEL": "WARNING", **settings}
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=3600) as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, 180)
            embedded = start_embedded(home)
            yield Server(client, embedded.url, process.pid)
            embedded.stop()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.1)


def percentiles(call: Callable[[int], object], times: int) -> dict[str, float]:
    """Milliseconds at the median and the 95th percentile; ten calls go before, uncounted."""
    for number in range(10):
        call(number)
    took = []
    for number in range(times):
        begun = time.perf_counter()
        call(number)
        took.append((time.perf_counter() - begun) * 1000)
    return {"p50": round(statistics.median(took), 2), "p95": round(statistics.quantiles(took, n=20)[18], 2)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _descendants(int(child)))]
