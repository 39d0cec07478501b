"""`lmsys serve` under a stream of edits: kill -9 of its Postgres, and a disk that is full. Nothing of it is
started again by hand, and no process of ours ends."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest
from pydantic import SecretStr

from adapters.bootstrap import open_container
from adapters.postgres import start_embedded
from adapters.settings import read_settings
from tests.journeys.conftest import Server, serving
from tests.reliability.conftest import Amount, Say
from tests.reliability.disk import Disk, NoMoreFiles, SmallDisk, family, small_file_system
from tests.reliability.installation import (
    Editor,
    assert_each_once,
    assert_log_has_no_holes,
    editing,
    go_on,
    make_run,
)
from tests.reliability.processes import Nursery, until

EDITORS, QUERIES = 3, 60


class Served:
    """A server, its database, and the disk that both are on."""

    def __init__(self, server: Server, nursery: Nursery, *, mounted: bool) -> None:
        self.server = server
        attached = start_embedded(server.home)
        attached.stop()
        self.url = attached.url
        self.processes = self._processes()
        self.disk: Disk = SmallDisk(server.home.parent) if mounted else NoMoreFiles(self._writers, nursery)
        self.kind = "tmpfs" if mounted else "RLIMIT_FSIZE"

    def _processes(self) -> list[int]:
        return [
            self.server.child(name) for name in ("api", "worker --only jobs", "worker --only read-models")
        ]

    def postmaster(self) -> int:
        return int((self.server.home / "postgres/data/postmaster.pid").read_text().split()[0])

    def _writers(self) -> list[int]:
        """The supervisor, who starts Postgres, and that with all its processes."""
        found = [self.server.process.pid]
        with suppress(OSError):
            found += family(self.postmaster())
        return found

    def make_run(self, run_id: str) -> str:
        with open_container(read_settings(database_url=SecretStr(self.url))) as container:
            return make_run(container, run_id, EDITORS, QUERIES)

    def assert_well(self, run_id: str, editors: Sequence[Editor]) -> None:
        http = self.server.http
        until(lambda: http.get("/api/health").json()["status"] == "ok", "well again")
        assert_each_once(self.url, run_id, editors)
        assert_log_has_no_holes(self.url)
        verified = http.post("/api/projections/all/verify").json()
        assert verified["equal"], verified
        assert self._processes() == self.processes


@pytest.fixture(scope="module")
def served(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served") / "disk"
    with small_file_system(folder) as mounted, serving(folder / "home", LMSYS_WAIT_TIMEOUT="0.1") as server:
        yield Served(server, nursery, mounted=mounted)


def test_edits_of_a_killed_postgres_are_there_once(served: Served, amount: Amount, say: Say) -> None:
    kills, chance = amount(10, 1), random.Random(2)
    run_id = served.make_run("killed")
    begun = time.monotonic()
    longest = 0.0
    with editing([served.server.url], served.url, run_id, EDITORS) as editors:
        for _ in range(kills):
            time.sleep(chance.uniform(0.1, 1))
            os.kill(served.postmaster(), signal.SIGKILL)
            killed = time.monotonic()
            go_on(editors, 2)
            longest = max(longest, time.monotonic() - killed)
    took = time.monotonic() - begun
    served.assert_well(run_id, editors)
    edits = sum(len(one.edits) for one in editors)
    refused = sum(sum(one.refused.values()) for one in editors)
    say(
        f"{kills} kills in {took:.0f} s, {edits} edits acknowledged, {refused} answered 503 or 409 meanwhile;"
        f" all go on after {longest:.1f} s at most; lost 0, twice 0, torn 0"
    )


def test_edits_on_a_full_disk_are_refused_and_go_on_when_there_is_room(
    served: Served, amount: Amount, say: Say
) -> None:
    times, run_id = amount(2, 1), served.make_run("full")
    longest = 0.0
    with editing([served.server.url], served.url, run_id, EDITORS) as editors:
        for number in range(1, times + 1):
            go_on(editors, 5)
            served.disk.fill()
            until(lambda n=number: all(one.refused.get(503, 0) >= n for one in editors), "refused")  # type: ignore[misc]
            served.disk.free()
            freed = time.monotonic()
            go_on(editors, 5)
            longest = max(longest, time.monotonic() - freed)
    served.assert_well(run_id, editors)
    edits = sum(len(one.edits) for one in editors)
    refused = sum(one.refused[503] for one in editors)
    say(
        f"{times} times full ({served.kind}): {refused} edits answered 503, {edits} acknowledged; all go on"
        f" {longest:.1f} s at most after there is room; lost 0, twice 0, torn 0"
    )
