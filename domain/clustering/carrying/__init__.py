"""The edits of one run made again on another, where what they concerned lives on."""

from domain.clustering.carrying.again import CarryOver, Made, Undecided
from domain.clustering.carrying.before import Earlier, as_found

__all__ = ["CarryOver", "Earlier", "Made", "Undecided", "as_found"]
