"""Titles and descriptions of clusters, by a language model or without one."""

from __future__ import annotations

from adapters.language_models import LanguageModels, asked_for
from adapters.namer.local import MODEL, LocalNamer
from adapters.namer.model import ModelNamer
from commands.ports import Namer

__all__ = ["LocalNamer", "ModelNamer", "make_namer"]


def make_namer(model: str, language_models: LanguageModels) -> Namer:
    """Raises Invalid for a model that is unknown, Refused for a provider that is not set up."""
    asked = asked_for(model, MODEL, language_models)
    return ModelNamer(asked) if asked else LocalNamer()
