"""Making a hierarchy: the request, the record of each answer, and the work between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np

from commands.bus import Bus, Handler
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
    Outcome,
    Progress,
    Step,
    Taxonomist,
    Taxonomists,
    Usage,
)
from domain.base import Conflict, Invalid, NotFound, Refused
from domain.clustering import Cluster, ClusteringRun
from domain.content import decode_content
from domain.hierarchy import Hierarchy, Tree
from domain.hierarchy.tree import MAX_LEVEL
from domain.measures import Tally
from domain.summaries import SummaryRun, without_quotations
from domain.values import Space, Vectors

MOST_CLUSTERS = 5_000
"""More are not arranged: they are compared all with one another, which grows with the square."""

FEWEST = 3
"""Fewer nodes are not arranged any further."""

TARGET_LEVELS = 3
MERGE_RATIO = 0.2
TEXTS = 20
MOST_TEXTS = 50_000
"""Queries that are read of a cluster, and of all together, for who names by counting words."""

LONGEST_TEXT = 400
PAID_AT_ONCE, FREE_AT_ONCE = 10, 1_000
"""Answers that one event records: of those that are paid for few, so that a job that dies asks few again."""


@dataclass(frozen=True, kw_only=True)
class RequestHierarchy:
    """`at` becomes part of its id. `summary_run_id` None: the titles that are shown."""

    run_id: str
    model: str
    at: datetime
    summary_run_id: str | None = None
    target_levels: int = TARGET_LEVELS
    merge_ratio: float = MERGE_RATIO
    neighborhood_size: int | None = None
    concurrency: int | None = None
    rpm: int | None = None


@dataclass(frozen=True, kw_only=True)
class BeginLevel:
    hierarchy_run_id: str
    level: int
    wanted: int
    neighborhoods: Sequence[Neighborhood]


@dataclass(frozen=True, kw_only=True)
class RecordStep:
    """Answers of one step, as the events of the hierarchy have them."""

    hierarchy_run_id: str
    level: int
    step: Step
    rows: Sequence[Mapping[str, Any]]
    prompt: str
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class EndLevel:
    hierarchy_run_id: str
    level: int


@dataclass(frozen=True, kw_only=True)
class CompleteHierarchy:
    hierarchy_run_id: str


@dataclass(frozen=True, kw_only=True)
class FailHierarchy:
    hierarchy_run_id: str
    error: str


def request_hierarchy(cmd: RequestHierarchy, store: EventStore, taxonomists: Taxonomists) -> Outcome:
    if not 2 <= cmd.target_levels <= MAX_LEVEL:
        raise Invalid(
            f"target_levels is {cmd.target_levels}; it goes from 2 (clusters, parents) to {MAX_LEVEL}"
        )
    if not 0 < cmd.merge_ratio < 1:
        raise Invalid(f"merge_ratio is {cmd.merge_ratio}; it lies between 0 and 1: parents per node")
    run = store.load(ClusteringRun, cmd.run_id)
    run.check_editable()
    taxonomist = taxonomists.get(cmd.model)
    clusters = {one: found for one, found in run.clusters.items() if one >= 0}
    _check_clusters(run, clusters, needs_titles=bool(taxonomist.prompts))
    chosen = cmd.summary_run_id
    if chosen is not None:
        _titles_of(store, run, chosen)
    asked = ("target_levels", "merge_ratio", "neighborhood_size", "concurrency", "rpm", "summary_run_id")
    hierarchy = Hierarchy(
        hierarchy_run_id=next(one for one in _ids(cmd) if store.find(Hierarchy, one) is None),
        run_id=cmd.run_id,
        run_version=run.version,
        summary_run_id=chosen or _shown_summary(clusters.values()),
        model=taxonomist.model,
        parameters={name: value for name in asked if (value := getattr(cmd, name)) is not None},
    )
    answer = {"hierarchy_run_id": hierarchy.hierarchy_run_id, "run_id": cmd.run_id, "status": "pending"}
    return Outcome((hierarchy,), answer)


def _ids(cmd: RequestHierarchy) -> Iterator[str]:
    """`hier-<run_id>-20251004-124530`, then the same with `-2`, `-3`, ..."""
    name = f"hier-{cmd.run_id}-{cmd.at:%Y%m%d-%H%M%S}"
    yield name
    for number in range(2, 1_000_000):
        yield f"{name}-{number}"


def _check_clusters(run: ClusteringRun, clusters: Mapping[int, Cluster], *, needs_titles: bool) -> None:
    if not FEWEST <= len(clusters) <= MOST_CLUSTERS:
        raise Conflict(
            f"run {run.run_id} has {len(clusters)} clusters;"
            f" a hierarchy is made of {FEWEST} to {MOST_CLUSTERS}"
        )
    if needs_titles and not any(one.title for one in clusters.values()):
        raise Conflict(f"no cluster of run {run.run_id} has a title: summarise it first")


def _shown_summary(clusters: Iterable[Cluster]) -> str | None:
    """The summary run of which most titles are."""
    found = Counter(one.summary_run_id for one in clusters if one.summary_run_id)
    return max(found, key=lambda one: (found[one], one), default=None)


def _titles_of(store: EventStore, run: ClusteringRun, summary_run_id: str) -> Mapping[int, Mapping[str, Any]]:
    """What a summary run calls the clusters. Raises NotFound, and Conflict for one that cannot be used."""
    summary = store.find(SummaryRun, summary_run_id)
    if summary is None or summary.run_id != run.run_id:
        raise NotFound(f"run {run.run_id} has no summary run {summary_run_id!r}")
    if summary.status != "completed":
        raise Conflict(f"summary run {summary_run_id} is {summary.status}: only a completed one can be used")
    return summary.summaries


def begin_level(cmd: BeginLevel, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    areas = [
        {"cluster_ids": _ids_of(one.children), "outside_ids": _ids_of(one.outside), "wanted": one.wanted}
        for one in cmd.neighborhoods
    ]
    hierarchy.begin_level(cmd.level, cmd.wanted, areas)
    return Outcome((hierarchy,))


def _ids_of(children: Iterable[Child]) -> list[int]:
    return [one.cluster_id for one in children]


def record_step(cmd: RecordStep, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    record = {
        "propose": hierarchy.record_proposals,
        "deduplicate": hierarchy.choose,
        "assign": hierarchy.record_assignments,
        "rename": hierarchy.record_names,
    }[cmd.step]
    usage = {} if cmd.usage == NO_USAGE else asdict(cmd.usage)
    record(cmd.level, cmd.rows, cmd.prompt, usage)
    return Outcome((hierarchy,))


def end_level(cmd: EndLevel, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    hierarchy.end_level(cmd.level)
    return Outcome((hierarchy,))


def complete_hierarchy(cmd: CompleteHierarchy, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    hierarchy.complete()
    return Outcome((hierarchy,))


def fail_hierarchy(cmd: FailHierarchy, store: EventStore) -> Outcome:
    hierarchy = store.load(Hierarchy, cmd.hierarchy_run_id)
    hierarchy.fail(cmd.error)
    return Outcome((hierarchy,))


# --- the work ------------------------------------------------------------------------------------


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
    theirs = _titles_of(store, run, asked) if asked else {}
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


A = TypeVar("A", bound=Answered)


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
            wanted = max(2, round(len(children) * self._ratio))
            areas = self.taxonomist.neighborhoods(children, wanted, self._size)
            self.bus.handle(
                BeginLevel(hierarchy_run_id=self.name, level=level, wanted=wanted, neighborhoods=areas)
            )
        if self._now().level > level or not self._now().is_level_open:
            return
        known = {one.cluster_id: one for one in children}
        self._propose(level, known)
        self._choose(level, known)
        self._assign(level, known)
        self._rename(level, known)
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
        for some in self._in_parts(self.taxonomist.propose(left, self._limits)):
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
        chosen = self.taxonomist.deduplicate(proposed, list(known.values()), now.wanted, self._limits)
        rows = [_unquoted(one, known) for one in chosen.categories]
        self._record(level, "deduplicate", rows, [chosen])

    def _assign(self, level: int, known: Mapping[int, Child]) -> None:
        now = self._now()
        categories = _categories(now)
        if len(now.assigned) == len(known):
            return
        answers = self.taxonomist.assign(list(known.values()), now.assigned, categories, self._limits)
        for some in self._in_parts(answers):
            rows = [
                {"cluster_id": one.cluster_id, "parent_cluster_id": one.category_id, "error": one.error}
                for one in some
            ]
            self._record(level, "assign", rows, some)

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
        for some in self._in_parts(self.taxonomist.rename(groups, titles, self._limits)):
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

    def _in_parts(self, answers: Iterator[A]) -> Iterator[list[A]]:
        size = PAID_AT_ONCE if self.taxonomist.prompts else FREE_AT_ONCE
        while some := list(islice(answers, size)):
            yield some

    def _record(
        self, level: int, step: Step, rows: Sequence[Mapping[str, Any]], answers: Sequence[Answered]
    ) -> None:
        usage = sum((one.usage for one in answers), NO_USAGE)
        prompt = self.taxonomist.prompts.get(step, "")
        self.bus.handle(
            RecordStep(
                hierarchy_run_id=self.name, level=level, step=step, rows=rows, prompt=prompt, usage=usage
            )
        )
        self._done += len(rows)
        self.progress(self._done, None)


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


HANDLERS: dict[type, Handler] = {
    BeginLevel: begin_level,
    CompleteHierarchy: complete_hierarchy,
    EndLevel: end_level,
    FailHierarchy: fail_hierarchy,
    RecordStep: record_step,
    RequestHierarchy: request_hierarchy,
}
