"""A rebuild or a comparison in a process of its own, so that whoever asked for it stays quick."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import structlog

from adapters.database import Database
from adapters.event_store.store import LogMapper, PlainJson
from adapters.read_models import READ_MODELS
from adapters.rebuild import rebuild, verify
from domain.errors import DomainError, Unavailable


def run_apart(database: Database, what: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """`what` is rebuild or verify. Raises Unavailable with the last words of a process that failed."""
    done = subprocess.run(
        [sys.executable, "-m", "adapters.rebuilding", what, *names],
        input=database.url,  # not an argument, which every user of the machine could read
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"{what} failed: {done.stderr.strip()[-2000:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _main(what: str, names: Sequence[str]) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    database = Database(sys.stdin.read())
    mapper = LogMapper(transcoder=PlainJson())
    answers = []
    for projection in (one for one in READ_MODELS if one.name in names):
        begun = time.monotonic()
        answer: dict[str, Any] = {"name": projection.name}
        if what == "rebuild":
            answer["position"] = rebuild(database, projection, mapper, _told)
        else:
            answer["position"], differences = verify(database, projection, mapper, _told)
            answer["equal"] = not differences
            answer["differences"] = [vars(one) for one in differences]
        answers.append({**answer, "seconds": round(time.monotonic() - begun, 3)})
    database.close()
    json.dump(answers, sys.stdout, default=str)


def _told(name: str, position: int) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    try:
        _main(sys.argv[1], sys.argv[2:])
    except DomainError as refusal:
        sys.exit(refusal.message)
