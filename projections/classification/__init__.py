"""Classification runs, the labels that queries got in them, and how these lie across clusters."""

from projections.classification.distributions import (
    Crossed,
    Truth,
    agreement,
    cross,
    label_counts,
)
from projections.classification.projector import ClassificationProjection
from projections.classification.queries import (
    Kind,
    ResultFilter,
    count_results,
    export_results,
    find_run,
    latest_errors,
    list_results,
    list_runs,
    results_of_template,
)
from projections.classification.tables import counts, results, runs, tables

__all__ = [
    "ClassificationProjection",
    "Crossed",
    "Kind",
    "ResultFilter",
    "Truth",
    "agreement",
    "count_results",
    "counts",
    "cross",
    "export_results",
    "find_run",
    "label_counts",
    "latest_errors",
    "list_results",
    "list_runs",
    "results",
    "results_of_template",
    "runs",
    "tables",
]
