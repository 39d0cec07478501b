"""A process that keeps all read models up to date, points included, in small batches: BATCH."""

from __future__ import annotations

import sys
import threading

from adapters.bootstrap import open_container
from adapters.read_models import READ_MODELS
from adapters.settings import read_settings
from cli.supervisor import end_with


def main() -> None:
    end_with(int(sys.argv[-1]))
    with open_container(read_settings(), vectors=True) as container:
        search = container.search
        for projection in READ_MODELS:
            projection.batch = int(sys.argv[1])
        container.follow(*READ_MODELS, search)
        threading.Event().wait()
