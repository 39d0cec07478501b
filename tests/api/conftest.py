"""The API on one filled installation, in the test's own process or served by uvicorn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi.testclient import TestClient

from api.app import create_app
from tests.browsing import Installation, browsed


@pytest.fixture(scope="module")
def made(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with browsed(server, tmp_path_factory.mktemp("browsed")) as installation:
        installation.container.listen()
        yield installation


@pytest.fixture(scope="module")
def api(made: Installation) -> TestClient:
    """The container is there already, so that no lifespan is run."""
    app = create_app(made.container.settings)
    app.state.container = made.container
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def served(made: Installation) -> Iterator[str]:
    """URL of a real server: for what goes on after the first byte."""
    app = create_app(made.container.settings)
    app.state.container = made.container
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="none")
    process = uvicorn.Server(config)
    thread = threading.Thread(target=process.run)
    thread.start()
    while not process.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{process.servers[0].sockets[0].getsockname()[1]}"
    process.should_exit = True
    thread.join(timeout=10)
    assert not thread.is_alive()
