"""Measurements. No test is timed: what is measured here is written down in docs/benchmarks.md."""
