"""Clusters arranged under categories, without a language model or with one."""

from __future__ import annotations

from adapters.language_models import LanguageModels
from adapters.taxonomist.asking import AskingTaxonomist
from adapters.taxonomist.local import MODEL, LocalTaxonomist
from commands.ports import Taxonomist
from domain.base import Invalid

__all__ = ["LocalTaxonomist", "make_taxonomist"]


def make_taxonomist(model: str, language_models: LanguageModels) -> Taxonomist:
    """Raises Invalid for a model that is unknown, Refused for a provider that is not set up."""
    provider, _, name = model.partition("/")
    if provider != "local":
        return AskingTaxonomist(language_models.get(model))
    if name not in ("", "agglomerative"):
        raise Invalid(f"unknown model {model!r}: known are {MODEL}")
    return LocalTaxonomist()
