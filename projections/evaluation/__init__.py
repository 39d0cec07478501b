"""Test sets, evaluation runs with every answer, and suggestions."""

from projections.evaluation.projector import EvaluationProjection
from projections.evaluation.runs import (
    accuracies,
    compared_cases,
    compared_cells,
    find_run,
    list_results,
    list_runs,
)
from projections.evaluation.suggestions import find_suggestion, list_suggestions
from projections.evaluation.tables import tables
from projections.evaluation.test_sets import (
    find_test_set,
    find_version,
    labelled_queries,
    list_cases,
    list_test_sets,
    list_versions,
    newest_test_set,
)

__all__ = [
    "EvaluationProjection",
    "accuracies",
    "compared_cases",
    "compared_cells",
    "find_run",
    "find_suggestion",
    "find_test_set",
    "find_version",
    "labelled_queries",
    "list_cases",
    "list_results",
    "list_runs",
    "list_suggestions",
    "list_test_sets",
    "list_versions",
    "newest_test_set",
    "tables",
]
