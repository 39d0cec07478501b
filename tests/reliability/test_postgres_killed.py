"""kill -9 of Postgres under a stream of edits: nothing else of `lmsys serve` ends."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from pydantic import SecretStr

from adapters.bootstrap import open_container
from adapters.postgres import start_embedded
from adapters.settings import read_settings
from tests.journeys.conftest import Server, serving
from tests.reliability.conftest import Amount, Say
from tests.reliability.installation import assert_each_once, assert_log_has_no_holes, editing, go_on, make_run
from tests.reliability.processes import until

EDITORS, QUERIES = 3, 60


def test_edits_of_a_killed_postgres_are_there_once(tmp_path: Path, amount: Amount, say: Say) -> None:
    kills, chance = amount(10, 1), random.Random(2)
    with serving(tmp_path / "home") as server:
        url = database_url(server)
        with open_container(read_settings(database_url=SecretStr(url))) as container:
            run_id = make_run(container, "killed", EDITORS, QUERIES)
        before = processes(server)
        begun = time.monotonic()
        longest = 0.0
        with editing([server.url], url, run_id, EDITORS) as editors:
            for _ in range(kills):
                time.sleep(chance.uniform(0.1, 1))
                postmaster = (tmp_path / "home/postgres/data/postmaster.pid").read_text().split()[0]
                os.kill(int(postmaster), signal.SIGKILL)
                killed = time.monotonic()
                go_on(editors, 2)
                longest = max(longest, time.monotonic() - killed)
        took = time.monotonic() - begun
        until(lambda: server.http.get("/api/health").json()["status"] == "ok", "well again")
        assert_each_once(url, run_id, editors)
        assert_log_has_no_holes(url)
        verified = server.http.post("/api/projections/all/verify").json()
        assert verified["equal"], verified
        assert processes(server) == before
    edits = sum(len(one.edits) for one in editors)
    refused = sum(sum(one.refused.values()) for one in editors)
    say(
        f"{kills} kills in {took:.0f} s, {edits} edits acknowledged, {refused} answered 503 or 409 meanwhile;"
        f" all go on after {longest:.1f} s at most; lost 0, twice 0, torn 0; no process of ours ended"
    )


def database_url(server: Server) -> str:
    """Of its embedded Postgres, which is not held from here."""
    attached = start_embedded(server.home)
    attached.stop()
    return attached.url


def processes(server: Server) -> list[int]:
    return [server.child(name) for name in ("api", "worker --only jobs", "worker --only read-models")]
