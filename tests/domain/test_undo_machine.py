"""Any edits, undos, redos, erasures and summaries in any order, beside a model that knows no undo.

The model holds plain dictionaries. It never takes anything back: after an undo it makes all edits that are in
force again from the beginning, each as its words say. What it holds must be what the run holds.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.clustering import Cluster, ClusteringRun
from domain.clustering.history import Plan
from domain.errors import Conflict, DomainError
from domain.values import ERASED, NOISE, ORPHAN
from tests.runs import completed_run, replayed, stored, titles

FIRST_CLUSTERS = 4
FEW = 2
"""So many clusters stay, so that there is something to edit."""
LABELS = st.lists(st.integers(NOISE, FIRST_CLUSTERS - 1), min_size=6, max_size=9)
CLUSTER = st.integers(0, 5)
"""The place of one among those that there are."""
WRITTEN = st.integers(0, 1)
"""Few, so that edits of words meet."""
QUERIES = st.lists(st.integers(1, 9), min_size=1, max_size=4)
WORDS = st.none() | st.sampled_from(["Tax", "Law", "Food"])
WORD = st.sampled_from(["Tax", "Law", "Food"])
FLAGS = st.lists(st.sampled_from(["odd", "done", "check"]), min_size=1, max_size=2)
METADATA = st.dictionaries(
    st.sampled_from(["quality", "notes"]), st.sampled_from(["low", "high", None]), min_size=1
)


@dataclass
class World:
    """Where each query is, and of each cluster what people wrote on it."""

    where: dict[int, int]
    written: dict[int, dict[str, Any]]

    def members(self, *cluster_ids: int) -> list[int]:
        return [query for query, cluster in self.where.items() if cluster in cluster_ids]

    def put(self, queries: list[int], cluster_id: int) -> None:
        moved = [one for one in queries if self.where[one] != ERASED]
        assert not moved or cluster_id in (*self.written, ORPHAN, ERASED)
        self.where.update(dict.fromkeys(moved, cluster_id))

    def write(self, cluster_id: int, words: dict[str, Any]) -> None:
        if words:
            self.written[cluster_id].update(words)


Act = Callable[[World], None]


@dataclass
class Model:
    """Acts by the version of their event, those in force, and what is no edit: erasures and summaries."""

    start: World
    acts: dict[int, Act] = field(default_factory=dict)
    in_force: list[int] = field(default_factory=list)
    erased: set[int] = field(default_factory=set)
    named: dict[int, str] = field(default_factory=dict)

    def now(self) -> World:
        world = deepcopy(self.start)
        world.put(sorted(self.erased), ERASED)
        for version in self.in_force:
            self.acts[version](world)
        return world


class Undoing(RuleBasedStateMachine):
    @initialize(labels=LABELS)
    def begin(self, labels: list[int]) -> None:
        self.run: Any = completed_run(labels, clusters=FIRST_CLUSTERS)
        self.events = [stored(one) for one in self.run.collect_events()]
        written: dict[int, dict[str, Any]] = {one: {} for one in self.run.clusters}
        self.model = Model(World(dict(enumerate(labels, 1)), written))
        self.changes: dict[int, Any] = {}

    def cluster(self, place: int) -> int:
        there = sorted(self.run.clusters)
        return there[place % len(there)] if there else 0

    # --- edits

    def edit(self, decide: Callable[[ClusteringRun], Any], act: Act) -> None:
        """Make an edit on the run, where it may be made; the same on the model, where it changed anything."""
        try:
            decide(self.run)
        except DomainError:
            assert not self.run.pending_events
            return
        for event in self.record():
            self.model.acts[event.originator_version] = act
            self.model.in_force.append(event.originator_version)

    def record(self) -> list[Any]:
        new = [stored(one) for one in self.run.collect_events()]
        self.events += new
        self.changes |= {one.originator_version: one.changes() for one in new if hasattr(one, "changes")}
        return new

    @rule(queries=QUERIES, cluster=CLUSTER)
    def move(self, queries: list[int], cluster: int) -> None:
        """What is there already is not moved, and so does not stay for this edit's sake."""
        cluster = self.cluster(cluster)
        where = self.model.now().where
        moved = [one for one in queries if where.get(one, ERASED) not in (ERASED, cluster)]
        self.edit(lambda run: run.move(queries, cluster), lambda world: world.put(moved, cluster))

    @precondition(lambda self: len(self.run.clusters) > FEW)
    @rule(sources=st.sets(CLUSTER, min_size=1, max_size=2), into=CLUSTER, title=WORDS, words=WORDS)
    def merge(self, sources: set[int], into: int, title: str | None, words: str | None) -> None:
        sources, into = {self.cluster(one) for one in sources}, self.cluster(into)
        own = self._new_words(into, title, words)

        def act(world: World) -> None:
            world.put(world.members(*sources), into)
            for one in sources:
                del world.written[one]
            world.write(into, own)

        self.edit(lambda run: run.merge(sorted(sources), into, title, words), act)

    @rule(cluster=CLUSTER, queries=QUERIES, title=WORD, words=WORDS)
    def split(self, cluster: int, queries: list[int], title: str, words: str | None) -> None:
        cluster, new = self.cluster(cluster), self.run.next_cluster_id
        members = self.model.now().members(cluster)
        queries = sorted({members[one % len(members)] for one in queries} if members else queries)

        def act(world: World) -> None:
            assert cluster in world.written
            assert new not in world.written
            world.written[new] = {"own_title": title, **({"own_description": words} if words else {})}
            world.put(queries, new)

        self.edit(lambda run: run.split(cluster, queries, title, words), act)

    @precondition(lambda self: len(self.run.clusters) > FEW)
    @rule(cluster=CLUSTER, to=st.none() | CLUSTER)
    def delete(self, cluster: int, to: int | None) -> None:
        cluster, to = self.cluster(cluster), None if to is None else self.cluster(to)

        def act(world: World) -> None:
            del world.written[cluster]
            world.put(world.members(cluster), ORPHAN if to is None else to)

        self.edit(lambda run: run.delete(cluster, to), act)

    @rule(cluster=WRITTEN, title=WORD, words=WORDS)
    def rename(self, cluster: int, title: str, words: str | None) -> None:
        cluster = self.cluster(cluster)
        own = self._new_words(cluster, title, words)
        self.edit(lambda run: run.rename(cluster, title, words), lambda world: world.write(cluster, own))

    def _new_words(self, cluster: int, title: str | None, words: str | None) -> dict[str, str]:
        """What is shown already does not become a person's word."""
        given = {"title": title, "description": words}
        shown = self.run.clusters.get(cluster, Cluster())
        return {
            f"own_{name}": word for name, word in given.items() if word not in (None, getattr(shown, name))
        }

    @rule(cluster=WRITTEN, metadata=METADATA)
    def annotate(self, cluster: int, metadata: dict[str, Any]) -> None:
        cluster = self.cluster(cluster)
        was = self.model.now().written.get(cluster, {})
        now = {name: value for name, value in metadata.items() if value != was.get(name)}
        self.edit(lambda run: run.annotate(cluster, metadata), lambda world: world.write(cluster, now))

    @rule(cluster=WRITTEN, add=FLAGS, remove=FLAGS)
    def flag(self, cluster: int, add: list[str], remove: list[str]) -> None:
        cluster = self.cluster(cluster)

        def act(world: World) -> None:
            kept = [one for one in world.written[cluster].get("flags", ()) if one not in remove]
            world.written[cluster]["flags"] = tuple(dict.fromkeys([*kept, *add]))

        self.edit(lambda run: run.flag(cluster, add, remove), act)

    @rule(clusters=st.sets(WRITTEN, min_size=1))
    def release(self, clusters: set[int]) -> None:
        """Words of people give way; those that are written later stay."""
        there = {self.cluster(one) for one in clusters}
        written = self.model.now().written
        names = ("own_title", "own_description")
        own = {one: [name for name in names if written.get(one, {}).get(name)] for one in there}

        def act(world: World) -> None:
            for one, released in own.items():
                world.write(one, dict.fromkeys(released))

        self.edit(lambda run: run.release_titles(sorted(there), "s1"), act)

    # --- what is no edit

    @rule(queries=QUERIES)
    def erase(self, queries: list[int]) -> None:
        self.run.erase(np.array(queries))
        self.record()
        self.model.erased |= set(queries) & self.model.start.where.keys()

    @rule(word=st.sampled_from(["s1", "s2"]), clusters=st.sets(st.integers(NOISE, 9), min_size=1))
    def summarise(self, word: str, clusters: set[int]) -> None:
        """Also of clusters that are removed at the moment; others are passed over."""
        self.run.adopt_titles(word, titles(word, *sorted(clusters)))
        self.record()
        made = {*self.model.start.written, *range(self.run.next_cluster_id)}
        self.model.named |= dict.fromkeys(clusters & made, word)

    # --- taking back

    def plan(self, version: int, *, redo: bool) -> Plan:
        """From no more changes than the run asks for."""
        wanted = self.run.concerned_by(version, redo=redo)
        known = {one: self.changes[one] for one in wanted}
        return self.run.plan(version, known, redo=redo)  # type: ignore[no-any-return]

    def reverse(self, plan: Plan) -> None:
        """What the run takes back or puts back, in the list of the model."""
        if plan.redo:
            assert not set(plan.edits) & set(self.model.in_force)
            self.model.in_force = sorted([*self.model.in_force, *plan.edits])
        else:
            assert set(plan.edits) <= set(self.model.in_force)
            self.model.in_force = [one for one in self.model.in_force if one not in plan.edits]
        self.run.take_back(plan)
        (event,) = self.record()
        back = self.plan(event.originator_version, redo=False)
        assert (sorted(back.edits), back.blockers, back.refused) == (sorted(plan.edits), [], [])
        assert back.redo != plan.redo

    @precondition(lambda self: self.model.in_force)
    @rule(number=st.integers(0, 99), cascade=st.booleans())
    def undo_any(self, number: int, cascade: bool) -> None:
        version = self.model.in_force[number % len(self.model.in_force)]
        plan = self.plan(version, redo=False)
        assert set(plan.edits) == {version, *plan.blockers}
        assert not plan.refused
        if cascade or not plan.blockers:
            self.reverse(plan)

    @precondition(lambda self: self.model.in_force)
    @rule()
    def undo_last(self) -> None:
        plan = self.plan(self.run.history.last(), redo=False)
        assert (plan.blockers, plan.refused) == ([], [])
        self.reverse(plan)

    @precondition(lambda self: self.run.history.undone)
    @rule()
    def redo_last(self) -> None:
        plan = self.plan(self.run.history.last_undone(), redo=True)
        if not plan.refused:
            assert plan.blockers == []
            self.reverse(plan)

    @precondition(lambda self: self.run.history.undone)
    @rule(number=st.integers(0, 99), cascade=st.booleans())
    def redo_any(self, number: int, cascade: bool) -> None:
        undone = sorted(self.run.history.undone)
        version = undone[number % len(undone)]
        plan = self.plan(version, redo=True)
        if plan.refused:
            before = vars(self.run).copy()
            try:
                self.run.take_back(plan)
            except Conflict:
                assert vars(self.run) == before
            else:
                raise AssertionError("what is refused was done")
        elif cascade or not plan.blockers:
            self.reverse(plan)

    @precondition(lambda self: self.run.history.undos or self.run.history.redos)
    @rule(number=st.integers(0, 99), redo=st.booleans(), cascade=st.booleans())
    def reverse_a_reversal(self, number: int, redo: bool, cascade: bool) -> None:
        versions = sorted({*self.run.history.undos, *self.run.history.redos})
        version = versions[number % len(versions)]
        try:
            plan = self.plan(version, redo=redo)
        except Conflict:
            assert self.run.history.state(version) != "in force" or (
                redo and version in self.run.history.redos
            )
            return
        assert not redo or plan.redo, "a redo takes nothing back"
        if not plan.refused and (cascade or not plan.blockers):
            self.reverse(plan)

    # --- what always holds

    @invariant()
    def the_run_is_its_model(self) -> None:
        world = self.model.now()
        ids, labels = self.run.partition.query_ids.tolist(), self.run.partition.labels.tolist()
        assert dict(zip(ids, labels, strict=True)) == world.where
        assert {one: self.shown(one) for one in self.run.clusters} == {
            one: self.expected(one, written) for one, written in world.written.items()
        }
        assert sorted(self.run.history.in_force) == self.model.in_force

    def shown(self, cluster_id: int) -> dict[str, Any]:
        return {name: value for name, value in vars(self.run.clusters[cluster_id]).items() if value}

    def expected(self, cluster_id: int, written: dict[str, Any]) -> dict[str, Any]:
        word = self.model.named.get(cluster_id)
        named: dict[str, Any] = {}
        if word:
            title = titles(word, cluster_id)[0]
            named = {"named_title": title["title"], "named_description": title["description"]}
            named["summary_run_id"] = word
        return {**named, **{name: value for name, value in written.items() if value}}

    @invariant()
    def each_query_is_in_one_cluster_that_exists_or_in_none(self) -> None:
        assert set(self.run.partition.labels.tolist()) <= {*self.run.clusters, ORPHAN, ERASED}

    @invariant()
    def events_and_snapshots_make_the_same_run(self) -> None:
        assert vars(replayed(self.events)) == vars(self.run)
        snapshot = stored(ClusteringRun.Snapshot.take(self.run))
        assert vars(snapshot.mutate(None)) == vars(self.run)

    @invariant()
    def events_say_truly_what_was(self) -> None:
        """The last event ends where the run is, and says of nothing that it changed that has not."""
        last = self.events[-1]
        if hasattr(last, "changes"):
            changes = last.changes()
            assert (changes.was != changes.now).all()
            assert (self.run.partition.labels_of(changes.query_ids) == changes.now).all()

    def teardown(self) -> None:
        """Undo after undo leads back to the state after clustering, but for erasures and summaries."""
        if not hasattr(self, "run"):
            return
        while self.run.history.in_force:
            self.undo_last()
        assert self.model.now() == World(
            {**self.model.start.where, **dict.fromkeys(self.model.erased, ERASED)}, self.model.start.written
        )
        self.the_run_is_its_model()


TestUndoing = Undoing.TestCase
TestUndoing.settings = settings(stateful_step_count=30)
