"""`lmsys verify sync`: what it says, and the status that a script goes by."""

from __future__ import annotations

import json

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api

OK = {
    "run_id": "run",
    "status": "ok",
    "issues": [],
    "sqlite_summary_count": 4,
    "chroma_summary_count": 4,
    "embedding_space": {"provider": "wordllama", "name": "wordllama_256"},
}


def test_a_run_that_is_ok_ends_with_0(lmsys: Lmsys, api: Api) -> None:
    api.on("POST", "/api/verify/runs/run", OK)
    told = lmsys("verify", "sync", "run", "--chroma-path", "/data/chroma")
    assert (told.exit_code, told.stdout) == (
        0,
        "ok: run, 4 titles, 4 of them in the vectors, wordllama_256\n",
    )
    assert api.asked[0].json == {"run_id": "run"}


def test_one_that_is_not_ends_with_1_and_names_what_differs(lmsys: Lmsys, api: Api) -> None:
    bad = {**OK, "status": "mismatch", "issues": ["queries of the run without a point: 1 (7)", "titles: 2"]}
    api.on("POST", "/api/verify/runs/run", bad)
    told = lmsys("verify", "sync", "run")
    assert told.exit_code == 1
    assert told.stdout.splitlines()[1:] == bad["issues"]
    told = lmsys("verify", "sync", "run", "--json")
    assert (told.exit_code, json.loads(told.stdout)) == (1, bad)


def test_a_run_that_there_is_not_is_no_mismatch(lmsys: Lmsys, api: Api) -> None:
    api.fail("POST", "/api/verify/runs/run", 404, "there is no clustering run 'run'")
    told = lmsys("verify", "sync", "run")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "no clustering run" in told.stderr
