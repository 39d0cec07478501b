"""What models were used for, over all processes: the figures of /metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from adapters.database import Database
from commands.ports import Usage

COUNTED = ("calls", "cached", "input_tokens", "output_tokens", "seconds", "cost_usd", "unpriced_calls")
FAMILIES = {
    "calls": ("lmsys_model_calls", "Requests to a language model, those that were repeated as well"),
    "cached": ("lmsys_model_cached_answers", "Answers that took no request"),
    "input_tokens": ("lmsys_model_input_tokens", "Tokens of questions"),
    "output_tokens": ("lmsys_model_output_tokens", "Tokens of answers"),
    "seconds": ("lmsys_model_seconds", "Time of waiting for answers, summed over all requests"),
    "cost_usd": ("lmsys_model_cost_usd", "US dollars, of the requests whose price is known"),
    "unpriced_calls": ("lmsys_model_unpriced_calls", "Requests whose price is not known"),
}


class Meter:
    """Adds up in Postgres, as the process that serves /metrics is not the one that asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, model: str, usage: Usage, unpriced_calls: int, failures: Mapping[str, int]) -> None:
        """`usage.cost_usd` is that of the calls with a price."""
        counts = [getattr(usage, name) for name in COUNTED[:-1]]
        with self._database.connection() as connection, connection.cursor() as cursor:
            cursor.execute(_ADD, [model, *counts, unpriced_calls])
            rows = [(model, kind, count) for kind, count in failures.items()]
            cursor.executemany(_ADD_FAILURES, sorted(rows))

    def totals(self) -> dict[str, dict[str, float]]:
        """Of each model, since counting began."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT model, {', '.join(COUNTED)} FROM ops.model_usage").fetchall()
        return {model: dict(zip(COUNTED, map(float, counts), strict=True)) for model, *counts in rows}

    def failures(self) -> Counter[tuple[str, str]]:
        """Of each model, by kind."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT model, kind, count FROM ops.model_failures").fetchall()
        return Counter({(model, kind): int(count) for model, kind, count in rows})

    def registry(self) -> CollectorRegistry:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Figures(self))
        return registry


class _Figures(Collector):
    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def describe(self) -> Iterator[Any]:
        """Nothing is read before somebody asks."""
        return iter(())

    def collect(self) -> Iterator[CounterMetricFamily]:
        totals = self._meter.totals()
        for name, (family, said) in FAMILIES.items():
            figures = CounterMetricFamily(family, said, labels=["model"])
            for model, counts in totals.items():
                figures.add_metric([model], counts[name])
            yield figures
        failed = CounterMetricFamily("lmsys_model_failures", "What went wrong", labels=["model", "kind"])
        for (model, kind), count in self._meter.failures().items():
            failed.add_metric([model, kind], count)
        yield failed


_SUMS = ", ".join(f"{name} = model_usage.{name} + excluded.{name}" for name in COUNTED)
_ADD = (
    f"INSERT INTO ops.model_usage (model, {', '.join(COUNTED)}) VALUES (%s{', %s' * len(COUNTED)})"
    f" ON CONFLICT (model) DO UPDATE SET {_SUMS}"
)
_ADD_FAILURES = (
    "INSERT INTO ops.model_failures (model, kind, count) VALUES (%s, %s, %s)"
    " ON CONFLICT (model, kind) DO UPDATE SET count = model_failures.count + excluded.count"
)
