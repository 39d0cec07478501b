"""Which queries a filter lets through, by the read models: the port `Selection`."""

from adapters.selection.read_models import ReadModelSelection

__all__ = ["ReadModelSelection"]
