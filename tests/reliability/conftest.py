"""How often each thing is done, what came of it, and the processes that are shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread

import pytest
from pydantic import SecretStr

from adapters.bootstrap import open_container
from adapters.settings import read_settings
from tests.adapters.vectors.stand_in import StandIn
from tests.conftest import fresh_database
from tests.reliability.installation import Installation
from tests.reliability.processes import Nursery

FIGURES = pytest.StashKey[list[str]]()

Amount = Callable[[int, int], int]
Say = Callable[[str], None]


@pytest.fixture(scope="session")
def amount(pytestconfig: pytest.Config) -> Amount:
    """`amount(200, 8)`: so many in the long form, so many in the short one."""
    is_long = pytestconfig.getoption("--long")
    return lambda long, short: long if is_long else short


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Say:
    """A line of figures for the end of the run."""
    lines = request.config.stash.setdefault(FIGURES, [])
    return lambda line: lines.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--long") and (lines := config.stash.get(FIGURES, [])):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@contextmanager
def vector_server() -> Iterator[StandIn]:
    """Qdrant's HTTP interface, in a thread of the test."""
    server = StandIn()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def installation(
    server: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Two APIs and a worker on one database and one vector server."""
    home = tmp_path_factory.mktemp("installation")
    with ExitStack() as stack:
        url = stack.enter_context(fresh_database(server))
        qdrant = stack.enter_context(vector_server())
        settings = read_settings(home=home, database_url=SecretStr(url))
        container = stack.enter_context(open_container(settings))
        environment = {
            "LMSYS_HOME": str(home),
            "LMSYS_DATABASE_URL": url,
            "LMSYS_QDRANT_URL": qdrant.url,
            "LMSYS_LOG_LEVEL": "ERROR",
        }
        made = Installation(container, nursery, environment)
        stack.callback(made.stop)
        made.start()
        yield made
