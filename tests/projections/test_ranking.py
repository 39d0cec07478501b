"""Search: exactly the nearest of those that a filter lets through, whichever way they are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete

from adapters.vectors import VectorStore
from commands.ports import Hit, PointFilter
from domain.values import Vectors
from projections.clustering import clusters, find_run
from projections.queries import (
    QueryFilter,
    by_words,
    count_titles,
    facets,
    headlines,
    list_queries,
    nearest,
    nearest_titles,
    ranking,
    summary_runs_of,
    titles,
)
from tests.browsing import DIMENSION, TOPICS, Installation, WordEmbedder

WAYS: dict[str, dict[str, Any]] = {
    "at the first look": {"FEW": 0, "SPARE": 1_000},
    "at the second look": {"FEW": 0, "SPARE": 0, "TRIES": (1, 1_000)},
    "through all members": {"FEW": 0, "TRIES": (), "FLOATS_AT_ONCE": 7 * DIMENSION},
    "in few clusters": {"FEW": 1_000, "TRIES": ()},
}


def index_of(made: Installation) -> VectorStore:
    index = made.container.vectors
    assert index is not None
    return index


def run_no(connection: Connection, run_id: str) -> int:
    run = find_run(connection, run_id)
    assert run is not None
    return int(run["run_no"])


@pytest.fixture(scope="module")
def scopes(made: Installation, connection: Connection) -> dict[str, QueryFilter]:
    of_run = QueryFilter(dataset="default", run_no=run_no(connection, made.run_id))
    return {
        "everything": QueryFilter(),
        "a data set": QueryFilter(dataset="other"),
        "a run": of_run,
        "a cluster": replace(of_run, cluster_ids=(1,)),
        "clusters": replace(of_run, cluster_ids=(2, -1)),
        "a language": QueryFilter(dataset="default", language="German"),
        "a label": QueryFilter(label="label3"),
        "a label in a run": replace(of_run, label="label3", model="model-1"),
    }


@pytest.mark.parametrize("way", WAYS)
@given(
    scope=st.sampled_from(["everything", "a data set", "a run", "a cluster", "clusters", "a language"])
    | st.sampled_from(["a label", "a label in a run"]),
    seed=st.integers(0, 2**32 - 1),
    want=st.integers(1, 120),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_results_are_exactly_the_nearest_members(
    made: Installation,
    connection: Connection,
    scopes: dict[str, QueryFilter],
    way: str,
    scope: str,
    seed: int,
    want: int,
) -> None:
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    vector /= np.linalg.norm(vector)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in WAYS[way].items():
            patch.setattr(ranking, name, value)
        found = nearest(connection, index_of(made), made.embedder.space, vector, want, scopes[scope])
    check_nearest(made, connection, vector, want, scopes[scope], found)


def check_nearest(
    made: Installation,
    connection: Connection,
    vector: Vectors,
    want: int,
    where: QueryFilter,
    found: Sequence[ranking.Ranked],
) -> None:
    """Against every member compared one by one. Equal texts may stand for one another."""
    rows = list_queries(connection, where, 1_000)
    scores = made.embedder.embed([row["query_text"] for row in rows]) @ vector
    own = dict(zip([row["query_id"] for row in rows], scores.tolist(), strict=True))
    assert len({one.query_id for one in found}) == len(found) == min(want, len(rows))
    assert [one.score for one in found] == pytest.approx([own[one.query_id] for one in found], abs=1e-5)
    assert [one.score for one in found] == pytest.approx(sorted(own.values(), reverse=True)[:want], abs=1e-5)
    assert found == sorted(found, key=lambda one: (-one.score, one.query_id))


class Forgetful:
    """An index that loses every second of what it should find, but among ids: as a filtered graph does."""

    def __init__(self, index: VectorStore) -> None:
        self._index = index
        self.resolve = index.resolve

    def search(self, collection: str, vector: Vectors, limit: int, where: PointFilter) -> list[Hit]:
        hits = self._index.search(collection, vector, limit, where)
        return hits if where.ids is not None else hits[::2]


def test_what_the_index_loses_is_found_all_the_same(
    made: Installation, connection: Connection, scopes: dict[str, QueryFilter]
) -> None:
    vector = made.embedder.embed(["refund payment"])[0]
    index: Any = Forgetful(index_of(made))
    where = scopes["a language"]
    found = nearest(connection, index, made.embedder.space, vector, 50, where)
    check_nearest(made, connection, vector, 50, where, found)


def test_a_search_among_ids_stays_below_what_qdrant_compares_one_by_one() -> None:
    """10,000 kB of vectors is its default; above it a graph is walked that loses what is near."""
    assert ranking.FLOATS_AT_ONCE * 4 < 10_000 * 1024


def test_a_space_without_a_collection_has_no_results(made: Installation, connection: Connection) -> None:
    other = WordEmbedder("another revision")
    vector = other.embed(["refund"])[0]
    assert nearest(connection, index_of(made), other.space, vector, 5, QueryFilter()) == []
    assert nearest_titles(connection, index_of(made), other.space, vector, 5) == []


# --- words ---------------------------------------------------------------------------------------


def test_words_find_what_has_them_the_best_first(made: Installation, connection: Connection) -> None:
    found, total = by_words(connection, QueryFilter(text="refund or payment"), 1_000)
    both = {key for key, row in made.rows.items() if {"refund", "payment"} <= set(row["query"].split())}
    any_of = {key for key, row in made.rows.items() if {"refund", "payment"} & set(row["query"].split())}
    assert {one.query_id for one in found} == any_of
    assert total == len(any_of)
    assert {one.query_id for one in found[: len(both)]} == both
    assert found == sorted(found, key=lambda one: (-one.score, one.query_id))


def test_words_are_looked_for_within_a_filter(
    made: Installation, connection: Connection, scopes: dict[str, QueryFilter]
) -> None:
    where = replace(scopes["a cluster"], text="python", model="model-2")
    expected = {row["query_id"] for row in list_queries(connection, where, 1_000)}
    found, total = by_words(connection, where, 1_000)
    assert {one.query_id for one in found} == expected
    assert total == len(expected) > 0


def test_of_very_many_matches_the_first_are_ranked(
    made: Installation, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "RANKED", 3)
    where = QueryFilter(text="now")
    found, total = by_words(connection, where, 50)
    everything = [row["query_id"] for row in list_queries(connection, where, 1_000)]
    assert sorted(one.query_id for one in found) == everything[:3]
    assert total == len(everything) > 3


@pytest.mark.parametrize("words", ["", "  ", "!&|()", "' OR 1=1 --", '"', "-", "a:*b & !", "\\"])
def test_anything_may_be_looked_for(connection: Connection, words: str) -> None:
    found, total = by_words(connection, QueryFilter(text=words), 5)
    assert len(found) == min(5, total)


def test_a_headline_shows_the_words(made: Installation, connection: Connection) -> None:
    query_id, row = next((key, row) for key, row in made.rows.items() if "rain" in row["query"].split())
    marked = row["query"].replace("rain", "**rain**")
    assert headlines(connection, [query_id], "rain") == {query_id: marked}


# --- facets --------------------------------------------------------------------------------------


def test_facets_count_what_they_are_given(made: Installation, connection: Connection) -> None:
    ids = [key for key, row in made.rows.items() if made.run_id in row["clusters"]][5:]
    found = facets(connection, ids, ["cluster", "language", "model"], run_no(connection, made.run_id))
    rows = [made.rows[key] for key in ids]
    assert {one["key"]: one["count"] for one in found["language"]} == Counter(
        row["language"] or "unknown" for row in rows
    )
    assert {one["key"]: one["count"] for one in found["model"]} == Counter(row["model"] for row in rows)
    assert {one["cluster_id"]: one["count"] for one in found["clusters"]} == Counter(
        row["clusters"][made.run_id] for row in rows
    )
    assert {"Rain and shine", *TOPICS.values()} >= {one["meta"]["title"] for one in found["clusters"]}
    for counted in found.values():
        assert [one["count"] for one in counted] == sorted((one["count"] for one in counted), reverse=True)
    assert facets(connection, [], ["language"], None) == {"language": []}


# --- titles --------------------------------------------------------------------------------------


def test_the_nearest_title_comes_first(made: Installation, connection: Connection) -> None:
    vector = made.embedder.embed([f"{TOPICS[1]}\nabout {TOPICS[1]}"])[0]
    space = made.embedder.space
    found = nearest_titles(connection, index_of(made), space, vector, 10, run_id=made.run_id)
    assert len(found) == 4
    assert found[0]["score"] == pytest.approx(1, abs=1e-5)
    expected = {
        "run_id": made.run_id,
        "cluster_id": 1,
        "title": TOPICS[1],
        "description": f"about {TOPICS[1]}",
        "num_queries": 15,
        "summary_run_id": made.summary_run_id,
    }
    assert expected.items() <= found[0].items()
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    assert nearest_titles(connection, index_of(made), space, vector, 10, run_id=made.small_run_id) == []
    assert nearest_titles(connection, index_of(made), space, vector, 10) == found
    assert count_titles(connection, space) == count_titles(connection, space, run_id=made.run_id) == 4


def test_a_summary_run_has_titles_of_its_own(made: Installation, connection: Connection) -> None:
    """The run shows an edited title, the summary run keeps what it said."""
    vector = made.embedder.embed([TOPICS[2]])[0]
    ids = summary_runs_of(connection, "first", None)
    assert ids == summary_runs_of(connection, "first", made.run_id) == [made.summary_run_id]
    assert summary_runs_of(connection, "first", made.small_run_id) == []
    of_summary, shown = (
        nearest_titles(connection, index_of(made), made.embedder.space, vector, 1, summary_run_ids=chosen)[0]
        for chosen in (ids, None)
    )
    assert (of_summary["title"], shown["title"]) == (TOPICS[2], "Rain and shine")
    assert count_titles(connection, made.embedder.space, summary_run_ids=ids) == 4
    assert count_titles(connection, WordEmbedder("2").space, summary_run_ids=ids) == 0


def test_a_cluster_that_is_no_more_makes_room_for_the_next(
    made: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(titles, "SPARE", 0)
    vector = made.embedder.embed([TOPICS[1]])[0]
    with made.container.database.engine.connect() as own:
        before = nearest_titles(own, index_of(made), made.embedder.space, vector, 2)
        own.execute(delete(clusters).where(clusters.c.cluster_id == before[0]["cluster_id"]))
        after = nearest_titles(own, index_of(made), made.embedder.space, vector, 1)
        own.rollback()
    assert after == before[1:]
