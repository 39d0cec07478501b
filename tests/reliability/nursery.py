"""A process that has imported everything, and forks another one for each line that it is told.

What a start costs beside its imports is done anew each time, by the code that `lmsys` runs: settings, pools,
migrations, listener, vector engine, HTTP server.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import Any

PREPARED = (
    "adapters.bootstrap",
    "adapters.vectors.embedded",
    "adapters.vectors.server",
    "alembic.command",
    "api.app",
    "cli.main",
    "tests.reliability.classifying",
    "tests.reliability.limiting",
    "tests.reliability.projecting",
    "uvicorn",
)


def become(module: str, arguments: list[str], environment: dict[str, str]) -> None:
    """The child: says nothing to who told the nursery, and ends here."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    os.environ.update(environment)
    sys.argv = [module, *arguments, "--parent", str(os.getppid())]
    main: Any = importlib.import_module(module).main
    try:
        main()
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    for name in PREPARED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        told = json.loads(line)
        if (pid := os.fork()) == 0:
            become(**told)
        print(pid, flush=True)  # noqa: T201
