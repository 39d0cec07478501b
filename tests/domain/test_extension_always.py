"""Whatever comes to a run and whatever people do and undo, in any order: each query is somewhere that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.clustering import Changes, ClusteringRun
from domain.errors import Conflict, DomainError
from domain.values import NOISE, ORPHAN
from tests.runs import completed_run

PLACE = st.integers(0, 6)
"""Of a cluster, a query or an edit among those that there are."""


class Growing(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.run: ClusteringRun = completed_run()
        self.made: dict[int, Changes] = {}
        self.next_query = self.run.last_query_id + 1
        self.run.collect_events()

    def do(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except DomainError:
            return
        for one in self.run.collect_events():
            if type(one) in ClusteringRun.EDITS:
                self.made[one.originator_version] = one.changes()

    def cluster(self, at: int) -> int:
        there = sorted(self.run.clusters)
        return there[at % len(there)]

    def query(self, at: int) -> int:
        ids: list[int] = self.run.partition.query_ids.tolist()
        return ids[-1 - at % len(ids)]

    @rule(to=PLACE, count=st.integers(1, 2))
    def extend(self, to: int, count: int) -> None:
        ids = list(range(self.next_query, self.next_query + count))
        name = f"more-{self.next_query}"
        self.run.request_extension(name, ids[-1], 0.0)
        labels = np.full(count, self.cluster(to), np.int32)
        self.run.add(name, np.array(ids, np.int64), labels, np.ones(count, np.float32))
        self.run.end_extension(name, None)
        self.next_query += count
        self.run.collect_events()

    @rule(query=PLACE, to=PLACE)
    def move(self, query: int, to: int) -> None:
        self.do(lambda: self.run.move([self.query(query)], self.cluster(to)))

    @rule(query=PLACE)
    def split(self, query: int) -> None:
        one = self.query(query)
        self.do(lambda: self.run.split(self.run.label_of(one), [one], "New", None))

    @rule(source=PLACE, into=PLACE)
    def merge(self, source: int, into: int) -> None:
        self.do(lambda: self.run.merge([self.cluster(source)], self.cluster(into), None, None))

    @rule(cluster=PLACE)
    def delete(self, cluster: int) -> None:
        if len(self.run.clusters) > 2:
            self.do(lambda: self.run.delete(self.cluster(cluster), None))

    @rule(edit=PLACE, redo=st.booleans())
    def reverse(self, edit: int, redo: bool) -> None:
        if not self.made:
            return
        version = sorted(self.made)[-1 - edit % len(self.made)]

        def act() -> None:
            known = {one: self.made[one] for one in self.run.concerned_by(version, redo=redo)}
            plan = self.run.plan(version, known, redo=redo)
            if plan.refused:
                raise Conflict("not now")
            self.run.take_back(plan)

        self.do(act)

    @invariant()
    def every_query_is_somewhere_that_is(self) -> None:
        assert set(self.run.partition.labels.tolist()) <= {*self.run.clusters, NOISE, ORPHAN}


TestGrowing = Growing.TestCase
TestGrowing.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
