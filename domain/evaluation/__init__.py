"""Whether a template does well: test sets, runs of a template on one, and what would make it better."""

from domain.evaluation.cases import Case, Manifest, gather, plain, sampled
from domain.evaluation.runs import Answers, EvaluationRun
from domain.evaluation.suggestions import Draft, Suggestion
from domain.evaluation.test_sets import TestSet

__all__ = [
    "Answers",
    "Case",
    "Draft",
    "EvaluationRun",
    "Manifest",
    "Suggestion",
    "TestSet",
    "gather",
    "plain",
    "sampled",
]
