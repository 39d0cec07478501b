"""What cannot be beaten: a plain COPY of the same rows, a plain UPDATE behind the same web framework."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import psycopg

from bench.server import free_port, percentiles, wait_until

EDITS = 200


def copy_rows(url: str, file: Path) -> tuple[int, float]:
    """All rows of a JSONL file, as they stand, into one table with a key: how many, and seconds."""
    with psycopg.connect(url) as connection, file.open("rb") as lines:
        connection.execute("DROP TABLE IF EXISTS public.plain")
        connection.execute("CREATE TABLE public.plain (conversation_id text PRIMARY KEY, row json)")
        begun = time.perf_counter()
        rows = 0
        with connection.cursor().copy("COPY public.plain FROM STDIN") as copy:
            for line in lines:
                copy.write_row((orjson.loads(line)["conversation_id"], line.decode()))
                rows += 1
        connection.commit()
        took = time.perf_counter() - begun
        connection.execute("DROP TABLE public.plain")
    return rows, round(took, 2)


def plain_update_ms(url: str) -> dict[str, float]:
    """p50 and p95 of a FastAPI handler that does one UPDATE by psycopg, from outside."""
    with _plain_handler(url) as client:
        return percentiles(
            lambda number: client.post(f"/{number % 200}", json={"title": f"title {number}"}), EDITS
        )


def plain_select_ms(url: str) -> dict[str, float]:
    """The same of one that looks up a row by its key."""
    with _plain_handler(url) as client:
        return percentiles(lambda number: client.get(f"/{number % 200}"), EDITS)


@contextmanager
def _plain_handler(url: str) -> Iterator[httpx.Client]:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS public.titles (id int PRIMARY KEY, title text)")
        connection.execute(
            "INSERT INTO public.titles SELECT n, '' FROM generate_series(0, 199) n ON CONFLICT DO NOTHING"
        )
    port = free_port()
    handler = subprocess.Popen([sys.executable, "-m", "bench.plain_handler", url, str(port)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until(lambda: client.get("/").status_code == 200, 30)
            yield client
    finally:
        handler.terminate()
        handler.wait()
