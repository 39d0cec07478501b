"""Read models made anew beside the live ones: equal to them, swapped under readers, alone at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text, update
from sqlalchemy.engine import make_url

from adapters import rebuild as rebuilding
from adapters.bootstrap import Container, open_container
from adapters.read_models import FOLLOWED, READ_MODELS
from adapters.read_store import alone, position_of
from adapters.rebuild import Told, rebuild, verify
from adapters.runner import ProjectionRunner, positions
from adapters.settings import read_settings
from commands.curation import MoveQuery, ProposeEdits, RenameCluster
from commands.ports import Outcome
from commands.tags import AddTag
from domain.errors import Conflict, NotFound, Unavailable
from projections.base import Projection
from projections.clustering import ClusteringProjection, clusters, memberships
from projections.clustering import tables as of_clustering
from tests import classifying
from tests.conftest import fresh_database
from tests.domain.test_evaluation import requested as requested_evaluation
from tests.runs import completed_run
from tests.stories import AT, cluster, load, name, project, query_ids, rows
from tests.trees import completed_hierarchy

CLUSTERING = next(one for one in READ_MODELS if isinstance(one, ClusteringProjection))


def quietly(name: str, position: int) -> None:
    """Nobody watches."""


def anew(container: Container, projection: Projection, told: Told = quietly) -> int:
    return rebuild(container.database, projection, container.mapper, told)


def differences(container: Container, projection: Projection) -> list[tuple[str, int]]:
    _, found = verify(container.database, projection, container.mapper, quietly)
    return [(one.table, one.rows) for one in found]


def indexes(container: Container, projection: Projection) -> list[str]:
    with container.database.engine.connect() as connection:
        found = connection.execute(
            text("SELECT indexdef FROM pg_indexes WHERE schemaname = :name ORDER BY indexdef"),
            {"name": projection.name},
        )
        return list(found.scalars())


def schemas(container: Container) -> set[str]:
    with container.database.engine.connect() as connection:
        found = connection.execute(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%\\_\\_%'"))
        return set(found.scalars())


@pytest.fixture(scope="module")
def full(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database that is made once and copied for each test."""
    with fresh_database(server) as url:
        settings = read_settings(home=tmp_path_factory.mktemp("home"), database_url=SecretStr(url))
        with open_container(settings) as container:
            fill(container)
        yield str(make_url(url).database)


def fill(container: Container) -> None:
    """Two data sets, a run with edits and names, something of every feature, all of it projected."""
    load(container, *(f"query {number}" for number in range(40)))
    load(container, "elsewhere", dataset="other")
    run_id = cluster(container, [n % 4 for n in range(40)], clusters=4, chunk=10)
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=1, title="Renamed"))
    name(container, run_id, "Topic", 0, 1, 2, 3)
    for query_id in query_ids(container)[:10]:
        container.bus.handle(MoveQuery(run_id=run_id, query_id=query_id, to_cluster_id=3))
    container.bus.handle(AddTag(name="edited"))
    propose = ProposeEdits(
        run_id=run_id,
        edits=[{"type": "flags", "cluster_id": 1, "flags": ["review"]}],
        title=None,
        reason="it is mixed",
        source=None,
        at=AT,
    )
    container.bus.handle(propose)
    project(container)
    classifying.work(container, classifying.request(container, "default"))
    container.store.commit(Outcome((completed_hierarchy(), requested_evaluation())), "prepare")
    project(container)


@pytest.fixture
def filled(server: str, full: str, tmp_path: Path) -> Iterator[Container]:
    with fresh_database(server, full) as url:
        settings = read_settings(home=tmp_path / "home", database_url=SecretStr(url))
        with open_container(settings) as container:
            yield container


@pytest.fixture
def run_id(container: Container) -> str:
    """A completed run of 60 queries in three clusters, projected."""
    run = completed_run([n % 3 for n in range(60)])
    container.store.commit(Outcome((run,)), "prepare")
    project(container)
    return run.name


# --- made anew


@pytest.mark.parametrize("projection", READ_MODELS, ids=lambda one: str(one.name))
def test_a_read_model_made_anew_is_the_same_at_the_head(filled: Container, projection: Projection) -> None:
    before = {table.name: rows(filled, table) for table in projection.tables.sorted_tables}
    indexed = indexes(filled, projection)
    assert anew(filled, projection) == filled.store.head()
    after = {table.name: rows(filled, table) for table in projection.tables.sorted_tables}
    assert after == before
    assert indexes(filled, projection) == indexed
    assert any(before[table] for table in before if table != "checkpoint") or projection.name == "access"


