"""Uploads on disk until they are loaded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

CHUNK = 1024 * 1024


def keep_upload(file: BinaryIO, path: Path) -> str:
    """Copy the file to `path`, durably; returns its SHA-256 (hex)."""
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    sha256 = hashlib.sha256()
    with NamedTemporaryFile(dir=folder, delete=False) as kept:
        try:
            while chunk := file.read(CHUNK):
                sha256.update(chunk)
                kept.write(chunk)
            kept.flush()
            os.fsync(kept.fileno())
            os.replace(kept.name, path)
        except BaseException:
            Path(kept.name).unlink(missing_ok=True)
            raise
    return sha256.hexdigest()
