"""Texts to labels of a template."""

from adapters.classifier.nearest import NearestClassifier

__all__ = ["NearestClassifier"]
