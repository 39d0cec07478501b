"""What it costs to carry curation over to another run, and to extend a run: `python -m bench.carrying`."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.curation import edit, member_ids
from bench.rows import write_rows
from bench.server import Server, running, wait_until
from bench.stages import cluster, load

SEED = 7
"""Of the newer run; the older one has the default."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.carrying", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="how many rows to make up")
    parser.add_argument("--clusters", type=int, default=200)
    parser.add_argument("--edits", type=int, default=1_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lmsys-bench-") as folder:
        file, more = _two_files(Path(folder), given.rows, given.rows // 10)
        with running(Path(folder) / "home") as server:
            load(server, file)
            _, run_id = cluster(server, given.clusters)
            figures = {
                "rows": given.rows,
                **carry_over_stage(server, run_id, given.clusters, given.edits),
                **extend_stage(server, run_id, more),
                "peak_memory_mb": server.peak_memory_mb(),
            }
    print(json.dumps(figures, indent=2))  # noqa: T201


def carry_over_stage(server: Server, run_id: str, clusters: int, edits: int) -> dict[str, Any]:
    """From this run, after so many edits, to another of the same queries: seconds until the answer.

    It comes when the read models show it all. `again_s`: the second time, when all is so already.
    """
    newer = _clustered_again(server, clusters)
    made = _curate(server, run_id, clusters, edits)
    path, body = f"/api/curation/runs/{newer}/carry-over", {"from_run_id": run_id}
    dry_s, _ = server.timed_post(path, {**body, "dry_run": True})
    carry_s, answer = server.timed_post(path, body)
    again_s, _ = server.timed_post(path, body)
    undo_s, _ = server.timed_post(f"/api/curation/edits/{answer['edit_id']}/undo", {})
    return {
        "edits": made,
        "carried": len({one["edit_id"] for one in answer["carried"]}),
        "already": len(answer["already"]),
        "undecided": len(answer["undecided"]),
        "dry_run_s": dry_s,
        "carry_over_s": carry_s,
        "again_s": again_s,
        "undo_s": undo_s,
    }


def extend_stage(server: Server, run_id: str, file: Path) -> dict[str, Any]:
    """Load these rows, and bring them to a run: seconds from the request until the read models show it."""
    load(server, file)
    path = f"/api/clustering/runs/{run_id}"
    begun = time.perf_counter()
    server.client.post(f"{path}/extend").raise_for_status()

    def newest() -> dict[str, Any]:
        found: dict[str, Any] = server.client.get(f"{path}/extensions").json()["extensions"][0]
        return found

    wait_until(lambda: newest()["status"] != "pending", 3600)
    server.wait_for_read_models()
    ended = newest()
    if ended["error"]:
        raise RuntimeError(f"the extension failed: {ended['error']}")
    took = round(time.perf_counter() - begun, 2)
    return {"added": ended["added"], "orphaned": ended["orphaned"], "extend_s": took}


def _two_files(folder: Path, rows: int, more: int) -> tuple[Path, Path]:
    lines = write_rows(folder / "all.jsonl", rows + more).read_text().splitlines(keepends=True)
    files = folder / "rows.jsonl", folder / "more.jsonl"
    for file, part in zip(files, (lines[:rows], lines[rows:]), strict=True):
        file.write_text("".join(part))
    return files


def _clustered_again(server: Server, clusters: int) -> str:
    body = {"n_clusters": clusters, "seed": SEED}
    answer = server.client.post("/api/clustering/kmeans", json=body).raise_for_status()
    run_id = str(answer.json()["run_id"])
    status = f"/api/clustering/runs/{run_id}/status"
    wait_until(lambda: server.client.get(status).json()["status"] == "completed", 3600)
    server.wait_for_read_models()
    return run_id


def _curate(server: Server, run_id: str, clusters: int, edits: int) -> int:
    """Titles for most, moves for many, flags, a few splits and merges: as people curate."""
    for number in range(edits):
        at = number % clusters
        match number % 20:
            case 0:
                queries = member_ids(server, run_id, at, 20)
                if len(queries) > 1:
                    half = queries[: len(queries) // 2]
                    new = {"query_ids": half, "new_title": f"part {number}", "new_description": "a half"}
                    edit(server, f"/clusters/{at}/split", run_id, new)
            case one if one < 10:
                edit(server, f"/clusters/{at}/rename", run_id, {"title": f"title {number}"})
            case one if one < 18:
                queries = member_ids(server, run_id, at, 10)
                body = {"query_ids": queries, "to_cluster_id": (at + 1) % clusters}
                edit(server, "/queries/move", run_id, body)
            case _:
                edit(server, f"/clusters/{at}/flags", run_id, {"flags": [f"look {number}"]})
    return edits


if __name__ == "__main__":
    main()
