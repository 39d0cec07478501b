"""Points made anew from the log, compared with it, and indexed when they have grown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from adapters import points as module
from adapters.bootstrap import Container, open_container
from adapters.points import Indexer, Points
from adapters.read_store import alone
from adapters.runner import ProjectionRunner, parked_counts, positions
from adapters.settings import Settings
from adapters.vectors import VectorStore
from commands.embedding import RecordEmbedded
from commands.ports import Point, PointFilter
from domain.errors import Conflict
from domain.values import Space, digest
from projections.base import bookkeeping
from projections.search import QUERIES, alias_of
from projections.search import tables as of_search
from tests.stories import clear, load

SPACE = Space("wordllama", "l2_supercat_4", 4, "r1")
OTHER = Space("wordllama", "l2_supercat_4", 4, "r2")
ALIAS = alias_of(QUERIES, SPACE)


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    with open_container(settings, vectors=True) as opened:
        yield opened


def index(container: Container) -> VectorStore:
    assert container.vectors is not None
    return container.vectors


def embed(container: Container, *queries: str, space: Space = SPACE, dataset: str = "default") -> list[int]:
    """Loaded, and with vectors that follow from the text."""
    ids = load(container, *queries, dataset=dataset)
    seeds = {digest(text.encode()): abs(hash(text)) for text in queries}
    vectors = {one: np.random.default_rng(seed).normal(size=4) for one, seed in seeds.items()}
    unit = {one: (row / np.linalg.norm(row)).astype(np.float32) for one, row in vectors.items()}
    container.embeddings.put(space, unit)
    container.bus.handle(
        RecordEmbedded(
            dataset=dataset, space=space, first_query_id=ids[0], last_query_id=ids[-1], count=len(ids)
        )
    )
    return ids


def project(container: Container) -> None:
    runner = ProjectionRunner(container.database, container.search, container.mapper)
    while runner.step():
        pass


@pytest.fixture
def filled(container: Container) -> Container:
    embed(container, *(f"query {number}" for number in range(30)))
    embed(container, *(f"other {number}" for number in range(5)), dataset="other")
    project(container)
    return container


def points(container: Container, alias: str = ALIAS) -> dict[int | str, tuple[list[float], dict[str, Any]]]:
    if index(container).resolve(alias) is None:
        return {}
    return {
        one.point_id: (one.vector.tolist(), dict(one.payload))
        for page in index(container).scroll(alias, 100)
        for one in page
    }


def verified(container: Container) -> list[tuple[str, int]]:
    (answer,) = container.read_models.verify("search")
    found = [(one["table"], one["rows"]) for one in answer["differences"]]
    assert answer["equal"] is (found == [])
    assert answer["position"] == positions(container.database, [of_search])["search"]
    return found


def rebuilt(container: Container) -> int:
    (answer,) = container.read_models.rebuild("search")
    return int(answer["position"])


# --- compared


def test_points_that_nobody_has_touched_are_equal(filled: Container) -> None:
    before = index(filled).collections()
    assert len(points(filled)) == 35
    assert verified(filled) == []
    assert index(filled).collections() == before


def change_vector(filled: Container, point_id: int) -> Point:
    return Point(point_id, np.array([1, 0, 0, 0], np.float32), points(filled)[point_id][1])


def change_payload(filled: Container, point_id: int) -> Point:
    vector, payload = points(filled)[point_id]
    return Point(point_id, np.array(vector, np.float32), payload | {"dataset": "other"})


@pytest.mark.parametrize("change", [change_vector, change_payload])
def test_a_point_that_was_changed_by_hand_is_found_and_mended(
    filled: Container, change: Callable[[Container, int], Point]
) -> None:
    before = points(filled)
    index(filled).upsert(ALIAS, [change(filled, 7)])
    assert points(filled) != before
    (answer,) = filled.read_models.verify("search")
    shown = [{"only_in": "both", "point_id": 7}]
    assert answer["differences"] == [{"projection": "search", "table": ALIAS, "rows": 1, "shown": shown}]
    assert rebuilt(filled) == filled.store.head()
    assert points(filled) == before
    assert verified(filled) == []


def test_points_that_are_missing_or_too_many_are_found_on_their_side(filled: Container) -> None:
    index(filled).delete(ALIAS, [1, 35])
    index(filled).upsert(ALIAS, [Point(99, np.array([1, 0, 0, 0], np.float32), {})])
    (answer,) = filled.read_models.verify("search")
    (found,) = answer["differences"]
    assert found["rows"] == 3
    assert [(one["point_id"], one["only_in"]) for one in found["shown"]] == [
        (1, "rebuilt"),
        (35, "rebuilt"),
        (99, "live"),
    ]


def test_points_are_compared_at_the_position_that_they_have_reached(filled: Container) -> None:
    embed(filled, "one more")
    assert verified(filled) == []
    project(filled)
    assert verified(filled) == []
    assert len(points(filled)) == 36


# --- made anew


def test_points_made_anew_are_the_same_and_only_they_are_left(filled: Container) -> None:
    before = points(filled)
    for _ in range(2):
        was = index(filled).resolve(ALIAS)
        assert rebuilt(filled) == filled.store.head()
        assert points(filled) == before
        assert index(filled).collections() == [index(filled).resolve(ALIAS)] != [was]


def test_points_made_anew_go_on_being_projected(filled: Container) -> None:
    rebuilt(filled)
    embed(filled, "one more")
    project(filled)
    assert len(points(filled)) == 36
    assert verified(filled) == []


def test_a_rebuild_catches_up_with_what_was_not_projected_yet(filled: Container) -> None:
    embed(filled, "one more")
    assert rebuilt(filled) == filled.store.head()
    assert positions(filled.database, [of_search]) == {"search": filled.store.head()}
    assert len(points(filled)) == 36


def test_the_points_of_a_data_set_that_was_cleared_are_gone_and_stay_gone(filled: Container) -> None:
    clear(filled, "default")
    project(filled)
    assert set(points(filled)) == set(range(31, 36))
    assert verified(filled) == []
    rebuilt(filled)
    assert set(points(filled)) == set(range(31, 36))
    clear(filled, "other")
    project(filled)
    rebuilt(filled)
    assert points(filled) == {}
    assert verified(filled) == []


def test_a_space_that_came_into_use_after_a_clearing_is_made_anew_as_well(filled: Container) -> None:
    clear(filled, "default")
    embed(filled, "again", space=OTHER)
    project(filled)
    before = points(filled, alias_of(QUERIES, OTHER))
    assert verified(filled) == []
    rebuilt(filled)
    assert points(filled, alias_of(QUERIES, OTHER)) == before
    assert len(before) == 1
    assert verified(filled) == []


def test_what_was_set_aside_is_there_after_a_rebuild(filled: Container) -> None:
    row = {"position": 1, "stream": "dataset/default", "error": "e", "parked_at": "2025-01-01 00:00Z"}
    with filled.database.engine.begin() as connection:
        connection.execute(bookkeeping(of_search, "parked").insert().values(row))
    embed(filled, "one more")
    project(filled)
    assert len(points(filled)) == 35
    assert parked_counts(filled.database, [of_search])["search"] > 1
    rebuilt(filled)
    assert len(points(filled)) == 36
    assert parked_counts(filled.database, [of_search]) == {"search": 0}
    embed(filled, "and another")
    project(filled)
    assert len(points(filled)) == 37


def test_what_a_broken_rebuild_has_left_is_removed_by_the_next(
    filled: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = points(filled)

    def fail(*_: Any) -> None:  # noqa: ANN401
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Points, "_swap", fail)
        with pytest.raises(ZeroDivisionError):
            rebuilt(filled)
    assert len(index(filled).collections()) == 2
    assert points(filled) == before
    rebuilt(filled)
    assert len(index(filled).collections()) == 1
    assert points(filled) == before


def test_points_are_made_anew_by_one_process_at_a_time(filled: Container) -> None:
    with alone(filled.database, "search"):
        for act in (rebuilt, verified):
            with pytest.raises(Conflict, match="'search' is being rebuilt or compared already"):
                act(filled)


def test_a_search_finds_the_same_after_a_swap(filled: Container) -> None:
    wanted = np.array([1, 0, 0, 0], np.float32)
    expected = index(filled).search(ALIAS, wanted, 5, PointFilter())
    rebuilt(filled)
    found = index(filled).search(ALIAS, wanted, 5, PointFilter())
    assert [one.point_id for one in found] == [one.point_id for one in expected]


def test_without_a_vector_engine_the_points_are_left_to_another_process(settings: Settings) -> None:
    with open_container(settings) as without:
        assert without.read_models.verify("search") == []


# --- erased


def test_erasing_everything_leaves_no_points(filled: Container) -> None:
    filled.reset()
    assert index(filled).collections() == []
    assert positions(filled.database, [of_search]) == {"search": 0}
    embed(filled, "again")
    project(filled)
    assert list(points(filled)) == [1]
    assert verified(filled) == []


# --- indexed


class Grown:
    """A collection that says it has grown, and notes when it is optimised."""

    def __init__(self, *sizes: int, indexed: int = 0) -> None:
        self._sizes = list(sizes)
        self._indexed = indexed
        self.optimised: list[int] = []
        self.asked = 0

    def collections(self) -> list[str]:
        return ["queries"]

    def info(self, collection: str) -> dict[str, int]:
        size = self._sizes[min(self.asked, len(self._sizes) - 1)]
        self.asked += 1
        return {"points": size, "indexed": self._indexed}

    def optimise(self, collection: str) -> None:
        self.optimised.append(self.asked)
        self._indexed = self._sizes[-1]
        raise RuntimeError("the first time it goes wrong")


def looked_at(grown: Grown, times: int) -> list[int]:
    indexer = Indexer(grown, every_s=0.001)  # type: ignore[arg-type]
    indexer.start()
    deadline = time.monotonic() + 10
    while grown.asked < times and time.monotonic() < deadline:
        time.sleep(0.001)
    indexer.stop()
    indexer.join(timeout=10)
    assert not indexer.is_alive()
    return grown.optimised


def test_an_index_is_built_once_a_grown_collection_rests() -> None:
    growing = (module.INDEX_FROM, module.INDEX_FROM + 1, module.INDEX_FROM + 2, module.INDEX_FROM + 2)
    assert looked_at(Grown(*growing), 10) == [4]


def test_no_index_is_built_where_it_is_small_or_indexed_already() -> None:
    assert looked_at(Grown(module.INDEX_FROM - 1), 10) == []
    assert looked_at(Grown(module.INDEX_FROM, indexed=module.INDEX_FROM), 10) == []
