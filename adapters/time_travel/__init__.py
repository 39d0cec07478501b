"""The past of clustering runs: moments of the log, runs as they were then, and what lies between two."""

from adapters.time_travel.differences import Difference, Differences, Side, largest_flows
from adapters.time_travel.states import TimeTravel

__all__ = ["Difference", "Differences", "Side", "TimeTravel", "largest_flows"]
