"""Clusters arranged under categories, without a language model or with one."""

from __future__ import annotations

from adapters.taxonomist.local import MODEL, LocalTaxonomist
from commands.ports import Taxonomist
from domain.base import Invalid

__all__ = ["LocalTaxonomist", "make_taxonomist"]


def make_taxonomist(model: str) -> Taxonomist:
    """Raises `Invalid` for a model that is unknown."""
    provider, _, name = model.partition("/")
    if provider != "local":
        raise Invalid(f"unknown model provider {provider!r}: known are local")
    if name not in ("", "agglomerative"):
        raise Invalid(f"unknown model {model!r}: known are {MODEL}")
    return LocalTaxonomist()
