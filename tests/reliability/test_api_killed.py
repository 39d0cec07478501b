"""kill -9 of an API under a stream of edits."""

from __future__ import annotations

import random
import time

from tests.reliability.conftest import Amount, Say
from tests.reliability.installation import (
    Installation,
    assert_each_once,
    assert_log_has_no_holes,
    assert_read_models_follow,
    editing,
    go_on,
    make_run,
)

EDITORS, QUERIES = 2, 80
BUDGET_S = 180.0
"""So long at most, however slowly an API starts. 200 kills were seen to take 104 s."""


def test_edits_whose_api_is_killed_are_there_once(
    installation: Installation, amount: Amount, say: Say
) -> None:
    wanted, chance, kills = amount(200, 4), random.Random(1), 0
    url = installation.container.database.url
    run_id = make_run(installation.container, "killed", EDITORS, QUERIES)
    begun = time.monotonic()
    with editing(installation.urls, url, run_id, EDITORS) as editors:
        while kills < wanted and time.monotonic() - begun < BUDGET_S:
            api = installation.apis[kills % 2]
            time.sleep(chance.uniform(0, 0.15))
            api.kill()
            api.start()
            api.wait()
            kills += 1
        go_on(editors, 3)
    took = time.monotonic() - begun
    unheard = assert_each_once(url, run_id, editors)
    assert_log_has_no_holes(url)
    assert_read_models_follow(installation.container)
    edits, cut_off = (sum(len(one.edits) for one in editors), sum(one.cut_off for one in editors))
    assert kills >= wanted // 4, "the machine is too slow, or too busy, to say anything"
    assert cut_off >= kills // 2, "too few kills met a request"
    say(
        f"{kills} kills in {took:.0f} s, {edits} edits acknowledged, {cut_off} requests cut off, {unheard} of"
        " them already done; lost 0, twice 0, torn 0"
    )
