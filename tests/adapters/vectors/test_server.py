"""The client of a server on the wire: what it sends besides points, and what it makes of refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from adapters.vectors import VectorStore, make_vectors
from adapters.vectors.server import ServerVectors, connect
from commands.ports import Point, PointFilter
from domain.errors import Conflict, DomainError, Invalid, Refused, Unavailable
from tests.adapters.vectors.stand_in import StandIn

A_VECTOR = np.array([1, 0, 0, 0], np.float32)


@pytest.fixture
def server(stand_in: StandIn, home: Path) -> VectorStore:
    made = make_vectors(home, stand_in.url, None)
    made.create("queries", 4, [], [])
    return made


def test_a_url_means_a_server_and_no_files(server: VectorStore, home: Path) -> None:
    assert not server.is_embedded
    assert not home.exists()


def test_payload_indexes_are_asked_for_each_time(stand_in: StandIn, server: VectorStore) -> None:
    for _ in range(2):
        stand_in.indexes.clear()
        server.create("queries", 4, ["model", "language"], ["run"])
        assert stand_in.indexes == [("model", "keyword"), ("language", "keyword"), ("run", "integer")]


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_the_key_is_sent(stand_in: StandIn, home: Path) -> None:
    make_vectors(home, stand_in.url, "a-secret").collections()
    assert stand_in.headers["api-key"] == "a-secret"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (401, Refused),
        (403, Refused),
        (422, Invalid),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_a_status_becomes_the_error_it_means(
    stand_in: StandIn, server: VectorStore, status: int, error: type[DomainError]
) -> None:
    stand_in.answer_with = status
    calls: list[Any] = [
        lambda: server.search("queries", A_VECTOR, 1, PointFilter()),
        lambda: server.upsert("queries", [Point(1, A_VECTOR, {})]),
        lambda: server.create("queries", 4, []),
        lambda: server.alias("live", "queries"),
        lambda: server.drop("queries"),
    ]
    for call in calls:
        with pytest.raises(error, match=r"the vector server .*") as raised:
            call()
        assert "as the test wants it" in raised.value.message


def test_a_url_that_leads_elsewhere_is_not_an_unknown_collection(
    stand_in: StandIn, server: VectorStore
) -> None:
    stand_in.answer_with = 404
    with pytest.raises(Unavailable, match="404"):
        server.collections()


def test_an_unreachable_server_is_unavailable(home: Path) -> None:
    nobody = make_vectors(home, "http://127.0.0.1:9", None)
    with pytest.raises(Unavailable, match="does not answer"):
        nobody.search("queries", A_VECTOR, 1, PointFilter())


def test_a_payload_that_is_not_json_is_refused(server: VectorStore) -> None:
    with pytest.raises(Invalid, match="cannot take this"):
        server.upsert("queries", [Point(1, A_VECTOR, {"when": object()})])


def test_two_processes_may_create_at_once(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect(stand_in.url, None)
    exists, answers = client.collection_exists, [False]
    monkeypatch.setattr(client, "collection_exists", lambda name: answers.pop() if answers else exists(name))
    ServerVectors(QdrantClient(url=stand_in.url, check_compatibility=False)).create("queries", 4, [])
    store = ServerVectors(client)
    store.create("queries", 4, [])
    assert answers == []
    with pytest.raises(Conflict, match="dimension 4"):
        store.create("queries", 8, [])
