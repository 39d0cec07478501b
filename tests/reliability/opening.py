"""A process that opens a container on each database that it is told, and says how that went."""

import sys

from pydantic import SecretStr

from adapters.bootstrap import open_container
from adapters.settings import read_settings

if __name__ == "__main__":
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        open_container(read_settings(database_url=SecretStr(line.strip()))).close()
        print("opened", flush=True)  # noqa: T201
