"""The OpenAPI document: made without starting anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_document_is_printed_without_starting_anything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "openapi"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"HOME": str(tmp_path)})
    document = json.loads(done.stdout)
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    assert len(ids) > 59
    assert list(tmp_path.iterdir()) == []
