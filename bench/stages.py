"""The stages of the main job, each asked for over HTTP and timed from the request to what it shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.server import Server, percentiles, wait_until

TEXTS = ("how do I reset my password", "write a poem about autumn", "refund of my order", "python list")
SEARCHES = 200
SMALL = 20_000
"""Points that no index is made for."""

EDITS = 200


def load(server: Server, file: Path) -> float:
    """Upload and load without vectors, until all read models show it: seconds."""
    begun = time.perf_counter()
    with file.open("rb") as body:
        answer = server.client.post(
            "/api/datasets/upload", files={"file": (file.name, body)}, data={"use_chroma": "false"}
        )
    job = answer.raise_for_status().json()["job_id"]
    _wait_for_job(server, job)
    server.wait_for_read_models()
    return round(time.perf_counter() - begun, 2)


def embed(server: Server) -> float:
    begun = time.perf_counter()
    answer = server.client.post("/api/datasets/backfill-chroma").raise_for_status().json()
    _wait_for_job(server, answer["job_id"])
    server.wait_for_read_models()
    return round(time.perf_counter() - begun, 2)


def cluster(server: Server, clusters: int) -> tuple[float, str]:
    begun = time.perf_counter()
    answer = server.client.post("/api/clustering/kmeans", json={"n_clusters": clusters}).raise_for_status()
    run_id = answer.json()["run_id"]
    status = f"/api/clustering/runs/{run_id}/status"
    wait_until(lambda: _ended(server.client.get(status).json()), 3600)
    server.wait_for_read_models()
    return round(time.perf_counter() - begun, 2), run_id


def search_ms(server: Server) -> dict[str, float]:
    def ask(number: int) -> object:
        text = f"{TEXTS[number % len(TEXTS)]} {number}"
        return server.client.get("/api/search", params={"text": text, "limit": 20}).raise_for_status()

    return percentiles(ask, SEARCHES)


def index(server: Server) -> float:
    """Until the embedded engine has an index of nearly all points: seconds from now."""
    begun = time.perf_counter()

    def indexed() -> bool:
        collections = server.client.get("/api/health").json()["vectors"]["collections"].values()
        return all(one["points"] < SMALL or one["indexed"] > 0.9 * one["points"] for one in collections)

    wait_until(indexed, 3600)
    return round(time.perf_counter() - begun, 1)


def rename_ms(server: Server, run_id: str) -> dict[str, float]:
    """Until the answer, which comes when the read models show the new title."""

    def rename(number: int) -> object:
        return server.client.post(
            f"/api/curation/clusters/{number % 5}/rename",
            params={"run_id": run_id},
            json={"title": f"title {number}"},
        ).raise_for_status()

    return percentiles(rename, EDITS)


def rebuild(server: Server) -> tuple[float, dict[str, float]]:
    """All read models in Postgres made anew: seconds, and by name."""
    names = [one["name"] for one in server.client.get("/api/projections").json()["items"]]
    took = {}
    for name in (one for one in names if one not in ("search", "policies")):
        answer = server.client.post(f"/api/projections/{name}/rebuild").raise_for_status().json()
        took[name] = answer["rebuilt"][0]["seconds"]
    return round(sum(took.values()), 2), took


def _wait_for_job(server: Server, job_id: str) -> None:
    def ended() -> bool:
        answer = (
            server.client.get("/api/datasets/status", params={"job_id": job_id}).raise_for_status().json()
        )
        return bool(answer["last_completed_job"]) and _ended(answer["last_completed_job"])

    wait_until(ended, 3600)


def _ended(status: dict[str, Any]) -> bool:
    if status["status"] == "failed":
        raise RuntimeError(f"it failed: {status}")
    return bool(status["status"] == "completed")
