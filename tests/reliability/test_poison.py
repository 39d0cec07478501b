"""An event that cannot be projected: what it stops, what it does not, and how it is mended."""

from __future__ import annotations

import time

import httpx
from eventsourcing.persistence import StoredEvent

from adapters.runner import parked_events
from domain.clustering import ClusteringRun
from tests.reliability.conftest import Say
from tests.reliability.installation import (
    TABLES,
    Installation,
    assert_read_models_follow,
    make_run,
    until_shown,
)
from tests.reliability.processes import ask, until
from tests.runs import MAPPER

POISON = b"{}"


def edited(run: ClusteringRun) -> list[StoredEvent]:
    """Three renames as the log would have them, the first of them poisoned."""
    for number in range(3):
        run.rename(0, f"Title {number}", None)
    stored = [MAPPER.to_stored_event(one) for one in run.collect_events()]
    return [
        StoredEvent(one.originator_id, one.originator_version, one.topic, POISON if first else one.state)
        for first, one in zip((True, False, False), stored, strict=True)
    ]


def test_a_poison_event_stops_its_stream_alone_and_is_mended(installation: Installation, say: Say) -> None:
    container = installation.container
    make_run(container, "poisoned", 3, 30)
    make_run(container, "healthy", 3, 30)
    until_shown(container)
    run = container.store.load(ClusteringRun, "poisoned")
    run.rename(0, "Title 0", None)
    mended = MAPPER.to_stored_event(run.collect_events()[0]).state
    events = edited(container.store.load(ClusteringRun, "poisoned"))
    first, *later = container.store.application.recorder.insert_events(events) or ()
    begun = time.monotonic()
    with httpx.Client(base_url=installation.urls[0], timeout=30) as http:

        def health() -> str:
            return str(http.get("/api/health").json()["status"])

        until(lambda: health() == "degraded", "health says so")
        noticed = time.monotonic() - begun
        renamed = http.post(
            "/api/curation/clusters/0/rename", params={"run_id": "healthy"}, json={"title": "Goes on"}
        )
        assert renamed.status_code == 200
        shown = http.get("/api/clustering/runs/healthy/clusters/0").json()
        assert shown["cluster"]["title"] == "Goes on"
        until_shown(container)
        aside = http.get("/api/projections").json()["parked"]
        assert {one["stream"] for one in aside} == {"clustering/poisoned"}
        assert {one["position"] for one in aside if one["projection"] == "curation"} == {first, *later}
        assert parked_events(container.database, TABLES) != []

        assert http.post("/api/projections/policies/rebuild").status_code == 200
        assert http.get("/api/projections").json()["parked"] == aside, "nothing is mended yet"
        assert jobs(container.database.url) == []
        repair = "UPDATE log.events SET data = %s::json WHERE position = %s RETURNING position"
        assert ask(container.database.url, repair, mended.decode(), first) == [(first,)]
        assert http.post("/api/projections/all/rebuild").status_code == 200
        assert http.get("/api/projections").json()["parked"] == []
        assert health() == "ok"
        assert jobs(container.database.url) != [], "what policies had set aside is asked for"
        assert http.get("/api/clustering/runs/poisoned/clusters/0").json()["cluster"]["title"] == "Title 2"
    assert_read_models_follow(container)
    say(f"noticed after {noticed:.1f} s; {len(aside)} events of one stream set aside, cleared by a rebuild")


def jobs(url: str) -> list[tuple[str]]:
    """What the renames set off."""
    table = "queue.procrastinate_jobs"
    return ask(url, f"SELECT task_name FROM {table} WHERE queueing_lock LIKE 'titles-poisoned-%%'")
