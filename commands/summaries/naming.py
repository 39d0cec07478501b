"""The work of a summary run: read, name, tell apart, embed. Run again, it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from commands.bus import Bus
from commands.ports import (
    ClusterName,
    ClusterTexts,
    Contents,
    Embedder,
    Embedders,
    Embeddings,
    EventStore,
    Limits,
    Namer,
    Namers,
    NotNamed,
    Progress,
    Sample,
    VectorSource,
)
from commands.runs import Cancellation, chunks
from commands.summaries.recording import CompleteSummary, RecordSummaries, RecordToldApart
from commands.summaries.samples import Chosen, central_queries, contrasting_queries
from commands.summaries.titles import embed_titles, embedder_of
from domain.base import context
from domain.clustering import ClusteringRun
from domain.content import decode_content
from domain.errors import Refused
from domain.summaries import SummaryRun, without_quotations
from domain.values import NOISE

DEFAULT_MAX_QUERIES = 100
CONTRASTING = 4
"""One in so many of the queries that are read is random, and as many are borderline."""

RECORDED_AT_ONCE = 500


def run_summary(
    summary_run_id: str,
    *,
    bus: Bus,
    store: EventStore,
    contents: Contents,
    embeddings: Embeddings,
    embedders: Embedders,
    namers: Namers,
    progress: Progress,
) -> None:
    """Name the clusters that have no name yet, and embed the names in the run's own space.

    A cluster that cannot be named is recorded as such, and the others go on. Raises Refused when that is so
    of all of them.
    """
    summary = store.load(SummaryRun, summary_run_id)
    if summary.status != "pending":
        return
    run = store.load(ClusteringRun, summary.run_id)
    run.check_editable()
    embedder = embedder_of(run, embedders)
    vectors = embeddings.source(run.dataset, embedder.space, run.last_query_id)
    work = _Naming(summary_run_id, run, namers.get(summary.model), vectors, bus, store, contents, progress)
    work.name()
    work.tell_apart()
    work.complete(embedder, embeddings)


@dataclass
class _Naming:
    """`run` stays as it was when the job began; `summary` is asked for anew."""

    summary_run_id: str
    run: ClusteringRun
    namer: Namer
    vectors: VectorSource
    bus: Bus
    store: EventStore
    contents: Contents
    progress: Progress
    read: dict[int, ClusterTexts] = field(default_factory=dict)
    """What was handed out and not answered yet."""

    @property
    def summary(self) -> SummaryRun:
        return self.store.load(SummaryRun, self.summary_run_id)

    @cached_property
    def limits(self) -> Limits:
        given = self.summary.parameters
        return Limits(given.get("concurrency") or Limits.concurrency, given.get("rpm"))

    @cached_property
    def stop(self) -> Cancellation:
        return Cancellation(lambda: self.summary.status != "pending")

    # --- the three steps

    def name(self) -> None:
        summary = self.summary
        left = set(summary.left(self.run.clusters))
        if not left:
            return
        done = len(summary.summaries) + len(summary.failures)
        clusters = map(self._handed, sorted(self.run.clusters if self.namer.compares else left))
        named = self.namer.name(clusters, self.limits, self.stop)
        answers = (self._unquoted(one) for one in named if one.cluster_id in left)
        total = done + len(left)
        for some in chunks(answers, RECORDED_AT_ONCE):
            self._record(some)
            done += len(some)
            self.progress(done, total)

    def tell_apart(self) -> None:
        """Titles are told apart from those that are shown beside them, whoever wrote these."""
        named = self.summary.summaries
        titles = {one: named[one]["title"] for one in sorted(named) if one != NOISE}
        clusters = self.run.clusters.items()
        taken = {
            one: cluster.title
            for one, cluster in clusters
            if cluster.title and (one not in named or cluster.title_edited)
        }
        told = self.namer.tell_apart(titles, taken, self.texts_of, self.limits, self.stop)
        for some in chunks(told, RECORDED_AT_ONCE):
            self.bus.handle(RecordToldApart(summary_run_id=self.summary_run_id, titles=some))

    def complete(self, embedder: Embedder, embeddings: Embeddings) -> None:
        summary = self.summary
        if summary.status != "pending":
            return
        if summary.failures and not summary.summaries:
            cluster_id, error = next(iter(summary.failures.items()))
            raise Refused(
                f"none of {len(summary.failures)} clusters could be named; of cluster {cluster_id}: {error}"
            )
        fresh = {one: summary.summaries[one] for one in sorted(summary.fresh)}
        titles = {one: (row["title"], row["description"]) for one, row in fresh.items()}
        texts = embed_titles(titles, embedder, embeddings) if titles else {}
        command = CompleteSummary(summary_run_id=self.summary_run_id, space=embedder.space, texts=texts)
        with _acting_for(summary):
            self.bus.handle(command)

    # --- what is recorded

    def _record(self, names: list[ClusterName | NotNamed]) -> None:
        sizes = {one.cluster_id: self.sizes.get(one.cluster_id, 0) for one in names}
        self.bus.handle(RecordSummaries(summary_run_id=self.summary_run_id, names=names, sizes=sizes))

    def _unquoted(self, answer: ClusterName | NotNamed) -> ClusterName | NotNamed:
        """Whatever the model wrote, the log is told no person's words."""
        cluster = self.read.pop(answer.cluster_id)
        samples = (cluster.random, cluster.borderline, cluster.outside)
        seen = dict(zip(cluster.query_ids, cluster.texts, strict=True))
        for sample in samples:
            seen |= zip(sample.query_ids, sample.texts, strict=True)
        texts = list(seen.values())
        if isinstance(answer, NotNamed):
            return replace(answer, error=without_quotations(answer.error, texts))
        return replace(
            answer,
            title=without_quotations(answer.title, texts).strip("… ") or f"Cluster {answer.cluster_id}",
            description=without_quotations(answer.description, texts),
            incoherent=answer.incoherent and without_quotations(answer.incoherent, texts),
        )

    # --- what is read

    @cached_property
    def sizes(self) -> dict[int, int]:
        return self.run.partition.sizes()

    @cached_property
    def chosen(self) -> Chosen:
        given = self.summary.parameters
        most = int(given.get("max_queries") or DEFAULT_MAX_QUERIES)
        if self.namer.compares:
            return Chosen(central_queries(self.vectors, self.run.partition, most))
        few = max(1, most // CONTRASTING)
        return contrasting_queries(self.vectors, self.run.partition, most, few, int(given["seed"]))

    def _handed(self, cluster_id: int) -> ClusterTexts:
        self.read[cluster_id] = texts = self.texts_of(cluster_id)
        return texts

    def texts_of(self, cluster_id: int) -> ClusterTexts:
        chosen = self.chosen
        kinds = (chosen.central, chosen.random, chosen.borderline, chosen.outside)
        ids = [kind.get(cluster_id, []) for kind in kinds]
        wanted = list(dict.fromkeys(one for some in ids for one in some))
        bodies = self.contents.of_queries(self.run.dataset, wanted)
        texts = {one: decode_content(body).query for one, body in bodies.items()}
        central, *others = (_sample(some, texts) for some in ids)
        size = self.sizes.get(cluster_id, 0)
        return ClusterTexts(cluster_id, size, central.query_ids, central.texts, *others)


def _sample(query_ids: Iterable[int], texts: dict[int, str]) -> Sample:
    """Those whose texts are still there."""
    there = [one for one in query_ids if one in texts]
    return Sample(there, [texts[one] for one in there])


@contextmanager
def _acting_for(summary: SummaryRun) -> Iterator[None]:
    """Words of people are replaced in the name of who asked for it."""
    asked_by = summary.parameters.get("asked_by")
    if asked_by is None:
        yield
        return
    reason = f"replace_edited of summary run {summary.summary_run_id}"
    token = context.set(replace(context.get(), actor=asked_by, reason=reason))
    try:
        yield
    finally:
        context.reset(token)
