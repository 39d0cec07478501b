"""Aggregates and their events: pure decisions, no I/O, no framework."""
