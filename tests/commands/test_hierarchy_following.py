"""Any edits and undos of a run and of its hierarchy: every live cluster has one place in the tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from commands.hierarchy.following import steps_of
from domain.errors import DomainError
from domain.hierarchy import FIRST_CATEGORY, Hierarchy
from tests.runs import completed_run, replayed, stored
from tests.trees import A, B, C, build, requested_hierarchy

CLUSTERS = 6
CLUSTER = st.integers(0, 9)
"""The place of one among those that there are."""
NODE = st.integers(0, 20)
NODES = st.lists(NODE, min_size=1, max_size=3)
QUERIES = st.lists(st.integers(1, 12), min_size=1, max_size=3)


class Following(RuleBasedStateMachine):
    @initialize(noise=st.booleans())
    def begin(self, noise: bool) -> None:
        labels = [-1 if noise else 0, *(one % CLUSTERS for one in range(1, 12))]
        self.run: Any = completed_run(labels, clusters=CLUSTERS)
        self.tree: Any = requested_hierarchy(self.run.version)
        build(self.tree, 1, {0: A, 1: A, 2: A, 3: B, 4: B, 5: None}, "Food", "Money")
        build(self.tree, 2, {A: C, B: C}, "Life")
        self.tree.complete()
        self.start = self.tree.tree.copy()
        self.events: dict[str, dict[int, Any]] = {self.run.id: {}, self.tree.id: {}}
        self.record()

    def record(self) -> None:
        for one in (self.run, self.tree):
            new = {event.originator_version: stored(event) for event in one.collect_events()}
            self.events[one.id].update(new)

    def edit(self, decide: Callable[[], Any]) -> None:
        """An edit, where it may be made."""
        try:
            decide()
        except DomainError:
            assert not self.run.pending_events
            assert not self.tree.pending_events
        self.record()

    def cluster(self, place: int) -> int:
        there = sorted(self.run.clusters)
        return there[place % len(there)] if there else 0

    def node(self, place: int) -> int:
        there = sorted({*self.tree.tree.leaves, *self.tree.tree.categories})
        return there[place % len(there)] if there else 0

    def category(self, place: int) -> int | None:
        """Also none, which is the top."""
        there = [None, *sorted(self.tree.tree.categories)]
        return there[place % len(there)]

    # --- the run

    @rule(sources=st.sets(CLUSTER, min_size=1, max_size=2), into=CLUSTER)
    def merge(self, sources: set[int], into: int) -> None:
        named = sorted({self.cluster(one) for one in sources})
        self.edit(lambda: self.run.merge(named, self.cluster(into)))

    @rule(cluster=CLUSTER, queries=QUERIES)
    def split(self, cluster: int, queries: list[int]) -> None:
        cluster = self.cluster(cluster)
        members = self.run.partition.members(cluster).tolist()
        some = sorted({members[one % len(members)] for one in queries}) if members else queries
        self.edit(lambda: self.run.split(cluster, some, "Part", None))

    @rule(cluster=CLUSTER, to=st.none() | CLUSTER)
    def delete(self, cluster: int, to: int | None) -> None:
        self.edit(lambda: self.run.delete(self.cluster(cluster), None if to is None else self.cluster(to)))

    # --- the hierarchy

    @rule(nodes=NODES, to=NODE)
    def move(self, nodes: list[int], to: int) -> None:
        self.edit(lambda: self.tree.move([self.node(one) for one in nodes], self.category(to)))

    @rule(nodes=st.lists(NODE, max_size=3), parent=NODE)
    def add(self, nodes: list[int], parent: int) -> None:
        named = [self.node(one) for one in nodes]
        self.edit(lambda: self.tree.add("Mine", None, named, self.category(parent)))

    @rule(category=NODE, to=NODE)
    def remove(self, category: int, to: int) -> None:
        one = self.category(category)
        if one is not None:
            self.edit(lambda: self.tree.remove(one, self.category(to)))

    @rule(category=NODE, title=st.sampled_from(["x", "y"]))
    def rename(self, category: int, title: str) -> None:
        one = self.category(category)
        if one is not None:
            self.edit(lambda: self.tree.rename(one, title, None))

    # --- both

    @rule(of_run=st.booleans(), number=st.integers(0, 99), redo=st.booleans())
    def reverse_any(self, of_run: bool, number: int, redo: bool) -> None:
        """With all that stands in the way."""
        edited = self.run if of_run else self.tree
        known = edited.history.undone if redo else edited.history.in_force
        if known:
            self.reverse(edited, sorted(known)[number % len(known)], redo=redo)

    def reverse(self, edited: Any, version: int, *, redo: bool) -> None:  # noqa: ANN401
        events = self.events[edited.id]
        changes = {one: events[one].changes() for one in edited.concerned_by(version, redo=redo)}
        plan = edited.plan(version, changes, redo=redo)
        if not plan.refused:
            edited.take_back(plan)
            self.record()

    @rule()
    def follow(self) -> None:
        events = self.events[self.run.id]
        since = {at: one for at, one in events.items() if at > self.tree.run_version}
        for step in steps_of(since):
            self.tree.follow(step.run_version, step.gone, step.came)
        self.record()

    # --- what always holds

    @property
    def live(self) -> dict[int, int]:
        sizes = self.run.partition.sizes()
        return {one: sizes.get(one, 0) for one in self.run.clusters if one >= 0}

    @invariant()
    def no_node_is_shown_that_is_not_there(self) -> None:
        """Also between an edit of the run and the following of it."""
        tree, nodes = self.tree.tree, self.tree.tree.nodes(self.live)
        shown = {one.cluster_id: one for one in nodes}
        assert len(shown) == len(nodes), "each stands in one place"
        for one in nodes:
            assert one.cluster_id in (self.live if one.level == 0 else tree.categories)
            if one.parent_id is not None:
                assert shown[one.parent_id].level > one.level, "so there is no cycle"
                assert one.cluster_id in shown[one.parent_id].children_ids
            below = [shown[child] for child in one.children_ids]
            assert all(child.parent_id == one.cluster_id for child in below)
            if one.level:
                assert one.num_queries == sum(child.num_queries for child in below)
                assert below or tree.categories[one.cluster_id].is_made_by_person

    @invariant()
    def having_followed_every_live_cluster_is_a_leaf(self) -> None:
        """On a copy: what it shows after following is what it would show at any time."""
        again = replayed(self.events[self.tree.id].values())
        since = {at: one for at, one in self.events[self.run.id].items() if at > again.run_version}
        for step in steps_of(since):
            again.follow(step.run_version, step.gone, step.came)
        assert again.tree.leaves == self.live.keys()
        leaves = [one for one in again.tree.nodes(self.live) if one.level == 0]
        assert {one.cluster_id for one in leaves} == self.live.keys()
        assert set(again.tree.places.values()) <= {*again.tree.categories, -2}

    @invariant()
    def events_make_the_same_hierarchy(self) -> None:
        assert vars(replayed(self.events[self.tree.id].values())) == vars(self.tree)

    @invariant()
    def no_id_is_used_twice(self) -> None:
        made = [
            e.cluster_id for e in self.events[self.tree.id].values() if type(e) is Hierarchy.CategoryAdded
        ]
        assert len({*made}) == len(made)
        assert all(one > C for one in made)
        assert all(one >= FIRST_CATEGORY for one in self.tree.tree.categories)

    @precondition(lambda self: self.tree.history.in_force)
    @rule()
    def undo_last(self) -> None:
        self.reverse(self.tree, self.tree.history.last(), redo=False)

    def teardown(self) -> None:
        """Undo after undo leads back to the tree that was made."""
        if not hasattr(self, "tree"):
            return
        while self.tree.history.in_force:
            self.undo_last()
        assert self.tree.tree.categories == self.start.categories
        assert self.start.places.items() <= self.tree.tree.places.items()


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=40, stateful_step_count=20)
