"""The past of clustering runs: moments of the log, runs as they were then, and what lies between two."""

from adapters.time_travel.states import TimeTravel

__all__ = ["TimeTravel"]
