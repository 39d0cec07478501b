"""`python -m bench.classification`: results recorded and projected, against COPY of the same rows; then read.

No classifier takes part: what is measured is what the log and the read model cost beside one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from adapters.bootstrap import Container, open_container
from adapters.settings import read_settings
from commands.classification import RecordResults
from commands.classification.recording import EndClassification, RecordPopulation
from commands.ports import Outcome
from domain.classification import ClassificationRun, Results
from projections import classification as read

CHUNK = 10_000
LABELS = 150
CLUSTERS = 200
ASKED = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.classification", description=__doc__)
    parser.add_argument("--results", type=int, default=200_000)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lmsys-bench-") as folder,
        open_container(read_settings(home=Path(folder) / "home")) as container,
    ):
        print(json.dumps(measure(container, given.results), indent=2))  # noqa: T201


def measure(container: Container, count: int) -> dict[str, Any]:
    ids = np.arange(1, count + 1, dtype=np.int64)
    labels = np.random.default_rng(1).integers(0, LABELS, count, dtype=np.int32)
    copied = timed(lambda: _copy(container, ids, labels))
    recorded = timed(lambda: _record(container, ids, labels))
    projected = timed(lambda: container.catch_up("classification"))
    _members(container, ids)
    with container.database.engine.connect() as connection:
        run = read.find_run(connection, "bench")
        assert run is not None
        assert run["answered"] == count
        stats = best(lambda: read.label_counts(connection, run["run_no"]))
        pivot = best(lambda: read.cross(connection, run["run_no"], 0))
    return {
        "results": count,
        "copy_s": copied,
        "record_s": recorded,
        "project_s": projected,
        "results_per_s": round(count / (recorded + projected)),
        "of_copy": round(copied / (recorded + projected), 3),
        "stats_ms": stats,
        "pivot_ms": pivot,
    }


def timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return round(time.perf_counter() - begun, 2)


def best(ask: Callable[[], object]) -> float:
    """The shortest of some tries, in milliseconds."""
    return round(min(1000 * timed_exactly(ask) for _ in range(ASKED)), 1)


def timed_exactly(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _copy(container: Container, ids: Any, labels: Any) -> None:  # noqa: ANN401
    """The same rows into a plain table with the same keys: the most that could be had."""
    with psycopg.connect(container.database.url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE plain (LIKE classification.results INCLUDING ALL)")
        with cursor.copy(
            "COPY plain (run_no, query_id, label, confidence, position, created_at) FROM STDIN"
        ) as copy:
            for query_id, label in zip(ids.tolist(), labels.tolist(), strict=True):
                copy.write_row((1, query_id, label, 0.9, 1, "2026-01-01T00:00:00Z"))


def _record(container: Container, ids: Any, labels: Any) -> None:  # noqa: ANN401
    names = [f"label {number}" for number in range(LABELS)]
    fields = ("default", "topics", 1, "ab" * 32, names, "local/nearest", None, {}, {}, {})
    run = ClassificationRun("bench", *fields)  # type: ignore[arg-type]
    container.store.commit(Outcome((run,)), "bench")
    bus = container.bus
    bus.handle(RecordPopulation(classification_run_id="bench", query_ids=ids, position=0))
    for at in range(0, len(ids), CHUNK):
        some = slice(at, at + CHUNK)
        results = Results(ids[some], labels[some], np.full(len(ids[some]), 0.9))
        bus.handle(RecordResults(classification_run_id="bench", results=results))
    bus.handle(EndClassification(classification_run_id="bench", left=0))


def _members(container: Container, ids: Any) -> None:  # noqa: ANN401
    """Each query in a cluster of a run numbered 0."""
    rows = "SELECT 0, n, mod(n, %s), mod(n, %s), 0.5 FROM generate_series(1, %s) AS n"
    sql = f"INSERT INTO clustering.memberships {rows}"
    with container.database.connection() as connection:
        connection.execute(sql, [CLUSTERS, CLUSTERS, len(ids)])


if __name__ == "__main__":
    main()
