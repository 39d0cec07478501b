"""What people ask of classification runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from commands.ports import BatchClassifiers, Classifiers, EventStore, Outcome, Selection, Sources
from commands.runs import free_id, stamped
from domain.classification import ClassificationRun
from domain.errors import NotFound
from domain.templates import Template


@dataclass(frozen=True, kw_only=True)
class RequestClassification:
    """`template_hash` None: the newest version. `execution`: mode, concurrency, rpm, tokens. `filters`: as
    `Selection` takes them, and `sample`, `seed`, `limit`. The run's id is made of the model and `at`.
    """

    template_id: str
    model: str
    filters: Mapping[str, Any]
    at: datetime
    template_hash: str | None = None
    alias: str | None = None
    execution: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ResumeClassification:
    """`execution`: what is to be different from now on."""

    classification_run_id: str
    execution: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CancelClassification:
    classification_run_id: str


@dataclass(frozen=True, kw_only=True)
class RequestIngest:
    """`path`: of a provider's output file, below the import folder."""

    classification_run_id: str
    path: str


def request_classification(
    cmd: RequestClassification,
    store: EventStore,
    selection: Selection,
    classifiers: Classifiers,
    batch_classifiers: BatchClassifiers,
) -> Outcome:
    """All that can be wrong is said now: the template, the model, the filters."""
    template = store.load(Template, cmd.template_id)
    template.check_there()
    number = _number(template, cmd.template_hash)
    model = classifiers.get(cmd.model).model
    if cmd.execution.get("mode") == "batch":
        batch_classifiers.get(model)
    filters = selection.checked(cmd.filters)
    run = ClassificationRun(
        classification_run_id=free_id(store, ClassificationRun, f"classify-{stamped(model, cmd.at)}"),
        dataset=filters["dataset"],
        template_id=cmd.template_id,
        template_number=number,
        template_hash=template.version_at(number).template_hash,
        labels=list(template.version_at(number).labels),
        model=model,
        alias=cmd.alias,
        filters=filters,
        execution=dict(cmd.execution),
        parameters=dict(cmd.parameters),
    )
    return _answered(run)


def _number(template: Template, template_hash: str | None) -> int:
    """Of the version with this hash, or of the newest."""
    if template_hash is None:
        return template.number
    number = template.version_with(template_hash)
    if number is None:
        raise NotFound(f"template {template.name!r} has no version with template_hash {template_hash!r}")
    return number


def resume_classification(cmd: ResumeClassification, store: EventStore) -> Outcome:
    run = store.load(ClassificationRun, cmd.classification_run_id)
    run.resume(cmd.execution)
    return _answered(run)


def cancel_classification(cmd: CancelClassification, store: EventStore) -> Outcome:
    run = store.load(ClassificationRun, cmd.classification_run_id)
    run.cancel()
    return _answered(run)


def request_ingest(
    cmd: RequestIngest, store: EventStore, sources: Sources, batch_classifiers: BatchClassifiers
) -> Outcome:
    run = store.load(ClassificationRun, cmd.classification_run_id)
    batch_classifiers.get(run.model)
    sources.check_importable(cmd.path)
    ingest_id = f"ingest-v{run.version + 1}"
    run.request_ingest(ingest_id, cmd.path)
    return Outcome((run,), {"classification_run_id": run.name, "ingest_id": ingest_id, "status": "pending"})


def _answered(run: ClassificationRun) -> Outcome:
    return Outcome((run,), {"classification_run_id": run.name, "status": run.status, "attempt": run.attempt})
