"""Texts to labels of a template: without a model, by asking one, or by handing it a batch."""

from adapters.classifier.asked import AskingClassifier
from adapters.classifier.batches import make_batch_classifier
from adapters.classifier.nearest import NearestClassifier

__all__ = ["AskingClassifier", "NearestClassifier", "make_batch_classifier"]