def test_what_was_replaced_is_kept_and_the_rest_is_cleaned_up(filled: Container) -> None:
    for _ in range(2):
        anew(filled, CLUSTERING)
        differences(filled, CLUSTERING)
        assert schemas(filled) == {"clustering__old"}
    with filled.database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM clustering__old.runs")).scalar_one() == 1


def test_what_was_spoiled_is_mended(filled: Container) -> None:
    with filled.database.engine.begin() as connection:
        connection.execute(update(clusters).where(clusters.c.cluster_id == 2).values(own_title="by hand"))
    anew(filled, CLUSTERING)
    assert differences(filled, CLUSTERING) == []


def test_an_empty_log_can_be_made_anew(container: Container) -> None:
    assert {anew(container, one) for one in READ_MODELS} == {0}


def test_the_runner_goes_on_in_what_was_made_anew(filled: Container) -> None:
    anew(filled, CLUSTERING)
    name(filled, cluster(filled, [0, 1], clusters=2), "More", 0, 1)
    project(filled)
    assert positions(filled.database, [of_clustering]) == {"clustering": filled.store.head()}
    assert differences(filled, CLUSTERING) == []


# --- compared


@pytest.mark.parametrize("projection", READ_MODELS, ids=lambda one: str(one.name))
def test_what_nobody_has_touched_is_equal(filled: Container, projection: Projection) -> None:
    position, found = verify(filled.database, projection, filled.mapper, quietly)
    assert (position, found) == (filled.store.head(), [])


def test_a_row_that_was_changed_added_or_removed_is_found(filled: Container) -> None:
    removed = len(rows(filled, memberships, cluster_id=3))
    with filled.database.engine.begin() as connection:
        connection.execute(update(clusters).where(clusters.c.cluster_id == 2).values(own_title="by hand"))
        connection.execute(text("DELETE FROM clustering.memberships WHERE cluster_id = 3"))
        connection.execute(text("INSERT INTO clustering.memberships VALUES (999, 1, 1, 0.5)"))
    assert dict(differences(filled, CLUSTERING)) == {"clusters": 2, "memberships": removed + 1}


def test_at_most_so_many_differing_rows_are_shown_with_their_side(
    filled: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "SHOWN", 3)
    with filled.database.engine.begin() as connection:
        connection.execute(text("UPDATE clustering.memberships SET confidence = 0.125"))
    _, (found,) = verify(filled.database, CLUSTERING, filled.mapper, quietly)
    assert (found.projection, found.table, found.rows) == ("clustering", "memberships", 80)
    assert len(found.shown) == 3
    assert {one["only_in"] for one in found.shown} <= {"live", "rebuilt"}


def test_what_is_behind_is_compared_where_it_stands(filled: Container) -> None:
    behind = filled.store.head()
    load(filled, "one more")
    position, found = verify(filled.database, CLUSTERING, filled.mapper, quietly)
    assert (position, found) == (behind, [])


# --- while others go on


@contextmanager
def editing(container: Container, run_id: str) -> Iterator[list[int]]:
    """Somebody renames and moves without a pause, and the read models follow."""
    stop, done, failed = threading.Event(), [0], []
    runners = [ProjectionRunner(container.database, one, container.mapper) for one in READ_MODELS]

    def edit() -> None:
        try:
            while not stop.is_set():
                number = done[0]
                rename = RenameCluster(run_id=run_id, cluster_id=number % 3, title=f"Title {number}")
                container.bus.handle(rename)
                move = MoveQuery(run_id=run_id, query_id=number % 60 + 1, to_cluster_id=number % 3)
                container.bus.handle(move)
                done[0] += 1
        except Exception as error:
            failed.append(error)

    editor = threading.Thread(target=edit)
    for thread in (*runners, editor):
        thread.start()
    yield done
    stop.set()
    for one in runners:
        one.stop()
    for thread in (*runners, editor):
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert failed == []


def test_all_read_models_are_made_anew_and_compared_while_somebody_edits(
    container: Container, run_id: str
) -> None:
    with editing(container, run_id) as done:
        for one in READ_MODELS:
            begun = container.store.head()
            assert anew(container, one) >= begun
            assert verify(container.database, one, container.mapper, quietly)[1] == []
    assert done[0] > 10
    project(container)
    for one in READ_MODELS:
        assert verify(container.database, one, container.mapper, quietly) == (container.store.head(), [])


