"""With keys on, everything but health asks for one, and the actor is the name of the key."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.journeys.conftest import jsonl, rows, serving


def test_keys_are_asked_for_and_name_the_actor(tmp_path: Path) -> None:
    with serving(tmp_path / "home", LMSYS_AUTH="true") as server:
        http = server.http
        assert http.get("/api/health").status_code == 200
        refused = http.get("/api/datasets")
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert http.get("/api/datasets", headers={"X-API-Key": "guessed"}).status_code == 401

        key = server.cli("keys", "create", "ann").strip().split()[-1]
        with_key = {"X-API-Key": key, "X-Actor": "somebody else"}
        server.until(lambda: http.get("/api/datasets", headers=with_key).status_code == 200, "key known")
        assert http.get("/api/datasets", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        file = jsonl(tmp_path / "chats.jsonl", rows(10))
        with file.open("rb") as body:
            http.post("/api/datasets/upload", files={"file": ("chats.jsonl", body)}, headers=with_key)
        events = http.get("/api/events", params={"type": "dataset.load_requested"}, headers=with_key).json()
        assert [one["actor"] for one in events["items"]] == ["ann"]
        assert key not in httpx.get(f"{server.url}/api/events", headers=with_key).text

        server.cli("keys", "revoke", "ann")
        server.until(lambda: http.get("/api/datasets", headers=with_key).status_code == 401, "key revoked")


def test_an_open_door_is_refused(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    environment = {**os.environ, "LMSYS_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "cli.main", "serve", "--host", "0.0.0.0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "LMSYS_AUTH=true" in done.stderr


def test_a_second_server_on_the_same_home_says_so(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        second = server.run("serve", "--port", "1")
        assert second.returncode == 1
        assert str(server.process.pid) in second.stderr
