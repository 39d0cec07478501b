"""Titles and descriptions of clusters, by a language model or without one."""

from __future__ import annotations

from adapters.language_models import LanguageModels
from adapters.namer.local import MODEL, LocalNamer
from adapters.namer.model import ModelNamer
from commands.ports import Namer
from domain.base import Invalid

__all__ = ["LocalNamer", "ModelNamer", "make_namer"]


def make_namer(model: str, language_models: LanguageModels) -> Namer:
    """Raises Invalid for a model that is unknown, Refused for a provider that is not set up."""
    provider, _, name = model.partition("/")
    if provider != "local":
        return ModelNamer(language_models.get(model))
    if name not in ("", "c-tf-idf"):
        raise Invalid(f"unknown model {model!r}: known are {MODEL}")
    return LocalNamer()
