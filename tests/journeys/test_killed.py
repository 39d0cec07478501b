"""What is killed comes back, and nothing is lost or done twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.journeys.conftest import Server, jsonl, rows, serving


def test_all_parts_killed_in_the_middle_of_the_main_job(tmp_path: Path) -> None:
    with serving(tmp_path / "home", LMSYS_JOB_STALLED_SECONDS="3", LMSYS_JOB_HEARTBEAT_SECONDS="1") as server:
        http = server.http
        file = jsonl(tmp_path / "chats.jsonl", rows(10_000))
        with file.open("rb") as body:
            job = http.post("/api/datasets/upload", files={"file": ("chats.jsonl", body)}).json()["job_id"]

        def records() -> int:
            return int(http.get("/api/datasets/status").json()["total_records"])

        server.until(lambda: records() > 0, "the first batch")
        os.kill(server.child("worker --only jobs"), signal.SIGKILL)
        for _ in range(3):
            killed = server.until(lambda: _pid(server, "worker --only read-models"), "a projecting process")
            os.kill(killed, signal.SIGKILL)
            server.until(lambda gone=killed: not Path(f"/proc/{gone}").exists(), "killed")  # type: ignore[misc]

        def loaded() -> bool:
            status = http.get("/api/datasets/status", params={"job_id": job}).json()
            return bool(status["last_completed_job"])

        server.until(loaded, "loaded by the next worker")
        assert records() == 10_000

        run_id = http.post("/api/clustering/kmeans", json={"n_clusters": 4}).json()["run_id"]
        os.kill(server.child("worker --only jobs"), signal.SIGKILL)
        os.kill(server.child("api"), signal.SIGKILL)

        def clustered() -> bool:
            try:
                answer = http.get(f"/api/clustering/runs/{run_id}/status")
            except OSError:
                return False
            except Exception as error:
                if type(error).__module__.startswith("httpx"):
                    return False
                raise
            return answer.status_code == 200 and answer.json()["status"] == "completed"

        server.until(clustered, "clustered after both were killed")
        clusters = http.get(f"/api/clustering/runs/{run_id}/clusters").json()["items"]
        assert sum(one["num_queries"] for one in clusters) == 10_000
        verified = http.post("/api/projections/all/verify").json()
        assert verified["equal"], verified


def _pid(server: Server, name: str) -> int:
    try:
        return server.child(name)
    except (AssertionError, OSError):
        return 0