def test_readers_see_no_error_and_never_an_older_state_during_swaps(
    container: Container, run_id: str
) -> None:
    stop = threading.Event()

    def read(_: int) -> tuple[int, list[str]]:
        """How many reads there were, and what was wrong with them."""
        reads, last, wrong = 0, 0, []
        while not stop.is_set():
            with container.database.engine.connect() as connection:
                position = position_of(connection, of_clustering)
                found = connection.execute(select(memberships.c.query_id)).scalars().all()
            reads += 1
            if position < last or len(found) != 60:
                wrong.append(f"{position} after {last}, {len(found)} rows")
            last = position
        return reads, wrong

    with editing(container, run_id), ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read, number) for number in range(8)]
        for _ in range(5):
            anew(container, CLUSTERING)
        stop.set()
        found = [one.result() for one in readers]
    assert [wrong for _, wrong in found] == [[]] * 8
    assert min(reads for reads, _ in found) >= 5


# --- alone


def test_two_do_not_make_one_read_model_anew_at_once(filled: Container) -> None:
    inside: list[str] = []

    def meanwhile(name: str, position: int) -> None:
        if not inside:
            inside.append(name)
            for act in (anew, differences):
                with pytest.raises(Conflict, match="'clustering' is being rebuilt or compared already"):
                    act(filled, CLUSTERING)

    anew(filled, CLUSTERING, meanwhile)
    assert inside == ["clustering"]
    anew(filled, CLUSTERING)


def test_nothing_is_erased_while_a_read_model_is_made_anew(filled: Container) -> None:
    with alone(filled.database, "clustering"), pytest.raises(Conflict, match="is being rebuilt"):
        filled.reset()
    assert filled.store.head() > 0
    filled.reset()
    assert filled.store.head() == 0


def test_one_that_breaks_off_leaves_the_live_one_as_it_is(filled: Container) -> None:
    before = rows(filled, memberships)

    def break_off(name: str, position: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        anew(filled, CLUSTERING, break_off)
    assert rows(filled, memberships) == before
    assert schemas(filled) == {"clustering__next"}
    anew(filled, CLUSTERING)
    assert schemas(filled) == {"clustering__old"}
    assert differences(filled, CLUSTERING) == []


# --- in a process apart


def test_all_are_made_anew_and_compared_in_a_process_apart(filled: Container) -> None:
    made = filled.read_models.rebuild("all")
    assert [one["name"] for one in made] == [one.name for one in READ_MODELS]
    assert {one["position"] for one in made} == {filled.store.head()}
    with filled.database.engine.begin() as connection:
        connection.execute(update(clusters).values(own_title="by hand"))
    verified = {one["name"]: one["equal"] for one in filled.read_models.verify("all")}
    assert verified == {one.name: one.name != "clustering" for one in READ_MODELS}
    (found,) = filled.read_models.verify("clustering")
    assert [one["table"] for one in found["differences"]] == ["clusters"]
    assert len(found["differences"][0]["shown"]) == found["differences"][0]["rows"] == 8


def test_what_went_wrong_in_the_process_apart_is_told(filled: Container) -> None:
    with (
        alone(filled.database, "clustering"),
        pytest.raises(Unavailable, match=r"^rebuild failed: read model 'clustering' is being rebuilt"),
    ):
        filled.read_models.rebuild("clustering")


def test_an_unknown_read_model_is_not_found(container: Container) -> None:
    with pytest.raises(NotFound, match="'nothing'; known are datasets, clustering"):
        container.read_models.rebuild("nothing")


# --- a new beginning


def test_after_everything_was_erased_a_new_story_is_told_from_the_start(filled: Container) -> None:
    filled.listen()
    wait_for(lambda: filled.positions.wait([str(one.schema) for one in (of_clustering,)], 1, 0))
    filled.reset()
    for projection in READ_MODELS:
        assert rows(filled, projection.tables.sorted_tables[-1]) == []
    wait_for(lambda: not filled.positions.wait(["clustering"], 1, 0))
    load(filled, "again")
    run_id = cluster(filled, [0], clusters=1)
    assert set(positions(filled.database, FOLLOWED).values()) == {0}
    project(filled)
    assert [row["run_id"] for row in rows(filled, of_clustering.tables["clustering.runs"])] == [run_id]
    assert query_ids(filled) == [1]


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- tables of another version of this program


def test_tables_of_another_version_are_made_anew_and_filled(filled: Container) -> None:
    before = {table.name: rows(filled, table) for table in of_clustering.sorted_tables}
    with filled.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE clustering.clusters DROP COLUMN flags"))
        connection.execute(text("COMMENT ON SCHEMA clustering IS 'an older shape'"))
    with open_container(filled.settings) as later:
        assert positions(later.database, [of_clustering])["clustering"] == 0
        project(later)
        assert {table.name: rows(later, table) for table in of_clustering.sorted_tables} == before


def test_tables_of_this_version_are_left_as_they_are(filled: Container) -> None:
    reached = positions(filled.database, FOLLOWED)
    with open_container(filled.settings) as later:
        assert positions(later.database, FOLLOWED) == reached
