"""What curation costs on a large run: `python -m bench.curation --home DIR RUN OTHER_RUN`.

The home is one that has been filled, by `lmsys load` and `lmsys cluster`; both runs are of one data set. They
are edited: give it a copy.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from bench.limits import plain_update_ms
from bench.server import Server, percentiles, running

EDITS = 200
MANY = 10_000
"""Queries of a bulk move; edits of a long history, where no other number is given."""

COLD = 20
"""States of before that nobody has asked for: each is read from the log."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.curation", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("run")
    parser.add_argument("other")
    parser.add_argument("--history", type=int, default=MANY, help="edits before states of before are read")
    given = parser.parse_args()
    with running(given.home) as server:
        tell("edit_ms", edit_ms(server, given.run))
        tell("plain_update_ms", plain_update_ms(server.database_url))
        tell("bulk_ms", bulk_ms(server, given.run))
        positions = long_history(server, given.run, given.history)
        tell("past_ms", past_ms(server, given.run, positions))
        tell("diff_ms", diff_ms(server, given.run, given.other, positions))
        tell("carry_over_s", carry_over_s(server, given.run, given.other))
        tell("peak_memory_mb", server.peak_memory_mb())


def tell(name: str, figures: Any) -> None:  # noqa: ANN401
    """Each figure as it comes, a line of JSON: all of them take a quarter of an hour."""
    print(json.dumps({name: figures}), flush=True)  # noqa: T201


def edit_ms(server: Server, run_id: str) -> dict[str, dict[str, float]]:
    """Until the answer, which comes when the read models show it: a rename, a move of one query, an undo."""
    ids = member_ids(server, run_id, 0, EDITS + 10)

    def rename(number: int) -> object:
        return edit(server, f"/clusters/{number % 5}/rename", run_id, {"title": f"title {number}"})

    def move(number: int) -> object:
        return edit(server, f"/queries/{ids[number]}/move", run_id, {"to_cluster_id": 1})

    def undo(number: int) -> object:
        return server.client.post(f"/api/curation/runs/{run_id}/undo").raise_for_status()

    steps = {"rename": rename, "move": move, "undo": undo}
    return {name: percentiles(step, EDITS) for name, step in steps.items()}


def bulk_ms(server: Server, run_id: str) -> dict[str, float]:
    """10,000 queries moved, moved back by an undo, and again by a redo: one request each."""
    ids: list[int] = []
    for cluster_id in range(2, 200):
        ids += member_ids(server, run_id, cluster_id, MANY - len(ids))
        if len(ids) == MANY:
            break
    took: dict[str, float] = {"queries": len(ids)}
    begun = time.perf_counter()
    answer = edit(server, "/queries/move", run_id, {"query_ids": ids, "to_cluster_id": 0}).json()
    took["move"] = _ms(begun)
    for what in ("undo", "redo", "undo"):
        begun = time.perf_counter()
        server.client.post(f"/api/curation/edits/{answer['edit_id']}/{what}").raise_for_status()
        took[what] = _ms(begun)
    return took


def long_history(server: Server, run_id: str, edits: int) -> list[int]:
    """So many edits of one query each; returns the ids of some of them, spread over all."""
    path = f"/api/clustering/runs/{run_id}/clusters"
    sizes = server.client.get(path, params={"limit": 1_000}).raise_for_status().json()["items"]
    sizes.sort(key=lambda one: one["num_queries"])
    *targets, largest = (one["cluster_id"] for one in sizes)
    ids = member_ids(server, run_id, largest, edits)
    kept = []
    for number in range(edits):
        query_id, cluster_id = ids[number % len(ids)], targets[number // len(ids)]
        answer = edit(server, f"/queries/{query_id}/move", run_id, {"to_cluster_id": cluster_id})
        if number % max(edits // (COLD + 2), 1) == 0:
            kept.append(int(answer.json()["edit_id"]))
    return kept


def past_ms(server: Server, run_id: str, positions: list[int]) -> dict[str, Any]:
    """The clusters of a run as of moments that nobody asked for before, and of one that somebody did."""

    def read(position: int) -> float:
        begun = time.perf_counter()
        path = f"/api/clustering/runs/{run_id}/clusters"
        server.client.get(path, params={"as_of": position, "limit": 200}).raise_for_status()
        return _ms(begun)

    cold = sorted(read(position) for position in positions[1 : COLD + 1])
    return {
        "cold_p50": cold[len(cold) // 2],
        "cold_max": cold[-1],
        "again": percentiles(lambda _: read(positions[1]), EDITS),
    }


def diff_ms(server: Server, run_id: str, other: str, positions: list[int]) -> dict[str, float]:
    """Two moments of a run, both asked for the first time; two runs."""
    took = {}
    moments = (f"{run_id}@{positions[0]}", run_id)
    for name, (before, after) in {"moments": moments, "again": moments, "runs": (other, run_id)}.items():
        begun = time.perf_counter()
        server.client.get("/api/curation/diff", params={"from": before, "to": after}).raise_for_status()
        took[name] = _ms(begun)
    return took


def carry_over_s(server: Server, run_id: str, other: str) -> dict[str, float]:
    """All edits of a run made again on the other, until the read models show them; and the undo of that."""
    path, body = f"/api/curation/runs/{other}/carry-over", {"from_run_id": run_id}
    dry_run, _ = server.timed_post(path, {**body, "dry_run": True})
    carried, answer = server.timed_post(path, body)
    undo, _ = server.timed_post(f"/api/curation/edits/{answer['edit_id']}/undo", {})
    edits = len({one["edit_id"] for one in answer["carried"]})
    return {"edits": edits, "dry_run": dry_run, "carried": carried, "undo": undo}


def member_ids(server: Server, run_id: str, cluster_id: int, most: int) -> list[int]:
    """The first queries of a cluster."""
    found: list[int] = []
    cursor: str | None = None
    while len(found) < most:
        asked: dict[str, int | str] = {"limit": 1_000} | ({"cursor": cursor} if cursor else {})
        path = f"/api/clustering/runs/{run_id}/clusters/{cluster_id}"
        page = server.client.get(path, params=asked).raise_for_status().json()["queries"]
        found += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found[:most]


def edit(server: Server, path: str, run_id: str, body: dict[str, Any]) -> Any:  # noqa: ANN401
    return server.client.post(f"/api/curation{path}", params={"run_id": run_id}, json=body).raise_for_status()


def _ms(begun: float) -> float:
    return round((time.perf_counter() - begun) * 1000, 1)


if __name__ == "__main__":
    main()
