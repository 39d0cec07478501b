"""`python -m bench`: the main job at size, against what is the most that could be had on the same machine.

One server is started on a home of its own, and everything is asked of it over HTTP. Ratios are the result:
absolute figures hold for the machine and the minute.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from bench.limits import copy_rows, plain_update_ms
from bench.rows import write_rows
from bench.server import Server, running
from bench.stages import cluster, embed, index, load, rebuild, rename_ms, search_ms


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--file", type=Path, help="JSONL rows of LMSYS-chat-1M; else rows are made up")
    parser.add_argument("--rows", type=int, default=20_000, help="how many rows to make up")
    parser.add_argument("--clusters", type=int, default=200)
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    parser.add_argument("--indexed", action="store_true", help="wait for the vector index, search once more")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lmsys-bench-") as folder:
        file = given.file or write_rows(Path(folder) / "rows.jsonl", given.rows)
        with running(Path(folder) / "home") as server:
            figures = measure(server, file, given.clusters)
            if given.indexed:
                figures["index_s"] = index(server)
                figures["search_indexed_ms"] = search_ms(server)
    text = json.dumps(figures, indent=2)
    if given.out:
        given.out.write_text(text + "\n")
    print(text)  # noqa: T201


def measure(server: Server, file: Path, clusters: int) -> dict[str, object]:
    """Each stage with the limit that it is held against, in one run."""
    rows, copied = copy_rows(server.database_url, file)
    loaded = load(server, file)
    figures: dict[str, object] = {
        "rows": rows,
        "copy_s": copied,
        "load_s": loaded,
        "load_of_copy": round(copied / loaded, 3),
    }
    figures["embed_s"] = embed(server)
    figures["cluster_s"], run_id = cluster(server, clusters)
    figures["search_ms"] = search_ms(server)
    figures["rename_ms"] = rename_ms(server, run_id)
    figures["plain_update_ms"] = plain_update_ms(server.database_url)
    figures["rebuild_s"], by_name = rebuild(server)
    figures["rebuild_by_name_s"] = by_name
    figures["rebuild_of_copy"] = round(copied / float(str(figures["rebuild_s"])), 3)
    figures["peak_memory_mb"] = server.peak_memory_mb()
    return figures


if __name__ == "__main__":
    main()
