"""Files of the embedded index: replaced whole or not at all, measured, swept."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path


def replace(path: Path, content: Mapping[str, str | int]) -> None:
    """Write JSON so that after a power cut there is the old file or the new one, never half of one."""
    fresh = path.with_name(path.name + ".tmp")
    with fresh.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync(path.parent)


def sync(path: str | Path) -> None:
    """Make a file's bytes, or a folder's renames and removals, outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: str | Path) -> None:
    for path, _, names in os.walk(folder):
        for name in names:
            sync(os.path.join(path, name))
        sync(path)


def read_ahead(folder: Path) -> None:
    """Ask the kernel for all of it in order, which returns at once; mapped pages would be read one by one."""
    if sys.platform == "linux":
        for path, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(path, name), "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def sweep(folder: Path, keep: Collection[str]) -> None:
    """Remove what a killed process left half-made."""
    for entry in folder.iterdir():
        if entry.name not in keep:
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()


def bytes_on_disk(folder: Path) -> int:
    """Blocks in use: the engine's files are sparse. A file that goes away while this looks counts nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
