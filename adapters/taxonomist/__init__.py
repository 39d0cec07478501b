"""Clusters arranged under categories, without a language model or with one."""

from __future__ import annotations

from adapters.language_models import LanguageModels, asked_for
from adapters.taxonomist.asking import AskingTaxonomist
from adapters.taxonomist.local import MODEL, LocalTaxonomist
from commands.ports import Taxonomist

__all__ = ["LocalTaxonomist", "make_taxonomist"]


def make_taxonomist(model: str, language_models: LanguageModels) -> Taxonomist:
    """Raises Invalid for a model that is unknown, Refused for a provider that is not set up."""
    asked = asked_for(model, MODEL, language_models)
    return AskingTaxonomist(asked) if asked else LocalTaxonomist()
