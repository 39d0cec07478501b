"""A disk that can be filled: a small file system where one may be mounted, else files that may not grow."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from tests.reliability.processes import Nursery

SIZE = "400m"
"""Room for an empty installation (60 MB) and the write-ahead log of a test."""


class Disk(Protocol):
    def fill(self) -> None: ...

    def free(self) -> None: ...


class SmallDisk:
    """A tmpfs: when it is full, the kernel says ENOSPC to whoever writes."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self) -> None:
        with self._filler.open("wb", buffering=0) as file:
            for size in (2**20, 2**12):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        continue

    def free(self) -> None:
        self._filler.unlink()


class NoMoreFiles:
    """Postgres and who starts it may write to no file (RLIMIT_FSIZE), where nothing can be mounted.

    They are told EFBIG, which Postgres takes at its write-ahead log as it takes ENOSPC.
    """

    def __init__(self, processes: Callable[[], list[int]], nursery: Nursery) -> None:
        self._processes = processes
        self._nursery = nursery

    def fill(self) -> None:
        self._allow("0")

    def free(self) -> None:
        self._allow("-1")

    def _allow(self, size: str) -> None:
        for _ in range(2):  # some may be starting others
            for pid in self._processes():
                self._nursery.run("tests.reliability.limiting", str(pid), size)


@contextmanager
def small_file_system(folder: Path) -> Iterator[bool]:
    """Whether one could be mounted there."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [one for child in task.read_text().split() for one in family(int(child))]
    return found
