"""The work of a hierarchy: level upon level, four steps each. Run again, it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from commands.bus import Bus
from commands.hierarchy.recording import (
    FEWEST,
    BeginLevel,
    CompleteHierarchy,
    EndLevel,
    RecordStep,
    titles_of,
)
from commands.ports import (
    NO_USAGE,
    Category,
    Child,
    Contents,
    Embeddings,
    EventStore,
    Group,
    Limits,
    Neighborhood,
    Progress,
    Step,
    Taxonomist,
    Taxonomists,
    Usage,
)
from commands.runs import Cancellation, chunks
from domain.clustering import ClusteringRun
from domain.content import decode_content
from domain.errors import Refused
from domain.hierarchy import Hierarchy, Tree
from domain.measures import Tally
from domain.summaries import without_quotations
from domain.values import Space, Vectors

TEXTS = 20
MOST_TEXTS = 50_000
"""Queries that are read of a cluster, and of all together, for who names by counting words."""

LONGEST_TEXT = 400
RECORDED_AT_ONCE = 1_000


def run_hierarchy(
    hierarchy_run_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    embeddings: Embeddings,
    taxonomists: Taxonomists,
    progress: Progress,
) -> None:
    """Level upon level. A second try goes on behind the last answer that was recorded."""
    hierarchy = store.load(Hierarchy, hierarchy_run_id)
    if hierarchy.status != "pending":
        return
    store.load(ClusteringRun, hierarchy.run_id).check_editable()
    run = store.at_version(ClusteringRun, hierarchy.run_id, hierarchy.run_version)
    children = leaves_of(run, hierarchy, store, contents, embeddings)
    work = _Work(hierarchy_run_id, bus, store, taxonomists.get(hierarchy.model), progress)
    for level in range(1, int(hierarchy.parameters["target_levels"])):
        if len(children) < FEWEST:
            break
        work.arrange(level, children)
        if work.stop.look():
            return
        children = above(children, store.load(Hierarchy, hierarchy_run_id).tree, level)
    bus.handle(CompleteHierarchy(hierarchy_run_id=hierarchy_run_id))


def leaves_of(
    run: ClusteringRun, hierarchy: Hierarchy, store: EventStore, contents: Contents, embeddings: Embeddings
) -> list[Child]:
    """The clusters, the noise left out, with their mean directions and some of their queries."""
    ids = sorted(one for one in run.clusters if one >= 0)
    space = Space(**(run.space or {}))
    tally = Tally(ids, space.dimension)
    for query_ids, vectors in embeddings.source(run.dataset, space, run.last_query_id).chunks():
        rows, labels = run.partition.among(query_ids)
        tally.add(labels, vectors[rows])
    sizes, words = run.partition.sizes(), _words_of(run, hierarchy, store)
    most = max(1, min(TEXTS, MOST_TEXTS // len(ids)))
    return [
        Child(one, *words[one], sizes.get(one, 0), vector, _texts_of(run, one, most, contents))
        for one, vector in zip(ids, tally.centroids(), strict=True)
    ]


def _words_of(run: ClusteringRun, hierarchy: Hierarchy, store: EventStore) -> dict[int, tuple[str, str]]:
    """Title and description of each cluster, of the chosen summary run where people wrote none."""
    asked = hierarchy.parameters.get("summary_run_id")
    theirs = titles_of(store, run, asked) if asked else {}
    words = {}
    for one, cluster in run.clusters.items():
        shown = {"title": cluster.title, "description": cluster.description}
        own = {name: shown[name] for name in shown if getattr(cluster, f"{name}_edited")}
        said = {**theirs.get(one, {}), **own} if asked else shown
        words[one] = said.get("title") or f"Cluster {one}", said.get("description") or ""
    return words


def _texts_of(run: ClusteringRun, cluster_id: int, most: int, contents: Contents) -> list[str]:
    """Of its queries so many, at equal distances."""
    ids = run.partition.members(cluster_id)
    some = ids[np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(int)].tolist() if len(ids) else []
    bodies = contents.of_queries(run.dataset, some)
    return [decode_content(bodies[one]).query[:LONGEST_TEXT] for one in some if one in bodies]


def above(children: Sequence[Child], tree: Tree, level: int) -> list[Child]:
    """The categories of a level as children of the next."""
    under: dict[int, list[Child]] = {}
    for one in children:
        if tree.level(place := tree.places[one.cluster_id]) == level:
            under.setdefault(place, []).append(one)
    return [_together(one, below, tree) for one, below in sorted(under.items())]


def _together(category_id: int, below: Sequence[Child], tree: Tree) -> Child:
    category = tree.category(category_id)
    size = sum(one.size for one in below)
    texts = [text for one in below for text in one.texts]
    words = (category.title or "", category.description or "")
    return Child(
        category_id, *words, size, mean_direction(below), texts[:: -(-len(texts) // MOST_TEXTS) or 1]
    )


def mean_direction(children: Sequence[Child]) -> Vectors:
    total = np.sum([one.size * one.vector for one in children], axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), np.float32)


class Answered(Protocol):
    @property
    def usage(self) -> Usage: ...


@dataclass
class _Work:
    """The making of levels, each step from where it stands."""

    name: str
    bus: Bus
    store: EventStore
    taxonomist: Taxonomist
    progress: Progress
    _done: int = 0

    def __post_init__(self) -> None:
        self.stop = Cancellation(lambda: self._now().status != "pending")
        asked = self._now().parameters
        known = {name: asked[name] for name in ("concurrency", "rpm") if name in asked}
        self._limits = Limits(**known)
        self._size = asked.get("neighborhood_size")
        self._ratio = float(asked["merge_ratio"])

    def _now(self) -> Hierarchy:
        return self.store.load(Hierarchy, self.name)

    def arrange(self, level: int, children: Sequence[Child]) -> None:
        """All that is left to do of a level; nothing for one that is done."""
        if self._now().level < level:
            wanted = parents_of(len(children), self._ratio)
            areas = self.taxonomist.neighborhoods(children, wanted, self._size)
            self.bus.handle(
                BeginLevel(hierarchy_run_id=self.name, level=level, wanted=wanted, neighborhoods=areas)
            )
        if self._now().level > level or not self._now().is_level_open:
            return
        known = {one.cluster_id: one for one in children}
        for step in (self._propose, self._choose, self._assign, self._rename):
            step(level, known)
            if self.stop.look():
                return
        self.bus.handle(EndLevel(hierarchy_run_id=self.name, level=level))

    def _propose(self, level: int, known: Mapping[int, Child]) -> None:
        now = self._now()
        if now.chosen is not None:
            return
        left = [
            Neighborhood(
                number,
                [known[one] for one in area["cluster_ids"]],
                [known[one] for one in area["outside_ids"]],
                area["wanted"],
            )
            for number, area in enumerate(now.neighborhoods)
            if number not in now.proposals
        ]
        proposed = self.taxonomist.propose(left, self._limits, self.stop)
        for some in chunks(proposed, RECORDED_AT_ONCE):
            rows = [
                {
                    "neighborhood": one.number,
                    "categories": [_unquoted(category, known) for category in one.categories],
                    "error": one.error,
                }
                for one in some
            ]
            self._record(level, "propose", rows, some)

    def _choose(self, level: int, known: Mapping[int, Child]) -> None:
        now = self._now()
        if now.chosen is not None:
            return
        proposals = [one for _, one in sorted(now.proposals.items())]
        proposed = [Category(**category) for one in proposals for category in one["categories"]]
        if not proposed:
            raise Refused(f"no category was proposed: {next(one['error'] for one in proposals)}")
        children = list(known.values())
        chosen = self.taxonomist.deduplicate(proposed, children, now.wanted, self._limits, self.stop)
        if self.stop():
            return
        rows = [_unquoted(one, known) for one in chosen.categories]
        self._record(level, "deduplicate", rows, [chosen], chosen.error)

    def _assign(self, level: int, known: Mapping[int, Child]) -> None:
        now = self._now()
        categories = _categories(now)
        answers = self.taxonomist.assign(
            list(known.values()), now.assigned, categories, self._limits, self.stop
        )
        for some in chunks(answers, RECORDED_AT_ONCE):
            rows = [
                {"cluster_id": one.cluster_id, "parent_cluster_id": one.category_id, "error": one.error}
                for one in some
            ]
            self._record(level, "assign", rows, some)
        failed = self._now().unanswered
        if len(failed) == len(known):
            raise Refused(f"none of {len(known)} nodes could be assigned: {next(iter(failed.values()))}")

    def _rename(self, level: int, known: Mapping[int, Child]) -> None:
        now = self._now()
        under = now.categories_of_level()
        groups = [
            Group(one, [known[child] for child in under[one.category_id]])
            for one in _categories(now)
            if one.category_id in under
        ]
        titles = {one: str(now.tree.category(one).title) for one in now.named}
        if len(titles) == len(groups):
            return
        named = self.taxonomist.rename(groups, titles, self._limits, self.stop)
        for some in chunks(named, RECORDED_AT_ONCE):
            rows = [
                {
                    "cluster_id": one.category_id,
                    "title": _told(one.title, known, under[one.category_id]) or f"Category {one.category_id}",
                    "description": _told(one.description, known, under[one.category_id]),
                    "error": one.error,
                }
                for one in some
            ]
            self._record(level, "rename", rows, some)

    def _record(
        self,
        level: int,
        step: Step,
        rows: Sequence[Mapping[str, Any]],
        answers: Sequence[Answered],
        error: str | None = None,
    ) -> None:
        usage = sum((one.usage for one in answers), NO_USAGE)
        prompt = self.taxonomist.prompts.get(step, "")
        self.bus.handle(
            RecordStep(
                hierarchy_run_id=self.name,
                level=level,
                step=step,
                rows=rows,
                prompt=prompt,
                usage=usage,
                error=error,
            )
        )
        self._done += len(rows)
        self.progress(self._done, None)


def parents_of(count: int, ratio: float) -> int:
    """Parents of so many nodes. Two of them say little, so that there are three where each can have two."""
    return max(2, min(FEWEST, count // 2), round(count * ratio))


def _categories(now: Hierarchy) -> list[Category]:
    return [
        Category(one["title"], one["description"], one["cluster_ids"], one["cluster_id"])
        for one in now.chosen or ()
    ]


def _unquoted(category: Category, known: Mapping[int, Child]) -> dict[str, Any]:
    """As it stands in events: whatever a model wrote, the log is told no person's words."""
    title, description = (
        _told(words, known, category.cluster_ids) for words in (category.title, category.description)
    )
    return {
        "title": title or "Untitled",
        "description": description,
        "cluster_ids": list(category.cluster_ids),
    }


def _told(words: str, known: Mapping[int, Child], cluster_ids: Iterable[int]) -> str:
    texts = [text for one in cluster_ids for text in known[one].texts]
    return without_quotations(words, texts).strip("… ")
