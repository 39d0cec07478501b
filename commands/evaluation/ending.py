"""The end of an evaluation run: its figures are measured over what was answered, and recorded as facts."""

from __future__ import annotations

from dataclasses import dataclass

from commands.evaluation.reading import figures_of, manifest_of
from commands.ports import Contents, EventStore, Outcome, Scorer
from domain.base import Aggregate
from domain.evaluation import EvaluationRun, Suggestion


@dataclass(frozen=True, kw_only=True)
class EndEvaluation:
    """`error`: why it was given up; what was answered before counts all the same."""

    evaluation_run_id: str
    error: str | None = None


def end_evaluation(cmd: EndEvaluation, store: EventStore, contents: Contents, scorer: Scorer) -> Outcome:
    run = store.load(EvaluationRun, cmd.evaluation_run_id)
    if run.ended:
        return Outcome(())
    run.end(figures_of(run, manifest_of(run.manifest, contents), scorer), cmd.error)
    changed: list[Aggregate] = [run]
    if run.suggestion_id is not None and run.status == "completed":
        suggestion = store.load(Suggestion, run.suggestion_id)
        suggestion.note_evaluation(run.evaluation_run_id, run.template_hash)
        changed.append(suggestion)
    return Outcome(tuple(changed))
