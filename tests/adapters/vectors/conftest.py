"""What fills the port: the embedded engine, and the client of a server over the library's own local mode."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from qdrant_client import QdrantClient

from adapters.vectors import VectorStore, make_vectors
from adapters.vectors.embedded import EmbeddedVectors
from adapters.vectors.server import ServerVectors
from tests.adapters.vectors.stand_in import StandIn


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def embedded(home: Path) -> Iterator[EmbeddedVectors]:
    store = EmbeddedVectors(home)
    yield store
    store.close()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["embedded", "local", "http"])
def store(request: pytest.FixtureRequest, home: Path) -> Iterator[VectorStore]:
    """An empty store of each kind. `local` and `http` run the same adapter, the latter over the wire."""
    if request.param == "local":
        made: VectorStore = ServerVectors(QdrantClient(":memory:"))
    else:
        url = request.getfixturevalue("stand_in").url if request.param == "http" else None
        made = make_vectors(home, url, None)
    yield made
    made.close()
