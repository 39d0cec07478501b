"""Judging templates: test sets, runs of a template on one, suggestions and what becomes of them."""

from commands.bus import Handler
from commands.evaluation.ending import EndEvaluation, end_evaluation
from commands.evaluation.running import (
    CancelEvaluation,
    RecordAnswers,
    RequestEvaluation,
    ResumeEvaluation,
    cancel_evaluation,
    record_answers,
    request_evaluation,
    resume_evaluation,
    run_evaluation,
)
from commands.evaluation.suggesting import (
    AdoptSuggestion,
    DiscardSuggestion,
    EvaluateSuggestion,
    RecordSuggestion,
    RequestSuggestion,
    adopt_suggestion,
    discard_suggestion,
    evaluate_suggestion,
    record_suggestion,
    request_suggestion,
    run_suggestion,
)
from commands.evaluation.test_sets import FreezeTestSet, freeze_test_set

__all__ = [
    "AdoptSuggestion",
    "CancelEvaluation",
    "DiscardSuggestion",
    "EndEvaluation",
    "EvaluateSuggestion",
    "FreezeTestSet",
    "RecordAnswers",
    "RecordSuggestion",
    "RequestEvaluation",
    "RequestSuggestion",
    "ResumeEvaluation",
    "run_evaluation",
    "run_suggestion",
]

HANDLERS: dict[type, Handler] = {
    AdoptSuggestion: adopt_suggestion,
    CancelEvaluation: cancel_evaluation,
    DiscardSuggestion: discard_suggestion,
    EndEvaluation: end_evaluation,
    EvaluateSuggestion: evaluate_suggestion,
    FreezeTestSet: freeze_test_set,
    RecordAnswers: record_answers,
    RecordSuggestion: record_suggestion,
    RequestEvaluation: request_evaluation,
    RequestSuggestion: request_suggestion,
    ResumeEvaluation: resume_evaluation,
}
