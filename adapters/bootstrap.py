"""The composition root: settings in, a container out. The only adapter that entry points know."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

import structlog

from adapters.clusterer import LocalClusterer
from adapters.contents import PostgresContents, PostgresEmbeddings
from adapters.database import Database, Listener
from adapters.evaluation import MEDIA_TYPES, SklearnScorer, plot, read_cases
from adapters.event_store import PostgresEventStore
from adapters.event_store.recorder import CHANNEL as LOG_CHANNEL
from adapters.jobs import PoliciesProjection, Queue, Worker
from adapters.matching import best_pairs
from adapters.migrations import migrate
from adapters.points import Indexer, Points
from adapters.postgres import Embedded, start_embedded
from adapters.providers import (
    SettingsBatchClassifiers,
    SettingsClassifiers,
    SettingsEmbedders,
    SettingsLanguageModels,
    SettingsNamers,
    SettingsSources,
    SettingsSuggesters,
    SettingsTaxonomists,
)
from adapters.read_models import FOLLOWED, READ_MODELS, ReadModels
from adapters.read_store import RESET, ensure_tables, erase_everything
from adapters.runner import CHANNEL as READ_CHANNEL
from adapters.runner import Positions, ProjectionRunner, positions
from adapters.selection import ReadModelSelection
from adapters.settings import Settings
from adapters.time_travel import Differences, TimeTravel
from adapters.uploads import keep_upload
from adapters.vectors import VectorStore, make_vectors
from adapters.verification import Verification
from commands import (
    access,
    classification,
    clustering,
    curation,
    datasets,
    embedding,
    evaluation,
    extension,
    hierarchy,
    measures,
    runs,
    summaries,
    tags,
    templates,
)
from commands.bus import Bus, Handler
from commands.ports import Receipt
from projections.base import Projection, topics_of
from projections.search import SearchProjection

HANDLERS: dict[type, Handler] = {
    **access.HANDLERS,
    **classification.HANDLERS,
    **clustering.HANDLERS,
    **curation.HANDLERS,
    **datasets.HANDLERS,
    **embedding.HANDLERS,
    **evaluation.HANDLERS,
    **extension.HANDLERS,
    **hierarchy.HANDLERS,
    **measures.HANDLERS,
    **runs.HANDLERS,
    **summaries.HANDLERS,
    **tags.HANDLERS,
    **templates.HANDLERS,
}
log = structlog.get_logger()

AT_ONCE = 20
"""Events that a command projects itself before it answers; more are left to the worker."""

__all__ = [
    "MEDIA_TYPES",
    "Container",
    "keep_upload",
    "open_api",
    "open_container",
    "plot",
    "read_cases",
]


@dataclass
class Container:
    """Everything that an entry point needs, made by `open_container` and closed by `close`."""

    settings: Settings
    database: Database
    store: PostgresEventStore
    contents: PostgresContents
    embeddings: PostgresEmbeddings
    queue: Queue
    positions: Positions
    needs: Mapping[str, object]
    embedded: Embedded | None = None
    vectors: VectorStore | None = None
    _running: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bus = Bus(self.store, HANDLERS, self.needs)
        self.waiting_bus = Bus(self.store, HANDLERS, self.needs, self._wait)
        self.policies = PoliciesProjection(self.queue)
        self.time_travel = TimeTravel(self.store)
        self.differences = Differences(self.time_travel)
        self._runners = {one.name: ProjectionRunner(self.database, one, self.mapper) for one in READ_MODELS}
        points = None
        if self.vectors is not None:
            points = Points(self.database, self.vectors, self.embeddings, self.mapper)
        self.read_models = ReadModels(self.database, self.queue, self.vectors, points)
        self.verification = Verification(
            self.database, self.store, self.embeddings, self.vectors, self.wait_until
        )

    @property
    def mapper(self) -> Any:  # noqa: ANN401
        return self.store.application.mapper

    @property
    def search(self) -> SearchProjection:
        if self.vectors is None:
            raise RuntimeError("this process has no vector engine")
        return SearchProjection(self.vectors, self.embeddings)

    @property
    def sources(self) -> SettingsSources:
        return cast(SettingsSources, self.needs["sources"])

    @property
    def embedders(self) -> SettingsEmbedders:
        return cast(SettingsEmbedders, self.needs["embedders"])

    @property
    def classifiers(self) -> SettingsClassifiers:
        return cast(SettingsClassifiers, self.needs["classifiers"])

    @property
    def language_models(self) -> SettingsLanguageModels:
        return cast(SettingsLanguageModels, self.needs["language_models"])

    @property
    def scorer(self) -> SklearnScorer:
        return cast(SklearnScorer, self.needs["scorer"])

    @property
    def suggesters(self) -> SettingsSuggesters:
        return cast(SettingsSuggesters, self.needs["suggesters"])

    def wait_until(self, position: int) -> bool:
        """Until every read model has passed the position; False when they have not in time."""
        names = [str(tables.schema) for tables in FOLLOWED]
        return self.positions.wait(names, position, self.settings.wait_timeout)

    def wait_for_head(self) -> None:
        """Until every read model shows what the log has now, or for as long as is allowed."""
        self.wait_until(self.store.head())

    def _wait(self, receipt: Receipt) -> None:
        """Until the read models that show what was changed have passed it, or for as long as is allowed."""
        if receipt.position is None:
            return
        concerned = [
            one.name
            for one in READ_MODELS
            if not receipt.types or not topics_of(one).isdisjoint(receipt.types)
        ]
        for name in concerned:
            self._project_at_once(name)
        self.positions.wait(concerned, receipt.position, self.settings.wait_timeout)

    def _project_at_once(self, name: str) -> None:
        """A few events are projected here and now: quicker than waking the worker and being told of it."""
        try:
            reached = self._runners[name].catch_up(AT_ONCE)
        except Exception as error:  # the worker will meet it again, and knows what to do
            log.warning("ProjectionLeftToWorker", projection=name, error=repr(error))
            return
        if reached is not None:
            self.positions.heard(f"{name} {reached}")

    def catch_up(self, name: str) -> None:
        """Bring one read model to the head of the log from here, for when no worker is running."""
        projection = next(one for one in READ_MODELS if one.name == name)
        runner = ProjectionRunner(self.database, projection, self.mapper)
        head, deadline = self.store.head(), time.monotonic() + self.settings.wait_timeout
        while positions(self.database, [projection.tables])[name] < head and time.monotonic() < deadline:
            if not runner.step():
                time.sleep(0.02)  # a worker has it in hand

    def reset(self) -> None:
        """Delete everything. Other processes are told to forget what they hold of the log."""
        erase_everything(self.database, [*FOLLOWED, PoliciesProjection.tables])
        self.store.forget()
        if self.vectors is not None:
            for collection in self.vectors.collections():
                self.vectors.drop(collection)

    # --- processes

    def listen(self) -> None:
        """Hear of read models that have moved on: what `waiting_bus` and `min_position` wait for."""
        self._start(Listener(self.database.url, (READ_CHANNEL,), lambda _, told: self.positions.heard(told)))

    def follow(self, *projections: Projection) -> None:
        """Keep these read models up to date in this process."""
        runners = [ProjectionRunner(self.database, one, self.mapper) for one in projections]

        def wake(channel: str, payload: str) -> None:
            if payload == RESET:
                self.store.forget()
            for runner in runners:
                runner.wake()

        for runner in runners:
            self._start(runner)
        self._start(Listener(self.database.url, (LOG_CHANNEL,), wake))

    def index(self) -> None:
        """Build the indexes of grown collections in the background."""
        if self.vectors is not None and self.vectors.is_embedded:
            self._start(Indexer(self.vectors))

    def worker(self) -> Worker:
        return Worker(
            self.queue,
            self.bus,
            self.needs,
            concurrency=self.settings.worker_concurrency,
            heartbeat_s=self.settings.job_heartbeat_seconds,
            stalled_s=self.settings.job_stalled_seconds,
        )

    def _start(self, thread: Any) -> None:  # noqa: ANN401
        thread.start()
        self._running.append(thread)

    def close(self) -> None:
        for thread in reversed(self._running):
            thread.stop()
        for thread in reversed(self._running):
            thread.join(timeout=5)
        self.language_models.close()
        self.database.close()
        if self.vectors is not None:
            self.vectors.close()
        if self.embedded is not None:
            self.embedded.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_container(settings: Settings, *, vectors: bool = False) -> Container:
    """Connect, migrate, make what read models lack. With `vectors`, own the vector engine as well."""
    embedded = None if settings.database_url else start_embedded(settings.home)
    url = settings.database_url.get_secret_value() if settings.database_url else embedded.url  # type: ignore[union-attr]
    database = Database(url, lock_timeout_ms=settings.lock_timeout_ms)
    try:
        return _fill(settings, database, embedded, vectors=vectors)
    except BaseException:
        database.close()
        if embedded is not None:
            embedded.stop()
        raise


def _fill(settings: Settings, database: Database, embedded: Embedded | None, *, vectors: bool) -> Container:
    migrate(database)
    store = PostgresEventStore(database)
    queue = Queue(database)
    ensure_tables(database, [*FOLLOWED, PoliciesProjection.tables])
    contents, embeddings = PostgresContents(database), PostgresEmbeddings(database)
    embedders = SettingsEmbedders(settings)
    language_models = SettingsLanguageModels(settings, database)
    needs = {
        "store": store,
        "contents": contents,
        "embeddings": embeddings,
        "sources": SettingsSources(settings),
        "embedders": embedders,
        "classifiers": SettingsClassifiers(embedders, language_models),
        "batch_classifiers": SettingsBatchClassifiers(language_models),
        "clusterer": LocalClusterer(threads=settings.threads),
        "language_models": language_models,
        "namers": SettingsNamers(language_models),
        "selection": ReadModelSelection(database),
        "taxonomists": SettingsTaxonomists(language_models),
        "assign": best_pairs,
        "scorer": SklearnScorer(),
        "suggesters": SettingsSuggesters(language_models),
    }
    return Container(
        settings=settings,
        database=database,
        store=store,
        contents=contents,
        embeddings=embeddings,
        queue=queue,
        positions=Positions(lambda: positions(database, FOLLOWED)),
        needs=needs,
        embedded=embedded,
        vectors=open_vectors(settings) if vectors else None,
    )


def open_api(settings: Settings) -> Container:
    """The container of an API process: it owns the vector engine and keeps its points up to date."""
    container = open_container(settings, vectors=True)
    container.listen()
    container.follow(container.search)
    container.index()
    return container


def open_vectors(settings: Settings) -> VectorStore:
    key = settings.qdrant_api_key
    return make_vectors(settings.home, settings.qdrant_url, key.get_secret_value() if key else None)
