"""Hierarchies from the request to the tree: resumed, following their run, edited and undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from sqlalchemy import text

from adapters.bootstrap import Container
from commands.bus import Bus
from commands.curation import (
    DeleteCluster,
    MergeClusters,
    RenameCluster,
    ReverseEdit,
    SplitCluster,
    edit_in_full,
)
from commands.hierarchy import (
    AddCategory,
    FollowRun,
    MoveNodes,
    RemoveCategory,
    RenameCategory,
    making,
)
from commands.hierarchy.following import Step
from commands.ports import Step as Asked
from commands.runs import Fail
from domain.base import Context, context
from domain.clustering import ClusteringRun
from domain.errors import Conflict, Invalid, NotFound, Stale, Unavailable
from domain.hierarchy import FIRST_CATEGORY, TOP, Hierarchy
from domain.summaries import QUOTATION
from tests.arranging import Dying, arrange, request, run_of_six, work
from tests.browsing import Installation, browsed, summarise
from tests.stories import logged

PAIRS = [{0, 3}, {1, 4}, {2, 5}]


@pytest.fixture(scope="module")
def made(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with browsed(server, tmp_path_factory.mktemp("arranged")) as installation:
        yield installation


@pytest.fixture
def container(made: Installation) -> Container:
    return made.container


@pytest.fixture
def run_id(made: Installation, dataset: str) -> str:
    return run_of_six(made, dataset)


@pytest.fixture
def hierarchy(container: Container, run_id: str) -> Hierarchy:
    return arrange(container, run_id, target_levels=2)


def groups(hierarchy: Hierarchy) -> list[set[int]]:
    return [set(hierarchy.tree.under(one)) for one in sorted(hierarchy.tree.categories)]


def reloaded(container: Container, hierarchy: Hierarchy) -> Hierarchy:
    return container.store.load(Hierarchy, hierarchy.name)


# --- making


def test_what_lies_together_comes_under_one_category(hierarchy: Hierarchy) -> None:
    assert groups(hierarchy) == PAIRS
    assert hierarchy.status == "completed"
    titles = [one.title for one in hierarchy.tree.categories.values()]
    for title, word in zip(titles, ("refund", "python", "weather"), strict=True):
        assert title is not None
        assert word in title.lower() or set(title.lower().split()) & {
            "payment",
            "loop",
            "rain",
            "money",
            "sun",
        }


def test_it_goes_on_until_few_are_left(container: Container, run_id: str) -> None:
    deep = arrange(container, run_id, target_levels=9)
    levels = {one: deep.tree.level(one) for one in deep.tree.categories}
    assert max(levels.values()) >= 2
    assert all(
        deep.tree.level(place) > deep.tree.level(one)
        for one, place in deep.tree.places.items()
        if place != TOP
    )


def test_its_id_says_of_which_run_it_is_and_when(container: Container, run_id: str) -> None:
    first, second = request(container, run_id), request(container, run_id)
    assert (first, second) == (f"hier-{run_id}-20251004-180000", f"hier-{run_id}-20251004-180000-2")


@pytest.mark.parametrize("lives", [1, 2, 3, 5])
def test_a_job_that_dies_goes_on_where_it_was_and_asks_nothing_twice(
    container: Container, run_id: str, lives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear = Dying(lives)
    monkeypatch.setitem(vars(container)["needs"], "taxonomists", dear)
    monkeypatch.setattr(container, "bus", Bus(container.store, _handlers(), container.needs))
    container.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="Refunds"))
    name = request(container, run_id, model="dear/one")
    deaths = 0
    while container.store.load(Hierarchy, name).status == "pending":
        dear.left = lives
        try:
            work(container, "arrange", hierarchy_run_id=name)
        except Unavailable:
            deaths += 1
    assert deaths >= 2
    assert groups(container.store.load(Hierarchy, name))[:3] == PAIRS
    by_level: dict[tuple[str, int], int] = {}
    for asked in dear.asked:
        by_level[asked] = by_level.get(asked, 0) + 1
    again = {asked for asked, times in by_level.items() if times > 1}
    assert again <= {("propose", 0), ("deduplicate", 0)}, "these are asked once of each level"
    assert all(by_level[one] <= 2 for one in again)


def _handlers() -> dict[type, Any]:
    from adapters.bootstrap import HANDLERS

    return HANDLERS


def test_who_asks_a_model_needs_titles(
    container: Container, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "bus", Bus(container.store, _handlers(), {"taxonomists": Dying(1)}))
    with pytest.raises(Conflict, match="summarise it first"):
        request(container, run_id, model="dear/one")


@pytest.mark.parametrize(
    ("asked", "kind", "match"),
    [
        ({"target_levels": 1}, Invalid, "target_levels is 1"),
        ({"merge_ratio": 1.0}, Invalid, "merge_ratio is 1.0"),
        ({"model": "nobody/x"}, Invalid, "name local/agglomerative, or provider/model of"),
        ({"summary_run_id": "nowhere"}, NotFound, "no summary run 'nowhere'"),
    ],
)
def test_what_cannot_be_arranged_is_refused(
    container: Container, run_id: str, asked: dict[str, Any], kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        request(container, run_id, **asked)


def test_a_run_of_few_clusters_is_refused(made: Installation, container: Container) -> None:
    with pytest.raises(Conflict, match="has 1 clusters"):
        request(container, made.small_run_id)
    with pytest.raises(Conflict, match="is pending"):
        request(container, made.pending_run_id)


def test_it_records_by_whose_titles_it_was_made(made: Installation, container: Container) -> None:
    shown = arrange(container, made.run_id)
    assert shown.summary_run_id == made.summary_run_id
    other = summarise(made, made.run_id, "other", "other ")
    asked = arrange(container, made.run_id, summary_run_id=made.summary_run_id)
    assert asked.summary_run_id == made.summary_run_id
    run = container.store.load(ClusteringRun, made.run_id)
    words = making._words_of(run, asked, container.store)
    assert words[0][0] == "refund payment money"
    assert words[2][0] == "Rain and shine", "what a person wrote goes before"
    assert making._words_of(run, shown, container.store)[0][0] == "other refund payment money"
    assert arrange(container, made.run_id).summary_run_id == other


def test_the_noise_is_no_part_of_it(made: Installation, container: Container) -> None:
    assert arrange(container, made.run_id).tree.leaves == {0, 1, 2}


def test_why_it_failed_is_kept(container: Container, run_id: str) -> None:
    name = request(container, run_id)
    container.bus.handle(Fail(kind=Hierarchy, name=name, error="no key"))
    assert container.store.load(Hierarchy, name).status == "failed"
    work(container, "arrange", hierarchy_run_id=name)
    assert logged(container, name) == ["hierarchy.created", "hierarchy.failed"]


def test_nobody_is_quoted(container: Container, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quoting = Quoting()
    monkeypatch.setitem(vars(container)["needs"], "taxonomists", quoting)
    hierarchy = arrange(container, run_id)
    sql = text("SELECT string_agg(data::text, ' ') FROM log.events WHERE stream = :stream")
    with container.database.engine.connect() as connection:
        log = connection.execute(sql, {"stream": hierarchy.id}).scalar_one()
    assert quoting.quoted
    assert all(one not in log for one in quoting.quoted)


class Quoting(Dying):
    """Writes what one person alone has said."""

    prompts: Mapping[Asked, str] = MappingProxyType({})

    def __init__(self) -> None:
        super().__init__(10_000)
        self.quoted: set[str] = set()

    def rename(self, groups: Any, known: Any, *given: Any) -> Any:  # noqa: ANN401
        for one in super().rename(groups, known, *given):
            group = next(group for group in groups if group.category.category_id == one.category_id)
            texts = [text for child in group.children for text in child.texts]
            alone = (text for text in texts if sum(text in other for other in texts) == 1)
            said = next(text for text in alone if len(text) > QUOTATION)
            self.quoted.add(said)
            yield replace(one, title=said, description=f"They say: {said}")


# --- following


def follow(container: Container, hierarchy: Hierarchy) -> Hierarchy:
    work(container, "follow", run_id=hierarchy.run_id)
    return reloaded(container, hierarchy)


def test_it_follows_what_becomes_of_the_clusters(container: Container, hierarchy: Hierarchy) -> None:
    bus, run_id = container.bus, hierarchy.run_id
    merged = bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[3], target_cluster_id=0)).position
    assert groups(follow(container, hierarchy)) == PAIRS
    assert reloaded(container, hierarchy).tree.leaves == {0, 1, 2, 4, 5}
    members = container.store.load(ClusteringRun, run_id).partition.members(4).tolist()
    bus.handle(SplitCluster(run_id=run_id, cluster_id=4, query_ids=members[:2], title="Part"))
    bus.handle(DeleteCluster(run_id=run_id, cluster_id=2, orphan=True))
    now = follow(container, hierarchy)
    assert now.tree.leaves == {0, 1, 4, 5, 6}
    assert now.tree.places[6] == now.tree.places[4]
    bus.handle(ReverseEdit(edit_id=merged))
    assert follow(container, hierarchy).tree.leaves == {0, 1, 3, 4, 5, 6}
    assert groups(reloaded(container, hierarchy)) == [{0, 3}, {1, 4, 6}, {2, 5}]


def test_each_event_of_following_is_caused_by_the_edit(container: Container, hierarchy: Hierarchy) -> None:
    bus, run_id = container.bus, hierarchy.run_id
    edits = [
        bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[one], target_cluster_id=0)).position
        for one in (3, 4)
    ]
    bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title="One"))
    follow(container, hierarchy)
    sql = text(
        "SELECT meta ->> 'causation_id' FROM log.events WHERE stream = :stream AND type = :type ORDER BY 1"
    )
    given = {"stream": hierarchy.id, "type": Hierarchy.ClustersFollowed.TOPIC}
    with container.database.engine.connect() as connection:
        assert list(connection.execute(sql, given).scalars()) == [str(one) for one in sorted(edits)]
    version = reloaded(container, hierarchy).version
    assert follow(container, hierarchy).version == version, "a job may run twice"


def test_a_hierarchy_that_is_being_made_follows_when_it_is_complete(
    container: Container, run_id: str
) -> None:
    name = request(container, run_id)
    container.bus.handle(MergeClusters(run_id=run_id, source_cluster_ids=[3], target_cluster_id=0))
    work(container, "follow", run_id=run_id)
    work(container, "arrange", hierarchy_run_id=name)
    assert container.store.load(Hierarchy, name).tree.leaves == set(range(6))
    work(container, "follow", run_id=run_id)
    assert container.store.load(Hierarchy, name).tree.leaves == {0, 1, 2, 4, 5}


def test_what_is_not_there_cannot_follow(container: Container, hierarchy: Hierarchy) -> None:
    before = hierarchy.version
    step = Step(hierarchy.run_version, [0], [])
    container.bus.handle(FollowRun(hierarchy_run_id=hierarchy.name, steps=[step]))
    assert reloaded(container, hierarchy).version == before


# --- edits


def test_edits_of_a_tree_are_undone_and_redone_like_all_others(
    container: Container, hierarchy: Hierarchy
) -> None:
    bus, name = container.bus, hierarchy.name
    first, second, _ = sorted(hierarchy.tree.categories)
    moved = bus.handle(MoveNodes(hierarchy_run_id=name, cluster_ids=[0], parent_cluster_id=second))
    assert moved.answer == {
        "moved": 1,
        "parent_cluster_id": second,
        "version": hierarchy.version + 1,
        "changed": True,
        "dry_run": False,
    }
    found = edit_in_full(container.store, moved.position or 0)
    assert (found["run_id"], found["hierarchy_run_id"], found["edit_type"]) == (
        hierarchy.run_id,
        name,
        "move_node",
    )
    assert found["clusters"] == [
        {"cluster_id": 0, "was": {"parent_cluster_id": first}, "now": {"parent_cluster_id": second}}
    ]
    assert (found["state"], found["nodes_moved"], found["queries_moved"], found["blockers"]) == (
        "in force",
        1,
        0,
        [],
    )
    undone = bus.handle(ReverseEdit(edit_id=moved.position)).answer
    assert (undone["run_id"], undone["hierarchy_run_id"], undone["nodes_moved"]) == (
        hierarchy.run_id,
        name,
        1,
    )
    assert reloaded(container, hierarchy).tree.places[0] == first
    assert edit_in_full(container.store, moved.position or 0)["state"] == "undone"
    bus.handle(ReverseEdit(edit_id=moved.position, redo=True))
    assert reloaded(container, hierarchy).tree.places[0] == second


def test_what_stands_in_the_way_of_an_undo_is_named(container: Container, hierarchy: Hierarchy) -> None:
    bus, name = container.bus, hierarchy.name
    added = bus.handle(AddCategory(hierarchy_run_id=name, title="Mine", children_ids=[0]))
    mine = added.answer["cluster_id"]
    moved = bus.handle(MoveNodes(hierarchy_run_id=name, cluster_ids=[1], parent_cluster_id=mine))
    with pytest.raises(Conflict, match="1 edit came later") as refused:
        bus.handle(ReverseEdit(edit_id=added.position))
    assert refused.value.details == [
        {"edit_id": moved.position, "version": moved.answer["version"], "edit_type": "move_node"}
    ]
    done = bus.handle(ReverseEdit(edit_id=added.position, cascade=True)).answer
    assert done["clusters_removed"] == [mine]
    assert groups(reloaded(container, hierarchy)) == PAIRS


def test_an_edit_of_a_tree_belongs_to_its_run(
    container: Container, hierarchy: Hierarchy, made: Installation
) -> None:
    name = hierarchy.name
    done = container.bus.handle(
        RenameCategory(hierarchy_run_id=name, cluster_id=FIRST_CATEGORY, title="Money matters")
    )
    with pytest.raises(Conflict, match=f"belongs to run {hierarchy.run_id}"):
        container.bus.handle(ReverseEdit(edit_id=done.position, run_id=made.run_id))
    container.bus.handle(ReverseEdit(edit_id=done.position, run_id=hierarchy.run_id))


def test_a_dry_run_changes_nothing(container: Container, hierarchy: Hierarchy) -> None:
    command = RemoveCategory(hierarchy_run_id=hierarchy.name, cluster_id=FIRST_CATEGORY, dry_run=True)
    done = container.bus.handle(command)
    assert (done.position, done.answer["moved"], done.answer["version"]) == (None, 2, hierarchy.version)
    assert groups(reloaded(container, hierarchy)) == PAIRS


def test_an_edit_can_ask_for_the_state_it_was_made_on(container: Container, hierarchy: Hierarchy) -> None:
    command = MoveNodes(hierarchy_run_id=hierarchy.name, cluster_ids=[0], parent_cluster_id=None)
    context.set(Context(expected_version=hierarchy.version - 1))
    with pytest.raises(Stale, match=f"hierarchy {hierarchy.name} is at version {hierarchy.version}"):
        container.bus.handle(command)
    context.set(Context(expected_version=hierarchy.version))
    container.bus.handle(command)
