"""What every filling of the port promises, held over each of them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.vectors import VectorStore
from commands.ports import Hit, Point, PointFilter, PointId
from domain.errors import Conflict, Invalid, NotFound
from domain.values import Vectors

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")

DIMENSION = 8
ANY = PointFilter()
A_UUID = "550e8400-e29b-41d4-a716-446655440000"


def axis(position: int, towards: int = 0, share: float = 0.0) -> Vectors:
    """A unit vector along one axis, or leaning to another."""
    vector = np.zeros(DIMENSION, np.float32)
    vector[position] = 1
    vector[towards] += share
    return vector


def point(point_id: PointId, vector: Vectors | None = None, **payload: object) -> Point:
    place = point_id if isinstance(point_id, int) else 0
    return Point(point_id, axis(place % DIMENSION) if vector is None else vector, payload)


def everything(store: VectorStore, collection: str = "queries", batch: int = 100) -> list[Point]:
    return [found for page in store.scroll(collection, batch) for found in page]


def ids(found: list[Hit] | list[Point]) -> list[PointId]:
    return [one.point_id for one in found]


@pytest.fixture
def queries(store: VectorStore) -> VectorStore:
    """A store with the empty collection `queries`."""
    store.create("queries", DIMENSION, ["model", "language"], ["run"])
    return store


# --- collections and aliases ---------------------------------------------------------------------


def test_creating_what_exists_leaves_its_points(queries: VectorStore) -> None:
    queries.upsert("queries", [point(1)])
    queries.create("queries", DIMENSION, [])
    assert queries.count("queries") == 1


def test_a_collection_never_changes_its_dimension(queries: VectorStore) -> None:
    with pytest.raises(Conflict, match="'queries' exists, with dimension 8"):
        queries.create("queries", 16, [])


@pytest.mark.parametrize("name", ["", "../x", "a/b", "lock", "a.b", "x" * 201, "ä"])
def test_a_name_that_is_no_folder_is_refused(store: VectorStore, name: str) -> None:
    with pytest.raises(Invalid, match="cannot name a collection"):
        store.create(name, DIMENSION, [])


def test_a_collection_needs_a_dimension(store: VectorStore) -> None:
    with pytest.raises(Invalid, match=r"is 0, it must be in 1\.\.65536"):
        store.create("queries", 0, [])


def test_dropping_removes_points_and_aliases_and_is_no_error_twice(queries: VectorStore) -> None:
    queries.create("clusters", DIMENSION, [])
    queries.alias("live", "queries")
    queries.alias("other", "clusters")
    queries.upsert("queries", [point(1)])
    queries.drop("queries")
    queries.drop("queries")
    assert queries.collections() == ["clusters"]
    assert (queries.resolve("live"), queries.resolve("other")) == (None, "clusters")
    queries.create("queries", DIMENSION, [])
    assert queries.count("queries") == 0


def test_dropping_an_alias_leaves_the_collection(queries: VectorStore) -> None:
    queries.alias("live", "queries")
    queries.drop("live")
    assert queries.collections() == ["queries"]


def test_an_alias_is_swapped_and_stands_in_for_the_collection_everywhere(queries: VectorStore) -> None:
    queries.create("rebuilt", DIMENSION, [])
    queries.upsert("queries", [point(1)])
    queries.alias("live", "queries")
    assert ids(queries.search("live", axis(1), 5, ANY)) == [1]
    queries.alias("live", "rebuilt")
    assert queries.resolve("live") == "rebuilt"
    queries.upsert("live", [point(2), point(3)])
    queries.delete("live", [3])
    queries.optimise("live")
    assert ids(everything(queries, "live")) == ids(everything(queries, "rebuilt")) == [2]
    assert queries.count("live") == queries.info("live")["points"] == 1
    assert ids(everything(queries)) == [1]


def test_aliases_and_collections_never_share_a_name(queries: VectorStore) -> None:
    queries.alias("live", "queries")
    with pytest.raises(Conflict, match="'live' is an alias of 'queries'"):
        queries.create("live", DIMENSION, [])
    with pytest.raises(Conflict, match="'queries' is a collection"):
        queries.alias("queries", "queries")


def test_what_an_alias_does_not_mean(queries: VectorStore) -> None:
    assert queries.resolve("queries") is None
    assert queries.resolve("never heard of") is None


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.search("nowhere", axis(0), 1, ANY),
        lambda store: store.search("nowhere", axis(0), 1, PointFilter(ids=[])),
        lambda store: store.upsert("nowhere", [point(1)]),
        lambda store: store.delete("nowhere", [1]),
        lambda store: store.delete_where("nowhere", ANY),
        lambda store: store.delete_where("nowhere", PointFilter({"model": []})),
        lambda store: store.count("nowhere"),
        lambda store: store.scroll("nowhere", 10),
        lambda store: store.optimise("nowhere"),
        lambda store: store.info("nowhere"),
        lambda store: store.alias("live", "nowhere"),
    ],
)
def test_an_unknown_collection_is_not_found(store: VectorStore, call: Callable[[VectorStore], Any]) -> None:
    with pytest.raises(NotFound, match="no collection 'nowhere'"):
        call(store)


# --- searching -----------------------------------------------------------------------------------


def test_hits_come_best_first_with_cosine_and_payload(queries: VectorStore) -> None:
    queries.upsert(
        "queries",
        [
            point(1, axis(1), model="gpt-4", tags=["a", {"b": None}], share=0.5, kept=True),
            point(2, 7 * axis(2, 1, 1.0), model="é"),
            point(A_UUID, -3 * axis(1)),
        ],
    )
    found = queries.search("queries", 100 * axis(1), 3, ANY)
    assert ids(found) == [1, 2, A_UUID]
    assert [hit.score for hit in found] == pytest.approx([1, 2**-0.5, -1], abs=1e-6)
    assert all(-1 <= hit.score <= 1 for hit in found)
    assert found[0].payload == {"model": "gpt-4", "tags": ["a", {"b": None}], "share": 0.5, "kept": True}
    assert found[1].payload == {"model": "é"}
    assert found[2].payload == {}


def test_no_more_hits_than_the_limit(queries: VectorStore) -> None:
    queries.upsert("queries", [point(number) for number in range(20)])
    assert len(queries.search("queries", axis(0), 7, ANY)) == 7
    assert len(queries.search("queries", axis(0), 100, ANY)) == 20


def test_a_zero_vector_is_kept_and_is_like_nothing(queries: VectorStore) -> None:
    queries.upsert("queries", [point(1, 0 * axis(1)), point(2, axis(2))])
    found = queries.search("queries", axis(2), 5, ANY)
    assert [(hit.point_id, hit.score) for hit in found] == [(2, pytest.approx(1)), (1, 0)]


filters = pytest.mark.parametrize(
    ("where", "expected"),
    [
        (ANY, {1, 2, 3, 4, A_UUID}),
        (PointFilter({"model": ["gpt-4"]}), {1, 2}),
        (PointFilter({"model": ["gpt-4", "llama"]}), {1, 2, 3}),
        (PointFilter({"model": ["gpt-4"], "language": ["German"]}), {2}),
        (PointFilter({"model": ["llama"], "language": ["German"]}), set()),
        (PointFilter({"run": [7]}), {1, 3}),
        (PointFilter({"run": [7, 8], "model": ["gpt-4"]}), {1, 2}),
        (PointFilter({"run": [8, "nine"]}), {2, 4}),
        (PointFilter({"model": [5]}), {A_UUID}),
        (PointFilter({"unindexed": ["x", 3]}), {2, 3}),
        (PointFilter({"absent": ["x"]}), set()),
        (PointFilter({"model": []}), set()),
        (PointFilter(ids=[1, A_UUID, 99]), {1, A_UUID}),
        (PointFilter(ids=[]), set()),
        (PointFilter({"model": ["gpt-4"]}, ids=[2, 3]), {2}),
        (PointFilter({"model": ["gpt-4"]}, ids=[3]), set()),
    ],
)

FIVE = [
    point(1, model="gpt-4", language="English", run=7),
    point(2, model="gpt-4", language="German", run=8, unindexed="x"),
    point(3, model="llama", language="English", run=7, unindexed=3),
    point(4, run="nine"),
    point(A_UUID, model=5),
]


@filters
def test_all_of_a_filter_must_hold(queries: VectorStore, where: PointFilter, expected: set[PointId]) -> None:
    queries.upsert("queries", FIVE)
    assert set(ids(queries.search("queries", axis(0), 10, where))) == expected


@filters
def test_what_a_filter_lets_through_is_deleted(
    queries: VectorStore, where: PointFilter, expected: set[PointId]
) -> None:
    queries.upsert("queries", FIVE)
    queries.delete_where("queries", where)
    assert set(ids(everything(queries))) == {1, 2, 3, 4, A_UUID} - expected
    assert queries.count("queries") == 5 - len(expected)


@pytest.mark.parametrize(
    ("vector", "limit", "where", "message"),
    [
        (axis(0), 0, ANY, "limit is 0"),
        (axis(0), 2**64, ANY, "limit is 18446744073709551616"),
        (axis(0)[:3], 5, ANY, r"\(3,\)|not aligned|dimension"),
        (np.zeros((2, DIMENSION), np.float32), 5, ANY, r"\(2, 8\)"),
        (np.full(DIMENSION, np.nan, np.float32), 5, ANY, "NaN"),
        (
            axis(0),
            5,
            PointFilter({"model": [True]}),
            r"'model' takes strings and 64-bit integers, not \[True\]",
        ),
        (axis(0), 5, PointFilter({"run": [2**63]}), "'run' takes strings and 64-bit integers"),
        (axis(0), 5, PointFilter(ids=["not a uuid"]), "'not a uuid' cannot be the id"),
    ],
)
def test_a_search_that_cannot_be_met_is_refused(
    queries: VectorStore, vector: Vectors, limit: int, where: PointFilter, message: str
) -> None:
    queries.upsert("queries", [point(1)])
    with pytest.raises(Invalid, match=message):
        queries.search("queries", vector, limit, where)
    if where is not ANY:
        with pytest.raises(Invalid, match=message):
            queries.delete_where("queries", where)


# --- writing and reading back --------------------------------------------------------------------


def test_a_second_upsert_replaces_the_point_whole(queries: VectorStore) -> None:
    queries.upsert("queries", [point(1, axis(1), model="gpt-4", run=1)])
    queries.upsert("queries", [point(1, axis(2), language="German"), point(2), point(2, axis(3), run=3)])
    first, second = everything(queries)
    assert (first.payload, second.payload) == ({"language": "German"}, {"run": 3})
    assert np.array_equal(first.vector, axis(2))
    assert np.array_equal(second.vector, axis(3))
    assert queries.search("queries", axis(1), 5, PointFilter({"model": ["gpt-4"]})) == []


def test_writing_nothing_is_no_error(queries: VectorStore) -> None:
    queries.upsert("queries", [])
    queries.delete("queries", [])
    assert queries.count("queries") == 0
    assert everything(queries) == []


def test_deleted_points_are_gone_and_unknown_ones_no_error(queries: VectorStore) -> None:
    queries.upsert("queries", [point(1), point(2), point(A_UUID)])
    queries.delete("queries", [1, A_UUID, 77])
    assert ids(everything(queries)) == ids(queries.search("queries", axis(1), 5, ANY)) == [2]
    assert queries.count("queries") == 1


def test_scrolling_ascends_in_bounded_batches_with_vectors_of_length_one(queries: VectorStore) -> None:
    numbers = [*range(0, 40, 2), 2**64 - 1, *range(1, 40, 2)]
    uuids = [str(UUID(int=value)) for value in (2**127, 1, 2**64)]
    points = [
        point(one, 5 * axis(index % DIMENSION), run=index) for index, one in enumerate([*uuids, *numbers])
    ]
    queries.upsert("queries", points)
    pages = list(queries.scroll("queries", 10))
    assert all(0 < len(page) <= 10 for page in pages)
    found = [one for page in pages for one in page]
    assert ids(found) == [*sorted(numbers), *sorted(uuids)]
    sent = {one.point_id: one for one in points}
    for one in found:
        assert one.vector.dtype == np.float32
        assert np.allclose(one.vector, sent[one.point_id].vector / 5)
        assert one.payload == sent[one.point_id].payload


def test_more_points_than_go_in_one_call(queries: VectorStore) -> None:
    queries.upsert("queries", [point(number, run=number) for number in range(1234)])
    assert queries.count("queries") == 1234
    assert ids(everything(queries, batch=1100)) == list(range(1234))
    queries.delete("queries", range(1, 51))
    queries.delete_where("queries", PointFilter({"run": range(60, 1234)}))
    assert ids(everything(queries)) == [0, *range(51, 60)]


def test_a_batch_of_no_points_is_refused(queries: VectorStore) -> None:
    with pytest.raises(Invalid, match="batch is 0"):
        queries.scroll("queries", 0)


@pytest.mark.parametrize("bad", [-1, 2**64, True, "", "7", A_UUID.upper(), "{" + A_UUID + "}", 1.5, None])
def test_an_id_that_would_come_back_as_another_is_refused(queries: VectorStore, bad: PointId) -> None:
    with pytest.raises(Invalid, match="cannot be the id of a point"):
        queries.upsert("queries", [point(1), Point(bad, axis(0), {})])
    with pytest.raises(Invalid, match="cannot be the id of a point"):
        queries.delete("queries", [bad])
    assert queries.count("queries") == 0


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.full(DIMENSION, np.inf, np.float32), "point 2 has a NaN or an infinity"),
        (axis(0)[:5], r"point 2 has the shape \(5,\), not \(8,\)"),
        (np.zeros((1, DIMENSION), np.float32), r"point 2 has the shape \(1, 8\), not \(8,\)"),
    ],
)
def test_one_bad_vector_refuses_the_whole_batch(queries: VectorStore, vector: Vectors, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        queries.upsert("queries", [point(1), point(2, vector), point(3)])
    assert queries.count("queries") == 0


def test_vectors_of_another_dimension_are_refused(queries: VectorStore) -> None:
    with pytest.raises(Invalid):
        queries.upsert("queries", [point(1, axis(0)[:5])])


def test_info_counts_points(queries: VectorStore) -> None:
    queries.upsert("queries", [point(1), point(2)])
    info = queries.info("queries")
    assert set(info) == {"points", "indexed", "segments", "bytes"}
    assert (info["points"], info["indexed"]) == (2, 0)
    assert info["segments"] is not None
    assert info["segments"] >= 1
    assert bool(info["bytes"]) == queries.is_embedded


# --- any history ---------------------------------------------------------------------------------

point_ids = st.one_of(st.integers(0, 12), st.sampled_from([A_UUID, str(UUID(int=3))]))
writes = st.lists(
    st.tuples(st.lists(st.tuples(point_ids, st.integers(0, 5)), max_size=6), st.lists(point_ids, max_size=4)),
    max_size=6,
)


@settings(
    max_examples=settings().max_examples // 4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=writes)
def test_any_history_of_writes_leaves_what_a_dictionary_would_hold(
    store: VectorStore, history: list[tuple[list[tuple[PointId, int]], list[PointId]]]
) -> None:
    store.drop("history")
    store.create("history", DIMENSION, [], ["run"])
    expected: dict[PointId, int] = {}
    for written, deleted in history:
        store.upsert("history", [point(one, axis(run), run=run) for one, run in written])
        store.delete("history", deleted)
        expected |= dict(written)
        expected = {one: run for one, run in expected.items() if one not in deleted}
    found = everything(store, "history", batch=5)
    assert ids(found) == sorted(expected, key=lambda one: (isinstance(one, str), one))
    assert {one.point_id: one.payload["run"] for one in found} == expected
    assert store.count("history") == len(expected)
    for run in range(6):
        hits = store.search("history", axis(run), 20, PointFilter({"run": [run]}))
        assert {hit.point_id for hit in hits} == {one for one, what in expected.items() if what == run}
        assert all(hit.score == pytest.approx(1) for hit in hits)


# --- points by their ids -------------------------------------------------------------------------


def test_points_are_read_by_their_ids_with_all_that_they_have(queries: VectorStore) -> None:
    queries.upsert("queries", [point(1, model="a"), point(2, axis(3)), point(A_UUID, axis(4), run=7)])
    queries.alias("live", "queries")
    found = {one.point_id: one for one in queries.retrieve("live", [A_UUID, 2, 9])}
    assert {one: dict(found[one].payload) for one in found} == {2: {}, A_UUID: {"run": 7}}
    np.testing.assert_allclose(found[2].vector, axis(3), atol=1e-6)
    assert queries.retrieve("queries", []) == []


def test_more_points_than_one_call_takes_are_read(queries: VectorStore) -> None:
    many = list(range(1, 1_202))
    queries.upsert("queries", [point(one) for one in many])
    assert sorted(ids(queries.retrieve("queries", many))) == many


def test_what_cannot_be_the_id_of_a_point_is_refused(queries: VectorStore) -> None:
    with pytest.raises(Invalid, match="cannot be the id of a point"):
        queries.retrieve("queries", [-1])
    with pytest.raises(NotFound):
        queries.retrieve("nowhere", [1])
