"""Figures, comparisons, suggestions and pictures of how templates do."""

from adapters.evaluation.files import read_cases
from adapters.evaluation.plots import MEDIA_TYPES, plot
from adapters.evaluation.scores import SklearnScorer
from adapters.evaluation.suggesting import make_suggester

__all__ = ["MEDIA_TYPES", "SklearnScorer", "make_suggester", "plot", "read_cases"]
